import pickle
import stat

import pytest

from camcaffe import CamcaffeError
from camcaffe.files import make_folder, read_bytes, replacing, write_bytes, write_text


def test_a_file_appears_whole(tmp_path):
    write_text(tmp_path / "a.txt", "grün\n")
    assert (tmp_path / "a.txt").read_bytes() == "grün\n".encode()
    plain = tmp_path / "plain.txt"
    plain.touch()
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_or_not_at_all(tmp_path):
    write_bytes(tmp_path / "a.bin", b"old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert read_bytes(tmp_path / "a.bin") == b"old"


def test_errors_name_the_file(tmp_path):
    with pytest.raises(CamcaffeError, match=r"gone/a\.bin: cannot be written: no such file or directory"):
        write_bytes(tmp_path / "gone" / "a.bin", b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CamcaffeError, match="folder: cannot be written: is a directory"):
        write_bytes(tmp_path / "folder", b"x")
    with pytest.raises(CamcaffeError, match="folder: is a directory; expected a list"):
        read_bytes(tmp_path / "folder", "a list")
    (tmp_path / "file").touch()
    with pytest.raises(CamcaffeError, match="the file is empty"):
        read_bytes(tmp_path / "file")
    with pytest.raises(CamcaffeError, match="file/below: cannot be made: not a directory; expected a folder"):
        make_folder(tmp_path / "file" / "below")
    assert make_folder(tmp_path / "new" / "below").is_dir()
    for use in (read_bytes, make_folder, lambda path: write_bytes(path, b"x")):
        with pytest.raises(CamcaffeError, match=r"a\x00b: .*no file can have this name"):
            use(f"{tmp_path}/a\0b")


def test_an_error_is_one_line_and_crosses_processes():
    error = CamcaffeError("a.prototxt", "line 3:\n  no such field", "a net")
    assert str(error) == "a.prototxt: line 3: no such field; expected a net"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.source) == (str(error), "a.prototxt")

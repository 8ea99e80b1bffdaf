import numpy as np
import pytest

from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.devkit import Devkit, read_blacklist, read_ground_truth, read_synsets


@pytest.mark.parametrize(
    ("meta", "ground_truth", "blacklist"),
    [
        ("meta.mat", "ILSVRC2012_validation_ground_truth.txt", None),
        (
            "meta_clsloc.mat",
            "ILSVRC2013_clsloc_validation_ground_truth.txt",
            "ILSVRC2013_clsloc_validation_blacklist.txt",
        ),
        (
            "meta_clsloc.mat",
            "ILSVRC2014_clsloc_validation_ground_truth.txt",
            "ILSVRC2014_clsloc_validation_blacklist.txt",
        ),
        ("LOC_synset_mapping.txt", None, None),
    ],
)
@pytest.mark.parametrize("below", ["data", "."])
def test_the_layouts_of_the_years_are_found(tmp_path, meta, ground_truth, blacklist, below):
    folder = tmp_path / below
    folder.mkdir(exist_ok=True)
    # The kits of 2013 and 2014 hold the detection task's files beside those of localization.
    for name in (meta, ground_truth, blacklist, "meta_det.mat", "ILSVRC2014_det_validation_blacklist.txt"):
        if name:
            (folder / name).write_text("1\n")
    kit = Devkit.find(tmp_path)
    assert kit.meta == folder / meta
    assert kit.ground_truth == (ground_truth and folder / ground_truth)
    assert kit.blacklist == (blacklist and folder / blacklist)


def test_missing_files_are_named(small):
    with pytest.raises(
        CamcaffeError, match="nowhere: no such folder; expected the folder of an ILSVRC devkit"
    ):
        Devkit.find(small.tmp / "nowhere")
    small.ground_truth.unlink()
    with pytest.raises(
        CamcaffeError, match="data: no ground truth; expected ILSVRC2014_clsloc_validation_ground"
    ):
        Devkit.find(small.devkit)
    small.meta.unlink()
    with pytest.raises(
        CamcaffeError, match=r"data: no list of classes; expected meta_clsloc\.mat, meta\.mat or LOC"
    ):
        Devkit.find(small.devkit)


def test_files_of_two_years_are_refused(small):
    (small.data / "ILSVRC2013_clsloc_validation_ground_truth.txt").write_text("1\n")
    with pytest.raises(CamcaffeError, match=r"data: both ILSVRC2013_.* and ILSVRC2014_"):
        Devkit.find(small.devkit)


def test_real_devkit(mini):
    kit = Devkit.find(mini / "devkit")
    assert len(read_synsets(kit.meta)) == 1000
    ids = read_ground_truth(kit.ground_truth, 1000)
    assert ids.shape == (200,)
    assert ids[:5].tolist() == [621, 186, 393, 202, 911]
    assert np.flatnonzero(read_blacklist(kit.blacklist, 200)).tolist() == [2, 16]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n2\n0\n", "line 3: the id is '0'; expected a whole number from 1 to 4"),
        ("1\n5\n", "line 2: the id is '5'; expected a whole number from 1 to 4"),
        ("1 2\n", "line 1: the id is '1 2'"),
        ("1\n\n2\n", "line 2: the id is ''"),
        ("1\n2.0\n", r"line 2: the id is '2\.0'"),
        ("1\n²\n", "line 2: the id is '²'"),
        ("n02119789\n", "line 1: the id is 'n02119789'"),
        ("", "the file is empty; expected a devkit's ground truth"),
    ],
)
def test_broken_ground_truth_names_the_line(tmp_path, text, message):
    path = tmp_path / "ground_truth.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CamcaffeError, match=f"ground_truth.txt.*{message}"):
        read_ground_truth(path, 4)


def test_ground_truth_may_end_lines_as_windows_does(tmp_path):
    path = tmp_path / "ground_truth.txt"
    path.write_bytes(b"\xef\xbb\xbf3\r\n1\r\n4")
    assert read_ground_truth(path, 4).tolist() == [3, 1, 4]


def test_what_is_no_text_is_refused(tmp_path):
    path = tmp_path / "ground_truth.txt"
    path.write_bytes(b"3\n\xff\xd8\xff\n")
    with pytest.raises(CamcaffeError, match=r"ground_truth\.txt, line 2: not UTF-8 text"):
        read_ground_truth(path, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3\n17\n", "line 2: the image is '17'; expected a whole number from 1 to 5"),
        ("3\n2\n3\n", "line 3: image 3 again; expected each image once"),
    ],
)
def test_broken_blacklist_names_the_line(tmp_path, text, message):
    path = tmp_path / "blacklist.txt"
    path.write_text(text)
    with pytest.raises(CamcaffeError, match=f"blacklist.txt, {message}"):
        read_blacklist(path, 5)

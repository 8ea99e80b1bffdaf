import io
import os
import tarfile
from pathlib import Path

import pytest

from camcaffe import CamcaffeError
from camcaffe.localize import find_images, read_sizes, refuse_twins, with_sizes
from camcaffe.localize.images import StoredImage


def write(path, data=b"pixels"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def add(archive, name, data):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def tar_bytes(members):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in members.items():
            add(archive, name, content)
    return data.getvalue()


def test_a_folder_with_its_subfolders_in_order(tmp_path):
    for name in ("b.JPEG", "a/z.png", "a/y.webp", ".hidden.jpg", ".git/c.jpg", "notes.txt", "a b.tif"):
        write(tmp_path / name, name.encode())
    images = find_images(tmp_path)
    assert [image.name for image in images] == ["a b.tif", "a/y.webp", "a/z.png", "b.JPEG"]
    assert [image.read() for image in images] == [image.name.encode() for image in images]


def test_folders_behind_links(tmp_path):
    write(tmp_path / "elsewhere" / "c.jpg")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "n01").symlink_to(tmp_path / "elsewhere")
    assert [image.name for image in find_images(tmp_path / "images")] == ["n01/c.jpg"]
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "images")
    with pytest.raises(CamcaffeError, match=r"images is reached in two ways; expected each folder once"):
        find_images(tmp_path / "images")


def test_names_that_are_no_text(tmp_path):
    Path(os.fsdecode(bytes(tmp_path) + b"/\xff.jpg")).write_bytes(b"pixels")
    with pytest.raises(CamcaffeError, match=r"the name '\\udcff.jpg'; expected names in UTF-8"):
        find_images(tmp_path)


def test_a_list_is_relative_to_its_folder(tmp_path):
    write(tmp_path / "val" / "a b.jpg", b"one")
    write(tmp_path / "c.jpg", b"two")
    (tmp_path / "list.txt").write_bytes(f"val/a b.jpg 24\r\n{tmp_path / 'c.jpg'}\n".encode())
    images = find_images(tmp_path / "list.txt")
    assert [image.name for image in images] == ["val/a b.jpg", str(tmp_path / "c.jpg")]
    assert [image.read() for image in images] == [b"one", b"two"]


@pytest.mark.parametrize("again", ["b.jpg", "./b.jpg", "x/../b.jpg 7"])
def test_a_list_with_an_image_twice(tmp_path, again):
    (tmp_path / "list.txt").write_text(f"a.jpg\nb.jpg\n{again}\n")
    with pytest.raises(CamcaffeError, match=r"list\.txt, line 3: .*b\.jpg again; .* \(line 2 has it already"):
        find_images(tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a.jpg\n\nb.jpg\n", "line 2: no name of an image"),
        (b"a.jpg\n\xff\n", "line 2: not UTF-8 text"),
        (b"a\0.jpg\n", "line 1: no name of an image"),
        (b"", "list.txt: the file is empty"),
    ],
)
def test_lists_that_are_none(tmp_path, content, message):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(CamcaffeError, match=message):
        find_images(tmp_path / "list.txt")


def test_an_archive_as_it_lies(tmp_path):
    inner = tar_bytes({"n01_9.JPEG": b"inner", "n01_1.JPEG": b"later"})
    members = {
        "./b.jpg": b"one",
        "folder/a.JPEG": b"second",
        "readme.txt": b"no",
        "n01.tar": inner,
        "z.png": b"z",
    }
    (tmp_path / "images.tar").write_bytes(tar_bytes(members))
    images = find_images(tmp_path / "images.tar")
    assert {image.name: image.read() for image in images} == {
        "b.jpg": b"one",
        "folder/a.JPEG": b"second",
        "z.png": b"z",
        "n01/n01_9.JPEG": b"inner",
        "n01/n01_1.JPEG": b"later",
    }
    # The order of the archive, so that a disk reads on and on.
    assert [image.name for image in images][:3] == ["b.jpg", "folder/a.JPEG", "z.png"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[:700], r"images\.tar: it ends within a\.jpg; expected a whole archive"),
        (lambda data: data[:300], r"images\.tar: not readable"),
        (lambda data: b"<html>" * 100, r"images\.tar: not readable"),
        (lambda data: b"", r"images\.tar: not readable"),
        (lambda data: __import__("gzip").compress(data), "expected an archive that is not compressed"),
    ],
)
def test_archives_that_are_broken(tmp_path, spoil, message):
    (tmp_path / "images.tar").write_bytes(spoil(tar_bytes({"a.jpg": bytes(3000)})))
    with pytest.raises(CamcaffeError, match=message):
        find_images(tmp_path / "images.tar")


def test_an_archive_with_an_image_twice(tmp_path):
    with tarfile.open(tmp_path / "images.tar", "w") as archive:
        add(archive, "a.jpg", b"1")
        add(archive, "./a.jpg", b"2")
    with pytest.raises(CamcaffeError, match=r"images\.tar: a\.jpg again; expected each image once"):
        find_images(tmp_path / "images.tar")


def test_sources_without_images(tmp_path):
    (tmp_path / "empty").mkdir()
    for name, message in {
        "empty": "empty: no picture; expected JPEG",
        "none": "none: no such file or directory; expected a folder of images",
        "none.tar": "none.tar: cannot be read: No such file",
    }.items():
        with pytest.raises(CamcaffeError, match=message):
            find_images(tmp_path / name)


def test_an_image_that_is_gone_names_itself(tmp_path):
    with pytest.raises(CamcaffeError, match=r"^a\.jpg: no such file"):
        StoredImage("a.jpg", str(tmp_path)).read()
    with pytest.raises(CamcaffeError, match=r"^a\.jpg: .*gone\.tar cannot be read"):
        StoredImage("a.jpg", str(tmp_path / "gone.tar"), 512, 10).read()


def test_names_of_heat_maps_stay_in_their_folder():
    names = {
        "a.JPEG": "a.jpg",
        "n01/a.b.png": "n01/a.b.jpg",
        "/data/val/a.jpg": "a.jpg",
        "../up/a.jpg": "a.jpg",
        "x/../../a.jpg": "a.jpg",
    }
    for name, expected in names.items():
        assert str(StoredImage(name, "").heatmap) == expected
    with pytest.raises(CamcaffeError, match=r"^a\.png: its heat maps would replace those of a\.JPEG"):
        refuse_twins([StoredImage("a.JPEG", ""), StoredImage("b.JPEG", ""), StoredImage("a.png", "")])


def test_sizes_are_found_by_key(tmp_path):
    (tmp_path / "sizes.csv").write_text("height,image,width\n349,val/a.JPEG,500\n40,b,30\n")
    sizes = read_sizes(tmp_path / "sizes.csv")
    images = with_sizes([StoredImage("b.png", ""), StoredImage("x/a.jpg", "")], sizes, "sizes.csv")
    assert [image.true_size for image in images] == [(40, 30), (349, 500)]
    with pytest.raises(CamcaffeError, match=r"^sizes\.csv: no size of c\.jpg; expected the size of each"):
        with_sizes([StoredImage("c.jpg", "")], sizes, "sizes.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,width\na.jpg,5\n", r"sizes\.csv: columns image, width; expected a CSV file with the columns"),
        ("image,width,height\na.jpg,5\n", "line 2: height is ''"),
        ("image,width,height\na.jpg,5,-4\n", "line 2: height is '-4'; expected a whole number from 1"),
        ("image,width,height\na.jpg,5,4\na.png,5,4\n", "line 3: a.png again"),
        ("image,width,height\n,5,4\n", "line 2: no image"),
        ("", "the file is empty"),
    ],
)
def test_sizes_that_are_none(tmp_path, text, message):
    (tmp_path / "sizes.csv").write_text(text)
    with pytest.raises(CamcaffeError, match=message):
        read_sizes(tmp_path / "sizes.csv")

import pytest

from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.cub import read_cub

FILES = {
    "images.txt": "1 001.Albatross/Albatross_0046_18.jpg\n"
    "2 001.Albatross/Albatross_0009_34.jpg\n"
    "3 002.Wren/Wren_0002_55.jpg\n",
    "classes.txt": "1 001.Albatross\n2 002.Wren\n",
    "image_class_labels.txt": "1 1\n2 1\n3 2\n",
    "bounding_boxes.txt": "1 60.0 27.0 325.0 304.0\n2 139.0 30.0 153.0 264.0\n3 14.0 112.5 388.0 186.0\n",
    "train_test_split.txt": "1 0\n2 1\n3 0\n",
}


@pytest.fixture
def cub(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_both_splits(cub):
    test = read_cub(cub)
    assert test.names == ["001.Albatross/Albatross_0046_18", "002.Wren/Wren_0002_55"]
    assert test.labels.tolist() == [1, 2]
    assert test.boxes.tolist() == [[60, 27, 385, 331], [14, 112.5, 402, 298.5]]
    assert test.boxes_of(1).tolist() == [[14, 112.5, 402, 298.5]]
    assert test.synsets.wnids == ("001.Albatross", "002.Wren")
    assert not test.blacklisted.any()
    train = read_cub(cub, "train")
    assert train.names == ["001.Albatross/Albatross_0009_34"]
    assert train.boxes.tolist() == [[139, 30, 292, 294]]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("images.txt", ("2 001", "4 001"), "images.txt, line 2: .*; expected the number 2 and 1 more"),
        ("images.txt", (" 001.Albatross/Albatross_0046_18.jpg", ""), "images.txt, line 1: '1'; expected"),
        ("images.txt", ("1 ", "one "), "images.txt, line 1: the number is 'one'"),
        ("bounding_boxes.txt", ("325.0 304.0", "325.0"), "bounding_boxes.txt, line 1: '1 60.0 27.0 325.0'"),
        ("bounding_boxes.txt", ("388.0", "0.0"), "bounding_boxes.txt, line 3: a box of 0 x 186"),
        ("bounding_boxes.txt", ("112.5", "nan"), "bounding_boxes.txt, line 3: y is 'nan'"),
        (
            "bounding_boxes.txt",
            ("3 14.0 112.5 388.0 186.0\n", ""),
            "bounding_boxes.txt: 2 lines; expected a line for each of the 3",
        ),
        ("image_class_labels.txt", ("3 2", "3 3"), "image_class_labels.txt, line 3: the class is '3'"),
        ("train_test_split.txt", ("3 0", "3 2"), "train_test_split.txt, line 3: the split is '2'"),
    ],
)
def test_broken_files_are_named(cub, name, change, message):
    text = FILES[name]
    assert change[0] in text
    (cub / name).write_text(text.replace(change[0], change[1], 1))
    with pytest.raises(CamcaffeError, match=message):
        read_cub(cub)


@pytest.mark.parametrize("name", FILES)
def test_missing_files_are_named(cub, name):
    (cub / name).unlink()
    with pytest.raises(CamcaffeError, match=f"{name}: no such file"):
        read_cub(cub)


def test_a_split_without_images_is_refused(cub):
    (cub / "train_test_split.txt").write_text("1 0\n2 0\n3 0\n")
    with pytest.raises(CamcaffeError, match=r"train_test_split\.txt: no image of the train split"):
        read_cub(cub, "train")

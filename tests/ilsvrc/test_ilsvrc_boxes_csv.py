import pytest

from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.boxes_csv import read_boxes_csv

LABELS = ("golden retriever", "golden eagle", "n02119789 kit fox, Vulpes macrotis")
GOOD = """image,label,xmin,ymin,xmax,ymax
eagle/1.jpg,golden eagle,5,10,104,69
dog/1.jpg,golden retriever,0,0,49.5,40
eagle/1.jpg,golden eagle,110,0,130,20
./fox.JPEG,n02119789,1,2,3,4
"""


@pytest.fixture
def boxes(tmp_path):
    path = tmp_path / "boxes.csv"

    def read(text, labels=LABELS):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_boxes_csv(path, labels, "run.sqlite")

    return read


def test_boxes_image_after_image(boxes):
    truth = boxes(GOOD)
    assert truth.names == ["eagle/1", "dog/1", "fox"]
    assert truth.labels.tolist() == [2, 1, 3]
    assert truth.boxes_of(0).tolist() == [[5, 10, 104, 69], [110, 0, 130, 20]]
    assert truth.boxes_of(1).tolist() == [[0, 0, 49.5, 40]]
    assert truth.boxes_of(2).tolist() == [[1, 2, 3, 4]]
    assert not truth.blacklisted.any()
    assert truth.synsets.wnids == ("golden retriever", "golden eagle", "n02119789")
    assert truth.synsets.words[2] == "kit fox, Vulpes macrotis"
    assert truth.synsets.ids_of_labels(LABELS, "run") == [1, 2, 3]


def test_what_spreadsheets_write(boxes):
    labels = ("tench, Tinca tinca",)
    text = '\ufefflabel, note, image, xmin, ymin, xmax, ymax\r\n"tench, Tinca tinca", , a.jpg, 1, 2, 3, 4\r\n'
    truth = boxes(text, labels)
    assert (truth.names, truth.labels.tolist(), truth.boxes.tolist()) == (["a"], [1], [[1, 2, 3, 4]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("label,", "class,"),
            r"boxes\.csv, line 1: columns 'image,class,xmin.*; expected a CSV file with the",
        ),
        (("image,label", "image,label,label"), "line 1: columns"),
        (("49.5,40", "49.5"), "line 3: 5 values; expected 6"),
        (("49.5,40", "49.5,40,1"), "line 3: 7 values; expected 6"),
        (("./fox.JPEG", "\n./fox.JPEG"), "line 5: 0 values"),
        (("./fox.JPEG", ""), "line 5: no image"),
        (("golden eagle,5", "golden,5"), r"line 2: unknown class 'golden'; .* in run\.sqlite"),
        (("golden eagle,110", "n02119789,110"), "line 4: eagle/1.jpg is a n02119789; expected one class an"),
        (("1,2,3,4", "1,2,3,"), "line 5: ymax is ''; expected a number of pixels"),
        (("1,2,3,4", "1,2,nan,4"), "line 5: xmax is 'nan'"),
        (("1,2,3,4", "1,2,0,4"), "line 5: xmax 0 is less than xmin 1"),
        (("./fox.JPEG", '"fox'), "not readable"),
        ((GOOD.partition("\n")[2], ""), "boxes.csv: no box"),
        ((GOOD, ""), "boxes.csv: the file is empty"),
    ],
)
def test_bad_lines_are_named(boxes, change, message):
    assert change[0] in GOOD
    with pytest.raises(CamcaffeError, match=message):
        boxes(GOOD.replace(*change))


def test_other_files(boxes, tmp_path):
    with pytest.raises(CamcaffeError, match="not UTF-8 text"):
        boxes(b"image,label\xff")
    with pytest.raises(CamcaffeError, match=r"none\.csv: no such file"):
        read_boxes_csv(tmp_path / "none.csv", LABELS, "run.sqlite")
    with pytest.raises(CamcaffeError, match=r"run\.sqlite: class cat has the ids 1 and 2"):
        boxes(GOOD, ("cat", "cat"))

import cv2
import numpy as np
import pytest
from data_layers import data_layers, pictures

from camcaffe import CamcaffeError
from camcaffe.caffe.training.sources import open_source
from camcaffe.caffe.training.sources.image_list import read_image_list

IMAGES = pictures(7, 9, 13)


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i, image in enumerate(IMAGES):
        cv2.imwrite(f"image {i}.png", image)
    (tmp_path / "list.txt").write_text("".join(f"image {i}.png {i}\n" for i in range(7)))


def source(
    extra="",
    transform="",
    batch_size=4,
    phase="TEST",
    seed=0,
    listed="list.txt",
    tops='top: "data" top: "label"',
):
    text = f"""layer {{ name: "data" type: "ImageData" {tops}
        image_data_param {{ source: "{listed}" batch_size: {batch_size} {extra} }}
        transform_param {{ {transform} }} }}"""
    return open_source(data_layers(text, phase)[0], phase, seed)


def labels(read, batches):
    return np.concatenate([read.batch(index)[1] for index in range(batches)])


def test_round_and_round_from_any_batch():
    read = source()
    assert read.shapes == ((4, 3, 9, 13), (4,))
    for index in [0, 5, 1]:
        numbers = (4 * index + np.arange(4)) % 7
        data, label = read.batch(index)
        np.testing.assert_array_equal(data, IMAGES[numbers].transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(label, numbers)


def test_shuffle_takes_each_image_once_an_epoch():
    read = source("shuffle: true", seed=1)
    epochs = labels(read, 7).reshape(4, 7)
    np.testing.assert_array_equal(np.sort(epochs, 1), np.tile(np.arange(7), (4, 1)))
    assert len({tuple(epoch) for epoch in epochs}) == 4
    np.testing.assert_array_equal(source("shuffle: true", seed=1).batch(5)[1], read.batch(5)[1])
    np.testing.assert_array_equal(
        read.batch(0)[0], IMAGES[read.batch(0)[1].astype(int)].transpose(0, 3, 1, 2)
    )
    assert not np.array_equal(labels(source("shuffle: true", seed=2), 7), epochs.ravel())


def test_rand_skip_leaves_out_the_first():
    firsts = {int(source("rand_skip: 5", seed=seed).batch(0)[1][0]) for seed in range(60)}
    assert firsts == {0, 1, 2, 3, 4}
    read = source("rand_skip: 5", seed=1)
    np.testing.assert_array_equal(labels(read, 3), (read.batch(0)[1][0] + np.arange(12)) % 7)


def test_size_and_gray():
    data, _ = source("new_height: 5 new_width: 31 is_color: false").batch(0)
    assert data.shape == (4, 1, 5, 31)
    gray = cv2.imread("image 0.png", cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(data[0, 0], cv2.resize(gray, (31, 5)))


def test_root_folder_stands_before_the_name_as_it_is(tmp_path):
    (tmp_path / "list.txt").write_text("0.png 3")
    assert source('root_folder: "image "').batch(0)[1].tolist() == [3] * 4


def test_what_a_jpeg_lacks_is_gray(tmp_path):
    cv2.imwrite("scene.jpg", cv2.GaussianBlur(pictures(1, 64, 80)[0], (0, 0), 3))
    whole = (tmp_path / "scene.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) - len(whole) // 4])
    (tmp_path / "list.txt").write_text("cut.jpg 0")
    data, _ = source().batch(0)
    np.testing.assert_array_equal(data[0], cv2.imread("cut.jpg").transpose(2, 0, 1))
    assert (data[0, :, -1, -1] == 128).all()
    (tmp_path / "cut.jpg").write_bytes(whole[:100])
    with pytest.raises(CamcaffeError, match=r"^cut\.jpg: not a picture that can be read"):
        source()


def test_names_of_any_bytes(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"caf\xe9 1.png 3\r\n")
    assert read_image_list("list.txt") == [("caf\udce9 1.png", 3)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "^list.txt: the file is empty; expected an image, a space and a whole number a line"),
        (b"a.png 0\na.png\n", "^list.txt, line 2: 'a.png'; expected an image, a space"),
        (b"a.png 0\n\na.png 1\n", "^list.txt, line 2: ''; expected"),
        (b"a.png\t0\n", "^list.txt, line 1: '.*'; expected"),
        (b" 3\n", "^list.txt, line 1: ' 3'; expected"),
        (b"a.png 0\nb.png cat\n", "^list.txt, line 2: the label 'cat'; expected"),
        (b"a.png 1.5\n", "^list.txt, line 1: the label '1.5'"),
        (b"a.png 3 \n", "^list.txt, line 1: the label ''"),
        (b"a.png 2147483648\n", "^list.txt, line 1: the label '2147483648'"),
        (b"a.png \xc2\xb2\n", "^list.txt, line 1: the label '²'"),
        (b"a.png --1\n", "^list.txt, line 1: the label '--1'"),
        (b"a.png " + b"9" * 5000, "^list.txt, line 1: the label '9999.*[.]{3}'"),
    ],
)
def test_refuses_a_broken_list(tmp_path, content, message):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(CamcaffeError, match=message):
        source()


def test_refuses_images_that_cannot_be_read(tmp_path):
    with pytest.raises(CamcaffeError, match=r"^absent\.txt: no such file"):
        source(listed="absent.txt")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    for name, message in [
        ("absent.png", "no such file"),
        ("text.png", "not a picture"),
        ("empty.png", "the file is empty"),
    ]:
        (tmp_path / "list.txt").write_text(f"image 0.png 0\n{name} 1\n")
        with pytest.raises(CamcaffeError, match=f"^{name}: {message}"):
            source().batch(0)


@pytest.mark.parametrize(
    ("extra", "transform", "message"),
    [
        ("new_height: 5", "", "^layer 'data': new_height is 5 and new_width 0; expected both or none"),
        *(
            (
                f"new_width: 3 new_height: {rows}",
                "",
                f"^layer 'data': new_width 3 and new_height {rows}; expected at most 2,147,483,647 values",
            )
            for rows in (2**31 - 1, 2**32 - 1)
        ),
        ("rand_skip: 8", "", "^layer 'data': rand_skip 8 with the 7 images of list.txt; expected at most"),
        ("", "crop_size: 10", "^image 0.png: 9 x 13 pixels, and layer 'data' crops 10 x 10"),
    ],
)
def test_refuses_settings(extra, transform, message):
    with pytest.raises(CamcaffeError, match=message):
        source(extra, transform)


def test_refuses_images_of_other_sizes(tmp_path):
    cv2.imwrite(str(tmp_path / "image 2.png"), IMAGES[2][:8])
    read = source()
    with pytest.raises(
        CamcaffeError, match=r"^image 2\.png: a picture of 3 channels x 8 rows x 13 columns; "
    ):
        read.batch(0)
    assert source(transform="crop_size: 8").batch(0)[0].shape == (4, 3, 8, 8)


def test_refuses_no_source_no_batch_and_a_missing_label_top():
    with pytest.raises(
        CamcaffeError, match=r"^layer 'data': it has no source; expected one in its image_data"
    ):
        source(listed="")
    with pytest.raises(CamcaffeError, match=r"^layer 'data': batch_size is 0; expected at least 1"):
        source(batch_size=0)
    with pytest.raises(CamcaffeError, match=r"^layer 'data': 1 tops; expected from 2 to 2 for ImageData"):
        source(tops='top: "data"')

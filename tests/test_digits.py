import collections

import numpy as np
import pytest

from camcaffe import CamcaffeError
from camcaffe.boxes import xywh_to_corners
from camcaffe.digits import CLASSES, SIZE, compose, write_database, write_scenes
from camcaffe.ilsvrc.boxes_csv import read_boxes_csv
from camcaffe.matlab import imread, imresize

# Scenes 0 and 999 of both splits: label, scan, and what the first strokes are cut from; boxes, xywh.
RECORDED = [
    (5, 1162, (689, 829, 1792)),
    (0, 422, (1537, 1178, 955)),
    (8, 255, (765, 1152, 414)),
    (6, 1773, (276, 240, 1209)),
]
RECORDED_BOXES = [(78, 64, 90, 135), (56, 105, 88, 134), (113, 21, 86, 151), (72, 23, 110, 154)]


def corners(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]])


def test_a_scene_depends_on_its_numbers_alone():
    first = compose(7, "test", seed=3)
    compose(8, "test", seed=3)
    again = compose(7, "test", seed=3)
    assert first.image.dtype == np.uint8 and first.image.shape == (SIZE, SIZE, 3)
    np.testing.assert_array_equal(first.image, again.image)
    assert (first.scan, first.strokes) == (again.scan, again.strokes)
    for other in (compose(8, "test", seed=3), compose(7, "train", seed=3), compose(7, "test", seed=4)):
        assert not np.array_equal(first.image, other.image)


def test_scenes_stay_what_they_were():
    found = [compose(index, split) for split in ("train", "test") for index in (0, 999)]
    assert [(scene.label, scene.scan, scene.strokes[:3]) for scene in found] == RECORDED
    boxes = [scene.box for scene in found]
    np.testing.assert_allclose(boxes, RECORDED_BOXES, atol=1)


@pytest.mark.parametrize("split", ["train", "test"])
def test_test_scans_are_in_test_scenes_alone(split):
    scenes = [compose(index, split) for index in range(60)]
    scans = {scan for scene in scenes for scan in (scene.scan, *scene.strokes)}
    assert {scan % 3 == 0 for scan in scans} == {split == "test"}
    assert {scene.label for scene in scenes} == set(range(10))
    assert min(len(scene.strokes) for scene in scenes) == 0
    assert max(len(scene.strokes) for scene in scenes) == 8


def test_boxes_are_around_the_digits_in_the_pixels():
    inside = []
    for index in range(40):
        scene = compose(index, "test")
        # The digit lies on top, in one colour within soft edges.
        inked = scene.image[scene.mask].tolist()
        color, count = collections.Counter(map(tuple, inked)).most_common(1)[0]
        assert count > 0.3 * len(inked)
        of_color = np.all(scene.image == color, axis=2)
        assert scene.mask[of_color].all()
        low, high = xywh_to_corners(scene.box).reshape(2, 2) - [[0], [1]]
        inner = corners(of_color).reshape(2, 2)
        inside.append(np.concatenate([inner[0] - low, high - inner[1]]) / scene.box[3])
    assert np.min(inside) >= 0
    assert np.median(inside) < 0.04
    assert np.quantile(inside, 0.9) < 0.06


def test_the_digit_is_a_scan_of_its_label():
    from sklearn.datasets import load_digits

    digits = load_digits()
    scans = digits.images.reshape(-1, 64) / 16
    hits = []
    for index in range(50):
        scene = compose(index)
        assert digits.target[scene.scan] == scene.label
        x, y, width, height = scene.box
        ink = scene.mask[y : y + height, x : x + width].astype(np.float64)
        # The scans are as wide as high, their ink in the middle.
        square = np.pad(ink, [(0, 0), [max(0, (height - width) // 2)] * 2])
        distances = ((scans - imresize(square, (8, 8)).clip(0, 1).ravel()) ** 2).sum(axis=1)
        hits.append(digits.target[distances.argmin()] == scene.label)
    assert np.mean(hits) > 0.8


def test_digits_lie_whole_in_the_picture_at_many_places_and_sizes():
    boxes = np.array([compose(index).box for index in range(100)])
    assert boxes[:, :2].min() >= 10
    assert (boxes[:, :2] + boxes[:, 2:]).max() <= SIZE - 10
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    assert centres.std(axis=0).min() > 20
    assert boxes[:, 3].min() < 90 and boxes[:, 3].max() > 130


def test_written_scenes_and_boxes(tmp_path):
    write_scenes(tmp_path / "scenes", 4, 3, seed=1)
    for split, count in (("train", 4), ("test", 3)):
        truth = read_boxes_csv(tmp_path / "scenes" / f"{split}_boxes.csv", CLASSES, "digits")
        pictures = sorted((tmp_path / "scenes" / split).glob("*/*.png"), key=lambda path: path.name)
        assert len(truth) == len(pictures) == count
        for index, path in enumerate(pictures):
            scene = compose(index, split, 1)
            assert path.relative_to(tmp_path).as_posix() == f"scenes/{split}/{scene.label}/{index:05d}.png"
            np.testing.assert_array_equal(imread(path), scene.image)
            assert truth.labels[index] - 1 == scene.label
            np.testing.assert_array_equal(truth.boxes_of(index), [corners(scene.mask)])


def test_a_folder_with_something_in_it_is_left_alone(camcaffe, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    result = camcaffe("digits", tmp_path, "--train", 1)
    assert result.exit_code == 2
    assert (
        result.output == f"Error: {tmp_path}: there is something in it; expected a new or an empty folder\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_command(camcaffe, tmp_path):
    result = camcaffe("digits", tmp_path / "scenes", "--train", 2, "--test", 0, "--seed", 5)
    assert result.output == f"{tmp_path / 'scenes'}: 2 training and 0 test scenes\n"
    assert sorted(path.name for path in (tmp_path / "scenes").iterdir()) == ["train", "train_boxes.csv"]


@pytest.mark.lmdb
def test_a_database_holds_the_scenes(tmp_path):
    from camcaffe.caffe.training.sources.database import Datums

    write_database(tmp_path / "lmdb", 3, "test", seed=2)
    datums = Datums(str(tmp_path / "lmdb"))
    assert len(datums) == 3
    for index in range(3):
        scene = compose(index, "test", 2)
        pixels, label, _ = datums.read(index)
        np.testing.assert_array_equal(pixels[::-1].transpose(1, 2, 0), scene.image)
        assert label == scene.label


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, "val"), r"split: 'val'; expected train or test"),
        ((-1, "test"), r"scene: index -1, seed 0; expected numbers from 0"),
        ((0, "test", -2), r"seed -2"),
    ],
)
def test_scenes_that_there_are_not(arguments, message):
    with pytest.raises(CamcaffeError, match=message):
        compose(*arguments)


def test_without_scikit_learn(monkeypatch):
    from camcaffe import digits

    digits._scans.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(CamcaffeError, match=r"scikit-learn cannot be imported; expected pip install"):
        compose(0)
    digits._scans.cache_clear()

import cv2
import numpy as np
import pytest

from camcaffe import CamcaffeError
from camcaffe.boxes import graph_cut_boxes
from camcaffe.boxes.graph_cut import accepted_thresholds
from camcaffe.matlab import read_gray, read_rgb


def scene(brightness, seed=1):
    """A bright rectangle of noise on darker noise, and a heat map with its peak inside."""
    image = np.random.default_rng(seed).integers(0, 140, (48, 64, 3))
    image[12:34, 18:44] += brightness
    y, x = np.mgrid[:48, :64]
    heatmap = np.uint8(255 * np.exp(-((y - 22) ** 2 / 200 + (x - 30) ** 2 / 300)))
    return np.clip(image, 0, 255).astype(np.uint8), heatmap


@pytest.mark.parametrize(
    ("thresholds", "recorded"), [((10, 40), [63, 151, 361, 216]), ((20, 100), [87, 215, 295, 133])]
)
def test_within_two_pixels_of_the_recorded_boxes(reference, thresholds, recorded):
    image = read_rgb(reference / "cam_repo" / "sample_6.jpg")
    heatmap = read_gray(reference / "cam_repo" / "heatmap_6.jpg")
    boxes = graph_cut_boxes(image, heatmap, thresholds)
    assert boxes.dtype == np.int64
    assert len(boxes) == 1
    assert np.abs(boxes[0] - recorded).max() <= 2
    if thresholds == (10, 40):
        assert graph_cut_boxes(image, heatmap).tolist() == boxes.tolist()


def test_finds_the_object():
    image, heatmap = scene(110)
    np.testing.assert_allclose(graph_cut_boxes(image, heatmap, (20, 100))[0], [18, 12, 26, 22], atol=1)


def test_random_numbers_and_threads_do_not_matter(monkeypatch):
    image, heatmap = scene(75)
    threads = cv2.getNumThreads()
    seed, found = cv2.setRNGSeed, set()
    try:
        for state in range(6):
            cv2.setNumThreads(1 + state % 3)
            seed(state)
            found.add(str(graph_cut_boxes(image, heatmap, (20, 100)).tolist()))
        assert len(found) == 1
    finally:
        cv2.setNumThreads(threads)
    # Without the seed they do.
    monkeypatch.setattr(cv2, "setRNGSeed", lambda state: None)
    for state in range(6):
        seed(state)
        found.add(str(graph_cut_boxes(image, heatmap, (20, 100)).tolist()))
    assert len(found) > 1


def test_the_border_is_empty_and_holes_have_boxes():
    image, _ = scene(0)
    heatmap = np.full(image.shape[:2], 100, dtype=np.uint8)
    heatmap[20:22, 20:23] = 0
    boxes = graph_cut_boxes(image, heatmap).tolist()
    assert boxes[0] == [1, 1, 62, 46]
    assert [19, 19, 5, 4] in boxes


def test_small_boxes_are_dropped(monkeypatch):
    image, heatmap = scene(110)
    image[[40, 40, 41, 41], [55, 56, 55, 56]] = 255
    heatmap[40:42, 55:57] = 255
    boxes = graph_cut_boxes(image, heatmap, (20, 100)).tolist()
    assert all(w * h > 10 for _, _, w, h in boxes)
    monkeypatch.setattr("camcaffe.boxes.graph_cut._SMALL", 0)
    assert [55, 40, 2, 2] in graph_cut_boxes(image, heatmap, (20, 100)).tolist()


def test_no_contour_is_large_enough():
    image = np.full((48, 64, 3), 90, dtype=np.uint8)
    heatmap = np.zeros((48, 64), dtype=np.uint8)
    heatmap[20:22, 20:23] = 100
    boxes = graph_cut_boxes(image, heatmap)
    assert boxes.tolist() == [[0, 0, 64, 48]]
    assert boxes.dtype == np.int64


@pytest.mark.parametrize("thresholds", [(40, 10), (10, 10), (-1, 40), (10, 256)])
def test_thresholds_that_do_not_count_leave_the_defaults(thresholds):
    assert accepted_thresholds(thresholds) == (10, 40)
    image, heatmap = scene(110)
    assert graph_cut_boxes(image, heatmap, thresholds).tolist() == graph_cut_boxes(image, heatmap).tolist()


@pytest.mark.parametrize("thresholds", [(0, 1), (0, 255), (20, 100)])
def test_thresholds_that_count(thresholds):
    assert accepted_thresholds(thresholds) == thresholds


@pytest.mark.parametrize("value", [0, 255])
def test_nothing_to_cut(value):
    image, heatmap = scene(110)
    with pytest.raises(CamcaffeError, match=r"^heat map: .* pixels above 40; expected at least 5 above"):
        graph_cut_boxes(image, np.full_like(heatmap, value))


def test_too_few_pixels():
    with pytest.raises(CamcaffeError, match=r"^heat map: 1 of 1 pixels above 40"):
        graph_cut_boxes(np.zeros((1, 1, 3), dtype=np.uint8), np.full((1, 1), 255, dtype=np.uint8))


def test_not_two_thresholds():
    image, heatmap = scene(110)
    with pytest.raises(CamcaffeError, match=r"^thresholds: \(20, 100, 110\); expected 2 integers$"):
        graph_cut_boxes(image, heatmap, (20, 100, 110))


@pytest.mark.parametrize(
    "image", [np.zeros((64, 48, 3), np.uint8), np.zeros((48, 64), np.uint8), np.zeros((48, 64, 3))]
)
def test_not_an_image_of_the_heat_maps_size(image):
    with pytest.raises(
        CamcaffeError, match=r"^image: an array of .*; expected uint8 RGB of the heat map's size"
    ):
        graph_cut_boxes(image, scene(0)[1])


def test_the_arguments_are_left_alone():
    image, heatmap = scene(110)
    image.flags.writeable = heatmap.flags.writeable = False
    graph_cut_boxes(image, heatmap)

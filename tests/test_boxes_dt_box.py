"""dt_boxes beside the authors' compiled program, and each of its quirks by itself."""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camcaffe import CamcaffeError
from camcaffe.boxes import AUTHORS_THRESHOLDS, accepted_thresholds, dt_boxes
from camcaffe.boxes.dt_box import clipped, merged, ranked
from camcaffe.matlab import read_gray


def test_equals_the_program_on_synthetic_maps(reference):
    folder = reference / "dt_box" / "synthetic"
    expected = json.loads((folder / "expected.json").read_text())
    compared = 0
    for name, cases in expected.items():
        gray = read_gray(folder / f"{name}.png")
        for thresholds, case in cases.items():
            boxes = dt_boxes(gray, [int(level) for level in thresholds.split()])
            assert boxes.tolist() == case["boxes"], (name, thresholds)
            compared += 1
    assert compared == 512


@pytest.mark.parametrize("rank", range(5))
def test_equals_the_program_on_real_maps(reference, rank):
    folder = reference / "mini_ilsvrc" / "reference"
    predictions = json.loads((folder / "predictions.json").read_text())
    assert len(predictions) == 200
    for name, classes in predictions.items():
        stem = name.rpartition(".")[0]
        gray = read_gray(folder / "heatmaps" / f"top{rank + 1}" / f"{stem}.jpg")
        assert dt_boxes(gray, AUTHORS_THRESHOLDS).tolist() == classes[rank]["dt_box"], name


def test_equals_the_authors_own_example(reference):
    gray = read_gray(reference / "cam_repo" / "heatmap_6.jpg")
    assert dt_boxes(gray, (20, 100, 110)).tolist() == [[41, 145, 362, 202], [102, 188, 242, 126]]


def steps(height=60, width=90):
    """A pyramid of gray levels: every threshold cuts it elsewhere."""
    gray = np.zeros((height, width), dtype=np.uint8)
    for inset, level in enumerate(range(10, 250, 12), start=2):
        gray[inset:-inset, inset : -2 * inset] = level
    return gray


def test_default_thresholds_are_the_programs_own():
    assert dt_boxes(steps()).tolist() == dt_boxes(steps(), (30, 90, 150)).tolist()
    assert dt_boxes(steps()).tolist() != dt_boxes(steps(), AUTHORS_THRESHOLDS).tolist()


@pytest.mark.parametrize(
    "thresholds", [(200, 100, 50), (0, 90, 150), (40, 40, 150), (40, 90, 90), (40, 90, 255), (-5, 90, 150)]
)
def test_thresholds_that_do_not_count_leave_the_defaults(thresholds):
    assert accepted_thresholds(thresholds) == (30, 90, 150)
    assert dt_boxes(steps(), thresholds).tolist() == dt_boxes(steps(), (30, 90, 150)).tolist()


@pytest.mark.parametrize("thresholds", [(1, 2, 3), (1, 2, 254), (20, 100, 110)])
def test_thresholds_that_count(thresholds):
    assert accepted_thresholds(np.array(thresholds)) == thresholds


@pytest.mark.parametrize("thresholds", [(20, 100), (20, 100, 110, 120), (20.0, 100, 110), "abc", None, 20])
def test_not_three_integers(thresholds):
    with pytest.raises(CamcaffeError, match=r"^thresholds: .*; expected 3 integers$"):
        dt_boxes(steps(), thresholds)


@pytest.mark.parametrize(
    "gray",
    [
        steps().astype(np.float64),
        steps().astype(np.uint16),
        steps() > 0,
        np.zeros((4, 6, 3), dtype=np.uint8),
        np.zeros((0, 6), dtype=np.uint8),
        np.zeros(6, dtype=np.uint8),
        [[1.5, 2.0]],
    ],
)
def test_not_a_gray_map(gray):
    with pytest.raises(
        CamcaffeError, match=r"^heat map: an array of dtype .* and shape .*; expected uint8 gray"
    ):
        dt_boxes(gray)


def test_views_and_read_only_maps():
    gray = np.repeat(np.repeat(steps(), 2, axis=0), 3, axis=1)[::2, ::3]
    gray.flags.writeable = False
    assert dt_boxes(gray).tolist() == dt_boxes(steps()).tolist()
    assert (gray == steps()).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 2), (40, 60)])
def test_maps_without_boxes(shape):
    for gray in (np.zeros(shape, dtype=np.uint8), np.full(shape, 30, dtype=np.uint8)):
        boxes = dt_boxes(gray)
        assert boxes.shape == (0, 4)
        assert boxes.dtype == np.int64


@pytest.mark.parametrize("value", [151, 255])
def test_a_map_that_is_above_all_thresholds(value):
    # All three masks are the whole picture: its border is empty, the size ends 5 pixels early, and the
    # merge drops one box of three because it passes over the next.
    boxes = dt_boxes(np.full((40, 60), value, dtype=np.uint8))
    assert boxes.tolist() == [[1, 1, 54, 34]] * 2


def test_a_constant_map_between_thresholds():
    assert dt_boxes(np.full((40, 60), 100, dtype=np.uint8)).tolist() == [[1, 1, 54, 34]]


def test_the_picture_border_is_empty():
    gray = np.zeros((60, 80), dtype=np.uint8)
    gray[:20, :22] = 100
    assert dt_boxes(gray).tolist() == [[1, 1, 21, 19]]


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((3, 3), [-2, -2, -3, -3]),
        ((4, 7), [1, -1, 1, -2]),
        ((5, 5), [0, 0, -1, -1]),
        ((6, 6), [1, 1, 0, 0]),
        ((7, 9), [1, 1, 3, 1]),
    ],
)
def test_pictures_too_small_for_the_margin(shape, box):
    assert box in dt_boxes(np.full(shape, 255, dtype=np.uint8)).tolist()


def test_boxes_beside_the_right_and_bottom_edge_have_negative_sizes():
    gray = np.zeros((60, 80), dtype=np.uint8)
    gray[20:30, 76:79] = 50
    assert dt_boxes(gray).tolist() == [[75, 20, -1, 10]]
    gray[57, 40:44] = 50
    assert dt_boxes(gray).tolist() == [[40, 55, 4, -2]]  # the merge drops the other: no overlap is less


def test_clipping_uses_the_unclipped_position_for_the_size():
    boxes = np.array([[58, 39, 2, 3], [10, 20, 49, 15], [57, 0, 3, 40]])
    assert clipped(boxes, (40, 60)).tolist() == [[55, 35, -3, -4], [10, 20, 45, 15], [55, 0, -2, 35]]


def test_equal_areas_come_in_the_order_of_std_sort():
    boxes = np.array([[20 * i, 0, 10, 10] for i in range(20)])
    order = (ranked(boxes)[:, 0] // 20).tolist()
    assert sorted(order) == list(range(20))
    # As printed by a program that calls libstdc++'s std::sort.
    assert order == [10, 19, 18, 17, 16, 15, 14, 13, 12, 11, 0, 9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_the_merge_passes_over_the_box_behind_a_dropped_one():
    assert merged(np.array([[0, 0, 10, 10]] * 2)).tolist() == [[0, 0, 10, 10]]
    # The first drops the second and misses the third, which then drops the fourth.
    assert merged(np.array([[0, 0, 10, 10]] * 3)).tolist() == [[0, 0, 10, 10]] * 2
    assert merged(np.array([[0, 0, 10, 10]] * 4)).tolist() == [[0, 0, 10, 10]] * 2


def test_the_merge_needs_more_than_half_of_the_larger_area():
    larger = [0, 0, 10, 9]
    assert merged(np.array([larger, [0, 0, 9, 5]])).tolist() == [larger, [0, 0, 9, 5]]
    assert merged(np.array([larger, [0, 0, 10, 5]])).tolist() == [larger]
    # Half of 45 is truncated to 22, which 23 exceeds.
    assert merged(np.array([[0, 0, 9, 5], [0, 0, 23, 1]])).tolist() == [[0, 0, 9, 5], [0, 0, 23, 1]]
    assert merged(np.array([[0, 0, 9, 5], [3, 0, 6, 4]])).tolist() == [[0, 0, 9, 5]]


def merged_literally(boxes):
    boxes = [list(box) for box in boxes]
    i = 0
    while i < len(boxes):
        j = i + 1
        while j < len(boxes):
            (ax, ay, aw, ah), (bx, by, bw, bh) = boxes[i], boxes[j]
            width = max(0, min(ax + aw, bx + bw) - max(ax, bx))
            height = max(0, min(ay + ah, by + bh) - max(ay, by))
            if width * height > int(0.5 * max(aw * ah, bw * bh)):
                del boxes[j]
            j += 1
        i += 1
    return boxes


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 6)] * 2, *[st.integers(-3, 12)] * 2), max_size=80))
def test_the_merge_equals_a_literal_one(boxes):
    boxes = ranked(np.array(boxes, dtype=np.int64).reshape(-1, 4))
    assert merged(boxes).tolist() == merged_literally(boxes.tolist())


@settings(derandomize=True, max_examples=12, deadline=None)
@given(st.integers(501, 700), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_the_merge_of_many_boxes_equals_a_literal_one(count, spread, seed):
    random = np.random.default_rng(seed)
    sizes = random.integers(-2, random.integers(2, 40), (count, 2))
    boxes = ranked(np.concatenate([random.integers(0, 10 * spread, (count, 2)), sizes], axis=1))
    assert merged(boxes).tolist() == merged_literally(boxes.tolist())


def test_a_map_of_noise_ends_soon():
    gray = np.random.default_rng(0).integers(0, 256, (240, 320), dtype=np.uint8)
    start = time.process_time()
    assert len(dt_boxes(gray)) > 10_000
    assert time.process_time() - start < 20  # comparing each box with each took minutes

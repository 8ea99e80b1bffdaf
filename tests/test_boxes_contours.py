"""contour_boxes beside what connected components say of parts, holes and their order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from camcaffe.boxes.contours import contour_boxes


def boxes_by_labels(mask):
    """The same boxes from labels: parts touch at corners, holes do not; both from the last to the first."""
    inner = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), dtype=bool)
    inner[2:-2, 2:-2] = mask[1:-1, 1:-1] > 0
    parts, _ = ndimage.label(inner, structure=np.ones((3, 3)))
    holes, _ = ndimage.label(~inner)
    found = []
    for label, (rows, columns) in enumerate(ndimage.find_objects(parts), start=1):
        box = [columns.start - 1, rows.start - 1, columns.stop - columns.start, rows.stop - rows.start]
        found.append((first_pixel(parts == label), (0, 0), box))
    for label, (rows, columns) in enumerate(ndimage.find_objects(holes), start=1):
        row, column = first_pixel(holes == label)
        if label == holes[0, 0]:
            continue
        part = parts[row, column - 1]
        box = [
            columns.start - 2,
            rows.start - 2,
            columns.stop - columns.start + 2,
            rows.stop - rows.start + 2,
        ]
        found.append((first_pixel(parts == part), (-row, -column), box))
    found.sort(key=lambda one: ((-one[0][0], -one[0][1]), one[1] != (0, 0), one[1]))
    return [box for _, _, box in found]


def first_pixel(where):
    return divmod(int(np.flatnonzero(where)[0]), where.shape[1])


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.integers(3, 24), st.integers(3, 30), st.floats(0.1, 0.95), st.integers(0, 2**32 - 1))
def test_equals_boxes_of_labels(height, width, share, seed):
    mask = (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8) * 255
    assert contour_boxes(mask).tolist() == boxes_by_labels(mask)


def test_nested_parts_follow_their_own_order():
    mask = np.zeros((40, 60), dtype=np.uint8)
    mask[3:37, 3:57] = 255
    mask[6:34, 6:30] = 0  # a hole with an island, which has a hole
    mask[10:30, 10:26] = 255
    mask[14:20, 14:20] = 0
    mask[6:12, 40:50] = 0  # a second hole
    assert contour_boxes(mask).tolist() == [
        [10, 10, 16, 20],
        [13, 13, 8, 8],
        [3, 3, 54, 34],
        [39, 5, 12, 8],
        [5, 5, 26, 30],
    ]


def test_the_border_counts_as_empty():
    assert contour_boxes(np.full((20, 30), 255, dtype=np.uint8)).tolist() == [[1, 1, 28, 18]]
    on_border = np.zeros((20, 30), dtype=np.uint8)
    on_border[0], on_border[-1], on_border[:, 0], on_border[:, -1] = 255, 255, 255, 255
    assert contour_boxes(on_border).tolist() == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (2, 9), (9, 2)])
def test_pictures_that_are_all_border(shape):
    boxes = contour_boxes(np.full(shape, 255, dtype=np.uint8))
    assert boxes.shape == (0, 4)
    assert boxes.dtype == np.int64


def test_the_mask_is_left_alone():
    mask = np.full((9, 7), 255, dtype=np.uint8)
    contour_boxes(mask)
    assert (mask == 255).all()

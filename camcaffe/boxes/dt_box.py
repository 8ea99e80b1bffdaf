"""Boxes of a heat map as the authors' program `dt_box` makes them.

The program's order of steps, its clipping, its sort and its merge decide which box comes first, so all
are kept: for three thresholds, the part of the map well inside what is above the threshold; a bounding
box of each of its contours; clipped, sorted by area, the overlapping ones dropped.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence

import numpy as np

from camcaffe.boxes.contours import contour_boxes
from camcaffe.boxes.inside import keep_inside
from camcaffe.boxes.std_sort import std_argsort
from camcaffe.errors import CamcaffeError

DEFAULT_THRESHOLDS = (30, 90, 150)
# What the authors' scripts pass to the program.
AUTHORS_THRESHOLDS = (20, 100, 110)

# Clipping leaves this many pixels free at the right and at the bottom.
_MARGIN = 5
# Up to so many boxes are compared each with each; a picture of noise has tens of thousands.
_ALL_PAIRS = 500


def dt_boxes(gray: np.ndarray, thresholds: Sequence[int] = DEFAULT_THRESHOLDS) -> np.ndarray:
    """All boxes of a heat map, the largest first; a port of the authors' `dt_box.cpp`.

    Quirks of the original, kept: thresholds that do not count are replaced in silence (see
    `accepted_thresholds`); the picture's one-pixel border never belongs to a part (`contour_boxes`);
    boxes end at least 5 pixels before the right and bottom edge, so that those within 5 pixels of it have
    a negative size (and in pictures under 5 pixels a negative x or y); boxes of equal area come in the
    order of libstdc++'s `std::sort`; the merge spares the box behind each that it drops.

    Args:
        gray: (H, W) uint8 heat map.
        thresholds: three gray levels. The authors' scripts pass 20, 100, 110.

    Returns:
        (n, 4) int64 xywh. A map in which nothing is above the lowest threshold has none.

    Raises:
        CamcaffeError: no uint8 map, an empty one, or not three integer thresholds.
    """
    import cv2

    gray = gray_map(gray)
    mask = np.empty_like(gray)
    boxes = []
    for level in accepted_thresholds(thresholds):
        cv2.threshold(gray, level, 255, cv2.THRESH_BINARY, dst=mask)
        keep_inside(mask)
        boxes.append(contour_boxes(mask))
    return merged(ranked(clipped(np.concatenate(boxes), gray.shape)))


def accepted_thresholds(thresholds: Sequence[int]) -> tuple:
    """The thresholds that the original works with: those given, if 0 < t0 < t1 < t2 < 255, else 30 90 150.

    Raises:
        CamcaffeError: not three integers.
    """
    given = integers(thresholds, 3)
    return given if 0 < given[0] < given[1] < given[2] < 255 else DEFAULT_THRESHOLDS


def gray_map(gray: np.ndarray) -> np.ndarray:
    """The heat map itself, if it is one.

    Raises:
        CamcaffeError: not a (H, W) uint8 array with at least one pixel.
    """
    gray = np.asarray(gray)
    if gray.dtype != np.uint8 or gray.ndim != 2 or gray.size == 0:
        raise CamcaffeError(
            "heat map",
            f"an array of dtype {gray.dtype} and shape {gray.shape}",
            "uint8 gray (height, width), not empty",
        )
    return np.ascontiguousarray(gray)


def integers(thresholds: Sequence[int], count: int) -> tuple:
    """The thresholds as Python integers.

    Raises:
        CamcaffeError: not `count` integers.
    """
    try:
        given = tuple(operator.index(level) for level in thresholds)
    except TypeError:
        given = ()
    if len(given) != count:
        raise CamcaffeError("thresholds", repr(thresholds), f"{count} integers")
    return given


def clipped(boxes: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The boxes clipped as the original does it: position and size each by itself, from the unclipped x, y.

    Args:
        boxes: (n, 4) xywh with nothing negative.
        shape: (height, width) of the picture.

    Returns:
        (n, 4) xywh; where the picture leaves no room, a negative number.
    """
    room = np.array([shape[1], shape[0]]) - _MARGIN
    position, size = boxes[:, :2], boxes[:, 2:]
    return np.concatenate([np.minimum(position, room), np.minimum(size, room - position)], axis=1)


def ranked(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) xywh boxes by area w * h, the largest first, in the order that `std::sort` gives them."""
    return boxes[std_argsort((-boxes[:, 2] * boxes[:, 3]).tolist())]


def merged(boxes: np.ndarray) -> np.ndarray:
    """The boxes that the original's merge leaves.

    Each box in turn drops the later ones that share more than half of the larger one's area (half,
    truncated). After a drop the box that slides into the dropped one's place is passed over unseen.

    Args:
        boxes: (n, 4) xywh, the largest area first.

    Returns:
        (m, 4) xywh, in the same order.
    """
    half = (0.5 * (boxes[:, 2] * boxes[:, 3])).astype(np.int64)
    count = int(np.count_nonzero(half >= 0))
    after = list(range(1, count + 1))  # of the boxes still alive, the next one and the one before
    before = list(range(-1, count))
    alive = [True] * count
    first = passed_over = None
    for i, j in _overlapping(boxes[:count], half[:count]):
        if i != first:
            first, passed_over = i, None
        if alive[i] and alive[j] and j != passed_over:
            alive[j] = False
            passed_over = after[j]
            after[before[j]] = after[j]
            before[after[j]] = before[j]
    left = np.flatnonzero(alive).tolist()
    # Half of a negative area is less than any overlap: each of these boxes drops every second one behind it.
    negative = list(range(count, len(boxes)))
    for i in range(len(negative)):
        del negative[i + 1 :: 2]
    return boxes[left + negative]


def _overlapping(boxes: np.ndarray, half: np.ndarray) -> Iterator:
    """Pairs i < j, in order, of boxes that share more than half[i]; half the area of box i, not negative."""
    start, size = boxes[:, :2], boxes[:, 2:]
    if len(boxes) <= _ALL_PAIRS:
        i, j = np.triu_indices(len(boxes), 1)
    else:
        from scipy.spatial import cKDTree

        # Box j is not the larger one, so to share that much its corner lies within the size of box i.
        near = cKDTree(start).query_ball_point(start, size.max(axis=1), p=np.inf, return_sorted=True)
        i = np.repeat(np.arange(len(boxes)), [len(neighbors) for neighbors in near])
        j = np.concatenate(near).astype(np.int64)
        i, j = i[i < j], j[i < j]
    low = np.maximum(start[i], start[j])
    high = np.minimum(start[i] + size[i], start[j] + size[j])
    shared = np.maximum(high - low, 0).prod(axis=1)
    big = shared > half[i]
    return zip(i[big].tolist(), j[big].tolist())

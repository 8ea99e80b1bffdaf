"""Boxes of a heat map as the authors' program `dt_box` makes them.

The program's order of steps, its clipping, its sort and its merge decide which box comes first, so all
are kept: for three thresholds, the part of the map well inside what is above the threshold; a bounding
box of each of its contours; clipped, sorted by area, the overlapping ones dropped.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

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
# Pairs of boxes compared at a time: bounds the memory that a map of pure noise takes.
_PAIRS = 1 << 20


def dt_boxes(gray: np.ndarray, thresholds: Sequence[int] = DEFAULT_THRESHOLDS) -> np.ndarray:
    """All boxes of a heat map, the largest first; a port of the authors' `dt_box.cpp`.

    Quirks of the original, kept: thresholds that do not count are replaced in silence (see
    `accepted_thresholds`); the picture's one-pixel border never belongs to a part (`contour_boxes`);
    x, y, w and h end at least 5 pixels before the right and bottom edge, so that in pictures under 6
    pixels they can be negative; boxes of equal area come in the order of libstdc++'s `std::sort`; the
    merge spares the box behind each that it drops.

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
        (n, 4) xywh; where the picture leaves no room, the negative upper bound itself.
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
    count = len(boxes)
    alive = [True] * count
    after = list(range(1, count + 1))  # the next box alive, and the one before
    before = list(range(-1, count))
    for i, later in _overlapping(boxes):
        passed_over = None
        for j in later if alive[i] else ():
            if alive[j] and j != passed_over:
                alive[j] = False
                passed_over = after[j]
                after[before[j]] = after[j]
                before[after[j]] = before[j]
    return boxes[np.array(alive, dtype=bool)]


def _overlapping(boxes: np.ndarray):
    """(i, [j > i, ...]) for every box i that overlaps later boxes by more than half of its area."""
    start, end = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    half = (0.5 * (boxes[:, 2] * boxes[:, 3])).astype(np.int64)
    step = max(1, _PAIRS // max(1, len(boxes)))
    for first in range(0, len(boxes), step):
        block = slice(first, first + step)
        low = np.maximum(start[block, None], start[None, first:])
        high = np.minimum(end[block, None], end[None, first:])
        shared = np.maximum(high - low, 0)
        big = np.triu(shared[..., 0] * shared[..., 1] > half[block, None], 1)
        for row in np.flatnonzero(big.any(axis=1)).tolist():
            yield first + row, (first + np.flatnonzero(big[row])).tolist()

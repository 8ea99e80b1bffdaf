"""The part of a mask that lies well inside it, as the original's distance transform tells.

The original takes the exact Euclidean distance of each mask pixel to the nearest pixel outside the mask,
scales it by 255 / (largest - smallest), rounds half up to 8 bits and keeps what is above 10. Squared
distances are integers and all these steps are monotone, so the whole is one limit on the squared
distance, and the limit depends on the largest distance alone. Here no picture is transformed: bounds on
the largest distance come from a coarse transform and are tightened with exact integers until both give
the same limit; the pixels that reach it are then found by eroding the mask with a small disc.
"""

from __future__ import annotations

from math import isqrt, sqrt

import numpy as np

# Pixels a side of the coarse transform's cells: large ones leave more to tighten, small ones to transform.
_CELL = 6
_OFFSETS = np.indices((_CELL, _CELL)).reshape(2, 1, -1)
# The distance between two pixels differs from that between the corners of their cells by at most this.
_SLACK = sqrt(2) * (_CELL - 1)
# OpenCV's distances are float32.
_ROUNDING = 1e-5


def keep_inside(mask: np.ndarray) -> None:
    """Clear, in place, the mask pixels whose scaled distance to the outside is 10 or less.

    Beyond the picture's edge there is no outside. A mask without outside, or an empty one, stays as it
    is, because its distances have no range to be scaled by.

    Args:
        mask: (H, W) uint8, 0 or 255.
    """
    # cv2.boundingRect would serve, but OpenCV 4.5's can be too small for masks at the left edge.
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    # One pixel around the bounding box is enough: for each mask pixel it holds a nearest outside pixel.
    window = mask[max(rows[0] - 1, 0) : rows[-1] + 2, max(columns[0] - 1, 0) : columns[-1] + 2]
    if not window.all():
        window[:] = _eroded(window, _limit_of_mask(window))


def _limit(largest: float) -> int:
    """The smallest squared distance that is kept where `largest` is the largest squared distance."""
    scale = 255.0 / sqrt(largest)
    limit = int((10.5 / scale) ** 2)
    while int(sqrt(limit) * scale + 0.5) > 10:
        limit -= 1
    while int(sqrt(limit) * scale + 0.5) <= 10:
        limit += 1
    return limit


def _limit_of_mask(mask: np.ndarray) -> int:
    """The smallest squared distance that is kept in a mask that has an inside and an outside."""
    cells = _cell_distances(mask)
    bounds = cells * (1 + _ROUNDING) + _SLACK
    if _limit(bounds.max() ** 2) == 1:
        return 1  # a thin mask is kept whole
    outside = _outside_edge(mask)
    row, column = divmod(int(cells.argmax()), cells.shape[1])
    pixel = np.minimum(np.array([row, column]) * _CELL + _CELL // 2, np.array(mask.shape) - 1)
    squared = _squared_distances(outside, pixel)
    lower = squared.min()
    candidates = _pixels(*np.nonzero((cells > 0) & (bounds >= sqrt(lower))), mask.shape)
    upper = bounds[tuple(candidates // _CELL)] ** 2
    while True:
        # The outside pixel nearest to one pixel bounds the distances of all the others from above.
        nearest = outside[:, squared.argmin()]
        np.minimum(upper, _squared_distances(candidates, nearest), out=upper)
        limit = _limit(lower)
        if limit == _limit(upper.max()):
            return limit
        # The distance of the pixel that promises most bounds the largest distance from below.
        squared = _squared_distances(outside, candidates[:, upper.argmax()])
        lower = max(lower, squared.min())


def _cell_distances(mask: np.ndarray) -> np.ndarray:
    """For every cell of _CELL x _CELL pixels, how far it is from the nearest one with outside in it.

    Returns:
        float64 pixels between the corners of the cells; 0 where the cell itself has outside in it.
    """
    import cv2

    kernel = np.ones((_CELL, _CELL), np.uint8)
    cells = cv2.erode(mask, kernel, anchor=(0, 0))[::_CELL, ::_CELL].copy()
    return cv2.distanceTransform(cells, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(np.float64) * _CELL


def _pixels(rows: np.ndarray, columns: np.ndarray, shape: tuple) -> np.ndarray:
    """The pixels of the cells, as (2, n) rows and columns; without those beyond the picture's edge."""
    pixels = (np.stack([rows, columns])[..., None] * _CELL + _OFFSETS).reshape(2, -1)
    return pixels[:, (pixels[0] < shape[0]) & (pixels[1] < shape[1])]


def _outside_edge(mask: np.ndarray) -> np.ndarray:
    """The outside pixels beside the mask, as (2, n) rows and columns; the nearest of any is among them."""
    import cv2

    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    places = np.flatnonzero(cv2.dilate(mask, cross) != mask)
    rows = places // mask.shape[1]
    return np.stack([rows, places - rows * mask.shape[1]])


def _squared_distances(pixels: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """The (n,) squared distances between (2, n) pixels and one."""
    offsets = pixels - pixel[:, None]
    return np.einsum("ij,ij->j", offsets, offsets)


def _eroded(mask: np.ndarray, limit: int) -> np.ndarray:
    """The mask pixels at a squared distance of at least `limit` from the outside."""
    import cv2

    # The disc of what lies nearer is a union of rectangles, and those are fast to erode by.
    halves = [isqrt(limit - 1 - row * row) for row in range(isqrt(limit - 1) + 1)]
    eroded = mask.copy()
    scratch = np.empty_like(eroded)
    for row, (half, next_half) in enumerate(zip(halves, [*halves[1:], -1])):
        if next_half < half:
            rectangle = np.ones((2 * row + 1, 2 * half + 1), np.uint8)
            cv2.min(eroded, cv2.erode(mask, rectangle, dst=scratch), dst=eroded)
    return eroded

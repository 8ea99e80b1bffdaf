"""Boxes of what a graph cut makes of a heat map: the authors' second program, `cut`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from camcaffe.boxes.contours import contour_boxes
from camcaffe.boxes.dt_box import gray_map, integers, ranked
from camcaffe.errors import CamcaffeError

DEFAULT_THRESHOLDS = (10, 40)

# Boxes of this area or less are dropped.
_SMALL = 10
# grabCut models each side by five Gaussians and needs as many pixels to start them from.
_GAUSSIANS = 5


def graph_cut_boxes(
    image: np.ndarray, heatmap: np.ndarray, thresholds: Sequence[int] = DEFAULT_THRESHOLDS
) -> np.ndarray:
    """Boxes of the foreground that one iteration of OpenCV's grabCut finds; a port of `gc.cpp`.

    What is above the second threshold starts as probable foreground, what is above the first as
    probable background, the rest as background. The boxes of all contours of the foreground, those of
    holes too, with an area above 10 are sorted as `dt_boxes` sorts them; they are neither clipped nor
    merged. Thresholds that do not count are replaced in silence, see `accepted_thresholds`.

    grabCut starts its models with OpenCV's random numbers. They are seeded here as in a fresh program
    (which touches `cv2.setRNGSeed` of the calling thread), so the result is always the same.

    Args:
        image: (H, W, 3) uint8 RGB.
        heatmap: (H, W) uint8.
        thresholds: two gray levels.

    Returns:
        (n, 4) int64 xywh, the largest first; the whole image where no contour is large enough.

    Raises:
        CamcaffeError: no uint8 arrays of one size, not two integer thresholds, or a heat map that leaves
            fewer than five pixels to either side, which the original cannot cut either.
    """
    import cv2

    heatmap = gray_map(heatmap)
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.shape != (*heatmap.shape, 3):
        raise CamcaffeError(
            "image",
            f"an array of dtype {image.dtype} and shape {image.shape}",
            f"uint8 RGB of the heat map's size, {(*heatmap.shape, 3)}",
        )
    low, high = accepted_thresholds(thresholds)
    mask = np.full(heatmap.shape, cv2.GC_BGD, dtype=np.uint8)
    mask[heatmap > low] = cv2.GC_PR_BGD
    mask[heatmap > high] = cv2.GC_PR_FGD
    foreground = np.count_nonzero(mask == cv2.GC_PR_FGD)
    if min(foreground, mask.size - foreground) < _GAUSSIANS:
        raise CamcaffeError(
            "heat map",
            f"{foreground} of {mask.size} pixels above {high}",
            f"at least {_GAUSSIANS} above it and {_GAUSSIANS} not",
        )
    cv2.setRNGSeed(0)
    bgr = np.ascontiguousarray(image[:, :, ::-1])
    cv2.grabCut(bgr, mask, None, None, None, 1, cv2.GC_INIT_WITH_MASK)
    boxes = contour_boxes(((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.uint8))
    boxes = boxes[boxes[:, 2] * boxes[:, 3] > _SMALL]
    if not len(boxes):
        return np.array([[0, 0, mask.shape[1], mask.shape[0]]])
    return ranked(boxes)


def accepted_thresholds(thresholds: Sequence[int]) -> tuple:
    """The thresholds that the original works with: those given, if 0 <= t0 < t1 <= 255, else 10 40.

    Raises:
        CamcaffeError: not two integers.
    """
    given = integers(thresholds, 2)
    return given if 0 <= given[0] < given[1] <= 255 else DEFAULT_THRESHOLDS

"""Bounding boxes of a mask's contours, in the order in which OpenCV 2.4 finds them."""

from __future__ import annotations

import numpy as np


def contour_boxes(mask: np.ndarray) -> np.ndarray:
    """A bounding box for every outline of a mask's parts and every outline of a hole in them.

    OpenCV 2.4's `findContours` with RETR_CCOMP, with its quirk: the picture's one-pixel border counts as
    empty, which it does not in today's. A hole's outline lies on the mask pixels around the hole.

    Args:
        mask: (H, W) uint8; what is not 0 is mask.

    Returns:
        (n, 4) int64 xywh: the part whose first pixel comes last in the picture's rows goes first;
        each part is followed by its holes, also from the last to the first.
    """
    import cv2

    inner = mask[1:-1, 1:-1]
    if not inner.size:
        return np.empty((0, 4), dtype=np.int64)
    contours, _ = cv2.findContours(inner, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(1, 1))
    return np.array([cv2.boundingRect(contour) for contour in contours], dtype=np.int64).reshape(-1, 4)

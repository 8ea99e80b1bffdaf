"""The two ways to write a box, and how to get from one to the other.

`xywh` is (x, y, w, h): the top-left corner and the size, in pixels counted from 0. `corners` is
(xmin, ymin, xmax, ymax) = (x, y, x + w, y + h), as the original's `generate_bbox.m` forms it: xmax and
ymax lie one past the last pixel.
"""

from __future__ import annotations

import numpy as np

from camcaffe.errors import CamcaffeError


def xywh_to_corners(boxes: np.ndarray) -> np.ndarray:
    """Boxes as corners.

    A negative size, which the original's clipping gives beside the right and bottom edge, counts to the
    left or upwards, so that xmin <= xmax and ymin <= ymax always hold, as in `generate_bbox.m`.

    Args:
        boxes: (..., 4) xywh, integer or floating-point.

    Returns:
        (..., 4) corners of the same dtype.

    Raises:
        CamcaffeError: the last dimension is not 4.
    """
    boxes = _boxes(boxes)
    start, end = boxes[..., :2], boxes[..., :2] + boxes[..., 2:]
    return np.concatenate([np.minimum(start, end), np.maximum(start, end)], axis=-1)


def corners_to_xywh(corners: np.ndarray) -> np.ndarray:
    """Boxes as xywh.

    Args:
        corners: (..., 4) corners, integer or floating-point.

    Returns:
        (..., 4) xywh of the same dtype.

    Raises:
        CamcaffeError: the last dimension is not 4.
    """
    corners = _boxes(corners)
    return np.concatenate([corners[..., :2], corners[..., 2:] - corners[..., :2]], axis=-1)


def _boxes(values: np.ndarray) -> np.ndarray:
    boxes = np.asarray(values)
    if boxes.ndim == 0 or boxes.shape[-1] != 4:
        raise CamcaffeError("boxes", f"an array of shape {boxes.shape}", "four numbers a box: (..., 4)")
    return boxes

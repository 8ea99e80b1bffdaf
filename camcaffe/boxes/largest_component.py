"""The box that the paper describes, which is not the one that the authors' program makes."""

from __future__ import annotations

import numpy as np

from camcaffe.errors import CamcaffeError


def largest_component_box(cam: np.ndarray, fraction: float = 0.2) -> np.ndarray:
    """The box around the largest connected component of what is above a fraction of the map's maximum.

    The rule of the paper's section 3.2, word for word; its figures were made with `dt_boxes`. Pixels
    that touch at a corner are connected. Of components with equally many pixels, that with the topmost,
    then leftmost box counts.

    Args:
        cam: (H, W), a class activation map or heat map of any real dtype.
        fraction: of the maximum, 0 <= fraction < 1.

    Returns:
        (4,) int64 xywh.

    Raises:
        CamcaffeError: not a (H, W) array of finite numbers, no positive value in it, or no such fraction.
    """
    import cv2

    cam = np.asarray(cam)
    if cam.ndim != 2 or cam.size == 0 or cam.dtype.kind not in "buif":
        raise CamcaffeError(
            "map", f"an array of dtype {cam.dtype} and shape {cam.shape}", "real numbers (height, width)"
        )
    if not 0 <= fraction < 1:
        raise CamcaffeError("fraction", repr(fraction), "0 <= fraction < 1")
    highest = cam.max()
    if not np.isfinite(cam).all() or highest <= 0:
        raise CamcaffeError("map", f"a maximum of {highest}", "finite numbers with a positive maximum")
    above = (cam > fraction * float(highest)).astype(np.uint8)
    _, _, components, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    x, y, width, height, pixels = components[1:].T.astype(np.int64)
    largest = np.lexsort([x, y, -pixels])[0]
    return np.array([x[largest], y[largest], width[largest], height[largest]])

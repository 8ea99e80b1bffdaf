"""Boxes drawn into pictures."""

from __future__ import annotations

import numpy as np

RED, WHITE = (255, 0, 0), (255, 255, 255)


def draw_boxes(image: np.ndarray, boxes: np.ndarray, color: tuple = RED, width: int = 2) -> np.ndarray:
    """A copy of the image with the outlines of boxes drawn into it.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes: (n, 4) xywh; the later ones are drawn over the earlier.
        color: RGB, 0 to 255.
        width: of the lines, in pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    import cv2

    drawn = np.array(image, order="C")
    for x, y, w, h in np.asarray(boxes, dtype=int).reshape(-1, 4).tolist():
        cv2.rectangle(drawn, (x, y), (x + w, y + h), color, width)
    return drawn


def bbox_picture(heatmap: np.ndarray, boxes: np.ndarray, image: np.ndarray | None = None) -> np.ndarray:
    """What the original's `generate_bbox.m` shows: the image with the boxes in red, the heat map beside it.

    Args:
        heatmap: (H, W); shown in the colours of `jet`, its own range scaled to them.
        boxes: (n, 4) xywh.
        image: (H, W, 3) uint8 RGB; left out, the boxes are drawn into the heat map, in white.

    Returns:
        (H, 2 * W + 8, 3) uint8 RGB, or (H, W, 3) without an image.
    """
    from camcaffe.heatmap import colorize, side_by_side
    from camcaffe.matlab import im2uint8

    colors = im2uint8(colorize(heatmap))
    if image is None:
        return draw_boxes(colors, boxes, WHITE)
    return side_by_side([draw_boxes(image, boxes), colors])

"""Heat maps at the image's size, their colours, overlays and the demo picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from camcaffe.matlab import gray2ind, im2double, im2uint8, imresize, ind2rgb, jet, mat2gray

# How much of the image and of the colours an overlay shows; the white columns between two pictures.
IMAGE_SHARE, HEAT_SHARE, GAP = 0.2, 0.7, 8


def heatmaps(merged: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Merged maps as gray heat maps of the image's size.

    Port of the original's `ILSVRC_generate_heatmap.m`: resized (bicubic), divided by the largest
    value, to 8 bits, halves rounded up. A map without a positive value becomes black.

    Args:
        merged: (K, H, W) float32 maps, as `merge_ten_crop` gives them.
        size: (height, width) of the image.

    Returns:
        (K, height, width) uint8.
    """
    gray = np.empty((len(merged), *size), dtype=np.uint8)
    for one, result in zip(merged, gray):
        resized = imresize(one, size)
        # 0 / 0 is NaN, which becomes 0.
        with np.errstate(invalid="ignore", divide="ignore"):
            resized /= resized.max()
        result[:] = im2uint8(resized)
    return gray


def colorize(heatmap: np.ndarray) -> np.ndarray:
    """The colours of a heat map: its own range scaled to the 256 colours of MATLAB's `jet`.

    Port of the original's `map2jpg.m`. A constant map is clamped to 0..1, not scaled; NaN takes the
    lowest colour.

    Args:
        heatmap: (H, W), any real dtype.

    Returns:
        (H, W, 3) float64 RGB in 0..1.
    """
    return ind2rgb(gray2ind(mat2gray(heatmap)), jet(256))


def overlay(image: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """A heat map's colours over the image, mixed as the demo mixes them: 0.2 image + 0.7 colour.

    Args:
        image: (H, W, 3) RGB, uint8 or float in 0..1.
        heatmap: (H, W).

    Returns:
        (H, W, 3) float64 RGB in 0..0.9.
    """
    return im2double(image) * IMAGE_SHARE + colorize(heatmap) * HEAT_SHARE


def demo_picture(image: np.ndarray, maps: Iterable[np.ndarray]) -> np.ndarray:
    """The picture that the original's `demo.m` writes: the image, then each overlay, side by side.

    Args:
        image: (H, W, 3) RGB, uint8 or float in 0..1.
        maps: (H, W) maps, best class first.

    Returns:
        (H, W + K * (8 + W), 3) uint8 RGB for K maps.
    """
    return side_by_side([image, *(overlay(image, one) for one in maps)])


def side_by_side(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of one height in a row, 8 white columns before each but the first.

    Args:
        pictures: (H, W, 3) RGB each, uint8 or float in 0..1.

    Returns:
        (H, total width, 3) uint8 RGB.
    """
    white = np.ones((len(pictures[0]), GAP, 3))
    row = [part for picture in pictures for part in (white, im2double(picture))]
    return im2uint8(np.concatenate(row[1:], axis=1))

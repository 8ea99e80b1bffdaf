"""Indexed colour: gray2ind, ind2rgb and the colour map `jet`."""

from __future__ import annotations

import numpy as np

from camcaffe.errors import CamcaffeError
from camcaffe.matlab.convert import round_half_away


def gray2ind(gray: np.ndarray, levels: int = 256) -> np.ndarray:
    """MATLAB's `gray2ind` for gray values in 0..1.

    Args:
        gray: any shape, float32 or float64; values outside 0..1 are clamped, NaN becomes 0.
        levels: how many colours the map has, 1 to 256.

    Returns:
        uint8 indices from 0, halves rounded away from zero.
    """
    if not 1 <= levels <= 256:
        raise CamcaffeError("gray2ind", f"{levels} levels", "1 to 256")
    indices = round_half_away(np.clip(gray, 0, 1) * (levels - 1))
    return np.nan_to_num(indices, nan=0.0).astype(np.uint8)


def ind2rgb(indices: np.ndarray, colormap: np.ndarray) -> np.ndarray:
    """MATLAB's `ind2rgb`: the colour of each index.

    Args:
        indices: any shape, integers from 0; one beyond the map takes its last colour, as in MATLAB.
        colormap: (m, 3) float64, red, green, blue in 0..1.

    Returns:
        float64 array of shape (*indices.shape, 3).
    """
    return colormap[np.minimum(indices, len(colormap) - 1)]


def jet(m: int = 256) -> np.ndarray:
    """MATLAB's colour map `jet`: dark blue over cyan and yellow to dark red.

    Args:
        m: how many colours.

    Returns:
        (m, 3) float64, red, green, blue in 0..1.
    """
    n = -(-m // 4)
    rise = np.arange(1, n + 1) / n
    ramp = np.concatenate([rise, np.ones(max(n - 1, 0)), rise[::-1]])
    green = -(-n // 2) - (m % 4 == 1) + np.arange(len(ramp))  # rows from 0
    colors = np.zeros((m, 3))
    for channel, rows in enumerate([green + n, green, green - n]):
        inside = (rows >= 0) & (rows < m)
        colors[rows[inside], channel] = ramp[inside]
    return colors

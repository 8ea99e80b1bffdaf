"""Conversions between the number classes of images: im2double, im2uint8, mat2gray."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from camcaffe.errors import CamcaffeError

_LARGEST = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


def round_half_away(values: np.ndarray) -> np.ndarray:
    """MATLAB's `round`: to the nearest integer, halves away from zero; NaN and infinities stay.

    NumPy's `rint` sends halves to the even neighbour.
    """
    values = np.asarray(values)
    return np.trunc(values + np.copysign(_almost_half(values.dtype), values))


def im2double(image: np.ndarray) -> np.ndarray:
    """MATLAB's `im2double`: integers divided by the largest of their class, floats as they are.

    Args:
        image: any shape; uint8, uint16, bool, float32 or float64.

    Returns:
        float64 array of the same shape: 0..1 for integers.

    Raises:
        CamcaffeError: another dtype.
    """
    image = np.asarray(image)
    if image.dtype in _LARGEST:
        return image / np.float64(_LARGEST[image.dtype])
    _require_float_or_bool(image, "im2double")
    return image.astype(np.float64)


def im2uint8(image: np.ndarray) -> np.ndarray:
    """MATLAB's `im2uint8`: 0..1 to 0..255, halves rounded away from zero, clamped; NaN becomes 0.

    Args:
        image: any shape; uint8 (returned as it is), uint16, bool, float32 or float64.

    Returns:
        uint8 array of the same shape.

    Raises:
        CamcaffeError: another dtype.
    """
    image = np.asarray(image)
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        # 65535 = 255 * 257: the nearest multiple of 257, which no integer halves.
        return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    _require_float_or_bool(image, "im2uint8")
    if image.dtype == bool:
        return image.astype(np.uint8) * np.uint8(255)
    return _saturate_uint8(image * image.dtype.type(255))


def mat2gray(values: np.ndarray, limits: Sequence[float] | None = None) -> np.ndarray:
    """MATLAB's `mat2gray`: scale `limits` to 0..1 and clamp.

    A constant array (or equal limits) is only clamped to 0..1, not scaled.

    Args:
        values: any shape, any real dtype.
        limits: (lowest, highest); the values' own, NaN left out, by default.

    Returns:
        float64 array of the same shape; NaN stays NaN.
    """
    values = np.asarray(values, dtype=np.float64)
    if limits is None:
        known = values[~np.isnan(values)]
        low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
    else:
        low, high = limits
    if low == high:
        return np.clip(values, 0, 1)
    # MATLAB multiplies by the reciprocal and adds, rather than divide: the last bit differs.
    delta = 1 / (high - low)
    return np.clip(values * delta - low * delta, 0, 1)


def _saturate_uint8(values: np.ndarray) -> np.ndarray:
    """MATLAB's `uint8(x)` of a float array: rounded, clamped, NaN to 0."""
    limited = np.fmin(np.fmax(values, 0), 255)  # of a NaN and 0, fmax takes 0
    limited += _almost_half(limited.dtype)
    return limited.astype(np.uint8)  # cuts the fraction off


def _almost_half(dtype: np.dtype) -> np.floating:
    """The largest number below a half: a half itself would lift 0.49999999999999994 to 1."""
    return np.nextafter(dtype.type(0.5), dtype.type(0))


def _require_float_or_bool(image: np.ndarray, function: str) -> None:
    if image.dtype not in (np.dtype(np.float32), np.dtype(np.float64), np.dtype(bool)):
        raise CamcaffeError(function, f"an array of {image.dtype}", "uint8, uint16, bool, float32 or float64")

"""MATLAB's `imresize`, equal to MATLAB on every pixel of an 8-bit image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from camcaffe.errors import CamcaffeError
from camcaffe.matlab.convert import round_half_away

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return near * (x <= 1) + far * ((x > 1) & (x <= 2))


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(x), 0)


# Method -> (kernel, its width in input pixels).
_KERNELS = {"bicubic": (_cubic, 4.0), "bilinear": (_triangle, 2.0)}


def imresize(
    image: np.ndarray, size: Sequence[int], method: str = "bicubic", antialiasing: bool = True
) -> np.ndarray:
    """MATLAB's `imresize(A, [height width], method)`.

    The dimension that shrinks most is resized first. An 8-bit image is rounded and clamped after
    each of the two dimensions; floats are neither, so bicubic overshoot stays in them.

    Args:
        image: (H, W, ...) uint8, float32 or float64.
        size: (height, width) of the result.
        method: "bicubic" or "bilinear".
        antialiasing: widen the kernel where a dimension shrinks.

    Returns:
        (height, width, ...) array of the image's dtype.

    Raises:
        CamcaffeError: another dtype, an empty image, a size below 1, an unknown method.
    """
    image = np.asarray(image)
    size = tuple(int(length) for length in size)
    if image.dtype != np.uint8 and image.dtype not in _FLOATS:
        raise CamcaffeError("imresize", f"an array of {image.dtype}", "uint8, float32 or float64")
    if image.ndim < 2 or image.size == 0:
        raise CamcaffeError("imresize", f"an array of shape {image.shape}", "(height, width, ...), not empty")
    if len(size) != 2 or min(size) < 1:
        raise CamcaffeError("imresize", f"size {size}", "a height and a width of 1 or more")
    # All is computed in double; a single image is rounded to single once, at the end.
    resized = image.astype(np.float64)
    scales = [size[axis] / image.shape[axis] for axis in (0, 1)]
    for axis in np.argsort(scales, kind="stable"):
        if size[axis] != image.shape[axis]:
            weights = resize_weights(image.shape[axis], size[axis], method, antialiasing)
            resized = _along(resized, int(axis), weights)
            if image.dtype == np.uint8:
                resized = np.clip(round_half_away(resized), 0, 255)
    return resized.astype(image.dtype, copy=False)


def _along(image: np.ndarray, axis: int, weights) -> np.ndarray:
    rows = np.moveaxis(image, axis, 0)
    # Sparse times dense adds the taps of a pixel from left to right, as MATLAB's loop does.
    resized = weights @ rows.reshape(len(rows), -1)
    return np.moveaxis(resized.reshape(-1, *rows.shape[1:]), 0, axis)


@lru_cache(maxsize=256)
def resize_weights(length: int, resized: int, method: str = "bicubic", antialiasing: bool = True):
    """The weights with which `imresize` makes one dimension of `resized` pixels out of `length`.

    Args:
        length: pixels of the input along the dimension.
        resized: pixels of the output.
        method: "bicubic" or "bilinear".
        antialiasing: widen the kernel where the dimension shrinks.

    Returns:
        scipy.sparse CSR matrix (resized, length), float64; each row sums to 1, its entries stand in
        the order of MATLAB's taps. Shared between calls: not to be written to.

    Raises:
        CamcaffeError: an unknown method.
    """
    from scipy.sparse import csr_matrix

    if method not in _KERNELS:
        raise CamcaffeError("imresize", f"method {method!r}", " or ".join(map(repr, _KERNELS)))
    kernel, width = _KERNELS[method]
    scale = resized / length
    stretch = min(scale, 1.0) if antialiasing else 1.0
    width /= stretch
    # Centres and taps count pixels from 1, as MATLAB does.
    centres = np.arange(1, resized + 1)[:, None] / scale + 0.5 * (1 - 1 / scale)
    taps = np.floor(centres - width / 2) + np.arange(int(np.ceil(width)) + 2)
    values = stretch * kernel(stretch * (centres - taps))
    values /= values.sum(axis=1, keepdims=True)
    # Beyond the edges the image is mirrored, edge pixel included, over and over.
    mirrored = np.concatenate([np.arange(length), np.arange(length)[::-1]])
    columns = mirrored[(taps.astype(np.int64) - 1) % (2 * length)]
    weighty = values != 0
    starts = np.concatenate([[0], np.cumsum(weighty.sum(axis=1))])
    return csr_matrix((values[weighty], columns[weighty], starts), shape=(resized, length))

"""Caffe's fillers: the numbers that weights start from."""

from __future__ import annotations

import math

import numpy as np

from camcaffe.caffe import messages
from camcaffe.caffe.geometry import Misfit


def fill(options: messages.FillerParameter, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A new blob as a filler makes it.

    The distributions are Caffe's; the random numbers are NumPy's, so that a seed gives the same blob on
    every engine and machine, but not the one that Caffe would have drawn.

    Args:
        options: the filler's settings; `std` of a xavier filler is ignored, as in Caffe.
        shape: the blob's shape.
        rng: where random numbers come from.

    Returns:
        float32 array.

    Raises:
        Misfit: an unknown type, or settings that do not suit the shape.
    """
    if options.type not in _FILLERS:
        raise Misfit(f"the unknown filler {options.type!r}", ", ".join(_FILLERS))
    if options.sparse != -1 and options.type != "gaussian":
        raise Misfit(f"sparse with the filler {options.type!r}", "sparse with gaussian only")
    return _FILLERS[options.type](options, shape, rng)


def _constant(options, shape, rng):
    return np.full(shape, options.value, np.float32)


def _uniform(options, shape, rng):
    return _uniform_between(options.min, options.max, shape, rng)


def _gaussian(options, shape, rng):
    values = rng.standard_normal(shape, np.float32) * np.float32(options.std) + np.float32(options.mean)
    if options.sparse >= 0:
        if not shape:
            raise Misfit("a sparse filler for a single number", "a blob with axes")
        # On average `sparse` of the inputs of each output are not zero.
        values *= rng.random(shape, np.float32) < options.sparse / shape[0]
    return values


def _positive_unitball(options, shape, rng):
    values = rng.random(shape, np.float32)
    rows = values.reshape(shape[0] if shape else 1, -1)
    rows /= rows.sum(axis=1, keepdims=True)
    return values


def _xavier(options, shape, rng):
    limit = math.sqrt(3 / _fan(options, shape))
    return _uniform_between(-limit, limit, shape, rng)


def _msra(options, shape, rng):
    return rng.standard_normal(shape, np.float32) * np.float32(math.sqrt(2 / _fan(options, shape)))


def _bilinear(options, shape, rng):
    if len(shape) != 4 or shape[2] != shape[3]:
        raise Misfit(f"a bilinear filler for the shape {shape}", "square kernels")
    size = shape[3]
    factor = math.ceil(size / 2)
    centre = (size - 1) / (2 * factor)
    ramp = 1 - np.abs(np.arange(size, dtype=np.float32) / factor - np.float32(centre))
    return np.broadcast_to(ramp[:, None] * ramp, shape).astype(np.float32)


def _uniform_between(low: float, high: float, shape, rng):
    return rng.random(shape, np.float32) * np.float32(high - low) + np.float32(low)


def _fan(options, shape) -> float:
    """How many values feed (or are fed by) one output, by `variance_norm`."""
    count = math.prod(shape)
    fan_in = count / (shape[0] if shape else 1)
    fan_out = count / (shape[1] if len(shape) > 1 else 1)
    if options.variance_norm == options.AVERAGE:
        return (fan_in + fan_out) / 2
    return fan_out if options.variance_norm == options.FAN_OUT else fan_in


_FILLERS = {
    "constant": _constant,
    "gaussian": _gaussian,
    "positive_unitball": _positive_unitball,
    "uniform": _uniform,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
}

"""Kernel, stride, padding and output size of Caffe's convolutions and poolings: its rounding rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class Misfit(ValueError):
    """A layer's settings or bottoms that do not fit; whoever knows the layer's name puts it in front."""

    def __init__(self, found: str, expected: str = ""):
        super().__init__(found)
        self.found, self.expected = found, expected


@dataclass(frozen=True)
class Geometry:
    """One entry a spatial axis in each tuple, in the order of the blob's axes (height, width).

    `pad` is what is added at the start of an axis and allowed at its end; how far the last window of a
    pooling reaches follows from `output`.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]
    output: tuple[int, ...]


def convolution_geometry(options, spatial: Sequence[int], transposed: bool = False) -> Geometry:
    """The geometry of a Convolution, Deconvolution or Im2col.

    Args:
        options: the layer's ConvolutionParameter.
        spatial: the bottom's sizes behind the channel axis.
        transposed: a Deconvolution.

    Raises:
        Misfit: settings that contradict each other or do not suit the bottom.
    """
    count = len(spatial)
    kernel = _spatial_setting(options, "kernel_size", "kernel_h", "kernel_w", count, None)
    stride = _spatial_setting(options, "stride", "stride_h", "stride_w", count, 1)
    pad = _spatial_setting(options, "pad", "pad_h", "pad_w", count, 0)
    dilation = _one_or_each("dilation", options.dilation, count, 1)
    for name, values in (("kernel_size", kernel), ("stride", stride), ("dilation", dilation)):
        if not all(values):
            raise Misfit(f"{name} {values}", "positive numbers")
    output = []
    for size, k, s, p, d in zip(spatial, kernel, stride, pad, dilation):
        extent = d * (k - 1) + 1
        if transposed:
            output.append(s * (size - 1) + extent - 2 * p)
        else:
            output.append((size + 2 * p - extent) // s + 1)  # convolution: rounded down
    if not all(size > 0 for size in output):
        raise Misfit(f"kernel {kernel} on {tuple(spatial)} with pad {pad}", "an output that is not empty")
    return Geometry(kernel, stride, pad, dilation, tuple(output))


def pooling_geometry(options, height: int, width: int) -> Geometry:
    """The geometry of a Pooling; global pooling has the bottom's size as its kernel.

    Args:
        options: the layer's PoolingParameter.
        height: the bottom's height.
        width: the bottom's width.

    Raises:
        Misfit: settings that contradict each other or do not suit the bottom.
    """
    if options.global_pooling:
        if any(options.HasField(name) for name in ("kernel_size", "kernel_h", "kernel_w")):
            raise Misfit("both global_pooling and a kernel size", "one of them")
        kernel = (height, width)
    else:
        kernel = _height_width(options, "kernel_size", "kernel_h", "kernel_w")
    stride = _height_width(options, "stride", "stride_h", "stride_w")
    pad = _height_width(options, "pad", "pad_h", "pad_w")
    if not all(kernel) or not all(stride):
        raise Misfit(f"kernel {kernel} and stride {stride}", "positive numbers")
    if options.global_pooling and (pad != (0, 0) or stride != (1, 1)):
        raise Misfit(f"global_pooling with pad {pad} and stride {stride}", "pad 0 and stride 1")
    if any(p >= k for p, k in zip(pad, kernel)):
        raise Misfit(f"pad {pad} with kernel {kernel}", "a pad smaller than the kernel")
    if any(pad) and options.pool == options.STOCHASTIC:
        raise Misfit("stochastic pooling with a pad", "MAX or AVE")
    ceil = options.round_mode == options.CEIL
    output = tuple(
        _pooled_size(size, k, s, p, any(pad), ceil)
        for size, k, s, p in zip((height, width), kernel, stride, pad)
    )
    if not all(size > 0 for size in output):
        raise Misfit(f"kernel {kernel} on {(height, width)}", "an output that is not empty")
    return Geometry(kernel, stride, pad, (1, 1), output)


def _pooled_size(size: int, kernel: int, stride: int, pad: int, padded: bool, ceil: bool) -> int:
    room = size + 2 * pad - kernel
    output = (-(-room // stride) if ceil else room // stride) + 1  # pooling: rounded up
    if padded and (output - 1) * stride >= size + pad:
        output -= 1  # clipped: the last window must start inside the blob or its first padding
    return output


def _spatial_setting(options, name: str, height: str, width: str, count: int, default) -> tuple[int, ...]:
    values = getattr(options, name)
    if options.HasField(height) or options.HasField(width):
        if count != 2 or values:
            raise Misfit(f"{height} and {width} beside {name}, or on {count} spatial axes", "one way only")
        return getattr(options, height), getattr(options, width)
    return _one_or_each(name, values, count, default)


def _one_or_each(name: str, values: Sequence[int], count: int, default) -> tuple[int, ...]:
    if not values and default is not None:
        return (default,) * count
    if len(values) == 1:
        return tuple(values) * count
    if len(values) != count:
        raise Misfit(f"{len(values)} values of {name}", f"one, or one for each of {count} spatial axes")
    return tuple(values)


def _height_width(options, both: str, height: str, width: str) -> tuple[int, int]:
    has_height, has_width = options.HasField(height), options.HasField(width)
    if not has_height and not has_width:
        value = getattr(options, both)
        return value, value
    if options.HasField(both) or not (has_height and has_width):
        raise Misfit(f"an unclear {both}", f"{both}, or {height} and {width}")
    return getattr(options, height), getattr(options, width)

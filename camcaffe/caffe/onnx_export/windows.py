"""Caffe's layers with sliding windows in ONNX operators: convolution, pooling, response normalization."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from camcaffe.caffe.geometry import Geometry, convolution_geometry, pooling_geometry
from camcaffe.caffe.onnx_export.graph import Graph, Step, Unsupported, known

# Channels up to which a band of weights, channels squared, is worth its memory.
_WIDEST_BAND = 1024


def convolution(graph: Graph, step: Step) -> list[str]:
    """Convolution: each bottom with the same weights; the last incomplete window is left out."""
    return _convolved(graph, step, "Conv")


def deconvolution(graph: Graph, step: Step) -> list[str]:
    """Deconvolution: the transpose of a convolution, whose output is cut by the pad."""
    return _convolved(graph, step, "ConvTranspose")


def _convolved(graph: Graph, step: Step, op: str) -> list[str]:
    p = step.layer.message.convolution_param
    if step.axis(p.axis) != 1:
        raise Unsupported(f"axis {p.axis}")
    geometry = convolution_geometry(p, known(step.bottoms[0][2:]), transposed=op == "ConvTranspose")
    weights = [graph.constant(step.weights[0])]
    if p.bias_term:
        weights.append(graph.constant(step.weights[1].ravel()))
    return [
        graph.node(
            op,
            x,
            *weights,
            kernel_shape=geometry.kernel,
            strides=geometry.stride,
            pads=geometry.pad * 2,
            dilations=geometry.dilation,
            group=p.group,
        )
        for x in step.inputs
    ]


def pooling(graph: Graph, step: Step) -> list[str]:
    """Pooling; the second top of MAX, where there is one, has the place of each maximum in its channel."""
    p = step.layer.message.pooling_param
    size = known(step.bottoms[0][2:])
    geometry = pooling_geometry(p, *size)
    if p.pool == p.STOCHASTIC:
        raise Unsupported("stochastic pooling")
    if len(step.tops) == 1:
        return [_pooled(graph, step.inputs[0], size, geometry, p.pool == p.MAX)]
    if _begin_inside(size, geometry) != geometry.output:
        raise Unsupported("windows that begin outside")
    values, places = graph.node("MaxPool", step.inputs[0], outputs=2, **_windows(size, geometry))
    within = graph.node("Mod", places, graph.integers(math.prod(size)))
    return [values, graph.node("Cast", within, to=1)]


def spp(graph: Graph, step: Step) -> str:
    """Spatial pyramid pooling: poolings to 1, 2 x 2, 4 x 4, ... bins, one after the other."""
    p = step.layer.message.spp_param
    if p.pool == p.STOCHASTIC:
        raise Unsupported("stochastic pooling")
    batch, channels = step.bottoms[0][0], *known(step.bottoms[0][1:2])
    size = known(step.bottoms[0][2:])
    levels = []
    for level in range(p.pyramid_height):
        bins = 2**level
        kernel = tuple(-(-n // bins) for n in size)
        pad = tuple((k * bins - n + 1) // 2 for k, n in zip(kernel, size))
        if any(k <= q for k, q in zip(kernel, pad)):
            raise Unsupported(f"{bins} bins over {size}")
        geometry = Geometry(kernel, kernel, pad, (1, 1), (bins, bins))
        y = _pooled(graph, step.inputs[0], size, geometry, p.pool == p.MAX)
        if p.pyramid_height == 1:
            return y
        levels.append(graph.reshape(y, (batch, channels, bins, bins), (batch, channels * bins * bins)))
    return graph.node("Concat", *levels, axis=1)


def lrn(graph: Graph, step: Step) -> str:
    """Local response normalization: over neighbouring channels, or over a square in each channel."""
    p = step.layer.message.lrn_param
    x = step.inputs[0]
    if p.norm_region == p.ACROSS_CHANNELS:
        return graph.node("LRN", x, size=p.local_size, alpha=p.alpha, beta=p.beta, bias=p.k)
    # Caffe's own sum of squares is a padded average, and k is not used.
    squares = graph.node(
        "AveragePool",
        graph.node("Mul", x, x),
        kernel_shape=[p.local_size] * 2,
        pads=[(p.local_size - 1) // 2] * 4,
        count_include_pad=1,
    )
    return graph.node("Mul", x, graph.node("Pow", graph.affine(squares, p.alpha, 1), graph.scalar(-p.beta)))


def lrn_by_convolution(graph: Graph, step: Step) -> str:
    """The same for ONNX Runtime, whose LRN takes half as long as GoogLeNet's convolutions and loses digits.

    The sum over neighbouring channels is a 1x1 convolution with a band of weights.
    """
    p = step.layer.message.lrn_param
    (channels,) = known(step.bottoms[0][1:2])
    if p.norm_region != p.ACROSS_CHANNELS or channels > _WIDEST_BAND:
        return lrn(graph, step)
    distance = np.abs(np.subtract.outer(np.arange(channels), np.arange(channels)))
    band = np.where(distance <= p.local_size // 2, p.alpha / p.local_size, 0)[..., None, None]
    x = step.inputs[0]
    squares = graph.node("Mul", x, x)
    offsets = graph.constant(np.full(channels, p.k))
    sums = graph.node("Conv", squares, graph.constant(band), offsets, kernel_shape=[1, 1])
    if p.beta != 0.75:
        return graph.node("Div", x, graph.node("Pow", sums, graph.scalar(p.beta)))
    # sums ** 0.75 by two roots, which are many times faster than a power.
    cube = graph.node("Mul", sums, graph.node("Sqrt", sums))
    return graph.node("Div", x, graph.node("Sqrt", cube))


def _pooled(graph: Graph, x: str, size: tuple[int, int], geometry: Geometry, maximum: bool) -> str:
    if not any(geometry.pad) and geometry.output == (1, 1) and geometry.kernel == size:
        return graph.node("GlobalMaxPool" if maximum else "GlobalAveragePool", x)
    inside = replace(geometry, output=_begin_inside(size, geometry))
    windows = _windows(size, inside)
    if maximum:
        return _continued(
            graph, graph.node("MaxPool", x, **windows), inside, geometry, np.finfo(np.float32).min
        )
    if not any(geometry.pad) and inside == geometry:
        return graph.node("AveragePool", x, **windows)
    y = graph.node("AveragePool", x, **windows, count_include_pad=1)
    y = _continued(graph, y, inside, geometry, 0)
    # ONNX now divides by the kernel's area, Caffe by the part of it within the blob and `pad` on each side.
    counts = np.multiply.outer(*_counts(size, geometry))
    with np.errstate(divide="ignore"):
        factor = math.prod(geometry.kernel) / counts
    return y if (factor == 1).all() else graph.node("Mul", y, graph.constant(factor))


def _windows(size: tuple[int, int], geometry: Geometry) -> dict:
    """ONNX's attributes: the end is padded until the last window that Caffe has fits in, and no further."""
    ends = [
        max((o - 1) * s + k - n - p, 0)
        for n, k, s, p, o in zip(size, geometry.kernel, geometry.stride, geometry.pad, geometry.output)
    ]
    return {"kernel_shape": geometry.kernel, "strides": geometry.stride, "pads": (*geometry.pad, *ends)}


def _begin_inside(size: tuple[int, int], geometry: Geometry) -> tuple[int, ...]:
    """How many windows begin inside; where stride > kernel, Caffe's last one may not, ONNX's always does."""
    return tuple(
        min(o, (n + p - 1) // s + 1)
        for n, s, p, o in zip(size, geometry.stride, geometry.pad, geometry.output)
    )


def _continued(graph: Graph, y: str, inside: Geometry, geometry: Geometry, value: float) -> str:
    """The pooled blob with `value` where a window begins outside."""
    if inside == geometry:
        return y
    ends = [o - i for o, i in zip(geometry.output, inside.output)]
    return graph.node("Pad", y, graph.integers(0, 0, 0, 0, 0, 0, *ends), graph.scalar(value))


def _counts(size: tuple[int, int], geometry: Geometry) -> list[np.ndarray]:
    """What each window counts along each axis, in Caffe's average: not beyond `pad` behind the end."""
    counts = []
    for n, k, s, p, o in zip(size, geometry.kernel, geometry.stride, geometry.pad, geometry.output):
        starts = np.arange(o) * s - p
        counts.append(np.minimum(starts + k, n + p) - starts)
    return counts

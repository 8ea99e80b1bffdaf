"""Caffe's layers in ONNX operators, one function a layer type (windows that slide: `windows`)."""

from __future__ import annotations

import math

import numpy as np

from camcaffe.caffe.onnx_export.graph import Graph, OpenBatch, Step, known


def same(graph: Graph, step: Step) -> list[str]:
    """Dropout at TEST and Split: each top is the bottom."""
    return [step.inputs[0]] * len(step.tops)


def silence(graph: Graph, step: Step) -> list[str]:
    """A layer without tops."""
    return []


def unary(op: str):
    """A layer that is one operator without settings."""

    def convert(graph: Graph, step: Step) -> str:
        return graph.node(op, step.inputs[0])

    return convert


def relu(graph: Graph, step: Step) -> str:
    """max(x, 0) + slope * min(x, 0)."""
    slope = step.layer.message.relu_param.negative_slope
    if slope:
        return graph.node("LeakyRelu", step.inputs[0], alpha=slope)
    return graph.node("Relu", step.inputs[0])


def prelu(graph: Graph, step: Step) -> str:
    """A slope for each channel, or one for all."""
    slope = step.weights[0].reshape(-1, *[1] * (len(step.bottoms[0]) - 2))
    return graph.node("PRelu", step.inputs[0], graph.constant(slope))


def elu(graph: Graph, step: Step) -> str:
    """x, or alpha * (exp(x) - 1) where x < 0."""
    return graph.node("Elu", step.inputs[0], alpha=step.layer.message.elu_param.alpha)


def swish(graph: Graph, step: Step) -> str:
    """x * sigmoid(beta * x)."""
    x = step.inputs[0]
    return graph.node("Mul", x, graph.node("Sigmoid", graph.affine(x, step.layer.message.swish_param.beta)))


def clip(graph: Graph, step: Step) -> str:
    """x between min and max."""
    p = step.layer.message.clip_param
    return graph.node("Clip", step.inputs[0], graph.scalar(p.min), graph.scalar(p.max))


def power(graph: Graph, step: Step) -> str:
    """(shift + scale * x) ** power."""
    p = step.layer.message.power_param
    y = graph.affine(step.inputs[0], p.scale, p.shift)
    return y if p.power == 1 else graph.node("Pow", y, graph.scalar(p.power))


def exp(graph: Graph, step: Step) -> str:
    """base ** (shift + scale * x); base -1 stands for e."""
    p = step.layer.message.exp_param
    log_base = 1.0 if p.base == -1 else math.log(p.base)
    inner = graph.affine(step.inputs[0], log_base * p.scale)
    return graph.affine(graph.node("Exp", inner), math.exp(log_base * p.shift))


def log(graph: Graph, step: Step) -> str:
    """The logarithm of shift + scale * x; base -1 stands for e."""
    p = step.layer.message.log_param
    y = graph.node("Log", graph.affine(step.inputs[0], p.scale, p.shift))
    return graph.affine(y, 1.0 if p.base == -1 else 1 / math.log(p.base))


def threshold(graph: Graph, step: Step) -> str:
    """1 where x > threshold, else 0."""
    above = graph.node("Greater", step.inputs[0], graph.scalar(step.layer.message.threshold_param.threshold))
    return graph.node("Cast", above, to=1)


def eltwise(graph: Graph, step: Step) -> str:
    """Product, weighted sum or maximum of the bottoms."""
    p = step.layer.message.eltwise_param
    if p.operation == p.MAX:
        return graph.node("Max", *step.inputs)
    factors = p.coeff or [1] * len(step.inputs)
    result, *others = (graph.affine(x, factor) for x, factor in zip(step.inputs, factors))
    for other in others:
        result = graph.node("Mul" if p.operation == p.PROD else "Add", result, other)
    return result


def softmax(graph: Graph, step: Step) -> str:
    """exp(x) / sum(exp(x)) along an axis."""
    return graph.node("Softmax", step.inputs[0], axis=step.axis(step.layer.message.softmax_param.axis))


def mvn(graph: Graph, step: Step) -> str:
    """Minus the mean, over the standard deviation: Caffe adds eps to the latter, not to the variance."""
    p = step.layer.message.mvn_param
    axes = [1, 2, 3] if p.across_channels else [2, 3]
    x = graph.reshape(step.inputs[0], step.bottoms[0], step.tops[0])
    y = graph.node("Sub", x, graph.node("ReduceMean", x, axes=axes))
    if not p.normalize_variance:
        return y
    variance = graph.node("ReduceMean", graph.node("Mul", y, y), axes=axes)
    deviation = graph.affine(graph.node("Sqrt", variance), 1, p.eps)
    return graph.node("Div", y, deviation)


def batch_norm(graph: Graph, step: Step) -> str:
    """Minus the mean, over the standard deviation; both are stored times a factor, the third parameter."""
    p = step.layer.message.batch_norm_param
    x = step.inputs[0]
    if not p.HasField("use_global_stats") or p.use_global_stats:
        mean, variance, factor = step.weights
        scale = 0 if factor.flat[0] == 0 else 1 / factor.flat[0]
        statistics = [graph.constant(s * np.float32(scale)) for s in (mean, variance)]
        ones, zeros = graph.constant(np.ones_like(mean)), graph.constant(np.zeros_like(mean))
        return graph.node("BatchNormalization", x, ones, zeros, *statistics, epsilon=p.eps)
    axes = [0, *range(2, len(step.bottoms[0]))]
    y = graph.node("Sub", x, graph.node("ReduceMean", x, axes=axes))
    variance = graph.node("ReduceMean", graph.node("Mul", y, y), axes=axes)
    return graph.node("Div", y, graph.node("Sqrt", graph.affine(variance, 1, p.eps)))


def scale(graph: Graph, step: Step) -> str:
    """Times the second bottom or a parameter, plus a bias where there is one, aligned at an axis."""
    p = step.layer.message.scale_param
    y = graph.node("Mul", step.inputs[0], _operand(graph, step, p.axis))
    if p.bias_term:
        y = graph.node("Add", y, _aligned(graph, step, p.axis, step.weights[-1]))
    return y


def bias(graph: Graph, step: Step) -> str:
    """Plus the second bottom or a parameter, aligned at an axis."""
    operand = _operand(graph, step, step.layer.message.bias_param.axis)
    return graph.node("Add", step.inputs[0], operand)


def _operand(graph: Graph, step: Step, axis: int) -> str:
    if len(step.inputs) == 1:
        return _aligned(graph, step, axis, step.weights[0])
    ndim, own = len(step.bottoms[0]), len(step.bottoms[1])
    # A second bottom without dimensions is one number: Caffe ignores the axis.
    trailing = ndim - step.axis(axis) - own if own else 0
    if not trailing:
        return step.inputs[1]
    return graph.node("Unsqueeze", step.inputs[1], graph.integers(*range(own, own + trailing)))


def _aligned(graph: Graph, step: Step, axis: int, values: np.ndarray) -> str:
    trailing = len(step.bottoms[0]) - step.axis(axis) - values.ndim if values.ndim else 0
    return graph.constant(values.reshape(values.shape + (1,) * trailing))


def inner_product(graph: Graph, step: Step) -> str:
    """A matrix product; what lies behind `axis` is one vector."""
    p = step.layer.message.inner_product_param
    dims = step.bottoms[0]
    axis = step.axis(p.axis)
    length = math.prod(known(dims[axis:]))
    rows = None if None in dims[:axis] else math.prod(dims[:axis])
    x = graph.reshape(step.inputs[0], dims, (rows, length))
    weights = step.weights[0].reshape((length, -1) if p.transpose else (-1, length))
    operands = [graph.constant(weights)]
    if p.bias_term:
        operands.append(graph.constant(step.weights[1].ravel()))
    y = graph.node("Gemm", x, *operands, transB=int(not p.transpose))
    return graph.reshape(y, (rows, p.num_output), step.tops[0])


def embed(graph: Graph, step: Step) -> str:
    """A row of the parameter for each index."""
    indices = graph.node("Cast", step.inputs[0], to=7)
    y = graph.node("Gather", graph.constant(step.weights[0]), indices)
    if step.layer.message.embed_param.bias_term:
        y = graph.node("Add", y, graph.constant(step.weights[1].ravel()))
    return y


def parameter(graph: Graph, step: Step) -> str:
    """The parameter itself."""
    return graph.constant(step.weights[0])


def reshape(graph: Graph, step: Step) -> str:
    """Reshape and Flatten."""
    return graph.reshape(step.inputs[0], step.bottoms[0], step.tops[0])


def concat(graph: Graph, step: Step) -> str:
    """The bottoms one after the other along an axis."""
    p = step.layer.message.concat_param
    axis = p.concat_dim if p.HasField("concat_dim") else step.axis(p.axis)
    return step.inputs[0] if len(step.inputs) == 1 else graph.node("Concat", *step.inputs, axis=axis)


def slice_(graph: Graph, step: Step) -> list[str]:
    """The tops one after the other along an axis."""
    p = step.layer.message.slice_param
    axis = p.slice_dim if p.HasField("slice_dim") else step.axis(p.axis)
    if len(step.tops) == 1:
        return [step.inputs[0]]
    sizes = [top[axis] for top in step.tops]
    inputs = [step.inputs[0]]
    if None not in sizes:
        inputs.append(graph.integers(*sizes))
    elif p.slice_point:
        raise OpenBatch
    return graph.node("Split", *inputs, outputs=len(sizes), axis=axis)


def crop(graph: Graph, step: Step) -> str:
    """As large as the second bottom from `axis` on, beginning at the offsets."""
    p = step.layer.message.crop_param
    first = step.axis(p.axis)
    axes = range(first, len(step.bottoms[0]))
    offsets = list(p.offset) or [0]
    offsets = offsets if len(offsets) > 1 else offsets * len(axes)
    cuts = [
        (axis, offset, step.tops[0][axis])
        for axis, offset in zip(axes, offsets)
        if step.bottoms[0][axis] != step.tops[0][axis]
    ]
    if not cuts:
        return step.inputs[0]
    axes, starts, sizes = zip(*cuts)
    ends = [start + size for start, size in zip(starts, known(sizes))]
    return graph.node("Slice", step.inputs[0], *(graph.integers(*values) for values in (starts, ends, axes)))


def tile(graph: Graph, step: Step) -> str:
    """The bottom several times along an axis."""
    p = step.layer.message.tile_param
    repeats = [1] * len(step.bottoms[0])
    repeats[step.axis(p.axis)] = p.tiles
    return graph.node("Tile", step.inputs[0], graph.integers(*repeats))


def batch_reindex(graph: Graph, step: Step) -> str:
    """The items that the second bottom lists."""
    return graph.node("Gather", step.inputs[0], graph.node("Cast", step.inputs[1], to=7), axis=0)


def reduction(graph: Graph, step: Step) -> str:
    """Sum, sum of magnitudes or of squares, or mean, of all that lies behind an axis; times a factor."""
    p = step.layer.message.reduction_param
    axes = list(range(step.axis(p.axis), len(step.bottoms[0])))
    x = step.inputs[0]
    if p.operation == p.MEAN:
        return graph.affine(graph.node("ReduceMean", x, axes=axes, keepdims=0), p.coeff)
    if p.operation == p.ASUM:
        x = graph.node("Abs", x)
    elif p.operation == p.SUMSQ:
        x = graph.node("Mul", x, x)
    return graph.affine(graph.node("ReduceSum", x, graph.integers(*axes), keepdims=0), p.coeff)


def argmax(graph: Graph, step: Step) -> str:
    """The k largest values or their indices; of equal ones Caffe puts the last in front, ONNX the first."""
    p = step.layer.message.argmax_param
    dims, x = step.bottoms[0], step.inputs[0]
    axis = step.axis(p.axis) if p.HasField("axis") else 1
    if p.HasField("axis"):
        (length,) = known(dims[axis : axis + 1])
    else:
        length = math.prod(known(dims[1:]))
        x = graph.reshape(x, dims, (dims[0], length))
    ends = graph.integers(-length - 1)
    backwards = graph.node("Slice", x, graph.integers(-1), ends, graph.integers(axis), graph.integers(-1))
    values, indices = graph.node("TopK", backwards, graph.integers(p.top_k), outputs=2, axis=axis)
    indices = graph.affine(graph.node("Cast", indices, to=1), -1, length - 1)
    if p.HasField("axis"):
        return values if p.out_max_val else indices
    top = step.tops[0]
    each = (top[0], 1, *top[2:])
    tensors = [
        graph.reshape(t, (dims[0], p.top_k), each)
        for t in ([indices, values] if p.out_max_val else [indices])
    ]
    return graph.node("Concat", *tensors, axis=1) if p.out_max_val else tensors[0]

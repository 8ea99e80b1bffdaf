"""Caffe's layers as functions of torch tensors; autograd gives Caffe's gradients, ties and zeros included.

Each function takes the layer, its bottoms and its parameters, and returns its tops in order. The tensors have
Caffe's layout and may have any batch and size that `infer_shapes` accepts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from camcaffe.caffe import messages
from camcaffe.caffe.geometry import Geometry, convolution_geometry, pooling_geometry
from camcaffe.caffe.network import Layer

Tensors = Sequence[Tensor]

# What Caffe's max pooling starts from, and so what a window outside the blob gives.
_LOWEST = torch.finfo(torch.float32).min


def convolution(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Convolution over one, two or three spatial axes; all bottoms meet the same filters."""
    options = layer.message.convolution_param
    window = convolution_geometry(options, bottoms[0].shape[2:])
    function = (F.conv1d, F.conv2d, F.conv3d)[len(window.kernel) - 1]
    weight, bias = _weight_and_bias(params)
    return [
        function(x, weight, bias, window.stride, window.pad, window.dilation, options.group) for x in bottoms
    ]


def deconvolution(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """What a convolution's gradient does, used forwards."""
    options = layer.message.convolution_param
    window = convolution_geometry(options, bottoms[0].shape[2:], transposed=True)
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[len(window.kernel) - 1]
    weight, bias = _weight_and_bias(params)
    return [
        function(x, weight, bias, window.stride, window.pad, 0, options.group, window.dilation)
        for x in bottoms
    ]


def pooling(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Max and average pooling with Caffe's window count, clip and divisor; a second top: the max's place."""
    (x,) = bottoms
    options = layer.message.pooling_param
    window = pooling_geometry(options, *x.shape[2:])
    if options.pool == options.AVE:
        return [_average_pool(x, window)]
    if len(layer.tops) == 2:
        return _max_pool_with_places(x, window)
    return [_max_pool(x, window)]


def spp(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Spatial pyramid pooling: 1, 4, 16, ... bins, flattened one behind the other."""
    (x,) = bottoms
    options = layer.message.spp_param
    pool = _average_pool if options.pool == options.AVE else _max_pool
    levels = [pool(x, _spp_window(2**level, *x.shape[2:])) for level in range(options.pyramid_height)]
    return levels if len(levels) == 1 else [torch.cat([level.flatten(1) for level in levels], 1)]


def _max_pool(x: Tensor, window: Geometry) -> Tensor:
    return F.max_pool2d(_padded(x, window, _LOWEST), window.kernel, window.stride)


def _max_pool_with_places(x: Tensor, window: Geometry) -> list[Tensor]:
    padded = _padded(x, window, _LOWEST)
    top, place = F.max_pool2d(padded, window.kernel, window.stride, return_indices=True)
    row, column = place // padded.shape[3] - window.pad[0], place % padded.shape[3] - window.pad[1]
    return [top, (row * x.shape[3] + column).float()]


def _average_pool(x: Tensor, window: Geometry) -> Tensor:
    sums = F.avg_pool2d(_padded(x, window, 0.0), window.kernel, window.stride, divisor_override=1)
    # Caffe divides by the window as it lies on the padded blob, cut off at the far padding only.
    rows, columns = (
        [min(stride * i + kernel, size + 2 * pad) - stride * i for i in range(output)]
        for size, kernel, stride, pad, output in zip(
            x.shape[2:], window.kernel, window.stride, window.pad, window.output
        )
    )
    return sums / torch.outer(sums.new_tensor(rows), sums.new_tensor(columns))


def _padded(x: Tensor, window: Geometry, fill: float) -> Tensor:
    # To exactly where the last window ends: Caffe rounds the number of windows up, or clips it.
    ends = [
        max(0, (output - 1) * stride + kernel - size - pad)
        for size, kernel, stride, pad, output in zip(
            x.shape[2:], window.kernel, window.stride, window.pad, window.output
        )
    ]
    around = (window.pad[1], ends[1], window.pad[0], ends[0])
    return F.pad(x, around, value=fill) if any(around) else x


def _spp_window(bins: int, height: int, width: int) -> Geometry:
    options = messages.CLASSES["PoolingParameter"]()
    for axis, size in (("h", height), ("w", width)):
        kernel = -(-size // bins)
        setattr(options, f"kernel_{axis}", kernel)
        setattr(options, f"stride_{axis}", kernel)
        setattr(options, f"pad_{axis}", (kernel * bins - size + 1) // 2)
    return pooling_geometry(options, height, width)


def inner_product(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Fully connected: the axes from `axis` on become one."""
    options = layer.message.inner_product_param
    weight, bias = _weight_and_bias(params)
    return [F.linear(bottoms[0].flatten(options.axis), weight.t() if options.transpose else weight, bias)]


def embed(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """A row of the weights for every number in the bottom."""
    weight, bias = _weight_and_bias(params)
    rows = F.embedding(bottoms[0].long(), weight)
    return [rows if bias is None else rows + bias]


def lrn(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Local response normalization; within a channel Caffe leaves `k` at 1."""
    (x,) = bottoms
    options = layer.message.lrn_param
    size = options.local_size
    if options.norm_region == options.ACROSS_CHANNELS:
        squares, channels = F.pad(x * x, (0, 0, 0, 0, size // 2, size // 2)), x.shape[1]
        total = squares[:, :channels].clone()
        for start in range(1, size):
            total += squares[:, start : start + channels]
        return [x * (options.k + options.alpha / size * total) ** -options.beta]
    mean = F.avg_pool2d(x * x, size, 1, size // 2)
    return [x * (1 + options.alpha * mean) ** -options.beta]


def batch_norm(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Normalization by the stored statistics (divided by their common factor) or by the batch's own."""
    (x,) = bottoms
    options = layer.message.batch_norm_param
    if options.use_global_stats or not options.HasField("use_global_stats"):
        # The statistics are no weights to Caffe: it takes no gradient by them.
        mean, variance, factor = (param.detach() for param in params)
        factor = torch.where(factor == 0, factor, 1 / factor)
        mean, variance = mean * factor, variance * factor
        return [(x - _along(mean, x, 1)) / _along((variance + options.eps).sqrt(), x, 1)]
    return [normalized_by_batch(x, options.eps)[0]]


def normalized_by_batch(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Each channel less its mean, by its standard deviation; its mean; its variance (without eps)."""
    return _BatchNormalized.apply(x, eps)


class _BatchNormalized(torch.autograd.Function):
    # In Caffe's own steps: a fused one rounds otherwise, and a ReLU behind it cuts other values off.

    @staticmethod
    def forward(ctx, x: Tensor, eps: float):
        others = [axis for axis in range(x.dim()) if axis != 1]
        mean = x.mean(others)
        result = x - _along(mean, x, 1)
        variance = result.square().mean(others)
        deviation = _along((variance + eps).sqrt(), x, 1)
        result /= deviation
        ctx.save_for_backward(result, deviation)
        ctx.mark_non_differentiable(mean, variance)
        return result, mean, variance

    @staticmethod
    def backward(ctx, diff: Tensor, *_):
        result, deviation = ctx.saved_tensors
        others = [axis for axis in range(diff.dim()) if axis != 1]
        means = diff.mean(others, keepdim=True), (diff * result).mean(others, keepdim=True)
        return (diff - means[0] - result * means[1]) / deviation, None


def mvn(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Mean and variance normalization of each channel, or of each image."""
    (x,) = bottoms
    options = layer.message.mvn_param
    # Caffe takes a blob of fewer axes for one of four, and writes such a one.
    shape = [*x.shape, 1, 1, 1][: max(4, x.dim())]
    rows = x.reshape(shape[0] if options.across_channels else shape[0] * shape[1], -1)
    rows = rows - rows.mean(1, keepdim=True)
    if options.normalize_variance:
        rows = _UnitVariance.apply(rows, options.eps)
    return [rows.reshape(shape)]


class _UnitVariance(torch.autograd.Function):
    # Rows of mean zero by their standard deviation plus eps. Caffe's gradient differentiates as if eps
    # were 0, and so has no infinity where a row is constant.

    @staticmethod
    def forward(ctx, rows: Tensor, eps: float) -> Tensor:
        deviation = rows.square().mean(1, keepdim=True).sqrt() + eps
        result = rows / deviation
        ctx.save_for_backward(result, deviation)
        return result

    @staticmethod
    def backward(ctx, diff: Tensor):
        result, deviation = ctx.saved_tensors
        return (diff - result * (result * diff).mean(1, keepdim=True)) / deviation, None


def scale(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """The first bottom times the second, or times a parameter; plus a bias where there is one."""
    options = layer.message.scale_param
    x, *given = bottoms
    result = x * _along([*given, *params][0], x, options.axis)
    return [result + _along(params[-1], x, options.axis) if options.bias_term else result]


def bias(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """The first bottom plus the second, or plus a parameter."""
    x, *given = bottoms
    return [x + _along([*given, *params][0], x, layer.message.bias_param.axis)]


def relu(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Rectifier, leaky where `negative_slope` says so; the slope holds at zero."""
    slope = layer.message.relu_param.negative_slope
    return [F.leaky_relu(bottoms[0], slope) if slope else F.relu(bottoms[0])]


def prelu(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Rectifier with a learned slope for each channel, or one for all."""
    return [F.prelu(bottoms[0], params[0].reshape(-1))]


def elu(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Exponential linear unit."""
    return [F.elu(bottoms[0], layer.message.elu_param.alpha)]


def sigmoid(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Logistic function."""
    return [bottoms[0].sigmoid()]


def swish(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """x times the logistic function of beta x."""
    return [bottoms[0] * (layer.message.swish_param.beta * bottoms[0]).sigmoid()]


def tanh(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Hyperbolic tangent."""
    return [bottoms[0].tanh()]


def absval(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Absolute value; its gradient at zero is zero."""
    return [bottoms[0].abs()]


def bnll(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """log(1 + exp(x))."""
    return [F.softplus(bottoms[0])]


def power(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """(shift + scale x) ** power."""
    options = layer.message.power_param
    line = options.shift + options.scale * bottoms[0]
    return [line if options.power == 1 else line**options.power]


def exp(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """base ** (shift + scale x); base -1 means e."""
    options = layer.message.exp_param
    rate = 1.0 if options.base == -1 else math.log(options.base)
    return [(rate * options.scale * bottoms[0] + rate * options.shift).exp()]


def log(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Logarithm of shift + scale x to the base; base -1 means e."""
    options = layer.message.log_param
    rate = 1.0 if options.base == -1 else math.log(options.base)
    return [(options.shift + options.scale * bottoms[0]).log() / rate]


def clip(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Values below `min` and above `max` cut to these."""
    options = layer.message.clip_param
    return [bottoms[0].clamp(options.min, options.max)]


def threshold(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """1 above the threshold, else 0."""
    return [(bottoms[0] > layer.message.threshold_param.threshold).to(bottoms[0].dtype)]


def softmax(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Softmax along an axis."""
    return [bottoms[0].softmax(layer.message.softmax_param.axis)]


def argmax(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Indices (and values) of the largest; of equal ones Caffe takes the last first."""
    (x,) = bottoms
    options = layer.message.argmax_param
    has_axis = options.HasField("axis")
    rows, axis = (x, options.axis) if has_axis else (x.flatten(1), 1)
    values, order = rows.flip(axis).sort(dim=axis, descending=True, stable=True)
    indices = (rows.shape[axis] - 1 - order).float()
    best = [part.narrow(axis, 0, options.top_k) for part in (indices, values)]
    if has_axis:
        return [best[options.out_max_val]]
    parts = torch.stack(best[: 1 + options.out_max_val], 1)
    return [parts.reshape(*parts.shape, *[1] * (x.dim() - 3))]


def eltwise(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Product, weighted sum or maximum; a maximum's gradient goes to one bottom, Caffe's choice in a tie."""
    options = layer.message.eltwise_param
    first, second, *rest = bottoms
    if options.operation == options.SUM:
        return [sum(c * x for c, x in zip(options.coeff or [1.0] * len(bottoms), bottoms))]
    if options.operation == options.PROD:
        return [math.prod(bottoms[1:], start=first)]
    result = torch.where(first > second, first, second)
    for x in rest:
        result = torch.where(x > result, x, result)
    return [result]


def reduction(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Sum, sum of absolute values or squares, or mean over the axes from `axis` on."""
    options = layer.message.reduction_param
    x = bottoms[0].flatten(options.axis)
    if options.operation == options.ASUM:
        x = x.abs()
    elif options.operation == options.SUMSQ:
        x = x * x
    return [options.coeff * (x.mean(-1) if options.operation == options.MEAN else x.sum(-1))]


def concat(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Bottoms one behind the other along an axis."""
    options = layer.message.concat_param
    return [torch.cat(list(bottoms), options.concat_dim if options.HasField("concat_dim") else options.axis)]


def slice_(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Parts of the bottom along an axis, cut at the slice points or into equal parts."""
    (x,) = bottoms
    options = layer.message.slice_param
    axis = options.slice_dim if options.HasField("slice_dim") else options.axis
    if options.slice_point:
        return list(x.tensor_split(list(options.slice_point), axis))
    return list(x.tensor_split(len(layer.tops), axis))


def crop(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """The first bottom cut to the second's size from `axis` on, at the offsets."""
    x, like = bottoms
    options = layer.message.crop_param
    axes = range(x.dim())[options.axis :]
    offsets = list(options.offset) or [0]
    for axis, offset in zip(axes, offsets if len(offsets) > 1 else offsets * len(axes)):
        x = x.narrow(axis, offset, like.shape[axis])
    return [x]


def tile(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """The bottom repeated along an axis."""
    options = layer.message.tile_param
    return [torch.cat([bottoms[0]] * options.tiles, options.axis)]


def flatten(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """A run of axes as one."""
    options = layer.message.flatten_param
    return [bottoms[0].flatten(options.axis, options.end_axis)]


def reshape(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Another shape for a run of axes: 0 keeps an axis, -1 takes what is left."""
    (x,) = bottoms
    options = layer.message.reshape_param
    start = options.axis if options.axis >= 0 else x.dim() + options.axis + 1
    end = x.dim() if options.num_axes == -1 else start + options.num_axes
    middle = [size or x.shape[start + place] for place, size in enumerate(options.shape.dim)]
    return [x.reshape(*x.shape[:start], *middle, *x.shape[end:])]


def batch_reindex(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """The images of the first bottom that the second names, in its order."""
    return [bottoms[0][bottoms[1].long()]]


def identity(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Every top is the bottom: Split, and Dropout when testing."""
    return [bottoms[0]] * len(layer.tops)


def silence(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Nothing."""
    return []


def parameter(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """The parameter itself."""
    return [params[0]]


def _weight_and_bias(params: Tensors) -> tuple:
    return tuple(params) if len(params) == 2 else (params[0], None)


def _along(values: Tensor, x: Tensor, axis: int) -> Tensor:
    # `values` shaped so that it broadcasts over x with its first axis at `axis`; a scalar fits anywhere.
    before = axis % x.dim()
    return values.reshape([1] * before + list(values.shape) + [1] * (x.dim() - before - values.dim()))

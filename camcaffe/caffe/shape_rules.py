"""One rule a layer type: from the settings and the bottoms' shapes to the tops' and the weights' shapes."""

from __future__ import annotations

import math

from camcaffe.caffe.geometry import Misfit, convolution_geometry, pooling_geometry
from camcaffe.caffe.network import Layer


def _same(layer: Layer, bottoms):
    return [bottoms[0]], []


def _softmax(layer: Layer, bottoms):
    _axis(layer.message.softmax_param.axis, bottoms[0])
    return [bottoms[0]], []


def _power_base(layer: Layer, bottoms):
    options = layer.message.exp_param if layer.type == "Exp" else layer.message.log_param
    if options.base != -1 and options.base <= 0:
        raise Misfit(f"base {options.base}", "a positive base, or -1 for e")
    return [bottoms[0]], []


def _convolution(layer: Layer, bottoms):
    options = layer.message.convolution_param
    if any(shape != bottoms[0] for shape in bottoms):
        raise Misfit(_shapes(bottoms), "one shape for all")
    bottom, axis = bottoms[0], _axis(options.axis, bottoms[0])
    channels, outputs, group = bottom[axis], _num_output(options), options.group
    if not group or channels % group or outputs % group:
        raise Misfit(f"{channels} channels to {outputs} outputs in {group} groups", "multiples of the groups")
    transposed = layer.type == "Deconvolution"
    geometry = convolution_geometry(options, bottom[axis + 1 :], transposed)
    first, second = (channels, outputs) if transposed else (outputs, channels)
    weights = (first, second // group, *geometry.kernel)
    tops = [(*bottom[:axis], outputs, *geometry.output)] * len(bottoms)
    return tops, _with_bias(options, weights, outputs)


def _im2col(layer: Layer, bottoms):
    options, bottom = layer.message.convolution_param, bottoms[0]
    axis = _axis(options.axis, bottom)
    geometry = convolution_geometry(options, bottom[axis + 1 :])
    return [(*bottom[:axis], bottom[axis] * math.prod(geometry.kernel), *geometry.output)], []


def _pooling(layer: Layer, bottoms):
    options = layer.message.pooling_param
    batch, channels, height, width = _four_axes(bottoms[0])
    top = (batch, channels, *pooling_geometry(options, height, width).output)
    # A second top takes the places of the maxima.
    return [top] * (2 if options.pool == options.MAX and len(layer.tops) == 2 else 1), []


def _lrn(layer: Layer, bottoms):
    size = layer.message.lrn_param.local_size
    if size % 2 == 0:
        raise Misfit(f"local_size {size}", "an odd number")
    return [_four_axes(bottoms[0])], []


def _mvn(layer: Layer, bottoms):
    if len(bottoms[0]) > 4:
        raise Misfit(f"a bottom of the shape {bottoms[0]}", "at most four axes")
    # Caffe writes its result as a blob of four axes, whatever it was given.
    return [bottoms[0] + (1,) * (4 - len(bottoms[0]))], []


def _inner_product(layer: Layer, bottoms):
    options, bottom = layer.message.inner_product_param, bottoms[0]
    axis, outputs = _axis(options.axis, bottom), _num_output(options)
    weights = (outputs, math.prod(bottom[axis:]))
    if options.transpose:
        weights = weights[::-1]
    return [(*bottom[:axis], outputs)], _with_bias(options, weights, outputs)


def _embed(layer: Layer, bottoms):
    options, outputs = layer.message.embed_param, _num_output(layer.message.embed_param)
    return [(*bottoms[0], outputs)], _with_bias(options, (options.input_dim, outputs), outputs)


def _batch_norm(layer: Layer, bottoms):
    channels = _channels(bottoms[0])
    return [bottoms[0]], [(channels,), (channels,), (1,)]


def _scale(layer: Layer, bottoms):
    """Scale and Bias: with one bottom the factors are weights, with two they are the second."""
    is_scale = layer.type == "Scale"
    options = layer.message.scale_param if is_scale else layer.message.bias_param
    bottom = bottoms[0]
    # A single number as second bottom suits every axis, even none.
    axis = 0 if len(bottoms) == 2 and not bottoms[1] else _axis(options.axis, bottom)
    if len(bottoms) == 2:
        factors, params = bottoms[1], []
        if bottom[axis : axis + len(factors)] != factors:
            raise Misfit(_shapes(bottoms), f"the second within the first, at axis {axis}")
    else:
        if options.num_axes < -1 or axis + options.num_axes > len(bottom):
            raise Misfit(f"num_axes {options.num_axes} on {bottom}", "-1, or axes that are there")
        factors = bottom[axis:] if options.num_axes == -1 else bottom[axis : axis + options.num_axes]
        params = [factors]
    if is_scale and options.bias_term:
        params.append(factors)
    return [bottom], params


def _prelu(layer: Layer, bottoms):
    channels = _channels(bottoms[0])
    return [bottoms[0]], [() if layer.message.prelu_param.channel_shared else (channels,)]


def _eltwise(layer: Layer, bottoms):
    options = layer.message.eltwise_param
    if any(shape != bottoms[0] for shape in bottoms):
        raise Misfit(_shapes(bottoms), "one shape for all")
    if options.coeff and (len(options.coeff) != len(bottoms) or options.operation == options.PROD):
        raise Misfit(
            f"{len(options.coeff)} coeff for {len(bottoms)} bottoms", "one each, or none (PROD: none)"
        )
    return [bottoms[0]], []


def _concat(layer: Layer, bottoms):
    axis = _axis_or_dim(layer.message.concat_param, "concat_dim", bottoms[0])
    rest = {shape[:axis] + shape[axis + 1 :] for shape in bottoms}
    if len(rest) > 1 or len({len(shape) for shape in bottoms}) > 1:
        raise Misfit(_shapes(bottoms), f"shapes that differ in axis {axis} only")
    return [(*bottoms[0][:axis], sum(s[axis] for s in bottoms), *bottoms[0][axis + 1 :])], []


def _slice(layer: Layer, bottoms):
    options, bottom, count = layer.message.slice_param, bottoms[0], len(layer.tops)
    axis = _axis_or_dim(options, "slice_dim", bottom)
    if options.slice_point:
        ends = [0, *options.slice_point, bottom[axis]]
        if len(ends) != count + 1 or any(b <= a for a, b in zip(ends, ends[1:])):
            found = f"slice_point {list(options.slice_point)} for {count} tops of {bottom[axis]} entries"
            raise Misfit(found, "rising points, one fewer than tops")
        sizes = [b - a for a, b in zip(ends, ends[1:])]
    elif not count or bottom[axis] % count:
        raise Misfit(f"{count} tops of {bottom[axis]} entries in axis {axis}", "equal parts")
    else:
        sizes = [bottom[axis] // count] * count
    return [(*bottom[:axis], size, *bottom[axis + 1 :]) for size in sizes], []


def _split(layer: Layer, bottoms):
    return [bottoms[0]] * len(layer.tops), []


def _silence(layer: Layer, bottoms):
    return [], []


def _flatten(layer: Layer, bottoms):
    options, bottom = layer.message.flatten_param, bottoms[0]
    start, end = _axis(options.axis, bottom), _axis(options.end_axis, bottom)
    if end < start:
        raise Misfit(f"axis {options.axis} to end_axis {options.end_axis}", "axes in order")
    return [(*bottom[:start], math.prod(bottom[start : end + 1]), *bottom[end + 1 :])], []


def _reshape(layer: Layer, bottoms):
    options, bottom = layer.message.reshape_param, bottoms[0]
    start = options.axis if options.axis >= 0 else len(bottom) + options.axis + 1
    end = len(bottom) if options.num_axes == -1 else start + options.num_axes
    if not 0 <= start <= end <= len(bottom):
        raise Misfit(f"axis {options.axis}, num_axes {options.num_axes} on {bottom}", "axes that are there")
    dims = list(options.shape.dim)
    for index, dim in enumerate(dims):
        if dim == 0:  # copied
            if start + index >= len(bottom):
                raise Misfit(f"dim 0 at place {index} on {bottom}", "an axis to copy")
            dims[index] = bottom[start + index]
    if min(dims, default=0) < -1 or dims.count(-1) > 1:
        raise Misfit(f"dims {dims}", "positive numbers, 0 to copy, at most one -1 to infer")
    around = (*bottom[:start], *bottom[end:])
    if -1 in dims:
        known = -math.prod(dims) * math.prod(around)
        if not known or math.prod(bottom) % known:
            raise Misfit(f"dims {dims} on {bottom}", "a whole number for -1")
        dims[dims.index(-1)] = math.prod(bottom) // known
    top = (*bottom[:start], *dims, *bottom[end:])
    if math.prod(top) != math.prod(bottom):
        raise Misfit(f"a shape {top} from {bottom}", "as many values")
    return [top], []


def _crop(layer: Layer, bottoms):
    options, (bottom, like) = layer.message.crop_param, bottoms
    axis, offset = _axis(options.axis, bottom), list(options.offset) or [0]
    count = len(bottom) - axis
    if len(like) != len(bottom) or len(offset) not in (1, count):
        found = f"{_shapes(bottoms)} with {len(offset)} offsets"
        raise Misfit(found, f"as many axes in both, and one offset or {count}")
    offset = offset * count if len(offset) == 1 else offset
    if any(o + size > room for o, size, room in zip(offset, like[axis:], bottom[axis:])):
        raise Misfit(f"a crop of {like[axis:]} at {offset} from {bottom[axis:]}", "a crop that lies inside")
    return [(*bottom[:axis], *like[axis:])], []


def _arg_max(layer: Layer, bottoms):
    options, bottom = layer.message.argmax_param, bottoms[0]
    axis = _axis(options.axis, bottom) if options.HasField("axis") else None
    room = math.prod(bottom[1:]) if axis is None else bottom[axis]
    if not 1 <= options.top_k <= room:
        raise Misfit(f"top_k {options.top_k} of {room}", f"1 to {room}")
    if axis is not None:
        return [(*bottom[:axis], options.top_k, *bottom[axis + 1 :])], []
    ones = (1,) * (len(bottom) - 3)
    return [(bottom[0], 2 if options.out_max_val else 1, options.top_k, *ones)], []


def _reduction(layer: Layer, bottoms):
    return [bottoms[0][: _axis(layer.message.reduction_param.axis, bottoms[0])]], []


def _tile(layer: Layer, bottoms):
    options, bottom = layer.message.tile_param, bottoms[0]
    axis = _axis(options.axis, bottom)
    if options.tiles < 1:
        raise Misfit(f"tiles {options.tiles}", "a positive number")
    return [(*bottom[:axis], bottom[axis] * options.tiles, *bottom[axis + 1 :])], []


def _filter(layer: Layer, bottoms):
    # How many entries the selector keeps is only known when data flows; until then Caffe assumes all.
    return list(bottoms[:-1]), []


def _batch_reindex(layer: Layer, bottoms):
    if len(bottoms[1]) != 1:
        raise Misfit(f"an index of the shape {bottoms[1]}", "one axis")
    return [(*bottoms[1], *bottoms[0][1:])], []


def _spp(layer: Layer, bottoms):
    height = layer.message.spp_param.pyramid_height
    batch, channels, _, _ = _four_axes(bottoms[0])
    if not 1 <= height <= 10:
        raise Misfit(f"pyramid_height {height}", "1 to 10")
    bins = sum(4**level for level in range(height))
    return [(batch, channels, 1, 1) if height == 1 else (batch, channels * bins)], []


def _parameter(layer: Layer, bottoms):
    shape = tuple(layer.message.parameter_param.shape.dim)
    return [shape], [shape]


def _loss(layer: Layer, bottoms):
    """A number; Caffe makes the top itself where the prototxt names none."""
    return [()][: len(layer.tops)], []


def _softmax_loss(layer: Layer, bottoms):
    """A number; a second top has the softmax."""
    _labels(bottoms, layer.message.softmax_param.axis)
    if bottoms[0][0] != (*bottoms[1], 1)[0]:
        raise Misfit(_shapes(bottoms), "one batch size for both")
    return [(), bottoms[0]][: len(layer.tops)], []


def _accuracy(layer: Layer, bottoms):
    """A number; a second top has one accuracy a class."""
    options = layer.message.accuracy_param
    classes = _labels(bottoms, options.axis)
    if not 1 <= options.top_k <= classes:
        raise Misfit(f"top_k {options.top_k} of {classes} classes", f"1 to {classes}")
    return [(), (classes,)][: len(layer.tops)], []


def _labels(bottoms, axis: int) -> int:
    """How many classes are along the axis, where there is a label for each place across it."""
    scores, labels = bottoms
    classes = scores[_axis(axis, scores)]
    if math.prod(scores) != classes * math.prod(labels):
        raise Misfit(_shapes(bottoms), f"a label for each of {math.prod(scores) // classes} scores a class")
    return classes


def _axis(axis: int, shape) -> int:
    """The axis counted from the front; negative ones count from the back."""
    if not -len(shape) <= axis < len(shape):
        raise Misfit(f"axis {axis} on the shape {shape}", "an axis that is there")
    return axis % len(shape)


def _axis_or_dim(options, legacy: str, shape) -> int:
    """Concat's and Slice's axis, which older files call concat_dim and slice_dim."""
    if not options.HasField(legacy):
        return _axis(options.axis, shape)
    if options.HasField("axis"):
        raise Misfit(f"both axis and {legacy}", "one of them")
    return _axis(getattr(options, legacy), shape)


def _four_axes(shape):
    if len(shape) != 4:
        raise Misfit(f"a bottom of the shape {shape}", "four axes (batch, channels, height, width)")
    return shape


def _shapes(bottoms) -> str:
    return f"bottoms of the shapes {', '.join(map(str, bottoms[:5]))}{', ...' * (len(bottoms) > 5)}"


def _channels(shape) -> int:
    if len(shape) < 2:
        raise Misfit(f"a bottom of the shape {shape}", "at least two axes")
    return shape[1]


def _num_output(options) -> int:
    if not options.num_output:
        raise Misfit("num_output 0 or missing", "a positive number")
    return options.num_output


def _with_bias(options, weights, outputs: int) -> list:
    return [weights, (outputs,)] if options.bias_term else [weights]


_ANY = 2**31

# Layer type -> (rule, fewest bottoms, most bottoms).
RULES = {
    "AbsVal": (_same, 1, 1),
    "Accuracy": (_accuracy, 2, 2),
    "ArgMax": (_arg_max, 1, 1),
    "BNLL": (_same, 1, 1),
    "BatchNorm": (_batch_norm, 1, 1),
    "BatchReindex": (_batch_reindex, 2, 2),
    "Bias": (_scale, 1, 2),
    "Clip": (_same, 1, 1),
    "Concat": (_concat, 1, _ANY),
    "ContrastiveLoss": (_loss, 3, 3),
    "Convolution": (_convolution, 1, _ANY),
    "Crop": (_crop, 2, 2),
    "Deconvolution": (_convolution, 1, _ANY),
    "Dropout": (_same, 1, 1),
    "ELU": (_same, 1, 1),
    "Eltwise": (_eltwise, 2, _ANY),
    "Embed": (_embed, 1, 1),
    "EuclideanLoss": (_loss, 2, 2),
    "Exp": (_power_base, 1, 1),
    "Filter": (_filter, 2, _ANY),
    "Flatten": (_flatten, 1, 1),
    "HDF5Output": (_silence, 2, 2),
    "HingeLoss": (_loss, 2, 2),
    "Im2col": (_im2col, 1, 1),
    "InfogainLoss": (_loss, 2, 3),
    "InnerProduct": (_inner_product, 1, 1),
    "LRN": (_lrn, 1, 1),
    "Log": (_power_base, 1, 1),
    "MVN": (_mvn, 1, 1),
    "MultinomialLogisticLoss": (_loss, 2, 2),
    "PReLU": (_prelu, 1, 1),
    "Parameter": (_parameter, 0, 0),
    "Pooling": (_pooling, 1, 1),
    "Power": (_same, 1, 1),
    "ReLU": (_same, 1, 1),
    "Reduction": (_reduction, 1, 1),
    "Reshape": (_reshape, 1, 1),
    "SPP": (_spp, 1, 1),
    "Scale": (_scale, 1, 2),
    "Sigmoid": (_same, 1, 1),
    "SigmoidCrossEntropyLoss": (_loss, 2, 2),
    "Silence": (_silence, 1, _ANY),
    "Slice": (_slice, 1, 1),
    "Softmax": (_softmax, 1, 1),
    "SoftmaxWithLoss": (_softmax_loss, 2, 2),
    "Split": (_split, 1, 1),
    "Swish": (_same, 1, 1),
    "TanH": (_same, 1, 1),
    "Threshold": (_same, 1, 1),
    "Tile": (_tile, 1, 1),
}

# Layers that bring data in from outside: their tops' shapes are not in the prototxt.
DATA_TYPES = frozenset(
    ("Data", "DummyData", "HDF5Data", "ImageData", "MemoryData", "WindowData"),
)

# Layers of Caffe 1.0 that are known and not supported, and why.
UNSUPPORTED = {
    "LSTM": "recurrent layers are not supported",
    "LSTMUnit": "recurrent layers are not supported",
    "Python": "it runs code of the net's author, which is not done here",
    "RNN": "recurrent layers are not supported",
}

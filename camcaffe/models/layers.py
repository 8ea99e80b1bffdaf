"""Layers of Caffe nets as V2 messages: one function a layer type, with the prototxt's terms.

A layer's top has the layer's name unless `top` says otherwise; ReLU and dropout work in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from camcaffe.caffe import messages

# (lr_mult, decay_mult) of weights and bias in nearly every layer here.
RATES = ((1, 1), (2, 0))


def gaussian(std: float, **mean: float) -> dict:
    """Normal random numbers around 0, which some files write out as `mean`."""
    return {"type": "gaussian", "std": std, **mean}


def xavier(**std: float) -> dict:
    """Uniform random numbers scaled by the layer's inputs; Caffe ignores the `std` that some files write."""
    return {"type": "xavier", **std}


def msra() -> dict:
    """Normal random numbers around 0, scaled by the layer's inputs for the ReLU behind it."""
    return {"type": "msra"}


def constant(value: float) -> dict:
    """One number everywhere."""
    return {"type": "constant", "value": value}


def convolution(
    name: str,
    bottom: str,
    num_output: int,
    kernel: int,
    *,
    stride: int = 1,
    pad: int = 0,
    group: int = 1,
    fill: Sequence[dict] = (),
    rates: Sequence[tuple] = RATES,
    top: str = "",
    bias: bool = True,
) -> messages.LayerParameter:
    """A convolution with square kernels.

    Args:
        name: the layer's name.
        bottom: the blob it reads.
        num_output: channels of its top.
        kernel: height and width of the kernels, in pixels of the bottom.
        stride: step between two positions of a kernel, in the same.
        pad: zeros added on all four sides.
        group: groups that channels are split into.
        fill: the fillers of weights and bias; what is left out is filled with zeros.
        rates: (lr_mult, decay_mult) of weights and bias; what is left out is (1, 1).
        top: the blob it writes.
        bias: add a number to each channel.
    """
    options = {"num_output": num_output, "kernel_size": [kernel], **_fillers(fill)}
    if not bias:
        options["bias_term"] = False
    if stride > 1:
        options["stride"] = [stride]
    if pad:
        options["pad"] = [pad]
    if group > 1:
        options["group"] = group
    return _layer("Convolution", name, [bottom], top, param=_rates(rates), convolution_param=options)


def rectified(name: str, layer: messages.LayerParameter) -> list[messages.LayerParameter]:
    """The layer with a ReLU called `name` on its top."""
    return [layer, relu(name, layer.top[0])]


def normalized(name: str, layer: messages.LayerParameter) -> list[messages.LayerParameter]:
    """The layer, its top normalized over each batch, then scaled and shifted by learned numbers a channel.

    Args:
        name: the two layers behind it are `NAME_bn` and `NAME_scale`.
        layer: a convolution without bias.
    """
    top = layer.top[0]
    norm = _layer("BatchNorm", f"{name}_bn", [top], top, batch_norm_param={"moving_average_fraction": 0.99})
    scale = _layer("Scale", f"{name}_scale", [top], top, scale_param={"bias_term": True})
    return [layer, norm, scale]


def inner_product(
    name: str, bottom: str, num_output: int, *, fill: Sequence[dict] = (), rates: Sequence[tuple] = RATES
) -> messages.LayerParameter:
    """A fully connected layer; `fill` and `rates` as in `convolution`."""
    options = {"num_output": num_output, **_fillers(fill)}
    return _layer("InnerProduct", name, [bottom], param=_rates(rates), inner_product_param=options)


def pooling(
    name: str, bottom: str, pool: str, kernel: int, stride: int, *, pad: int = 0
) -> messages.LayerParameter:
    """Pooling, `pool` being "MAX" or "AVE", over squares of `kernel` pixels every `stride` pixels."""
    options = {"pool": pool, "kernel_size": kernel, "stride": stride}
    if pad:
        options["pad"] = pad
    return _layer("Pooling", name, [bottom], pooling_param=options)


def whole_map_pooling(name: str, bottom: str, pool: str, height: int, width: int) -> messages.LayerParameter:
    """Pooling over a whole map of this size, written out as the published networks have it."""
    if height == width:
        return pooling(name, bottom, pool, height, height)
    options = {"kernel_h": height, "kernel_w": width, "stride_h": height, "stride_w": width}
    return _layer("Pooling", name, [bottom], pooling_param={"pool": pool, **options})


def global_pooling(name: str, bottom: str, pool: str = "AVE") -> messages.LayerParameter:
    """Pooling over the whole blob, whatever its size."""
    return _layer("Pooling", name, [bottom], pooling_param={"pool": pool, "global_pooling": True})


def lrn(name: str, bottom: str) -> messages.LayerParameter:
    """Local response normalization over five channels, with AlexNet's constants."""
    return _layer("LRN", name, [bottom], lrn_param={"local_size": 5, "alpha": 1e-4, "beta": 0.75})


def power(name: str, blob: str, **options: float) -> messages.LayerParameter:
    """(shift + scale * x) ** power, in place."""
    return _layer("Power", name, [blob], blob, power_param=options)


def relu(name: str, blob: str) -> messages.LayerParameter:
    """max(0, x), in place."""
    return _layer("ReLU", name, [blob], blob)


def dropout(name: str, blob: str, ratio: float = 0.5) -> messages.LayerParameter:
    """Dropout, in place; a deploy run passes its blob on as it is."""
    return _layer("Dropout", name, [blob], blob, dropout_param={"dropout_ratio": ratio})


def concat(name: str, bottoms: Sequence[str]) -> messages.LayerParameter:
    """The bottoms' channels, one after the other."""
    return _layer("Concat", name, bottoms)


def softmax(name: str, bottom: str) -> messages.LayerParameter:
    """Probabilities from scores."""
    return _layer("Softmax", name, [bottom])


def softmax_loss(name: str, bottom: str, *, top: str = "", weight: float = 0) -> messages.LayerParameter:
    """The training loss of the scores in `bottom` against the blob `label`."""
    options = {"loss_weight": [weight]} if weight else {}
    return _layer("SoftmaxWithLoss", name, [bottom, "label"], top, **options)


def accuracy(name: str, bottom: str, top_k: int = 1) -> messages.LayerParameter:
    """The share of images whose label is among the `top_k` best scores; in the test phase only."""
    options = {"accuracy_param": {"top_k": top_k}} if top_k > 1 else {}
    return _layer("Accuracy", name, [bottom, "label"], include=[{"phase": "TEST"}], **options)


def lmdb(phase: str, source: str, batch_size: int, **transform) -> messages.LayerParameter:
    """Images and labels from an LMDB in phase "TRAIN" or "TEST"; `transform` is transform_param."""
    options = {"source": source, "batch_size": batch_size, "backend": "LMDB"}
    return _data("Data", phase, transform, data_param=options)


def image_list(
    phase: str,
    source: str,
    root: str,
    size: tuple[int, int],
    batch_size: int,
    *,
    is_color: bool = True,
    **transform,
) -> messages.LayerParameter:
    """Images and labels from a list of files, resized to (height, width) `size`; shuffled for training."""
    height, width = size
    options = {"source": source, "root_folder": root, "batch_size": batch_size}
    if phase == "TRAIN":
        options["shuffle"] = True
    if not is_color:
        options["is_color"] = False
    options.update(new_height=height, new_width=width)
    return _data("ImageData", phase, transform, image_data_param=options)


def input_layer(shape: Sequence[int]) -> messages.LayerParameter:
    """The input blob `data` as a layer, as BVLC's own deploy files have it."""
    return messages.LayerParameter(
        name="data", type="Input", top=["data"], input_param={"shape": [{"dim": shape}]}
    )


def bare(layers: Iterable[messages.LayerParameter], *, rates: bool = False) -> list[messages.LayerParameter]:
    """Copies of the layers without fillers and, unless they are to stay, without learning rates."""
    copies = []
    for layer in layers:
        copy = messages.LayerParameter()
        copy.CopyFrom(layer)
        if not rates:
            copy.ClearField("param")
        for kind in ("convolution_param", "inner_product_param"):
            if copy.HasField(kind):
                getattr(copy, kind).ClearField("weight_filler")
                getattr(copy, kind).ClearField("bias_filler")
        copies.append(copy)
    return copies


def _layer(kind: str, name: str, bottoms: Sequence[str], top: str = "", **options) -> messages.LayerParameter:
    return messages.LayerParameter(name=name, type=kind, bottom=bottoms, top=[top or name], **options)


def _data(kind: str, phase: str, transform: dict, **options) -> messages.LayerParameter:
    return messages.LayerParameter(
        name="data",
        type=kind,
        top=["data", "label"],
        include=[{"phase": phase}],
        transform_param=transform,
        **options,
    )


def _fillers(fill: Sequence[dict]) -> dict:
    return dict(zip(("weight_filler", "bias_filler"), fill))


def _rates(rates: Sequence[tuple]) -> list[dict]:
    return [{"lr_mult": lr, "decay_mult": decay} for lr, decay in rates]

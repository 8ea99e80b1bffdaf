"""Old net and solver descriptions brought to the present form, as Caffe itself does when it reads them.

Three generations exist: V0 (`layers { layer { type: "conv" } }`), V1 (`layers { type: CONVOLUTION }`) and V2
(`layer { type: "Convolution" }`). The functions work on the messages of `camcaffe.caffe.messages`, with
blobs of numbers and with raw ones.
"""

from __future__ import annotations

from camcaffe.caffe import messages
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike

# V0 type -> V1 type.
_V0_TYPES = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}

# V0 type -> the V1 message that its fields move to. A field that the message lacks means nothing to that
# type, and Caffe drops it; so it does with a field that the type got only later.
_V0_OPTIONS = {
    "concat": "concat_param",
    "conv": "convolution_param",
    "data": "data_param",
    "dropout": "dropout_param",
    "hdf5_data": "hdf5_data_param",
    "images": "image_data_param",
    "infogain_loss": "infogain_loss_param",
    "innerproduct": "inner_product_param",
    "lrn": "lrn_param",
    "pool": "pooling_param",
    "window_data": "window_data_param",
}

_V0_DROPPED = {("hdf5_data", "shuffle_images")}

# V0 fields with another name in V1.
_V0_RENAMED = {
    "batchsize": "batch_size",
    "biasterm": "bias_term",
    "det_bg_threshold": "bg_threshold",
    "det_context_pad": "context_pad",
    "det_crop_mode": "crop_mode",
    "det_fg_fraction": "fg_fraction",
    "det_fg_threshold": "fg_threshold",
    "kernelsize": "kernel_size",
    "shuffle_images": "shuffle",
}

# V0 fields that became the layer's transform_param, whatever its type.
_V0_TRANSFORM = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}

# V1 data layers -> the message that held what is now in transform_param.
_V1_DATA = {"DATA": "data_param", "IMAGE_DATA": "image_data_param", "WINDOW_DATA": "window_data_param"}
_TRANSFORM_FIELDS = ("scale", "mean_file", "crop_size", "mirror")

# V1 type -> V2 type.
_V1_TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}

# V1's lists, one entry a weight blob -> the field of V2's ParamSpec.
_V1_PARAM = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}

_SOLVER_TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")


def upgrade_net(net: messages.NetParameter, source: PathLike) -> None:
    """Bring a net description of any generation to V2, in place.

    Args:
        net: the description, as parsed.
        source: its file, for errors.

    Raises:
        CamcaffeError: the description mixes V1 and V2, or has a type or a wiring that Caffe cannot upgrade.
    """
    if any(layer.HasField("layer") for layer in net.layers):
        _upgrade_v0(net, source)
    _upgrade_data_transformation(net)
    if net.layers:
        _upgrade_v1(net, source)
    if net.input:
        _upgrade_inputs(net, source)
    _upgrade_batch_norm(net)


def upgrade_solver(solver: messages.SolverParameter, source: PathLike) -> None:
    """Turn the old `solver_type: NESTEROV` into `type: "Nesterov"`, in place.

    Raises:
        CamcaffeError: both are given.
    """
    if not solver.HasField("solver_type"):
        return
    if solver.HasField("type"):
        raise CamcaffeError(source, "it gives both solver_type and type", "one of them")
    solver.type = _SOLVER_TYPES[solver.solver_type]
    solver.ClearField("solver_type")


def _upgrade_v0(net: messages.NetParameter, source: PathLike) -> None:
    _fold_padding_layers(net, source)
    for layer in net.layers:
        old = type(layer.layer)()
        old.CopyFrom(layer.layer)
        bottoms, tops = list(layer.bottom), list(layer.top)
        layer.Clear()
        layer.bottom.extend(bottoms)
        layer.top.extend(tops)
        _upgrade_v0_layer(old, layer, source)
    for name in ("input_shape", "state", "debug_info"):
        net.ClearField(name)  # fields of later versions, which Caffe's upgrade of V0 leaves behind


def _fold_padding_layers(net: messages.NetParameter, source: PathLike) -> None:
    """V0 padded in a layer of its own; since V1 the convolution (or pooling) behind it pads."""
    maker = dict.fromkeys(net.input)
    kept = []
    for layer in net.layers:
        for index, blob in enumerate(layer.bottom):
            if blob not in maker:
                raise CamcaffeError(source, f"unknown bottom blob {blob!r} of layer {layer.layer.name!r}")
            padding = maker[blob]
            if padding is None or padding.layer.type != "padding":
                continue
            if layer.layer.type not in ("conv", "pool") or len(layer.bottom) != 1:
                found = f"padding in front of layer {layer.layer.name!r} of type {layer.layer.type!r}"
                raise CamcaffeError(source, found, "a conv or pool layer with one bottom")
            if len(padding.bottom) != 1 or len(padding.top) != 1:
                found = f"padding layer {padding.layer.name!r} has not one bottom and one top"
                raise CamcaffeError(source, found)
            layer.layer.pad = padding.layer.pad
            layer.bottom[index] = padding.bottom[0]
        maker.update(dict.fromkeys(layer.top, layer))
        if layer.layer.type != "padding":
            kept.append(layer)
    rest = type(net)()
    rest.layers.extend(kept)
    net.ClearField("layers")
    net.layers.extend(rest.layers)


def _upgrade_v0_layer(old: messages.V0LayerParameter, new: messages.V1LayerParameter, source) -> None:
    if old.HasField("type"):
        if old.type not in _V0_TYPES:
            raise CamcaffeError(source, f"layer {old.name!r} has the unknown V0 type {old.type!r}")
        new.type = new.LayerType.Value(_V0_TYPES[old.type])
    for field, value in old.ListFields():
        if field.name in ("name", "blobs", "blobs_lr", "weight_decay"):
            _assign(new, field.name, value)
        elif field.name in _V0_TRANSFORM:
            _assign(new.transform_param, _V0_TRANSFORM[field.name], value)
        elif field.name == "hdf5_output_param" and old.type == "hdf5_output":
            new.hdf5_output_param.CopyFrom(value)
        elif old.type in _V0_OPTIONS and (old.type, field.name) not in _V0_DROPPED:
            options = getattr(new, _V0_OPTIONS[old.type])
            name = _V0_RENAMED.get(field.name, field.name)
            if name in options.DESCRIPTOR.fields_by_name:
                _assign(options, name, value)


def _upgrade_data_transformation(net: messages.NetParameter) -> None:
    data_layers = [
        (layer, getattr(layer, _V1_DATA[layer.LayerType.Name(layer.type)]))
        for layer in net.layers
        if layer.LayerType.Name(layer.type) in _V1_DATA
    ]
    if not any(options.HasField(name) for _, options in data_layers for name in _TRANSFORM_FIELDS):
        return
    for layer, options in data_layers:
        # Caffe touches both messages of every data layer, so that even empty ones are written.
        options.SetInParent()
        layer.transform_param.SetInParent()
        for name in _TRANSFORM_FIELDS:
            if options.HasField(name):
                setattr(layer.transform_param, name, getattr(options, name))
                options.ClearField(name)


def _upgrade_v1(net: messages.NetParameter, source: PathLike) -> None:
    if net.layer:
        raise CamcaffeError(
            source, "it has both 'layers' (V1) and 'layer' (V2), which Caffe refuses", "one of the two"
        )
    for old in net.layers:
        new = net.layer.add()
        if old.HasField("type"):
            new.type = _V1_TYPES[old.LayerType.Name(old.type)]
        for field, value in old.ListFields():
            if field.name in _V1_PARAM:
                for index, entry in enumerate(value):
                    while len(new.param) <= index:
                        new.param.add()
                    setattr(new.param[index], _V1_PARAM[field.name], entry)
            elif field.name not in ("type", "layer"):
                _assign(new, field.name, value)
    net.ClearField("layers")


def _upgrade_inputs(net: messages.NetParameter, source: PathLike) -> None:
    """Turn `input` with `input_shape` or `input_dim` into an Input layer in front of all others."""
    shapes = [list(shape.dim) for shape in net.input_shape]
    if not shapes and net.input_dim:
        shapes = [list(net.input_dim[i : i + 4]) for i in range(0, len(net.input_dim), 4)]
    if shapes:
        if len(shapes) < len(net.input) or (net.input_dim and len(net.input_dim) % 4):
            found = f"{len(net.input)} inputs with {len(net.input_dim)} input_dim, {len(shapes)} shapes"
            raise CamcaffeError(source, found, "one input_shape or four input_dim an input")
        front = type(net)()
        layer = front.layer.add(name="input", type="Input", top=list(net.input))
        for shape in shapes[: len(net.input)]:
            layer.input_param.shape.add(dim=shape)
        front.layer.extend(net.layer)
        net.ClearField("layer")
        net.layer.extend(front.layer)
    # Without shapes it is an old caffemodel's: Caffe drops the names.
    for name in ("input", "input_shape", "input_dim"):
        net.ClearField(name)


def _upgrade_batch_norm(net: messages.NetParameter) -> None:
    """Freeze the three statistics that old BatchNorm layers declared as if they were trained."""
    for layer in net.layer:
        if layer.type == "BatchNorm" and len(layer.param) == 3:
            for spec in layer.param:
                spec.lr_mult = spec.decay_mult = 0


def _assign(message, name: str, value) -> None:
    """Set field `name` of `message`, whichever kind of field it is; a single value for a list is added."""
    field = message.DESCRIPTOR.fields_by_name[name]
    target = getattr(message, name)
    if hasattr(target, "extend"):
        target.extend(value if hasattr(value, "__len__") and not isinstance(value, str) else [value])
    elif field.message_type is not None:
        target.CopyFrom(value)
    else:
        setattr(message, name, value)

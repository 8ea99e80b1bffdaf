"""A Caffe net as an ONNX model: for the engines that read ONNX, and for those who leave Caffe.

Blobs keep their names. A layer that works in place makes a new tensor; its blob's name goes to the last one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from google.protobuf.message import EncodeError

from camcaffe import files
from camcaffe._version import __version__
from camcaffe.caffe.engines import unsupported
from camcaffe.caffe.network import Network
from camcaffe.caffe.onnx_export import layers, windows
from camcaffe.caffe.onnx_export.graph import Dims, Graph, OpenBatch, Step, Unsupported
from camcaffe.caffe.shapes import Shapes, infer_shapes
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike

# ONNX Runtime reads these from 1.8 on; nothing newer is needed.
OPSET, IR_VERSION = 13, 7

LAYERS = {
    "AbsVal": layers.unary("Abs"),
    "ArgMax": layers.argmax,
    "BNLL": layers.unary("Softplus"),
    "BatchNorm": layers.batch_norm,
    "BatchReindex": layers.batch_reindex,
    "Bias": layers.bias,
    "Clip": layers.clip,
    "Concat": layers.concat,
    "Convolution": windows.convolution,
    "Crop": layers.crop,
    "Deconvolution": windows.deconvolution,
    "Dropout": layers.same,
    "ELU": layers.elu,
    "Eltwise": layers.eltwise,
    "Embed": layers.embed,
    "Exp": layers.exp,
    "Flatten": layers.reshape,
    "InnerProduct": layers.inner_product,
    "LRN": windows.lrn,
    "Log": layers.log,
    "MVN": layers.mvn,
    "PReLU": layers.prelu,
    "Parameter": layers.parameter,
    "Pooling": windows.pooling,
    "Power": layers.power,
    "ReLU": layers.relu,
    "Reduction": layers.reduction,
    "Reshape": layers.reshape,
    "SPP": windows.spp,
    "Scale": layers.scale,
    "Sigmoid": layers.unary("Sigmoid"),
    "Silence": layers.silence,
    "Slice": layers.slice_,
    "Softmax": layers.softmax,
    "Split": layers.same,
    "Swish": layers.swish,
    "TanH": layers.unary("Tanh"),
    "Threshold": layers.threshold,
    "Tile": layers.tile,
}


def to_onnx(
    network: Network,
    weights: Mapping[str, Sequence[np.ndarray]],
    blobs: Sequence[str] = (),
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    caffemodel: PathLike | None = None,
    converters: Mapping = LAYERS,
):
    """The part of a net behind `blobs` as an ONNX model.

    Args:
        network: the net, of phase TEST.
        weights: layer name -> its parameters.
        blobs: the blobs that become the model's outputs; none: the net's outputs.
        input_shapes: the inputs' shapes, where they differ from the network's. The model's inputs have them,
            but for the first dimension, which is left open ("N") where the net does not depend on it.
        caffemodel: where the weights are from, for the model's metadata.
        converters: layer type -> function; `LAYERS`, or a variation of it.

    Returns:
        An onnx.ModelProto.

    Raises:
        CamcaffeError: a blob is not in the net; a layer's type or settings have no form in ONNX; the shapes
            do not fit the net.
    """
    from onnx import helper

    blobs = list(blobs) or list(network.outputs)
    input_shapes = {**network.inputs, **(input_shapes or {})}
    shapes = infer_shapes(network, input_shapes)
    for blob in blobs:
        if blob not in shapes.blobs:
            raise CamcaffeError(network.source, f"no blob {blob!r}", "a blob of the net")
    doubled_inputs, doubled = _doubled_batch(network, shapes, input_shapes)
    try:
        graph, outputs = _graph(network, weights, blobs, (shapes, doubled), converters)
    except OpenBatch:
        doubled_inputs, doubled = input_shapes, shapes
        graph, outputs = _graph(network, weights, blobs, (shapes, shapes), converters)
    read = {tensor for node in graph.nodes for tensor in node.input}
    batch = next((shape[0] for shape in input_shapes.values() if shape), None)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            network.name or "net",
            [
                _declaration(name, shape, doubled_inputs[name], batch)
                for name, shape in input_shapes.items()
                if name in read
            ],
            [_declaration(outputs[blob], shapes.blobs[blob], doubled.blobs[blob], batch) for blob in blobs],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="camcaffe",
        producer_version=__version__,
    )
    model.ir_version = IR_VERSION
    names = {"net": network.name, "prototxt": Path(network.source).name}
    if caffemodel is not None:
        names["caffemodel"] = Path(caffemodel).name
    helper.set_model_props(model, names)
    return model


def write_onnx(
    path: PathLike,
    network: Network,
    weights: Mapping[str, Sequence[np.ndarray]],
    blobs: Sequence[str] = (),
    caffemodel: PathLike | None = None,
):
    """Write the part of a net behind `blobs` as an ONNX file, checked by `onnx.checker`.

    Args:
        path: where to; written whole or not at all.
        network: as in `to_onnx`, like the rest.
        weights: layer name -> its parameters.
        blobs: the model's outputs; none: the net's.
        caffemodel: where the weights are from, for the metadata.

    Returns:
        The onnx.ModelProto.

    Raises:
        CamcaffeError: as `to_onnx`; the model exceeds protobuf's 2 GB; the file cannot be written.
    """
    import onnx

    model = to_onnx(network, weights, blobs, caffemodel=caffemodel)
    try:
        onnx.checker.check_model(model, full_check=True)
        data = model.SerializeToString()
    except (EncodeError, ValueError) as error:
        raise CamcaffeError(path, f"the weights do not fit an ONNX file ({error})") from error
    files.write_bytes(path, data)
    return model


def _graph(network: Network, weights: Mapping, blobs: Sequence[str], pair: tuple, converters: Mapping):
    """The graph behind `blobs`, and the tensor of each of them."""
    graph = Graph(reserved=pair[0].blobs)
    tensors = {name: name for name in network.inputs}
    for index in _layers_behind(network, blobs):
        layer = network.layers[index]
        here, there = (shapes.layers[index] for shapes in pair)
        step = Step(
            layer,
            tuple(tensors[name] for name in layer.bottoms),
            tuple(map(_open_dims, here.bottoms, there.bottoms)),
            tuple(map(_open_dims, here.tops, there.tops)),
            list(weights.get(layer.name, ())),
        )
        if layer.type not in converters:
            raise unsupported(network.source, layer, "onnx")
        graph.layer = layer.name
        try:
            made = converters[layer.type](graph, step)
        except Unsupported as error:
            raise unsupported(network.source, layer, "onnx", str(error)) from error
        tensors.update(zip(layer.tops, [made] if isinstance(made, str) else made))
    return graph, graph.name_tensors(tensors, blobs, network.inputs)


def _doubled_batch(network: Network, shapes: Shapes, input_shapes: Mapping) -> tuple[dict, Shapes]:
    """Shapes of the inputs and of all blobs for twice the batch: the dimensions that then differ stay open.

    Where the net takes one batch size only, they are those of that size.
    """
    inputs = {name: (2 * shape[0], *shape[1:]) if shape else shape for name, shape in input_shapes.items()}
    try:
        doubled = infer_shapes(network, inputs)
    except CamcaffeError:
        return dict(input_shapes), shapes
    if any(a.params != b.params for a, b in zip(shapes.layers, doubled.layers)):
        return dict(input_shapes), shapes
    return inputs, doubled


def _layers_behind(network: Network, blobs: Sequence[str]) -> list[int]:
    """Indices of the layers that the blobs' last values depend on."""
    wanted, indices = set(blobs), []
    for index in range(len(network.layers) - 1, -1, -1):
        layer = network.layers[index]
        if wanted.intersection(layer.tops):
            wanted.difference_update(layer.tops)
            wanted.update(layer.bottoms)
            indices.append(index)
    return indices[::-1]


def _open_dims(shape: Sequence[int], doubled: Sequence[int]) -> Dims:
    return tuple(a if a == b else None for a, b in zip(shape, doubled))


def _declaration(tensor: str, shape: Sequence[int], doubled: Sequence[int], batch: int | None):
    from onnx import TensorProto, helper

    dims = [
        a if a == b else "N" if a == batch else f"{tensor}_{axis}"
        for axis, (a, b) in enumerate(zip(shape, doubled))
    ]
    return helper.make_tensor_value_info(tensor, TensorProto.FLOAT, dims)

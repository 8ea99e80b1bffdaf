"""The ONNX models themselves; what they compute is tested with the engines."""

import numpy as np
import pytest

from camcaffe.caffe.network import read_network
from camcaffe.caffe.onnx_export import IR_VERSION, OPSET, to_onnx, write_onnx
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.caffe.weights import fill_weights
from camcaffe.errors import CamcaffeError

onnx = pytest.importorskip("onnx")

PROTOTXT = """
name: "branches"
input: "data" input_dim: 2 input_dim: 3 input_dim: 8 input_dim: 6
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
layer { name: "copy" type: "Dropout" bottom: "data" top: "copy" }
"""


@pytest.fixture
def export(tmp_path):
    """From a prototxt's text to a checked model."""

    def convert(text, blobs=(), **options):
        path = tmp_path / "net.prototxt"
        path.write_text(text)
        network = read_network(path)
        model = to_onnx(network, fill_weights(network, infer_shapes(network)), blobs, **options)
        onnx.checker.check_model(model, full_check=True)
        return model

    return convert


def _dims(values):
    return {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in values
    }


def _input(*dims, name="data"):
    shape = " ".join(f"dim: {dim}" for dim in dims)
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {shape} }} }} }}\n'


def test_blobs_are_outputs_under_their_names(export):
    model = export(PROTOTXT, ["conv", "prob"])
    assert _dims(model.graph.input) == {"data": ["N", 3, 8, 6]}
    assert _dims(model.graph.output) == {"conv": ["N", 4, 8, 6], "prob": ["N", 5]}
    (maker,) = (node for node in model.graph.node if "conv" in node.output)
    assert maker.op_type == "Relu"  # the last of the layers in place that does anything


def test_the_nets_outputs_are_the_default(export):
    assert list(_dims(export(PROTOTXT).graph.output)) == ["copy", "prob"]


def test_only_what_the_blobs_need_is_there(export):
    model = export(PROTOTXT, ["conv"])
    assert [node.op_type for node in model.graph.node] == ["Conv", "Relu"]
    assert len(model.graph.initializer) == 2


def test_versions_and_metadata(export):
    model = export(PROTOTXT, caffemodel="folder/branches.caffemodel")
    assert (model.opset_import[0].version, model.ir_version) == (OPSET, IR_VERSION)
    assert model.producer_name == "camcaffe"
    assert model.graph.name == "branches"
    assert {prop.key: prop.value for prop in model.metadata_props} == {
        "net": "branches",
        "prototxt": "net.prototxt",
        "caffemodel": "branches.caffemodel",
    }


def test_an_input_that_is_also_an_output(export):
    model = export(PROTOTXT, ["copy", "data"])
    assert list(_dims(model.graph.output)) == ["copy", "data:last"]
    assert [node.op_type for node in model.graph.node] == ["Identity", "Identity"]


def test_names_that_look_like_ours(export):
    layers = """
    layer { name: "a" type: "ReLU" bottom: "data" top: "a:Relu" }
    layer { name: "a" type: "AbsVal" bottom: "a:Relu" top: "a:Abs" }
    layer { name: "a" type: "ReLU" bottom: "a:Abs" top: "a:Abs" }
    """
    model = export(_input(2, 3) + layers)
    names = [name for node in model.graph.node for name in node.output]
    assert len(set(names)) == len(names) == 3


def test_input_shapes_can_be_others(export):
    model = export(PROTOTXT, ["pool"], input_shapes={"data": (1, 3, 20, 11)})
    assert _dims(model.graph.output) == {"pool": ["N", 4, 10, 5]}


@pytest.mark.parametrize(
    ("layers", "dims"),
    [
        ('type: "InnerProduct" inner_product_param { num_output: 7 axis: 0 }', [7]),
        ('type: "Slice" top: "z" slice_param { axis: 0 slice_point: 1 }', [1, 3, 8, 6]),
        ('type: "ArgMax" argmax_param { axis: 0 top_k: 2 }', [2, 3, 8, 6]),
    ],
)
def test_a_batch_that_the_net_fixes_stays_fixed(export, layers, dims):
    model = export(_input(2, 3, 8, 6) + f'layer {{ name: "l" bottom: "data" top: "y" {layers} }}', ["y"])
    assert _dims(model.graph.output)["y"] == dims
    assert _dims(model.graph.input)["data"] == [2, 3, 8, 6]


def test_a_batch_that_moves_stays_open(export):
    layer = 'name: "l" type: "Reshape" bottom: "data" top: "y" reshape_param { shape { dim: 4 dim: -1 } }'
    model = export(_input(2, 3, 8, 6) + f"layer {{ {layer} }}")
    assert _dims(model.graph.input) == {"data": ["N", 3, 8, 6]}
    assert _dims(model.graph.output) == {"y": [4, "y_1"]}


def test_two_batches(export):
    text = (
        _input(2, 3)
        + _input(5, name="places")
        + (' layer { name: "l" type: "BatchReindex" bottom: "data" bottom: "places" top: "y" }')
    )
    model = export(text)
    assert _dims(model.graph.input) == {"data": ["N", 3], "places": ["places_0"]}
    assert _dims(model.graph.output) == {"y": ["y_0", 3]}


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        (
            'type: "Accuracy" bottom: "other"',
            "layer 'l' of type Accuracy is beyond the engine onnx; .* pycaffe",
        ),
        (
            'type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: 2 }',
            "layer 'l' of type Pooling with stochastic pooling is beyond the engine onnx",
        ),
        (
            'type: "Convolution" convolution_param { axis: 2 num_output: 1 kernel_size: 1 }',
            "layer 'l' of type Convolution with axis 2 is beyond",
        ),
    ],
)
def test_what_onnx_cannot_express_is_named(export, layer, line):
    text = _input(2, 3, 8, 6) + _input(2, 8, 6, name="other")
    text += f' layer {{ name: "l" bottom: "data" {layer} top: "y" }}'
    with pytest.raises(CamcaffeError, match=line):
        export(text, ["y"])


def test_unknown_blob(export):
    with pytest.raises(CamcaffeError, match="no blob 'conv6'"):
        export(PROTOTXT, ["conv6"])


def test_the_file_is_the_model(tmp_path, reference):
    network = read_network(reference / "cam_repo" / "deploy_googlenetCAM_places205.prototxt")
    weights = fill_weights(network, infer_shapes(network))
    path = tmp_path / "cam.onnx"
    write_onnx(path, network, weights, ["prob", "CAM_conv"])
    model = onnx.load(str(path))
    assert _dims(model.graph.output) == {"prob": ["N", 205], "CAM_conv": ["N", 1024, 14, 14]}
    sizes = {node.op_type: 0 for node in model.graph.node}
    for node in model.graph.node:
        sizes[node.op_type] += 1
    assert sizes == {
        "Conv": 46, "Relu": 46, "MaxPool": 10, "LRN": 2, "Concat": 7, "GlobalAveragePool": 1,
        "Reshape": 1, "Gemm": 1, "Softmax": 1,
    }  # fmt: skip
    stored = sum(np.prod(tensor.dims) for tensor in model.graph.initializer if tensor.data_type == 1)
    assert stored == sum(array.size for arrays in weights.values() for array in arrays) == 7531021


def test_command(camcaffe, tmp_path):
    (tmp_path / "net.prototxt").write_text(PROTOTXT)
    path = tmp_path / "net.onnx"
    result = camcaffe(
        "net", "to-onnx", tmp_path / "net.prototxt", "-o", path, "--blob", "prob", "--blob", "conv"
    )
    assert result.exit_code == 0, result.output
    assert "input   data (N x 3 x 8 x 6)" in result.output
    assert list(_dims(onnx.load(str(path)).graph.output)) == ["prob", "conv"]
    result = camcaffe("net", "to-onnx", tmp_path / "net.prototxt", "-o", tmp_path / "a.onnx", "--blob", "x")
    assert result.exit_code == 2
    assert "no blob 'x'" in result.output
    assert not (tmp_path / "a.onnx").exists()

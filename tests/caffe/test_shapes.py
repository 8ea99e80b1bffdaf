import importlib
import json
import math
import random
import subprocess
import sys

import numpy as np
import pytest
from google.protobuf import text_format

from camcaffe.caffe import messages
from camcaffe.caffe.caffemodel import read_caffemodel
from camcaffe.caffe.network import network_of, read_network
from camcaffe.caffe.shapes import infer_shapes, multiply_adds
from camcaffe.errors import CamcaffeError


def _text(layer, shapes, tops=1):
    """A net of one layer `y` whose bottoms are inputs of these shapes."""
    inputs = "".join(
        f'layer {{ name: "x{i}" type: "Input" top: "x{i}"'
        f" input_param {{ shape {{ {' '.join(f'dim: {dim}' for dim in shape)} }} }} }}\n"
        for i, shape in enumerate(shapes)
    )
    bottoms = " ".join(f'bottom: "x{i}"' for i in range(len(shapes)))
    names = " ".join(f'top: "y{i}"' for i in range(tops))
    return f'{inputs}layer {{ name: "y" {bottoms} {names} {layer} }}\n'


def _network(text):
    return network_of(text_format.Parse(text, messages.NetParameter()), "net.prototxt")


def test_layer_nets_of_real_caffe(reference):
    paths = sorted((reference / "caffe" / "layers").glob("*.prototxt"))
    assert len(paths) == 82
    for path in paths:
        network, arrays = read_network(path), np.load(path.with_suffix(".npz"))
        shapes = infer_shapes(network)
        assert shapes.blobs[str(arrays["y_name"])] == arrays["y"].shape, path.name
        weights = read_caffemodel(path.with_suffix(".caffemodel"))
        for layer, layer_shapes in zip(network.layers, shapes.layers):
            assert layer_shapes.params == tuple(a.shape for a in weights.get(layer.name, ())), path.name


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds_each"),
    [
        # Parameters as the original nets have; multiply-adds counted by hand from their layers.
        ("cam_repo/deploy_alexnetplusCAM_imagenet.prototxt", 5_133_800, 0.95e9),
        ("cam_repo/deploy_alexnetplusCAM_places205.prototxt", 4_725_965, 0.95e9),
        ("cam_repo/deploy_vgg16CAM.prototxt", 18_100_008, 15.81e9),
        ("cam_repo/deploy_googlenetCAM_places205.prototxt", 7_531_021, 2.21e9),
        ("caffe/deploy_squeezenetCAM.prototxt", 1_248_424, 0.747e9),
    ],
)
def test_totals_of_the_original_nets(reference, name, parameters, multiply_adds_each):
    network = read_network(reference / name)
    shapes = infer_shapes(network)
    assert sum(math.prod(blob) for layer in shapes.layers for blob in layer.params) == parameters
    total = sum(multiply_adds(layer, s) for layer, s in zip(network.layers, shapes.layers))
    assert total / network.inputs["data"][0] == pytest.approx(multiply_adds_each, rel=5e-3)


# Rules that no net of the reference reaches: (layer, bottoms, tops, weights), checked with real Caffe below.
CASES = [
    ('type: "Convolution" convolution_param { num_output: 4 kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 3 '
     "pad_h: 0 pad_w: 4 }", [(2, 3, 9, 7)], [(2, 4, 7, 5)], [(4, 3, 3, 2), (4,)]),
    ('type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 kernel_size: 2 axis: 2 }',
     [(2, 3, 5, 9, 7)], [(2, 3, 4, 7, 6)], [(4, 5, 3, 2), (4,)]),
    ('type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 }', [(2, 3, 9)], [(2, 4, 7)],
     [(4, 3, 3), (4,)]),
    ('type: "Convolution" convolution_param { num_output: 4 kernel_size: 1 }', [(2, 3, 9, 7)] * 2,
     [(2, 4, 9, 7)] * 2, [(4, 3, 1, 1), (4,)]),
    ('type: "Deconvolution" convolution_param { num_output: 4 group: 2 kernel_size: 3 stride: 2 pad: 1 '
     "bias_term: false }", [(2, 6, 5, 4)], [(2, 4, 9, 7)], [(6, 2, 3, 3)]),
    ('type: "Deconvolution" convolution_param { num_output: 3 kernel_size: 3 dilation: 2 }', [(2, 6, 5, 4)],
     [(2, 3, 9, 8)], [(6, 3, 3, 3), (3,)]),
    ('type: "Im2col" convolution_param { kernel_size: 3 stride: 2 pad: 1 }', [(2, 3, 9, 7)],
     [(2, 27, 5, 4)], []),
    # Pooling rounds up, and clips the last window where it would start in the padding.
    ('type: "Pooling" pooling_param { kernel_size: 2 stride: 2 }', [(1, 3, 5, 6)], [(1, 3, 3, 3)], []),
    ('type: "Pooling" pooling_param { kernel_size: 2 stride: 2 pad: 1 }', [(1, 3, 5, 6)], [(1, 3, 3, 4)], []),
    ('type: "Pooling" pooling_param { kernel_h: 3 kernel_w: 2 stride_h: 3 stride_w: 2 pad_h: 0 pad_w: 1 }',
     [(1, 3, 7, 5)], [(1, 3, 3, 3)], []),
    ('type: "Pooling" pooling_param { kernel_size: 2 stride: 2 round_mode: FLOOR }', [(1, 3, 5, 6)],
     [(1, 3, 2, 3)], []),
    ('type: "Pooling" pooling_param { kernel_size: 9 stride: 9 pool: AVE }', [(1, 3, 5, 7)],
     [(1, 3, 1, 1)], []),
    ('type: "Pooling" pooling_param { kernel_size: 2 stride: 2 }', [(1, 3, 5, 6)], [(1, 3, 3, 3)] * 2, []),
    ('type: "Pooling" pooling_param { global_pooling: true pool: AVE }', [(2, 3, 5, 6)], [(2, 3, 1, 1)], []),
    ('type: "LRN" lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }', [(2, 3, 5, 6)],
     [(2, 3, 5, 6)], []),
    ('type: "MVN"', [(2, 3)], [(2, 3, 1, 1)], []),
    ('type: "InnerProduct" inner_product_param { num_output: 5 bias_term: false axis: -1 transpose: true }',
     [(2, 3, 4)], [(2, 3, 5)], [(4, 5)]),
    ('type: "InnerProduct" inner_product_param { num_output: 5 axis: 0 }', [(2, 3)], [(5,)], [(5, 6), (5,)]),
    ('type: "Embed" embed_param { num_output: 5 input_dim: 9 }', [(2, 3)], [(2, 3, 5)], [(9, 5), (5,)]),
    ('type: "BatchNorm" batch_norm_param { use_global_stats: true }', [(2, 7)], [(2, 7)], [(7,), (7,), (1,)]),
    ('type: "Scale" scale_param { axis: 0 num_axes: -1 bias_term: true }', [(2, 3, 4)], [(2, 3, 4)],
     [(2, 3, 4), (2, 3, 4)]),
    ('type: "Scale" scale_param { axis: -2 num_axes: 2 }', [(2, 3, 4)], [(2, 3, 4)], [(3, 4)]),
    ('type: "Scale" scale_param { num_axes: 0 }', [(2, 3, 4)], [(2, 3, 4)], [()]),
    ('type: "Scale" scale_param { axis: 0 bias_term: true }', [(2, 3, 4), (2, 3)], [(2, 3, 4)], [(2, 3)]),
    ('type: "Bias" bias_param { axis: 1 num_axes: 2 }', [(2, 3, 4)], [(2, 3, 4)], [(3, 4)]),
    ('type: "Bias" bias_param { axis: 1 }', [(2, 3, 4), (3, 4)], [(2, 3, 4)], []),
    ('type: "PReLU" prelu_param { channel_shared: true }', [(2, 3, 4)], [(2, 3, 4)], [()]),
    ('type: "Concat" concat_param { axis: -1 }', [(2, 3, 4), (2, 3, 1), (2, 3, 2)], [(2, 3, 7)], []),
    ('type: "Concat" concat_param { concat_dim: 0 }', [(2, 3), (5, 3)], [(7, 3)], []),
    ('type: "Slice" slice_param { axis: 2 slice_point: 1 slice_point: 4 }', [(2, 3, 6)],
     [(2, 3, 1), (2, 3, 3), (2, 3, 2)], []),
    ('type: "Slice" slice_param { slice_dim: 0 }', [(6, 3)], [(2, 3)] * 3, []),
    ('type: "Split"', [(2, 3)], [(2, 3)] * 3, []),
    ('type: "Silence"', [(2, 3), (4,)], [], []),
    ('type: "Flatten" flatten_param { axis: -3 end_axis: -2 }', [(2, 3, 4, 5)], [(2, 12, 5)], []),
    ('type: "Reshape" reshape_param { shape { dim: 0 dim: -1 dim: 2 } }', [(2, 3, 4)], [(2, 6, 2)], []),
    ('type: "Reshape" reshape_param { axis: 1 num_axes: 1 shape { dim: 3 dim: 1 } }', [(2, 3, 4)],
     [(2, 3, 1, 4)], []),
    ('type: "Reshape" reshape_param { axis: -1 shape { dim: 1 } }', [(2, 3)], [(2, 3, 1)], []),
    ('type: "Reshape" reshape_param { axis: 1 num_axes: 0 shape { dim: 1 } }', [(2, 3)], [(2, 1, 3)], []),
    ('type: "Crop" crop_param { axis: 2 offset: 1 offset: 2 }', [(2, 3, 9, 8), (7, 1, 5, 6)],
     [(2, 3, 5, 6)], []),
    ('type: "Crop" crop_param { axis: 1 offset: 1 }', [(2, 3, 9, 8), (1, 2, 5, 6)], [(2, 2, 5, 6)], []),
    ('type: "ArgMax" argmax_param { top_k: 2 }', [(2, 3, 4, 5)], [(2, 1, 2, 1)], []),
    ('type: "ArgMax" argmax_param { top_k: 3 out_max_val: true }', [(2, 5)], [(2, 2, 3)], []),
    ('type: "ArgMax" argmax_param { axis: -1 out_max_val: true }', [(2, 3, 4)], [(2, 3, 1)], []),
    ('type: "Reduction" reduction_param { axis: 2 operation: MEAN }', [(2, 3, 4, 5)], [(2, 3)], []),
    ('type: "Reduction"', [(2, 3)], [()], []),
    ('type: "Tile" tile_param { axis: -1 tiles: 3 }', [(2, 3)], [(2, 9)], []),
    ('type: "Filter"', [(4, 3), (4, 2), (4,)], [(4, 3), (4, 2)], []),
    ('type: "BatchReindex"', [(4, 3, 2), (7,)], [(7, 3, 2)], []),
    ('type: "SPP" spp_param { pyramid_height: 3 }', [(2, 3, 12, 16)], [(2, 63)], []),
    ('type: "SPP" spp_param { pyramid_height: 1 }', [(2, 3, 12, 16)], [(2, 3, 1, 1)], []),
    ('type: "Parameter" parameter_param { shape { dim: 3 dim: 2 } }', [], [(3, 2)], [(3, 2)]),
    ('type: "Softmax" softmax_param { axis: -2 }', [(2, 3, 4)], [(2, 3, 4)], []),
    ('type: "SoftmaxWithLoss"', [(2, 3), (2,)], [()], []),
    ('type: "EuclideanLoss"', [(2, 3), (2, 3)], [()], []),
    ('type: "Accuracy"', [(2, 3), (2,)], [(), (3,)], []),
    ('type: "Clip" clip_param { min: 0 max: 1 }', [(2, 3)], [(2, 3)], []),
    ('type: "Swish"', [(2, 3)], [(2, 3)], []),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "bottoms", "tops", "params"), CASES)
def test_rules(layer, bottoms, tops, params):
    network = _network(_text(layer, bottoms, len(tops)))
    shapes = infer_shapes(network)
    assert [shapes.blobs[f"y{i}"] for i in range(len(tops))] == tops
    assert shapes.layers == (type(shapes.layers[0])(tuple(bottoms), tuple(tops), tuple(params)),)


def test_in_place_layers_and_other_input_shapes():
    text = _text('type: "Pooling" pooling_param { kernel_size: 3 stride: 2 }', [(1, 3, 9, 8)])
    network = _network(text + 'layer { name: "relu" type: "ReLU" bottom: "y0" top: "y0" }')
    assert infer_shapes(network).blobs == {"x0": (1, 3, 9, 8), "y0": (1, 3, 4, 4)}
    other = infer_shapes(network, {"x0": np.array([5, 2, 11, 13])})
    assert other.blobs == {"x0": (5, 2, 11, 13), "y0": (5, 2, 5, 6)}
    assert [layer.bottoms for layer in other.layers] == [((5, 2, 11, 13),), ((5, 2, 5, 6),)]
    with pytest.raises(CamcaffeError, match=r"net\.prototxt: there is no input 'data'; expected x0"):
        infer_shapes(network, {"data": (1, 3, 9, 8)})


def test_data_layers_need_shapes():
    network = _network(
        'layer { name: "d" type: "Data" top: "data" top: "label" }'
        'layer { name: "l" type: "SoftmaxWithLoss" bottom: "data" bottom: "label" top: "l" }'
    )
    with pytest.raises(CamcaffeError, match=r"layer 'd' of type Data: .* or shapes for 'data', 'label'"):
        infer_shapes(network)
    assert infer_shapes(network, {"data": (4, 3), "label": (4,)}).blobs["l"] == ()


@pytest.mark.parametrize(
    ("layer", "bottoms", "match"),
    [
        ('type: "Convolutoin"', [(1, 2)], "layer 'y' of type Convolutoin: an unknown layer type"),
        ('type: "LSTM"', [(1, 2), (1, 2)], "layer 'y' of type LSTM: recurrent layers are not supported"),
        ('type: "Python"', [(1, 2)], "of type Python: it runs code of the net's author"),
        ('type: "ReLU"', [(1, 2), (1, 2)], "of type ReLU: 2 bottoms; expected 1"),
        ('type: "Eltwise"', [(1, 2)], "1 bottoms; expected 2 or more"),
        ('type: "Scale"', [(1, 2)] * 3, "3 bottoms; expected 1 to 2"),
        ('type: "ReLU" top: "z"', [(1, 2)], "2 tops; expected 1"),
        ('type: "Convolution"', [(1, 3, 9, 7)], "num_output 0 or missing"),
        (
            'type: "Convolution" convolution_param { num_output: 4 }',
            [(1, 3, 9, 7)],
            "0 values of kernel_size",
        ),
        (
            'type: "Convolution" convolution_param { num_output: 4 kernel_size: 0 }',
            [(1, 3, 9, 7)],
            r"\(0, 0\)",
        ),
        (
            'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 stride: 0 }',
            [(1, 3, 9, 7)],
            "stride",
        ),
        ('type: "Convolution" convolution_param { num_output: 4 kernel_h: 3 }', [(1, 3, 9, 7)], r"\(3, 0\)"),
        (
            'type: "Convolution" convolution_param { num_output: 4 kernel_h: 3 kernel_w: 3 kernel_size: 3 }',
            [(1, 3, 9, 7)],
            "beside kernel_size",
        ),
        (
            'type: "Convolution" convolution_param { num_output: 4 kernel_size: 8 }',
            [(1, 3, 9, 7)],
            "not empty",
        ),
        (
            'type: "Convolution" convolution_param { num_output: 4 kernel_size: 1 group: 2 }',
            [(1, 3, 9, 7)],
            "3 ch",
        ),
        (
            'type: "Convolution" convolution_param { num_output: 4 kernel_size: 1 group: 0 }',
            [(1, 3, 9, 7)],
            "0 gr",
        ),
        (
            'type: "Convolution" convolution_param { num_output: 4 kernel_size: 1 axis: 4 }',
            [(1, 3, 9, 7)],
            "axis 4",
        ),
        ('type: "Pooling" pooling_param { }', [(1, 3, 9, 7)], r"kernel \(0, 0\)"),
        (
            'type: "Pooling" pooling_param { kernel_size: 2 kernel_h: 2 kernel_w: 2 }',
            [(1, 3, 9, 7)],
            "unclear kernel",
        ),
        ('type: "Pooling" pooling_param { kernel_size: 2 stride_w: 2 }', [(1, 3, 9, 7)], "an unclear stride"),
        (
            'type: "Pooling" pooling_param { kernel_size: 2 pad: 2 }',
            [(1, 3, 9, 7)],
            "a pad smaller than the kernel",
        ),
        (
            'type: "Pooling" pooling_param { kernel_size: 2 global_pooling: true }',
            [(1, 3, 9, 7)],
            "global_pooling",
        ),
        (
            'type: "Pooling" pooling_param { pad: 1 global_pooling: true }',
            [(1, 3, 9, 7)],
            "pad 0 and stride 1",
        ),
        (
            'type: "Pooling" pooling_param { kernel_size: 3 pad: 1 pool: STOCHASTIC }',
            [(1, 3, 9, 7)],
            "stochastic",
        ),
        ('type: "Pooling" pooling_param { kernel_size: 2 }', [(1, 3, 9)], "four axes"),
        ('type: "LRN" lrn_param { local_size: 4 }', [(1, 3, 9, 7)], "local_size 4; expected an odd number"),
        (
            'type: "InnerProduct" inner_product_param { num_output: 5 axis: 2 }',
            [(1, 3)],
            "axis 2 on the shape",
        ),
        ('type: "Eltwise"', [(1, 3), (1, 4)], r"shapes \(1, 3\), \(1, 4\); expected one shape"),
        ('type: "Eltwise" eltwise_param { coeff: 1 }', [(1, 3), (1, 3)], "1 coeff for 2 bottoms"),
        ('type: "Concat"', [(1, 3, 2), (1, 3, 3)], "differ in axis 1 only"),
        (
            'type: "Concat" concat_param { axis: 1 concat_dim: 1 }',
            [(1, 3), (1, 3)],
            "both axis and concat_dim",
        ),
        ('type: "Slice" slice_param { slice_point: 4 } top: "z"', [(1, 4)], "rising points"),
        ('type: "Slice" top: "z"', [(1, 3)], "2 tops of 3 entries in axis 1"),
        ('type: "Flatten" flatten_param { axis: 2 end_axis: 1 }', [(1, 3, 4)], "axes in order"),
        ('type: "Reshape" reshape_param { shape { dim: 5 } }', [(2, 3)], r"a shape \(5,\) from \(2, 3\)"),
        ('type: "Reshape" reshape_param { shape { dim: -1 dim: -1 } }', [(2, 3)], "at most one -1"),
        ('type: "Reshape" reshape_param { shape { dim: -1 dim: 4 } }', [(2, 3)], "a whole number for -1"),
        ('type: "Reshape" reshape_param { shape { dim: 1 dim: 6 dim: 0 } }', [(2, 3)], "an axis to copy"),
        ('type: "Reshape" reshape_param { axis: 3 shape { dim: 1 } }', [(2, 3)], "axes that are there"),
        ('type: "Reshape" reshape_param { shape { dim: -6 dim: -1 } }', [(2, 3)], "dims"),
        ('type: "Crop" crop_param { offset: 3 }', [(1, 1, 5, 5), (1, 1, 3, 3)], "a crop that lies inside"),
        (
            'type: "Crop" crop_param { offset: 1 offset: 1 offset: 1 }',
            [(1, 1, 5, 5), (1, 1, 3, 3)],
            "one offset or 2",
        ),
        ('type: "ArgMax" argmax_param { top_k: 4 }', [(1, 3)], "top_k 4 of 3"),
        ('type: "Tile" tile_param { tiles: -1 }', [(1, 3)], "tiles -1"),
        ('type: "Exp" exp_param { base: 0 }', [(1, 3)], "base 0.0; expected a positive base"),
        ('type: "Scale" scale_param { num_axes: 3 }', [(1, 3)], "num_axes 3 on"),
        ('type: "Scale"', [(1, 3), (4,)], "the second within the first, at axis 1"),
        ('type: "PReLU"', [(3,)], "at least two axes"),
        ('type: "BatchNorm"', [(3,)], "at least two axes"),
        ('type: "BatchReindex"', [(4, 3), (7, 1)], "one axis"),
        ('type: "SPP" spp_param { pyramid_height: 4000000000 }', [(1, 3, 4, 4)], "pyramid_height"),
        # Caffe counts a blob's values in an int.
        (
            'type: "InnerProduct" inner_product_param { num_output: 4000000000 }',
            [(1, 3)],
            r"a top blob of layer 'y' of type InnerProduct has the shape \(1, 4000000000\); expected .* val",
        ),
        (
            'type: "InnerProduct" inner_product_param { num_output: 99999 }',
            [(1, 99999)],
            "a weight blob of layer 'y'",
        ),
        ('type: "Tile" tile_param { tiles: 2147483647 }', [(9, 9)], "a top blob of layer 'y'"),
        ('type: "ReLU"', [(1, 0)], r"input 'x0' has the shape \(1, 0\)"),
        ('type: "ReLU"', [(1, -3)], r"input 'x0' has the shape \(1, -3\)"),
        ('type: "ReLU"', [(1 << 40, 1 << 40)], "at most 2,147,483,647 values"),
        ('type: "ReLU"', [(1,) * 33], "input 'x0' has the shape of 33 axes"),
        (f'type: "Reshape" reshape_param {{ shape {{ {"dim: 1 " * 40} }} }}', [(1, 1)], "of 40 axes"),
    ],
)
def test_errors(layer, bottoms, match):
    with pytest.raises(CamcaffeError, match=match) as error:
        infer_shapes(_network(_text(layer, bottoms)))
    assert str(error.value).startswith("net.prototxt: ") and len(str(error.value)) < 300


def _random_cases(count):
    """Convolutions, poolings and the like with random settings, as far as our own rules accept them."""
    rng = random.Random(0)
    cases = []
    while len(cases) < count:
        shape = (rng.randint(1, 2), rng.choice([2, 4, 6]), rng.randint(1, 12), rng.randint(1, 12))
        kind = rng.choice(
            ["Convolution", "Deconvolution", "Pooling", "Pooling", "Reshape", "Flatten", "Slice"]
        )
        k, s, p, d, g = (
            rng.randint(1, 5),
            rng.randint(1, 4),
            rng.randint(0, 3),
            rng.randint(1, 3),
            rng.choice([1, 2]),
        )
        settings = {
            "Convolution": f"convolution_param {{ num_output: 4 kernel_size: {k} stride: {s} pad: {p} "
            f"dilation: {d} group: {g} }}",
            "Deconvolution": f"convolution_param {{ num_output: 4 kernel_h: {k} kernel_w: {d} stride: {s} "
            f"pad: {p} group: {g} }}",
            "Pooling": f"pooling_param {{ kernel_h: {k} kernel_w: {d} stride_h: {s} stride_w: {g} pad: {p} "
            f"pool: {rng.choice(['MAX', 'AVE'])} round_mode: {rng.choice(['CEIL', 'FLOOR'])} }}",
            "Reshape": f"reshape_param {{ axis: {rng.randint(-3, 3)} num_axes: {rng.randint(-1, 2)} "
            f"shape {{ {' '.join(f'dim: {rng.randint(-1, 2)}' for _ in range(rng.randint(0, 3)))} }} }}",
            "Flatten": f"flatten_param {{ axis: {rng.randint(-4, 3)} end_axis: {rng.randint(-4, 3)} }}",
            "Slice": f"slice_param {{ axis: {rng.randint(-4, 3)} }}",
        }[kind]
        text = _text(f'type: "{kind}" {settings}', [shape], 2 if kind == "Slice" else 1)
        try:
            infer_shapes(_network(text))
        except CamcaffeError:
            continue
        cases.append(text)
    return cases


CAFFE_SHAPES = """
import json, sys
from caffe.pycaffe import Net
for path in sys.argv[1:]:
    net = Net(path, 1)
    blobs = {name: list(blob.data.shape) for name, blob in net.blobs.items()}
    params = {name: [list(blob.data.shape) for blob in blobs] for name, blobs in net.params.items()}
    print(json.dumps([blobs, params]), flush=True)
"""


@pytest.mark.pycaffe
def test_shapes_as_caffe_infers_them(tmp_path):
    importlib.import_module("caffe.pycaffe")
    texts = [_text(layer, bottoms, len(tops)) for layer, bottoms, tops, _ in CASES] + _random_cases(300)
    paths = []
    for index, text in enumerate(texts):
        paths.append(tmp_path / f"{index}.prototxt")
        paths[-1].write_text(text)
    # Where Caffe disagrees it ends the process, and the net after the last line is the one.
    output = subprocess.run(
        [sys.executable, "-c", CAFFE_SHAPES, *paths], capture_output=True, text=True, timeout=300
    ).stdout.splitlines()
    for text, line in zip(texts, output):
        network = _network(text)
        shapes = infer_shapes(network)
        blobs, params = json.loads(line)
        assert {name: tuple(shape) for name, shape in blobs.items()} == shapes.blobs, text
        ours = [list(map(list, layer.params)) for layer in shapes.layers if layer.params]
        assert list(params.values()) == ours, text
    assert len(output) == len(texts), f"Caffe refuses:\n{texts[len(output)]}"

import importlib

import numpy as np
import pytest
from google.protobuf import text_format

from camcaffe.caffe import messages
from camcaffe.caffe.caffemodel import read_caffemodel, write_caffemodel
from camcaffe.caffe.fillers import fill
from camcaffe.caffe.geometry import Misfit
from camcaffe.caffe.network import network_of, read_network
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.caffe.weights import fill_weights, load_weights, read_weights
from camcaffe.errors import CamcaffeError

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 1 dim: 1 } } }
layer {
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "gaussian" } bias_filler { value: 3 }
  }
}
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 4 } }
"""
WEIGHTS = {
    "conv": [np.arange(6, dtype=np.float32).reshape(2, 3, 1, 1), np.float32([1, 2])],
    "fc": [np.arange(8, dtype=np.float32).reshape(4, 2), np.float32([1, 2, 3, 4])],
}


def _network(text=NET):
    network = network_of(text_format.Parse(text, messages.NetParameter()), "net.prototxt")
    return network, infer_shapes(network)


@pytest.fixture
def write(tmp_path):
    def write(weights):
        layers = [{"name": name, "blobs": list(map(_blob, arrays))} for name, arrays in weights.items()]
        path = tmp_path / "net.caffemodel"
        path.write_bytes(messages.NetParameter(layer=layers).SerializeToString())
        return path

    return write


def _blob(array):
    return {"shape": {"dim": array.shape}, "data": array.ravel().tolist()}


def _same(weights, others):
    assert list(weights) == list(others)
    for name, arrays in weights.items():
        for array, other in zip(arrays, others[name]):
            assert array.dtype == np.float32 and array.flags.writeable
            np.testing.assert_array_equal(array, other)
            assert array.shape == other.shape


def test_weights_go_by_name(write):
    path = write({"unknown": [np.zeros((5, 5))], "fc": WEIGHTS["fc"], "conv": WEIGHTS["conv"]})
    _same(load_weights(*_network(), path), WEIGHTS)


def test_legacy_blobs_have_four_axes(write):
    legacy = {
        "conv": [WEIGHTS["conv"][0], WEIGHTS["conv"][1].reshape(1, 1, 1, 2)],
        "fc": [WEIGHTS["fc"][0].reshape(1, 1, 4, 2), WEIGHTS["fc"][1].reshape(1, 1, 1, 4)],
    }
    _same(load_weights(*_network(), write(legacy)), WEIGHTS)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"fc": WEIGHTS["fc"][:1]}, r"layer 'fc': 1 weight blobs; expected 2"),
        (
            {"fc": [np.zeros((2, 4)), np.zeros(4)]},
            r"layer 'fc': weight blob 0 of shape \(2, 4\); expected \(4, 2\)",
        ),
        ({"fc": [np.zeros((4, 2)), np.zeros((4, 1, 1, 1))]}, r"weight blob 1 of shape \(4, 1, 1, 1\)"),
        (
            {"conv": [np.full((2, 3, 1, 1), np.nan), np.zeros(2)]},
            "layer 'conv': weight blob 0 has NaN or infinite",
        ),
        (
            {"conv": [np.zeros((2, 3, 1, 1)), np.array([1, np.inf])]},
            "weight blob 1 has NaN or infinite values",
        ),
        ({"conv": [], "fc": [], "other": [np.zeros(1)]}, "it has weights for no layer of net.prototxt"),
    ],
)
def test_weights_that_do_not_fit(write, changed, match):
    path = write({**WEIGHTS, **changed})
    with pytest.raises(CamcaffeError, match=match) as error:
        load_weights(*_network(), path)
    assert str(error.value).startswith(str(path))


def test_layers_that_the_file_lacks_are_filled(write):
    path = write({"fc": WEIGHTS["fc"]})
    assert read_weights(*_network(), path)[1] == ["conv"]
    with pytest.warns(UserWarning, match=r"net.caffemodel lacks layer conv: filled as net.prototxt says"):
        weights = load_weights(*_network(), path, seed=3)
    assert list(weights) == ["conv", "fc"]
    np.testing.assert_array_equal(weights["fc"][0], WEIGHTS["fc"][0])
    np.testing.assert_array_equal(weights["conv"][1], [3, 3])
    assert np.ptp(weights["conv"][0]) > 0


def test_fillers_of_the_prototxt():
    weights = fill_weights(*_network(), seed=1)
    assert {name: [array.shape for array in arrays] for name, arrays in weights.items()} == {
        "conv": [(2, 3, 1, 1), (2,)],
        "fc": [(4, 2), (4,)],
    }
    assert (weights["conv"][1] == 3).all() and not weights["fc"][0].any()
    _same(weights, fill_weights(*_network(), seed=1))
    assert (weights["conv"][0] != fill_weights(*_network(), seed=2)["conv"][0]).any()


@pytest.mark.parametrize(
    ("layer", "values"),
    [
        ('type: "BatchNorm"', [0, 0, 0]),
        ('type: "Scale" scale_param { bias_term: true }', [1, 0]),
        (
            'type: "Scale" scale_param { filler { value: 5 } bias_term: true bias_filler { value: 2 } }',
            [5, 2],
        ),
        (
            'type: "Scale" bottom: "data" scale_param { axis: 0 bias_term: true bias_filler { value: 2 } }',
            [2],
        ),
        ('type: "Bias" bias_param { filler { value: 4 } }', [4]),
        ('type: "PReLU"', [0.25]),
        ('type: "PReLU" prelu_param { filler { value: -1 } channel_shared: true }', [-1]),
        ('type: "Embed" embed_param { input_dim: 3 num_output: 2 bias_filler { value: 2 } }', [0, 2]),
        (
            'type: "Deconvolution" '
            "convolution_param { num_output: 2 kernel_size: 1 weight_filler { value: 7 } }",
            [7, 0],
        ),
    ],
)
def test_what_layers_start_from(layer, values):
    weights = fill_weights(*_network(f'{NET} layer {{ name: "y" bottom: "data" top: "y" {layer} }}'))
    assert [array.min() for array in weights["y"]] == values
    assert [array.max() for array in weights["y"]] == values


def test_errors_in_fillers_name_the_layer():
    with pytest.raises(
        CamcaffeError, match=r"net.prototxt: layer 'conv' of type Convolution: the unknown filler 'x'"
    ):
        fill_weights(*_network(NET.replace("gaussian", "x")))
    text = NET + 'layer { name: "fc" type: "PReLU" bottom: "fc" top: "g" }'
    with pytest.raises(CamcaffeError, match="two layers with weights are named 'fc'"):
        fill_weights(*_network(text))


SHARED = """
layer { name: "a" type: "Input" top: "a" top: "b" input_param { shape { dim: 1 dim: 3 } } }
layer {
  name: "first" type: "InnerProduct" bottom: "a" top: "x" param { name: "w" } param { }
  inner_product_param { num_output: 2 weight_filler { type: "uniform" } }
}
layer {
  name: "second" type: "InnerProduct" bottom: "b" top: "y" param { name: "w" } param { }
  inner_product_param { num_output: 2 weight_filler { type: "uniform" } }
}
"""


def test_layers_share_weights_by_name(write):
    network, shapes = _network(SHARED)
    weights = fill_weights(network, shapes)
    assert np.shares_memory(weights["first"][0], weights["second"][0])
    assert not np.shares_memory(weights["first"][1], weights["second"][1])
    pair = [np.ones((2, 3)), np.zeros(2)]
    loaded = load_weights(network, shapes, write({"first": pair, "second": [pair[0] + 1, pair[1] + 1]}))
    assert np.shares_memory(loaded["first"][0], loaded["second"][0])
    assert (loaded["first"][0] == 2).all() and not loaded["first"][1].any() and loaded["second"][1].all()


def test_layers_may_share_only_what_fits():
    wrong = SHARED.replace('"b" top: "y"', '"b2" top: "y"').replace(
        'layer {\n  name: "second"',
        'layer { name: "flat" type: "Reshape" bottom: "b" top: "b2" '
        "reshape_param { shape { dim: 3 dim: 1 } } }\n"
        'layer {\n  name: "second"',
    )
    with pytest.raises(CamcaffeError, match=r"layer 'second' shares 'w' of shape \(2, 3\) as \(2, 1\)"):
        fill_weights(*_network(wrong))
    wide = wrong.replace("dim: 3 dim: 1", "dim: 1 dim: 3 dim: 1").replace(
        "num_output: 2 weight", "num_output: 3 weight", 1
    )
    wide = wide.replace('"y" param { name: "w" }', '"y" param { name: "w" share_mode: PERMISSIVE }')
    with pytest.raises(CamcaffeError, match="shares 'w'"):
        fill_weights(*_network(wide))


@pytest.mark.parametrize(
    ("options", "shape", "mean", "std", "low", "high"),
    [
        ({"type": "constant", "value": 2.5}, (3, 4), 2.5, 0, 2.5, 2.5),
        ({"type": "uniform", "min": -1, "max": 3}, (200, 500), 1, 4 / 12**0.5, -1, 3),
        ({"type": "uniform"}, (200, 500), 0.5, 1 / 12**0.5, 0, 1),
        ({"type": "gaussian", "mean": 2, "std": 0.5}, (200, 500), 2, 0.5, -1, 5),
        ({"type": "gaussian", "std": 1, "sparse": 50}, (200, 500), 0, 0.5, -6, 6),
        # fan in 5*9, fan out 200*9; the limit of a uniform distribution is sqrt(3) times its deviation.
        ({"type": "xavier", "std": 9}, (200, 5, 9, 9), 0, 405**-0.5, -((3 / 405) ** 0.5), (3 / 405) ** 0.5),
        ({"type": "xavier", "variance_norm": 1}, (200, 5, 9, 9), 0, 16200**-0.5, -0.014, 0.014),
        ({"type": "xavier", "variance_norm": 2}, (200, 5, 9, 9), 0, 8302.5**-0.5, -0.02, 0.02),
        ({"type": "msra"}, (200, 5, 9, 9), 0, (2 / 405) ** 0.5, -0.5, 0.5),
        ({"type": "msra", "variance_norm": 1}, (200, 500), 0, 0.1, -0.6, 0.6),
        ({"type": "positive_unitball"}, (2000, 50), 1 / 50, 1 / 50 / 3**0.5, 0, 0.04 * 1.6),
    ],
)
def test_fillers(options, shape, mean, std, low, high):
    values = fill(messages.FillerParameter(**options), shape, np.random.default_rng(0))
    assert values.dtype == np.float32 and values.shape == shape
    assert values.mean() == pytest.approx(mean, abs=0.01 * std + 1e-7)
    assert values.std() == pytest.approx(std, rel=0.02)
    assert low - 1e-6 <= values.min() and values.max() <= high + 1e-6


def test_unit_balls_and_sparse_gaussians():
    rows = fill(messages.FillerParameter(type="positive_unitball"), (20, 3, 5, 5), np.random.default_rng(0))
    np.testing.assert_allclose(rows.sum(axis=(1, 2, 3)), 1, rtol=1e-5)
    sparse = fill(messages.FillerParameter(type="gaussian", sparse=3), (30, 2000), np.random.default_rng(0))
    assert np.count_nonzero(sparse, axis=0).mean() == pytest.approx(3, rel=0.05)


def test_bilinear_upsampling():
    values = fill(messages.FillerParameter(type="bilinear"), (2, 3, 4, 4), np.random.default_rng(0))
    ramp = np.float32([0.25, 0.75, 0.75, 0.25])
    np.testing.assert_array_equal(values, np.broadcast_to(np.outer(ramp, ramp), (2, 3, 4, 4)))
    odd = fill(messages.FillerParameter(type="bilinear"), (1, 1, 3, 3), np.random.default_rng(0))
    np.testing.assert_allclose(odd[0, 0], np.outer([0.5, 1, 0.5], [0.5, 1, 0.5]))


@pytest.mark.parametrize(
    ("options", "shape", "match"),
    [
        ({"type": "glorot"}, (2, 3), "the unknown filler 'glorot'"),
        ({"type": "bilinear"}, (2, 3, 4, 5), "square kernels"),
        ({"type": "bilinear"}, (2, 3), "square kernels"),
        ({"type": "constant", "sparse": 3}, (2, 3), "sparse with the filler 'constant'"),
        ({"type": "gaussian", "sparse": 3}, (), "a sparse filler for a single number"),
    ],
)
def test_filler_errors(options, shape, match):
    with pytest.raises(Misfit) as error:
        fill(messages.FillerParameter(**options), shape, np.random.default_rng(0))
    assert match in f"{error.value.found}; {error.value.expected}"


def test_nets_of_the_reference(reference):
    network = read_network(reference / "caffe" / "deploy_squeezenetCAM.prototxt")
    path = reference / "caffe" / "squeezenetCAM.caffemodel"
    _same(load_weights(network, infer_shapes(network), path), read_caffemodel(path))


@pytest.mark.pycaffe
def test_fillers_as_caffes(tmp_path):
    pycaffe = importlib.import_module("caffe.pycaffe")
    fillers = [
        'type: "constant" value: 2.5',
        'type: "bilinear"',
        'type: "uniform" min: -1 max: 3',
        'type: "gaussian" mean: 1 std: 0.5 sparse: 60',
        'type: "xavier" variance_norm: AVERAGE',
        'type: "msra" variance_norm: FAN_OUT',
        'type: "positive_unitball"',
    ]
    text = (
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 40 dim: 9 dim: 9 } } }\n'
    )
    for index, filler in enumerate(fillers):
        text += (
            f'layer {{ name: "{index}" type: "Convolution" bottom: "x" top: "{index}" convolution_param {{'
            f" num_output: 90 kernel_size: 7 weight_filler {{ {filler} }} }} }}\n"
        )
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    importlib.import_module("caffe._caffe").set_random_seed(1)
    net = pycaffe.Net(str(path), 1)
    ours = fill_weights(*_network(text))
    for index, filler in enumerate(fillers):
        a, b = ours[str(index)][0], net.params[str(index)][0].data
        if index < 2:
            np.testing.assert_array_equal(a, b, filler)
        # Two samples of 176,400 numbers of one distribution.
        assert np.count_nonzero(a) == pytest.approx(np.count_nonzero(b), rel=0.01)
        quantiles = [np.quantile(x[x != 0].astype(np.float64), np.linspace(0.1, 0.9, 41)) for x in (a, b)]
        np.testing.assert_allclose(*quantiles, rtol=0, atol=0.03 * b.std() + 1e-9, err_msg=filler)


@pytest.mark.pycaffe
def test_loads_what_caffe_loads(tmp_path):
    pycaffe = importlib.import_module("caffe.pycaffe")
    path = tmp_path / "net.prototxt"
    path.write_text(NET + 'layer { name: "p" type: "PReLU" bottom: "conv" top: "p" }')
    network, shapes = _network(path.read_text())
    write_caffemodel(tmp_path / "some.caffemodel", _network()[0], WEIGHTS)
    net = pycaffe.Net(str(path), 1, weights=str(tmp_path / "some.caffemodel"))
    with pytest.warns(UserWarning, match="lacks layer p"):
        ours = load_weights(network, shapes, tmp_path / "some.caffemodel")
    assert {name: [array.tolist() for array in arrays] for name, arrays in ours.items()} == {
        name: [blob.data.tolist() for blob in blobs] for name, blobs in net.params.items()
    }

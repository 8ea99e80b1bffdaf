"""Programs written for pycaffe: each is run with pycaffe's own Net, and with ours on every engine."""

import importlib
import weakref

import numpy as np
import pytest

from camcaffe.caffe import engines
from camcaffe.caffe.net import TEST, TRAIN, Net
from camcaffe.errors import CamcaffeError

PROTOTXT = """
name: "small"
force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }
layer { name: "double" type: "Power" bottom: "data" top: "a" power_param { scale: 2 shift: 1 } }
layer { name: "conv" type: "Convolution" bottom: "a" top: "b"
  convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "relu" type: "ReLU" bottom: "b" top: "b" }
layer { name: "square" type: "Power" bottom: "a" top: "c" power_param { power: 2 } }
layer { name: "sum" type: "Eltwise" bottom: "b" bottom: "c" top: "y" }
"""
WEIGHTS = np.array([[1, -2, 0.5], [0, 1, 1], [-1, 0, 3]], np.float32)
BIAS = np.array([0.5, -1, 0], np.float32)


def _formula(data, weights=WEIGHTS, bias=BIAS):
    a = 2 * data + 1
    linear = np.einsum("oc,nchw->nohw", weights, a) + bias[:, None, None]
    return {
        "a": a,
        "linear": linear,
        "b": np.maximum(linear, 0),
        "c": a**2,
        "y": np.maximum(linear, 0) + a**2,
    }


def _gradient(data, diff, weights=WEIGHTS):
    """The gradients of sum(y * diff) by data, by the weights and by the bias."""
    blobs = _formula(data, weights)
    above = diff * (blobs["linear"] > 0)
    by_a = np.einsum("oc,nohw->nchw", weights, above) + 2 * blobs["a"] * diff
    return 2 * by_a, np.einsum("nohw,nchw->oc", above, blobs["a"]), above.sum(axis=(0, 2, 3))


def _input(seed=0, shape=(2, 3, 4, 5)):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def _new_net(kind, tmp_path, text=PROTOTXT):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    if kind == "pycaffe itself":
        return importlib.import_module("caffe.pycaffe").Net(str(path), TEST)
    return Net(path, TEST, engine=kind)


def _kind(name):
    return pytest.param(name, marks=getattr(pytest.mark, name.split()[0]))


WITH_GRADIENTS = [
    _kind("pycaffe itself"),
    _kind("pycaffe"),
    _kind("torch"),
]
ALL = [*WITH_GRADIENTS, _kind("onnx"), _kind("openvino")]
all_kinds = pytest.mark.parametrize("kind", ALL)
kinds_with_gradients = pytest.mark.parametrize("kind", WITH_GRADIENTS)


@pytest.fixture
def net(kind, tmp_path):
    net = _new_net(kind, tmp_path)
    net.params["conv"][0].data[...] = WEIGHTS[:, :, None, None]
    net.params["conv"][1].data[...] = BIAS
    return net


@all_kinds
def test_names_and_shapes(net):
    assert list(net.blobs) == ["data", "a", "a_double_0_split_0", "a_double_0_split_1", "b", "c", "y"]
    assert list(net._layer_names) == ["data", "double", "a_double_0_split", "conv", "relu", "square", "sum"]
    types = ["Input", "Power", "Split", "Convolution", "ReLU", "Power", "Eltwise"]
    assert [layer.type for layer in net.layers] == types
    assert net.inputs == ["data"]
    assert net.outputs == ["y"]
    assert net.top_names["relu"] == net.bottom_names["relu"] == ["b"]
    assert net.bottom_names["conv"] == ["a_double_0_split_0"]
    assert tuple(net.blobs["y"].shape) == net.blobs["y"].data.shape == (2, 3, 4, 5)
    blob = net.blobs["b"]
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (2, 3, 4, 5, 120)
    assert list(net.params) == ["conv"]
    assert [tuple(blob.shape) for blob in net.params["conv"]] == [(3, 3, 1, 1), (3,)]
    assert [len(layer.blobs) for layer in net.layers] == [0, 0, 0, 2, 0, 0, 0]
    assert net.params["conv"][1].num == 3
    assert net.layer_dict["conv"].type == "Convolution"
    assert set(net.blob_loss_weights.values()) == {0}


@all_kinds
def test_inputs_by_keyword(net):
    data = _input()
    found = net.forward(data=data)
    assert set(found) == {"y"}
    _close(found["y"], _formula(data)["y"])
    np.testing.assert_array_equal(net.blobs["data"].data, data)


@all_kinds
def test_inputs_in_place_and_blobs_read_afterwards(net):
    assert not net.blobs["b"].data.any()
    data = _input()
    net.blobs["data"].data[...] = data
    net.forward()
    expected = _formula(data)
    for name in ("y", "b", "c", "a"):
        _close(net.blobs[name].data, expected[name])
    _close(net.blobs["a_double_0_split_1"].data, expected["a"])
    net.blobs["data"].data[...] = 0  # not before the next pass
    _close(net.blobs["c"].data, expected["c"])


@all_kinds
def test_blobs_asked_for(net):
    data = _input()
    found = net.forward(blobs=["b", "c"], data=data)
    assert set(found) == {"b", "c", "y"}
    for name, array in found.items():
        _close(array, _formula(data)[name])


@all_kinds
def test_end(net):
    data = _input()
    found = net.forward(end="conv", data=data)
    assert set(found) == {"b"}
    _close(found["b"], _formula(data)["linear"])
    assert not net.blobs["y"].data.any()
    _close(net.forward(end="relu")["b"], _formula(data)["b"])


@all_kinds
def test_start(net):
    data = _input()
    net.forward(data=data)
    net.blobs["a"].data[...] = 1
    found = net.forward(start="square")
    _close(found["y"], _formula(data)["b"] + 1)
    _close(net.blobs["c"].data, 1)
    found = net.forward(start="conv", end="conv")
    _close(found["b"], (WEIGHTS.sum(axis=1) + BIAS)[None, :, None, None] + np.zeros((2, 3, 4, 5)))
    net.blobs["b"].data[...] = -3
    net.blobs["c"].data[...] = 5
    _close(net.forward(start="sum")["y"], 2)
    _close(net.forward(start="relu", end="sum")["y"], 1)


@all_kinds
def test_net_surgery(net):
    data = _input()
    weights, bias = (blob.data for blob in net.params["conv"])
    for edit in (weights[..., 0, 0].T, -weights[..., 0, 0], np.roll(weights[..., 0, 0], 1, axis=0)):
        weights[..., 0, 0] = edit.copy()
        bias[1] += 1
        net.forward(data=data)
        _close(net.blobs["y"].data, _formula(data, weights[..., 0, 0], bias)["y"])
    before = net.blobs["y"].data.copy()
    weights[...] = 0
    _close(net.blobs["b"].data + net.blobs["c"].data, before)  # as the last pass left them


@all_kinds
def test_another_batch_and_size(net):
    net.forward(data=_input())
    net.blobs["data"].reshape(3, 3, 2, 7)
    net.reshape()
    assert tuple(net.blobs["y"].shape) == net.blobs["y"].data.shape == (3, 3, 2, 7)
    data = _input(1, (3, 3, 2, 7))
    _close(net.forward(data=data)["y"], _formula(data)["y"])
    net.blobs["data"].reshape(1, 3, 4, 5)
    net.blobs["data"].data[...] = data = _input(2, (1, 3, 4, 5))
    _close(net.forward(blobs=["b"])["b"], _formula(data)["b"])


@all_kinds
def test_forward_all(net):
    data = _input(3, (5, 3, 4, 5))
    found = net.forward_all(blobs=["c"], data=data)
    assert set(found) == {"c", "y"}
    _close(found["y"], _formula(data)["y"])
    _close(found["c"], _formula(data)["c"])


@all_kinds
def test_input_overwritten_in_place(kind, tmp_path):
    text = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "add" type: "Power" bottom: "data" top: "data" power_param { shift: 1 } }
    """
    net = _new_net(kind, tmp_path, text)
    for count in (1, 2):
        _close(net.forward()["data"], count)


@kinds_with_gradients
def test_gradient_of_the_input(net):
    data, diff = _input(), _input(1)
    net.forward(data=data)
    found = net.backward(y=diff)
    assert set(found) == {"data"}
    _close(found["data"], _gradient(data, diff)[0])
    _close(net.blobs["data"].diff, _gradient(data, diff)[0])
    _close(net.blobs["c"].diff, diff)
    _close(net.blobs["a_double_0_split_1"].diff, 2 * _formula(data)["a"] * diff)
    found = net.backward(diffs=["a"], y=2 * diff)
    _close(found["a"], _gradient(data, diff)[0])


@kinds_with_gradients
def test_gradient_from_diffs_in_place(net):
    data = _input()
    net.forward(data=data)
    net.blobs["y"].diff[1, 2] = 3
    diff = np.zeros_like(data)
    diff[1, 2] = 3
    _close(net.backward()["data"], _gradient(data, diff)[0])


@kinds_with_gradients
def test_backward_in_two_parts(net):
    data, diff = _input(), _input(1)
    net.forward(data=data)
    found = net.backward(end="square", y=diff)
    assert set(found) == {"a_double_0_split_1"}
    _close(net.blobs["data"].diff, 0)
    found = net.backward(start="relu", end="conv")
    above = diff * (_formula(data)["linear"] > 0)
    _close(found["a_double_0_split_0"], np.einsum("oc,nohw->nchw", WEIGHTS, above))
    _close(net.backward(start="a_double_0_split")["data"], _gradient(data, diff)[0])


@kinds_with_gradients
def test_gradient_from_the_middle(net):
    data, diff = _input(), _input(1)
    net.forward(end="relu", data=data)
    net.blobs["b"].diff[...] = diff
    found = net.backward(start="relu")
    above = diff * (_formula(data)["linear"] > 0)
    _close(found["data"], 2 * np.einsum("oc,nohw->nchw", WEIGHTS, above))


@kinds_with_gradients
def test_backward_layer_by_layer(net):
    """A layer that works in place turns its blob's diff into another."""
    data, diff = _input(), _input(1)
    net.forward(data=data)
    net.backward(start="sum", end="sum", y=diff)
    _close(net.blobs["b"].diff, diff)
    net.backward(start="relu", end="relu")
    above = diff * (_formula(data)["linear"] > 0)
    _close(net.blobs["b"].diff, above)
    net.blobs["c"].diff[...] = 0
    for name in ("square", "conv", "a_double_0_split", "double"):
        net.backward(start=name, end=name)
    _close(net.blobs["data"].diff, 2 * np.einsum("oc,nohw->nchw", WEIGHTS, above))


@kinds_with_gradients
def test_many_backward_passes_on_one_forward_pass(net):
    for seed in (0, 1):
        data = _input(seed)
        net.forward(data=data)
        for channel in range(3):
            diff = np.zeros_like(data)
            diff[:, channel] = 1
            _close(net.backward(y=diff)["data"], _gradient(data, diff)[0])
            _close(net.blobs["a"].diff, _gradient(data, diff)[0] / 2)
            _close(net.blobs["b"].data, _formula(data)["b"])
        net.params["conv"][0].data[...] *= -1
        net.forward()
        _close(net.backward()["data"], _gradient(data, diff, -WEIGHTS)[0])
        net.params["conv"][0].data[...] *= -1


@pytest.mark.torch
@pytest.mark.parametrize("gradients", [False, True])
def test_backward_passes_share_their_forward_pass_until_the_next_one(tmp_path, monkeypatch, gradients):
    from camcaffe.caffe.engines import torch_layers

    made = []

    def convolution(*arguments, original=torch_layers.convolution):
        (top,) = original(*arguments)
        made.append(weakref.ref(top))
        return [top]

    monkeypatch.setattr(torch_layers, "convolution", convolution)
    (tmp_path / "net.prototxt").write_text(PROTOTXT)
    net = Net(tmp_path / "net.prototxt", engine="torch", gradients=gradients)
    for seed in (0, 1):
        net.forward(data=_input(seed))
        assert sum(top() is not None for top in made) == gradients
        for channel in range(3):
            net.blobs["y"].diff[...] = 0
            net.blobs["y"].diff[:, channel] = 1
            net.backward()
        assert sum(top() is not None for top in made) == 1
        assert len(made) == (seed + 1) * (2 - gradients)


@kinds_with_gradients
def test_gradients_of_the_parameters_add_up(net):
    net.clear_param_diffs()
    expected = [0, 0]
    for seed in (0, 1):
        data, diff = _input(seed), _input(seed + 2)
        net.forward(data=data)
        net.backward(y=diff)
        by_weights, by_bias = _gradient(data, diff)[1:]
        expected = [expected[0] + by_weights, expected[1] + by_bias]
    _close(net.params["conv"][0].diff[..., 0, 0], expected[0])
    _close(net.params["conv"][1].diff, expected[1])
    net.clear_param_diffs()
    assert not net.params["conv"][0].diff.any()


@kinds_with_gradients
def test_gradients_of_the_parameters_after_one_pass(net):
    data, diff = _input(), _input(1)
    net.forward(data=data)
    net.backward(y=diff)
    _close(net.params["conv"][1].diff, _gradient(data, diff)[2])
    net.backward(y=diff)
    _close(net.params["conv"][1].diff, 2 * _gradient(data, diff)[2])


@all_kinds
@pytest.mark.parametrize("name", ["weights.caffemodel", "weights.caffemodel.h5"])
def test_save_and_copy_from(net, kind, tmp_path, name):
    data = _input()
    path = tmp_path / name
    (net.save_hdf5 if kind == "pycaffe itself" and name.endswith(".h5") else net.save)(str(path))
    other = _new_net(kind, tmp_path)
    other.copy_from(str(path))
    _close(other.forward(data=data)["y"], _formula(data)["y"])
    again = Net(tmp_path / "net.prototxt", path, TEST, engine=kind.split()[0])
    _close(again.forward(data=data)["y"], _formula(data)["y"])
    keyword = Net(tmp_path / "net.prototxt", TEST, weights=path, engine=kind.split()[0])
    np.testing.assert_array_equal(keyword.params["conv"][0].data, again.params["conv"][0].data)


@pytest.mark.pycaffe
def test_names_of_all_nets_as_in_pycaffe(reference):
    pycaffe = importlib.import_module("caffe.pycaffe")
    paths = [*(reference / "cam_repo").glob("deploy_*.prototxt"), *(reference / "caffe").rglob("*.prototxt")]
    assert len(paths) == 88
    for path in paths:
        true, net = pycaffe.Net(str(path), TEST), Net(path, TEST, engine="pycaffe")
        assert net._layer_names == list(true._layer_names)
        assert list(net.blobs) == list(true.blobs)
        for name in ("top_names", "bottom_names", "inputs", "outputs", "blob_loss_weights"):
            assert getattr(net, name) == getattr(true, name), (path, name)
        assert [layer.type for layer in net.layers] == [layer.type for layer in true.layers]
        assert _shapes(net.blobs) == _shapes(true.blobs)
        for layers in zip(net.layers, true.layers):
            assert [len(layer.blobs) for layer in layers] == [len(layers[0].blobs)] * 2
        assert list(net.params) == list(true.params)
        for name in net.params:
            assert [tuple(b.shape) for b in net.params[name]] == [tuple(b.shape) for b in true.params[name]]


def _shapes(blobs):
    return {name: tuple(blob.shape) for name, blob in blobs.items()}


# What follows is ours, not pycaffe's.
ours = pytest.mark.parametrize("kind", [_kind("onnx")])


@pytest.fixture
def computed(net, monkeypatch):
    """The blobs that the engine was asked for, pass by pass."""
    passes = []
    engine = engines.load(net.engine).Engine
    forward = engine.forward

    def watched(self, inputs, blobs):
        passes.append(sorted(blobs))
        return forward(self, inputs, blobs)

    monkeypatch.setattr(engine, "forward", watched)
    return passes


@ours
def test_only_what_is_read_is_computed(net, computed):
    net.forward(data=_input())
    assert computed == [["y"]]
    net.blobs["b"].data.sum()
    net.blobs["b"].data.sum()
    assert computed.pop() == ["b"]
    net.forward()
    assert computed.pop() == ["b", "y"]  # what was read once is expected to be read again
    net.forward()
    assert computed.pop() == ["y"]


@ours
def test_whoever_reads_all_blobs_costs_three_passes(net, computed):
    data = _input()
    net.forward(data=data)
    found = {name: blob.data for name, blob in net.blobs.items()}
    assert len(computed) == 3
    for name, array in _formula(data).items():
        if name != "linear":
            _close(found[name], array)


@ours
def test_results_stay_when_the_next_pass_runs(net):
    first = net.forward(data=_input())["y"]
    before = first.copy()
    net.forward(data=_input(1))
    np.testing.assert_array_equal(first, before)


@ours
def test_input_of_another_shape_by_keyword(net):
    data = _input(5, (7, 3, 1, 2))
    _close(net.forward(data=data)["y"], _formula(data)["y"])
    assert net.blobs["data"].shape == net.blobs["y"].shape == (7, 3, 1, 2)


@pytest.mark.onnx
def test_fillers_are_seeded(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(PROTOTXT.replace("kernel_size: 1", 'kernel_size: 1 weight_filler { type: "xavier" }'))
    first, second, third = (Net(path, engine="onnx", seed=seed).params["conv"][0].data for seed in (0, 0, 1))
    assert first.any()
    np.testing.assert_array_equal(first, second)
    assert (first != third).all()


SHARED = """
force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "one" type: "InnerProduct" bottom: "data" top: "one" param { name: "w" }
  inner_product_param { num_output: 3 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "two" type: "InnerProduct" bottom: "one" top: "two" param { name: "w" }
  inner_product_param { num_output: 3 bias_term: false } }
"""


@kinds_with_gradients
def test_shared_parameters_are_one(kind, tmp_path):
    net = _new_net(kind, tmp_path, SHARED)
    net.params["one"][0].data[...] = weights = np.arange(9, dtype=np.float32).reshape(3, 3)
    np.testing.assert_array_equal(net.params["two"][0].data, weights)
    data = np.array([[1, 0, 0], [0, 1, 2]], np.float32)
    _close(net.forward(data=data)["two"], data @ weights.T @ weights.T)
    net.clear_param_diffs()
    net.backward(two=np.ones((2, 3)))
    ones = np.ones((2, 3), np.float32)
    expected = ones.T @ (data @ weights.T) + (ones @ weights).T @ data
    _close(net.params["one"][0].diff, expected)
    _close(net.params["two"][0].diff, expected)


GAP = """
input: "data" input_dim: 1 input_dim: 3 input_dim: 6 input_dim: 8
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "gap" type: "Pooling" bottom: "conv" top: "gap"
  pooling_param { pool: AVE kernel_h: 6 kernel_w: 8 stride_h: 6 stride_w: 8 } }
layer { name: "fc" type: "InnerProduct" bottom: "gap" top: "fc"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "fc" top: "fc" }
"""


@pytest.fixture
def gap(tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "gap.prototxt"
    path.write_text(GAP)
    return Net(path, engine="onnx")


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (
            lambda n: n.forward(data=_input(0, (1, 3, 12, 16))),
            r"layer 'fc' of type InnerProduct: .* \(2, 16\)",
        ),
        (
            lambda n: n.forward(data=_input(0, (1, 5, 6, 8))),
            r"layer 'conv' of type Convolution: .*\(4, 5, 1, 1\)",
        ),
        (
            lambda n: n.forward(data=_input(0, (1, 3, 6))),
            r"layer 'gap' of type Pooling: a bottom of the shape",
        ),
        (lambda n: n.forward(data="cat"), "input 'data': not an array of numbers"),
        (lambda n: n.forward(image=_input()), "inputs image; expected data"),
        (lambda n: n.forward(blobs=["conv6"]), "no blob 'conv6'"),
        (lambda n: n.forward(end="conv6"), "no layer 'conv6'"),
        (lambda n: n.forward(start="fc", end="conv"), "layer 'fc' comes after 'conv'"),
        (lambda n: n.forward_all(data=np.zeros((0, 3, 6, 8))), r"inputs of \[0\] items"),
        (lambda n: n.blobs["fc"].reshape(2, 2), "blob 'fc' is computed; expected an input"),
        (lambda n: n.backward(), "engine onnx: it has no gradients; expected the engine pycaffe or torch"),
        (lambda n: n.copy_from("nowhere.caffemodel"), "nowhere.caffemodel: no such file"),
    ],
)
def test_errors_name_what_is_wrong(gap, call, line):
    with pytest.raises(CamcaffeError, match=line) as caught:
        call(gap)
    assert "\n" not in str(caught.value)
    assert gap.forward(data=_input(0, (2, 3, 6, 8)))["fc"].shape == (2, 2)  # no harm done


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"precision": "float8"}, "precision: 'float8'; expected float32 or bfloat16 or float16"),
        ({"threads": 0}, "threads: 0; expected a positive number"),
        ({"engine": "tpu"}, "engine: unknown name 'tpu'"),
        ({"phase": "VALIDATION"}, "phase: 'VALIDATION'"),
    ],
)
@pytest.mark.onnx
def test_options_are_checked(tmp_path, options, line):
    (tmp_path / "gap.prototxt").write_text(GAP)
    with pytest.raises(CamcaffeError, match=line):
        Net(tmp_path / "gap.prototxt", **{"engine": "onnx", **options})


@pytest.mark.onnx
def test_layers_that_train_differently_are_refused(tmp_path):
    (tmp_path / "gap.prototxt").write_text(GAP)
    net = Net(tmp_path / "gap.prototxt", TRAIN, engine="onnx")
    with pytest.raises(
        CamcaffeError, match="layer 'drop' of type Dropout: it works differently in phase TRAIN"
    ):
        net.forward()
    assert net.forward(end="gap")["gap"].shape == (1, 4, 1, 1)


@pytest.mark.parametrize("kind", [_kind("torch")])
def test_gradients_that_were_missed_are_not_made_up(net):
    with pytest.raises(CamcaffeError, match=r"no forward pass .*; expected forward\(\) before backward\(\)"):
        net.backward()
    net.forward(data=_input())
    net.backward(y=_input(1))
    net.backward(y=_input(1))
    with pytest.raises(CamcaffeError, match="2 backward passes were not added up"):
        net.params["conv"][0].diff  # noqa: B018
    with pytest.raises(CamcaffeError, match="outputs conv; expected y"):
        net.backward(conv=_input(1))
    with pytest.raises(CamcaffeError, match=r"diff 'y': shape \(2, 3\); expected \(2, 3, 4, 5\)"):
        net.backward(y=np.zeros((2, 3)))

"""What every engine owes: the layer kinds against slow formulas, nets against real Caffe's results.

The formulas themselves are held against real Caffe wherever the engine pycaffe can run.
"""

import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camcaffe.caffe import engines
from camcaffe.caffe.net import Net
from camcaffe.caffe.network import read_network
from camcaffe.caffe.prototxt import net_to_text, read_prototxt
from camcaffe.errors import CamcaffeError
from camcaffe.matlab import loadmat, read_rgb
from camcaffe.ten_crop import prepare_image

LOWEST = np.finfo(np.float32).min


def _engine(name):
    return pytest.param(name, marks=getattr(pytest.mark, name))


ALL = [_engine(name) for name in ("pycaffe", "onnx", "openvino", "torch")]


def _net(tmp_path, text, engine, **shapes):
    """A net of these inputs and layers; random weights."""
    path = tmp_path / "net.prototxt"
    inputs = [
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {size}" for size in shape)
        + " } } }"
        for name, shape in shapes.items()
    ]
    path.write_text("\n".join([*inputs, text]))
    return Net(path, engine=engine)


def _layer(kind, bottoms="data", tops="y", options="", name="layer"):
    wires = [f'bottom: "{b}"' for b in bottoms.split()] + [f'top: "{t}"' for t in tops.split()]
    return f'layer {{ name: "{name}" type: "{kind}" {" ".join(wires)} {options} }}'


def _pooled(x, k, s, p, out, reduce):
    """Caffe's windows one by one; `reduce` gets the values and how many places the window counts."""
    y = np.zeros((*x.shape[:2], *out), np.float32)
    (h, w) = x.shape[2:]
    for i in range(out[0]):
        for j in range(out[1]):
            top, left = i * s - p, j * s - p
            bottom, right = min(top + k, h + p), min(left + k, w + p)
            window = x[:, :, max(top, 0) : min(bottom, h), max(left, 0) : min(right, w)]
            y[:, :, i, j] = reduce(window, (bottom - top) * (right - left))
    return y


def _average(window, count):
    with np.errstate(divide="ignore", invalid="ignore"):
        return window.sum(axis=(2, 3)) / np.float32(count)


def _largest(window, count):
    return window.max(axis=(2, 3), initial=LOWEST)


def _places(x, k, s, out):
    y = np.zeros((*x.shape[:2], *out), np.float32)
    for n, c, i, j in np.ndindex(*y.shape):
        window = x[n, c, i * s : i * s + k, j * s : j * s + k]
        row, column = np.unravel_index(window.argmax(), window.shape)
        y[n, c, i, j] = (i * s + row) * x.shape[3] + j * s + column
    return y


def _spp(x):
    size = np.array(x.shape[2:])
    parts = []
    for bins in (1, 2, 4):
        kernel = -(-size // bins)
        (top, left) = (kernel * bins - size + 1) // 2
        for c in range(x.shape[1]):
            for i in range(bins):
                for j in range(bins):
                    rows = slice(max(i * kernel[0] - top, 0), i * kernel[0] - top + kernel[0])
                    columns = slice(max(j * kernel[1] - left, 0), j * kernel[1] - left + kernel[1])
                    parts.append(x[:, c, rows, columns].max(axis=(1, 2)))
    return np.stack(parts, axis=1)


def _batch_normed(x):
    mean, variance = x.mean(axis=(0, 2, 3), keepdims=True), x.var(axis=(0, 2, 3), keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-3)


def _last_of_equals(x, k):
    """Indices of the k largest, those of equal values from the last on, as Caffe sorts them."""
    return np.stack([sorted(range(len(row)), key=lambda i: (row[i], i))[::-1][:k] for row in x])


D = (2, 6, 7, 9)
# Name -> (layers, input shapes, expected blobs from the inputs).
CASES = {
    "crop": (
        _layer("Crop", "data like", options="crop_param { axis: 2 offset: 2 }"),
        {"data": D, "like": (2, 6, 4, 5)},
        lambda data, like: {"y": data[:, :, 2:6, 2:7]},
    ),
    "crop, an offset each": (
        _layer("Crop", "data like", options="crop_param { axis: 1 offset: 1 offset: 0 offset: 3 }"),
        {"data": D, "like": (2, 4, 7, 5)},
        lambda data, like: {"y": data[:, 1:5, :, 3:8]},
    ),
    "crop, nothing to cut": (
        _layer("Crop", "data like", options="crop_param { axis: 2 }"),
        {"data": D, "like": D},
        lambda data, like: {"y": data},
    ),
    "slice": (
        _layer("Slice", tops="a b c", options="slice_param { axis: -3 slice_point: 1 slice_point: 4 }"),
        {"data": D},
        lambda data: {"a": data[:, :1], "b": data[:, 1:4], "c": data[:, 4:]},
    ),
    "slice, equal parts": (
        _layer("Slice", tops="a b c", options="slice_param { slice_dim: 1 }"),
        {"data": D},
        lambda data: {"a": data[:, :2], "b": data[:, 2:4], "c": data[:, 4:]},
    ),
    "slice of the batch": (
        _layer("Slice", tops="a b", options="slice_param { axis: 0 slice_point: 1 }"),
        {"data": (3, 5)},
        lambda data: {"a": data[:1], "b": data[1:]},
    ),
    "concat of the batch": (
        _layer("Concat", "data other", options="concat_param { concat_dim: 0 }"),
        {"data": (3, 5), "other": (2, 5)},
        lambda data, other: {"y": np.concatenate([data, other])},
    ),
    "maxima and their places": (
        _layer("Pooling", tops="y places", options="pooling_param { kernel_size: 3 stride: 2 }"),
        {"data": (2, 3, 7, 9)},
        lambda data: {
            "y": _pooled(data, 3, 2, 0, (3, 4), _largest),
            "places": _places(data, 3, 2, (3, 4)),
        },
    ),
    "maxima, padded and clipped": (
        _layer("Pooling", options="pooling_param { kernel_size: 3 stride: 2 pad: 2 }"),
        {"data": (2, 3, 7, 10)},
        lambda data: {"y": _pooled(data, 3, 2, 2, (5, 6), _largest)},
    ),
    "averages, padded and clipped": (
        _layer("Pooling", options="pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }"),
        {"data": (2, 3, 8, 10)},
        lambda data: {"y": _pooled(data, 3, 2, 1, (5, 6), _average)},
    ),
    "averages, the last window cut": (
        _layer("Pooling", options="pooling_param { pool: AVE kernel_size: 3 stride: 2 }"),
        {"data": (2, 3, 8, 11)},
        lambda data: {"y": _pooled(data, 3, 2, 0, (4, 5), _average)},
    ),
    "maxima, windows outside": (
        _layer("Pooling", options="pooling_param { kernel_size: 1 stride: 5 }"),
        {"data": (2, 3, 7, 10)},
        lambda data: {"y": _pooled(data, 1, 5, 0, (3, 3), _largest)},
    ),
    "averages, windows outside": (
        _layer("Pooling", options="pooling_param { pool: AVE kernel_size: 2 stride: 4 }"),
        {"data": (2, 3, 7, 8)},
        lambda data: {"y": _pooled(data, 2, 4, 0, (3, 3), _average)},
    ),
    "spatial pyramid": (
        _layer("SPP", options="spp_param { pyramid_height: 3 }"),
        {"data": (2, 3, 7, 9)},
        lambda data: {"y": _spp(data)},
    ),
    "batch statistics": (
        _layer("BatchNorm", options="batch_norm_param { use_global_stats: false eps: 0.001 }"),
        {"data": D},
        lambda data: {"y": _batch_normed(data)},
    ),
    "scale by a blob": (
        _layer("Scale", "data by", options="scale_param { axis: 0 }"),
        {"data": D, "by": (2, 6)},
        lambda data, by: {"y": data * by[..., None, None]},
    ),
    "bias by a blob": (
        _layer("Bias", "data by", options="bias_param { axis: -2 }"),
        {"data": D, "by": (7, 9)},
        lambda data, by: {"y": data + by},
    ),
    "sum of three, weighted": (
        _layer("Eltwise", "a b c", options="eltwise_param { coeff: 1 coeff: -2 coeff: 0.5 }"),
        {"a": D, "b": D, "c": D},
        lambda a, b, c: {"y": a - 2 * b + c / 2},
    ),
    "flatten in the middle": (
        _layer("Flatten", options="flatten_param { axis: 1 end_axis: 2 }"),
        {"data": D},
        lambda data: {"y": data.reshape(2, 42, 9)},
    ),
    "reshape in the middle": (
        _layer("Reshape", options="reshape_param { shape { dim: 3 dim: -1 } axis: 1 num_axes: 2 }"),
        {"data": D},
        lambda data: {"y": data.reshape(2, 3, 14, 9)},
    ),
    "tiles of the batch": (
        _layer("Tile", options="tile_param { axis: 0 tiles: 3 }"),
        {"data": (2, 5)},
        lambda data: {"y": np.tile(data, (3, 1))},
    ),
    "mean of magnitudes": (
        _layer("Reduction", options="reduction_param { operation: ASUM axis: -2 coeff: 0.25 }"),
        {"data": D},
        lambda data: {"y": np.abs(data).sum(axis=(2, 3)) / 4},
    ),
    "equal maxima": (
        _layer("Threshold", tops="t", options="threshold_param { threshold: 0.3 }", name="t")
        + _layer("ArgMax", "t", options="argmax_param { top_k: 4 }"),
        {"data": (3, 20)},
        lambda data: {"y": _last_of_equals(data > 0.3, 4)[:, None]},
    ),
    "equal maxima along an axis": (
        _layer("Threshold", tops="t", options="threshold_param { threshold: 0.3 }", name="t")
        + _layer("ArgMax", "t", options="argmax_param { top_k: 2 axis: 1 }"),
        {"data": (3, 20)},
        lambda data: {"y": _last_of_equals(data > 0.3, 2)},
    ),
    "in place, and read before": (
        _layer("Power", tops="a", options="power_param { shift: -0.1 }", name="a")
        + _layer("Power", "a", "b", "power_param { scale: 3 }", "b")
        + _layer("ReLU", "b", "b", name="c")
        + _layer("Eltwise", "a b", options="eltwise_param { operation: MAX }"),
        {"data": D},
        lambda data: {
            "a": data - np.float32(0.1),
            "b": np.maximum(3 * (data - np.float32(0.1)), 0),
            "y": np.maximum(data - np.float32(0.1), np.maximum(3 * (data - np.float32(0.1)), 0)),
        },
    ),
    "dropout and silence": (
        _layer("Dropout", name="d") + _layer("Silence", "other", "", name="s"),
        {"data": D, "other": (1, 2)},
        lambda data, other: {"y": data},
    ),
    "clip": (
        _layer("Clip", options="clip_param { min: -0.5 max: 0.25 }"),
        {"data": D},
        lambda data: {"y": data.clip(-0.5, 0.25)},
    ),
    "swish": (
        _layer("Swish", options="swish_param { beta: 1.5 }"),
        {"data": D},
        lambda data: {"y": data / (1 + np.exp(-1.5 * data))},
    ),
    "pooling rounded down": (
        _layer("Pooling", options="pooling_param { kernel_size: 3 stride: 2 round_mode: FLOOR }"),
        {"data": (2, 3, 8, 10)},
        lambda data: {"y": _pooled(data, 3, 2, 0, (3, 4), _largest)},
    ),
}
AFTER_CAFFE_1 = ("clip", "swish", "pooling rounded down")


# OpenVINO lists equal values in any order.
BEYOND = {"pycaffe": AFTER_CAFFE_1, "openvino": [case for case in CASES if case.startswith("equal maxima")]}


@pytest.mark.parametrize(
    ("engine", "case"),
    [
        pytest.param(*engine.values, case, marks=engine.marks, id=f"{engine.values[0]}-{case}")
        for engine in ALL
        for case in CASES
        if case not in BEYOND.get(engine.values[0], ())
    ],
)
def test_layer_equals_its_formula(tmp_path, engine, case):
    layers, shapes, formula = CASES[case]
    net = _net(tmp_path, layers, engine, **shapes)
    rng = np.random.default_rng(1)
    inputs = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    expected = formula(**inputs)
    found = net.forward(blobs=list(expected), **inputs)
    for name, array in expected.items():
        assert found[name].shape == array.shape == net.blobs[name].shape
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("engine", ALL)
@settings(max_examples=60, derandomize=True, deadline=None)
@given(data=st.data())
def test_pooling_of_any_geometry(engine, data):
    kernel, stride = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 6))
    pad = data.draw(st.integers(0, kernel - 1))
    height, width = (data.draw(st.integers(max(kernel - 2 * pad, 1), 11)) for _ in range(2))
    method, reduce = data.draw(st.sampled_from([("MAX", _largest), ("AVE", _average)]))
    options = f"pooling_param {{ pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} }}"
    with tempfile.TemporaryDirectory() as folder:
        net = _net(Path(folder), _layer("Pooling", options=options), engine, data=(2, 3, height, width))
    x = np.random.default_rng(6).standard_normal((2, 3, height, width)).astype(np.float32)
    y = net.forward(data=x)["y"]
    np.testing.assert_allclose(y, _pooled(x, kernel, stride, pad, y.shape[2:], reduce), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", ALL)
def test_one_convolution_of_two_blobs(tmp_path, engine):
    options = "convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: 'xavier' } }"
    net = _net(tmp_path, _layer("Convolution", "a b", "c d", options), engine, a=D, b=D)
    a, b = np.random.default_rng(2).standard_normal((2, *D)).astype(np.float32)
    found = net.forward(a=a, b=b)
    weights = net.params["layer"][0].data[:, :, 0, 0]
    for name, x in (("c", a), ("d", b)):
        np.testing.assert_allclose(found[name], np.einsum("oc,nchw->nohw", weights, x), atol=1e-5)


@pytest.mark.parametrize("engine", ALL)
def test_rows_of_a_table(tmp_path, engine):
    layers = _layer(
        "Embed", options="embed_param { input_dim: 5 num_output: 3 weight_filler { type: 'uniform' } }"
    ) + _layer("BatchReindex", "y places", "z", name="again")
    net = _net(tmp_path, layers, engine, data=(4, 2), places=(6,))
    indices, places = np.array([[0, 4], [1, 1], [3, 2], [4, 0]]), np.array([3, 0, 0, 2, 1, 3])
    found = net.forward(blobs=["y"], data=indices, places=places)
    table, bias = (blob.data for blob in net.params["layer"])
    np.testing.assert_array_equal(found["y"], table[indices] + bias)
    np.testing.assert_array_equal(found["z"], found["y"][places])


@pytest.mark.parametrize("engine", [_engine("onnx"), _engine("torch")])
def test_an_index_that_leads_outside_is_told_in_one_line(tmp_path, engine):
    net = _net(tmp_path, _layer("BatchReindex", "data places"), engine, data=(4, 2), places=(3,))
    with pytest.raises(CamcaffeError, match="failed") as caught:
        net.forward(places=[0, 9, 1], data=np.zeros((4, 2)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ALL)
def test_a_parameter_as_a_blob(tmp_path, engine):
    layers = _layer("Parameter", "", "p", "parameter_param { shape { dim: 2 dim: 3 } }", "p") + _layer(
        "Eltwise", "data p", name="sum"
    )
    net = _net(tmp_path, layers, engine, data=(2, 3))
    net.params["p"][0].data[...] = np.arange(6).reshape(2, 3)
    found = net.forward(blobs=["p"], data=np.ones((2, 3)))
    np.testing.assert_array_equal(found["p"], np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(found["y"], 1 + np.arange(6).reshape(2, 3))


@pytest.mark.parametrize("engine", ALL)
def test_statistics_of_a_factor_of_zero(tmp_path, engine):
    net = _net(tmp_path, _layer("BatchNorm", options="batch_norm_param { eps: 0.25 }"), engine, data=D)
    mean, variance, factor = (blob.data for blob in net.params["layer"])
    mean[...], variance[...], factor[...] = 5, 7, 0
    x = np.random.default_rng(3).standard_normal(D).astype(np.float32)
    np.testing.assert_allclose(net.forward(data=x)["y"], x / 0.5, rtol=1e-5)
    factor[...] = 2
    expected = (x - 2.5) / np.sqrt(3.5 + 0.25)
    np.testing.assert_allclose(net.forward(data=x)["y"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", ALL)
def test_the_82_layer_nets_of_real_caffe(reference, engine):
    paths = sorted((reference / "caffe" / "layers").glob("*.prototxt"))
    assert len(paths) == 82
    for path in paths:
        wanted = np.load(path.with_suffix(".npz"))
        network = read_network(path)
        has_weights = any(
            layer.type
            in ("Convolution", "Deconvolution", "InnerProduct", "BatchNorm", "Bias", "PReLU", "Scale")
            for layer in network.layers
        )
        net = Net(path, path.with_suffix(".caffemodel") if has_weights else None, engine=engine)
        name = str(wanted["y_name"])
        y = net.forward(blobs=[name], data=wanted["data"])[name]
        assert y.shape == wanted["y"].shape, path.name
        loose = {"LRN", "MVN", "BatchNorm"}.intersection(layer.type for layer in network.layers)
        error = np.abs(y - wanted["y"]).max() / max(np.abs(wanted["y"]).max(), 1e-30)
        assert error < (1e-4 if loose else 1e-5), path.name


@pytest.mark.parametrize("engine", ALL)
def test_squeezenet_cam_of_real_caffe(reference, engine):
    folder = reference / "caffe"
    wanted = np.load(folder / "squeezenetCAM_expected.npz")
    mean = loadmat(reference / "cam_repo" / "ilsvrc_2012_mean.mat")["mean_data"].transpose(2, 1, 0)
    crops = prepare_image(read_rgb(reference / "cam_repo" / "test.jpg"), mean, 227)
    np.testing.assert_array_equal(crops[4], wanted["input_crop4"])
    net = Net(folder / "deploy_squeezenetCAM.prototxt", folder / "squeezenetCAM.caffemodel", engine=engine)
    found = net.forward(blobs=["CAM_pool", "fire9/concat"], data=crops)
    for name, array, true in (
        ("prob", found["prob"], wanted["prob"]),
        ("CAM_pool", found["CAM_pool"][..., 0, 0], wanted["cam_pool"]),
        ("fire9/concat", found["fire9/concat"][4], wanted["features_crop4"]),
    ):
        assert np.abs(array - true).max() < 1e-5 * np.abs(true).max(), name
    ranking = found["prob"].mean(axis=0).argsort()[::-1]
    np.testing.assert_array_equal(ranking[:20], wanted["prob"].mean(axis=0).argsort()[::-1][:20])


def _random_net(prototxt, engine):
    """The net with one image at a time and weights that keep the values' size from layer to layer."""
    net = Net(prototxt, engine=engine)
    rng = np.random.default_rng(4)
    for blobs in net.params.values():
        shape = blobs[0].shape
        # The classifier's scores stay small: a probability of 1 would hide what it is made of.
        scale = np.sqrt(2 / np.prod(shape[1:])) * (0.02 if len(shape) == 2 else 1)
        blobs[0].data[...] = scale * rng.standard_normal(shape, np.float32)
        blobs[1].data[...] = 0.1 * rng.standard_normal(blobs[1].shape, np.float32)
    return net


def _originals(reference, folder):
    """The original prototxts; the one to train with, with an input for data and without its loss."""
    paths = sorted((reference / "cam_repo").glob("deploy_*.prototxt"))
    message = read_prototxt(reference / "cam_repo" / "train_val_googlenetCAM.prototxt")
    kept = [layer for layer in message.layer if "label" not in [*layer.bottom, *layer.top]]
    del message.layer[:]
    data = message.layer.add(name="data", type="Input", top=["data"])
    data.input_param.shape.add(dim=[1, 3, 224, 224])
    message.layer.extend(kept)
    trunk = folder / "train_val_trunk.prototxt"
    trunk.write_text(net_to_text(message))
    return [*paths, trunk]


@pytest.mark.pycaffe
@pytest.mark.parametrize("engine", ALL[1:])
def test_original_prototxts_agree_with_real_caffe(reference, tmp_path, engine):
    paths = _originals(reference, tmp_path)
    assert len(paths) == 5
    for path in paths:
        nets = [_random_net(path, name) for name in ("pycaffe", engine)]
        shape = (1, *nets[0].blobs["data"].shape[1:])
        data = 50 * np.random.default_rng(5).standard_normal(shape, np.float32)
        conv = list(nets[0].params)[-2]
        true, found = (net.forward(blobs=[conv], data=data) for net in nets)
        assert len(true) == 2
        for name in true:
            error = np.abs(found[name] - true[name]).max() / np.abs(true[name]).max()
            assert error < 1e-4, (path.name, name)


def test_unknown_engine():
    with pytest.raises(CamcaffeError, match=r"engine: unknown name 'tensorrt'; expected auto, pycaffe, onnx"):
        engines.choose("tensorrt")


@pytest.fixture
def without(monkeypatch):
    """Make modules fail to import."""
    monkeypatch.delenv("CAMCAFFE_ENGINE", raising=False)

    def hide(*names):
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)

    return hide


def test_auto_takes_real_caffe_first(without):
    expected = "onnx" if engines.load("pycaffe").version() is None else "pycaffe"
    assert engines.choose().Engine.name == expected


@pytest.mark.onnx
def test_auto_without_caffe_is_onnx(without):
    without("caffe")
    assert engines.choose().Engine.name == "onnx"


@pytest.mark.openvino
def test_the_environment_chooses(without, monkeypatch):
    monkeypatch.setenv("CAMCAFFE_ENGINE", "openvino")
    assert engines.choose("auto").Engine.name == "openvino"
    monkeypatch.setenv("CAMCAFFE_ENGINE", "")
    assert engines.choose("auto").Engine.name != "openvino"
    monkeypatch.setenv("CAMCAFFE_ENGINE", "tensorrt")
    with pytest.raises(CamcaffeError, match="unknown name 'tensorrt'"):
        engines.choose("auto")


@pytest.mark.parametrize("name", ["auto", *engines.ENGINES])
def test_a_missing_library_is_told_with_its_cure(without, name):
    without("caffe", "onnxruntime", "openvino", "torch", "cv2")
    with pytest.raises(
        CamcaffeError, match=r"engine \w+: its library cannot be imported; expected .*install"
    ):
        engines.choose(name)


def test_unsupported_names_who_could():
    layer = SimpleNamespace(name="accuracy", type="Accuracy")
    error = engines.unsupported("net.prototxt", layer, "onnx")
    line = "layer 'accuracy' of type Accuracy is beyond the engine onnx; expected the engine pycaffe"
    assert str(error) == f"net.prototxt: {line}"
    error = engines.unsupported("net.prototxt", SimpleNamespace(name="l", type="LSTM"), "torch", "an option")
    assert "layer 'l' of type LSTM with an option is beyond the engine torch; expected no such layer" in str(
        error
    )

import numpy as np
import pytest
from engine_cases import (
    KINDS,
    VARIANTS,
    assert_same_fingerprints,
    bound,
    difference,
    expected_of_variants,
    layer_nets,
    layer_text,
    network_from,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from camcaffe.caffe.engines.torch import Engine
from camcaffe.caffe.network import read_network
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.caffe.weights import load_weights
from camcaffe.errors import CamcaffeError

pytestmark = pytest.mark.torch

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


def engine_of(layers, shapes, weights=None, **options):
    return Engine(network_from(layers, shapes), weights or {}, **options)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_layers_equal_caffe_forward_and_backward(reference, kind, device):
    for network, weights, expected in layer_nets(reference, kind):
        engine = Engine(network, weights, device=device)
        inputs, name = {"data": expected["data"]}, str(expected["y_name"])
        assert difference(engine.forward(inputs, [name])[name], expected["y"]) <= bound(kind)
        if "y_diff" in expected:
            gradient = engine.backward(inputs, {name: expected["y_diff"]}, ["data"])["data"]
            assert difference(gradient, expected["data_diff"]) <= bound(kind)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_variants_equal_caffe_forward_and_backward(variant):
    expected = expected_of_variants()[str(variant)]
    actual = variant.fingerprints(Engine)
    assert actual.keys() == expected.keys()
    assert_same_fingerprints(actual, expected, 1e-4 if variant.type in ("LRN", "MVN", "BatchNorm") else 1e-5)


@pytest.fixture(scope="module")
def squeezenet(reference):
    folder = reference / "caffe"
    network = read_network(folder / "deploy_squeezenetCAM.prototxt")
    weights = load_weights(network, infer_shapes(network), folder / "squeezenetCAM.caffemodel")
    with np.load(folder / "squeezenetCAM_expected.npz") as arrays:
        return Engine(network, weights), dict(arrays)


def test_squeezenet_equals_caffe(squeezenet):
    engine, expected = squeezenet
    blobs = engine.forward({"data": expected["input_crop4"][None]}, ["prob", "CAM_pool", "fire9/concat"])
    prob = blobs["prob"][0]
    assert difference(prob, expected["prob"][4]) <= 1e-5
    assert difference(blobs["CAM_pool"][0, :, 0, 0], expected["cam_pool"][4]) <= 1e-5
    assert difference(blobs["fire9/concat"][0], expected["features_crop4"]) <= 1e-5
    assert np.array_equal(np.argsort(-prob, kind="stable"), np.argsort(-expected["prob"][4], kind="stable"))


def test_input_gradient_of_a_class_score_equals_caffes(squeezenet):
    # The score is the FC layer's, before the softmax.
    engine, expected = squeezenet
    seed = np.zeros((1, 1000), np.float32)
    seed[0, expected["top_class"]] = 1
    inputs = {"data": expected["input_crop4"][None]}
    gradient = engine.backward(inputs, {"CAM_fc": seed}, ["data"])["data"][0]
    assert difference(gradient, expected["input_gradient_crop4"]) <= 1e-5


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.data())
def test_pooling_equals_a_slow_one(data):
    height, width = data.draw(st.tuples(st.integers(3, 9), st.integers(3, 9)))
    kernel = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = data.draw(st.tuples(st.integers(1, kernel[0]), st.integers(1, kernel[1])))
    pad = data.draw(st.tuples(st.integers(0, kernel[0] - 1), st.integers(0, kernel[1] - 1)))
    pool = data.draw(st.sampled_from(["MAX", "AVE"]))
    values = data.draw(st.lists(st.integers(-3, 3), min_size=height * width, max_size=height * width))
    x = np.float32(values).reshape(height, width)
    options = f"pool: {pool}" + "".join(
        f" {name}_{axis}: {sizes[place]}"
        for name, sizes in (("kernel", kernel), ("stride", stride), ("pad", pad))
        for place, axis in enumerate("hw")
    )
    engine = engine_of(layer_text("Pooling", options), {"data": (1, 1, height, width)})
    inputs = {"data": x[None, None]}
    y, gradient = slow_pool(x, pool, kernel, stride, pad)
    assert np.allclose(engine.forward(inputs, ["y"])["y"][0, 0], y, rtol=1e-6, atol=1e-6)
    diffs = engine.backward(inputs, {"y": np.ones((1, 1, *y.shape), np.float32)}, ["data"])
    assert np.allclose(diffs["data"][0, 0], gradient, rtol=1e-6, atol=1e-6)


def slow_pool(x, pool, kernel, stride, pad):
    """The pooled plane and the gradient of its sum, window by window as Caffe does it."""
    counts = []
    for size, k, s, p in zip(x.shape, kernel, stride, pad):
        count = -(-(size + 2 * p - k) // s) + 1
        counts.append(count - 1 if any(pad) and (count - 1) * s >= size + p else count)
    y, gradient = np.zeros(counts), np.zeros(x.shape)
    for i, j in np.ndindex(*counts):
        starts = [i * stride[0] - pad[0], j * stride[1] - pad[1]]
        ends = [min(a + k, size + p) for a, k, size, p in zip(starts, kernel, x.shape, pad)]
        area = (ends[0] - starts[0]) * (ends[1] - starts[1])
        top, left = max(starts[0], 0), max(starts[1], 0)
        window = x[top : ends[0], left : ends[1]]
        if pool == "AVE":
            y[i, j] = window.sum() / area
            gradient[top : ends[0], left : ends[1]] += 1 / area
        else:
            y[i, j] = window.max()
            row, column = np.unravel_index(window.argmax(), window.shape)  # the first of equal ones
            gradient[top + row, left + column] += 1
    return y, gradient


def test_in_place_layers_leave_the_gradient_of_the_first_value():
    layers = layer_text("Power", "scale: 2", tops=["y"]) + layer_text("ReLU", "", ["y"], ["y"], "relu")
    engine = engine_of(layers, {"data": (1, 3)})
    inputs = {"data": np.float32([[-1, 0, 2]])}
    assert engine.forward(inputs, ["y"])["y"].tolist() == [[0, 0, 4]]
    diffs = engine.backward(inputs, {"y": np.float32([[1, 1, 5]])}, ["y", "data"])
    assert diffs["y"].tolist() == [[0, 0, 5]]
    assert diffs["data"].tolist() == [[0, 0, 10]]


def test_a_layer_without_effect_has_a_gradient_of_its_own():
    layers = layer_text("Dropout", "", tops=["y"]) + layer_text("Eltwise", "", ["data", "y"], ["sum"], "sum")
    diffs = engine_of(layers, {"data": (1, 2)}).backward(
        {"data": np.float32([[1, 2]])}, {"sum": np.float32([[1, 3]])}, ["data", "y"]
    )
    assert diffs["y"].tolist() == [[1, 3]]
    assert diffs["data"].tolist() == [[2, 6]]


def test_blobs_that_the_outputs_do_not_depend_on_have_gradient_zero():
    layers = layer_text("ReLU", tops=["y"]) + layer_text(
        "InnerProduct", "num_output: 2", ["data"], ["z"], "fc"
    )
    weights = {"fc": [np.ones((2, 3), np.float32), np.ones(2, np.float32)]}
    engine = engine_of(layers, {"data": (1, 3)}, weights)
    diffs = engine.backward(
        {"data": np.ones((1, 3), np.float32)}, {"y": np.ones((1, 3), np.float32)}, ["z", ("fc", 0), ("fc", 1)]
    )
    assert [diffs[key].shape for key in ("z", ("fc", 0), ("fc", 1))] == [(1, 2), (2, 3), (2,)]
    assert not any(array.any() for array in diffs.values())


def test_only_what_is_asked_for_is_computed():
    layers = layer_text("ReLU", tops=["y"]) + layer_text("BatchReindex", "", ["data", "b"], ["z"], "pick")
    engine = engine_of(layers, {"data": (2, 3), "b": (1,)})
    inputs = {"data": np.ones((2, 3), np.float32), "b": np.float32([7])}
    assert engine.forward(inputs, ["y"])["y"].shape == (2, 3)
    with pytest.raises(
        CamcaffeError, match=r"net.prototxt: layer 'pick' of type BatchReindex: PyTorch failed"
    ):
        engine.forward(inputs, ["z"])


def test_batch_and_size_change_between_calls():
    weights = {"layer": [np.ones((2, 3, 3, 3), np.float32)]}
    layers = layer_text("Convolution", "num_output: 2 kernel_size: 3 bias_term: false")
    engine = engine_of(layers, {"data": (1, 3, 5, 6)}, weights)
    for shape in ((1, 3, 5, 6), (4, 3, 7, 5)):
        y = engine.forward({"data": np.ones(shape, np.float32)}, ["y"])["y"]
        assert y.shape == (shape[0], 2, shape[2] - 2, shape[3] - 2)
        assert (y == 27).all()


def test_results_are_the_callers_own():
    data = np.float32([[1, 2]])
    engine = engine_of(layer_text("Split", tops=["y", "z"]), {"data": (1, 2)})
    blobs = engine.forward({"data": data}, ["data", "y", "z"])
    blobs["y"][...] = 9
    assert data.tolist() == blobs["z"].tolist() == blobs["data"].tolist() == [[1, 2]]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_is_near(precision, reference):
    network, weights, expected = next(layer_nets(reference, "conv"))
    y = Engine(network, weights, precision=precision).forward({"data": expected["data"]}, ["y"])["y"]
    assert 1e-5 < difference(y, expected["y"]) < 2e-2


@pytest.mark.cuda
def test_no_memory_left_on_a_gpu_is_one_line():
    import torch

    weights = {"layer": [np.ones((16, 2, 3, 3), np.float32)]}
    layers = layer_text("Convolution", "num_output: 16 kernel_size: 3 bias_term: false")
    engine = engine_of(layers, {"data": (16, 2, 1024, 1024)}, weights, device="cuda")
    inputs = {"data": np.zeros((16, 2, 1024, 1024), np.float32)}
    diffs = {"y": np.broadcast_to(np.float32(1), (16, 16, 1022, 1022))}
    total = torch.cuda.get_device_properties(0).total_memory
    try:
        # There is room for the input and not for what the layer makes of it, which is 1 GiB; for neither.
        for room, where in ((2**29, ": layer 'layer' of type Convolution"), (2**20, "")):
            torch.cuda.empty_cache()
            torch.cuda.set_per_process_memory_fraction(room / total)
            line = rf"^net.prototxt{where}: PyTorch failed: .*out of memory"
            with pytest.raises(CamcaffeError, match=line):
                engine.forward(inputs, ["y"])
            with pytest.raises(CamcaffeError, match=line):
                engine.backward(inputs, diffs, ["data"])
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert engine.forward(inputs, ["y"])["y"].shape == (16, 16, 1022, 1022)


@pytest.mark.cuda
def test_a_gpu_gives_the_same_twice(reference):
    folder = reference / "caffe"
    network = read_network(folder / "deploy_squeezenetCAM.prototxt")
    weights = load_weights(network, infer_shapes(network), folder / "squeezenetCAM.caffemodel")
    with np.load(folder / "squeezenetCAM_expected.npz") as arrays:
        crop, features = arrays["input_crop4"][None], arrays["features_crop4"][None]
    engine = Engine(network, weights, device="cuda")
    seed = np.zeros((1, 1000), np.float32)
    seed[0, 7] = 1
    found = []
    for _ in range(2):
        inputs = {"data": crop}
        blobs = engine.forward(inputs, ["prob", "fire9/concat"])
        found.append([*blobs.values(), engine.backward(inputs, {"CAM_fc": seed}, ["data"])["data"]])
    for one, other in zip(*found):
        np.testing.assert_array_equal(one, other)
    assert difference(found[0][1], features) <= 1e-4


def test_process_wide_settings_are_put_back():
    import torch

    before = torch.get_num_threads(), torch.backends.mkldnn.enabled
    engine = engine_of(layer_text("BatchReindex", "", ["data", "b"]), {"data": (2, 3), "b": (1,)}, threads=1)
    inputs = {"data": np.ones((2, 3), np.float32), "b": np.float32([7])}
    with pytest.raises(CamcaffeError):
        engine.backward(inputs, {"y": np.ones((1, 3), np.float32)}, ["data"])
    assert (torch.get_num_threads(), torch.backends.mkldnn.enabled) == before


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        (
            layer_text("Accuracy", "", ["data", "data"]),
            "layer 'layer' of type Accuracy is beyond the engine torch",
        ),
        (
            layer_text("Pooling", "pool: STOCHASTIC kernel_size: 2"),
            "of type Pooling with pool: STOCHASTIC is beyond the engine torch",
        ),
        (
            layer_text("Convolution", "num_output: 1 kernel_size: 1 axis: 2"),
            "of type Convolution with axis: 2",
        ),
    ],
)
def test_layers_beyond_it_are_named(layers, found):
    with pytest.raises(CamcaffeError, match=rf"^net.prototxt: .*{found}"):
        engine_of(layers, {"data": (1, 2, 3, 4)})


def test_no_gradient_through_argmax():
    engine = engine_of(layer_text("ArgMax"), {"data": (2, 3)})
    with pytest.raises(CamcaffeError, match="layer 'layer' of type ArgMax has no gradient"):
        engine.backward(
            {"data": np.ones((2, 3), np.float32)}, {"y": np.ones((2, 1, 1), np.float32)}, ["data"]
        )


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"device": "cuda:99"}, "device: 'cuda:99' cannot be used"),
        ({"device": "abacus"}, "device: 'abacus' cannot be used"),
        ({"precision": "int8"}, "precision: 'int8'; expected float32"),
    ],
)
def test_settings_that_it_does_not_have(options, found):
    with pytest.raises(CamcaffeError, match=found):
        engine_of(layer_text("ReLU"), {"data": (1, 2)}, **options)

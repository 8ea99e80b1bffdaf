import importlib
import os

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

from camcaffe.caffe.engines import opencv, pycaffe
from camcaffe.caffe.network import read_network
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.caffe.weights import load_weights
from camcaffe.errors import CamcaffeError

pytestmark = pytest.mark.pycaffe

# The reference was made with OpenBLAS and these kernels: with them the results are equal to the last bit.
EXACT = os.environ.get("OPENBLAS_CORETYPE") == "Prescott"


@pytest.fixture(scope="module", autouse=True)
def caffe():
    return importlib.import_module("caffe")


@pytest.mark.parametrize("kind", KINDS)
def test_layers_equal_the_reference(reference, kind):
    for network, weights, expected in layer_nets(reference, kind):
        engine = pycaffe.Engine(network, weights)
        inputs, name = {"data": expected["data"]}, str(expected["y_name"])
        limit = 0 if EXACT else bound(kind)
        assert difference(engine.forward(inputs, [name])[name], expected["y"]) <= limit
        if "y_diff" in expected:
            gradient = engine.backward(inputs, {name: expected["y_diff"]}, ["data"])["data"]
            assert difference(gradient, expected["data_diff"]) <= limit


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_fingerprints_of_the_variants_are_caffes(variant):
    actual, expected = variant.fingerprints(pycaffe.Engine), expected_of_variants()[str(variant)]
    assert actual.keys() == expected.keys()
    assert_same_fingerprints(actual, expected, 1e-8 if EXACT else 1e-5)


def test_no_fingerprint_is_left_over():
    assert list(expected_of_variants()) == [str(variant) for variant in VARIANTS]


@pytest.fixture(scope="module")
def squeezenet(reference):
    folder = reference / "caffe"
    network = read_network(folder / "deploy_squeezenetCAM.prototxt")
    weights = load_weights(network, infer_shapes(network), folder / "squeezenetCAM.caffemodel")
    with np.load(folder / "squeezenetCAM_expected.npz") as arrays:
        return network, weights, dict(arrays)


@pytest.mark.parametrize("engine_class", [pycaffe.Engine, opencv.Engine], ids=["pycaffe", "opencv"])
def test_squeezenet_equals_the_reference(squeezenet, engine_class):
    network, weights, expected = squeezenet
    blobs = engine_class(network, weights).forward(
        {"data": expected["input_crop4"][None]}, ["prob", "CAM_pool", "fire9/concat"]
    )
    assert difference(blobs["prob"][0], expected["prob"][4]) <= 1e-6
    assert difference(blobs["CAM_pool"][0, :, 0, 0], expected["cam_pool"][4]) <= 1e-6
    assert difference(blobs["fire9/concat"][0], expected["features_crop4"]) <= 2e-6


def test_input_gradient_is_that_of_the_score_before_the_softmax(squeezenet):
    network, weights, expected = squeezenet
    seed = np.zeros((1, 1000), np.float32)
    seed[0, expected["top_class"]] = 1
    inputs = {"data": expected["input_crop4"][None]}
    engine = pycaffe.Engine(network, weights)
    for _ in range(2):  # the diffs of one pass do not add to the next
        gradient = engine.backward(inputs, {"CAM_fc": seed}, ["data"])["data"][0]
        assert difference(gradient, expected["input_gradient_crop4"]) <= (0 if EXACT else 1e-5)


def test_equals_pycaffe_by_hand(caffe, reference):
    path = reference / "caffe" / "layers" / "conv_group_0"
    net = caffe.Net(f"{path}.prototxt", f"{path}.caffemodel", caffe.TEST)
    network, weights, expected = next(layer_nets(reference, "conv_group"))
    net.blobs["data"].data[...] = expected["data"]
    net.forward()
    net.blobs["y"].diff[...] = expected["y_diff"]
    net.backward()
    engine = pycaffe.Engine(network, weights)
    inputs = {"data": expected["data"]}
    assert np.array_equal(engine.forward(inputs, ["y"])["y"], net.blobs["y"].data)
    diffs = engine.backward(inputs, {"y": expected["y_diff"]}, ["data", ("y", 0), ("y", 1)])
    assert np.array_equal(diffs["data"], net.blobs["data"].diff)
    assert np.array_equal(diffs["y", 0], net.params["y"][0].diff)
    assert np.array_equal(diffs["y", 1], net.params["y"][1].diff)


def test_batch_and_size_change_between_calls():
    weights = {"layer": [np.ones((2, 3, 3, 3), np.float32)]}
    layers = layer_text("Convolution", "num_output: 2 kernel_size: 3 bias_term: false")
    engine = pycaffe.Engine(network_from(layers, {"data": (1, 3, 5, 6)}), weights)
    for shape in ((1, 3, 5, 6), (4, 3, 7, 5)):
        y = engine.forward({"data": np.ones(shape, np.float32)}, ["y"])["y"]
        assert y.shape == (shape[0], 2, shape[2] - 2, shape[3] - 2)
        assert (y == 27).all()


def test_only_the_layers_behind_what_is_asked_for_run_backwards():
    # Caffe would end the process at ArgMax, which the output does not depend on.
    layers = layer_text("ReLU", tops=["y"], name="relu") + layer_text("ArgMax", tops=["z"], name="best")
    engine = pycaffe.Engine(network_from(layers, {"data": (1, 3)}), {})
    inputs = {"data": np.float32([[-1, 0, 2]])}
    diffs = engine.backward(inputs, {"y": np.ones((1, 3), np.float32)}, ["data"])
    assert diffs["data"].tolist() == [[0, 0, 1]]
    with pytest.raises(CamcaffeError, match="layer 'best' of type ArgMax has no gradient"):
        engine.backward(inputs, {"z": np.ones((1, 1, 1), np.float32)}, ["data"])


@pytest.mark.parametrize("layer_type", ["Data", "HDF5Output", "Python"])
def test_layers_that_would_reach_outside_are_refused(layer_type):
    layers = layer_text("ReLU") + f'layer {{ name: "out" type: "{layer_type}" bottom: "y" top: "z" }}'
    with pytest.raises(CamcaffeError, match=f"layer 'out' of type {layer_type} is beyond the engine pycaffe"):
        pycaffe.Engine(network_from(layers, {"data": (1, 2)}), {})


def test_what_would_end_the_process_is_refused():
    layers = layer_text("Pooling", "pool: STOCHASTIC kernel_size: 2")
    with pytest.raises(
        CamcaffeError, match="of type Pooling with pool: STOCHASTIC is beyond the engine pycaffe"
    ):
        pycaffe.Engine(network_from(layers, {"data": (1, 1, 4, 4)}), {})
    layers = layer_text("Embed", "input_dim: 5 num_output: 2 bias_term: false")
    engine = pycaffe.Engine(network_from(layers, {"data": (3,)}), {"layer": [np.ones((5, 2), np.float32)]})
    with pytest.raises(CamcaffeError, match="layer 'layer' of type Embed has no gradient"):
        engine.backward({"data": np.zeros(3, np.float32)}, {"y": np.ones((3, 2), np.float32)}, ["data"])


def test_settings_that_it_does_not_have():
    with pytest.raises(CamcaffeError, match=r"engine pycaffe: float16 on cpu; expected float32 on cpu"):
        pycaffe.Engine(network_from(layer_text("ReLU"), {"data": (1, 2)}), {}, precision="float16")


def test_caffe_says_nothing_on_stderr(capfd):
    engine = pycaffe.Engine(network_from(layer_text("ReLU"), {"data": (1, 2)}), {})
    engine.forward({"data": np.ones((1, 2), np.float32)}, ["y"])
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""

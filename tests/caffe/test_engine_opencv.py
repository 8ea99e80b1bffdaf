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

from camcaffe.caffe.engines import opencv
from camcaffe.caffe.network import read_network
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.caffe.weights import load_weights
from camcaffe.errors import CamcaffeError

needs_opencv_4 = pytest.mark.opencv4

# What it refuses of the reference's nets: whole types, and an option of one net each of ELU and LRN.
REFUSED = {"argmax", "bias", "exp", "ip_transpose", "log", "reduction", "threshold", "tile"}
REFUSED_NETS = {("elu", 1): "an alpha other than 1", ("lrn", 0): "a k other than 1"}


@needs_opencv_4
@pytest.mark.parametrize("kind", KINDS)
def test_layers_equal_caffe_or_are_refused(reference, kind):
    for number, (network, weights, expected) in enumerate(layer_nets(reference, kind)):
        if kind in REFUSED or (kind, number) in REFUSED_NETS:
            found = REFUSED_NETS.get(
                (kind, number), "is beyond the engine opencv; expected the engine pycaffe"
            )
            with pytest.raises(
                CamcaffeError, match=rf"{kind}_{number}.prototxt: layer 'y' of type .*{found}"
            ):
                opencv.Engine(network, weights)
            continue
        name = str(expected["y_name"])
        y = opencv.Engine(network, weights).forward({"data": expected["data"]}, [name])[name]
        assert difference(y, expected["y"]) <= bound(kind)


@needs_opencv_4
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_variants_equal_caffe_or_are_refused(variant):
    try:
        actual = variant.fingerprints(opencv.Engine)
    except CamcaffeError as error:
        assert f"of type {variant.type}" in str(error)
        assert "is beyond the engine opencv" in str(error)
        return
    assert_same_fingerprints(actual, expected_of_variants()[str(variant)], 1e-5)


@needs_opencv_4
def test_most_variants_are_not_refused():
    refused = 0
    for variant in VARIANTS:
        try:
            opencv.Engine(variant.network, variant.arrays()[0])
        except CamcaffeError:
            refused += 1
    assert refused <= 70


@needs_opencv_4
def test_squeezenet_equals_caffe(reference):
    folder = reference / "caffe"
    network = read_network(folder / "deploy_squeezenetCAM.prototxt")
    weights = load_weights(network, infer_shapes(network), folder / "squeezenetCAM.caffemodel")
    with np.load(folder / "squeezenetCAM_expected.npz") as arrays:
        expected = dict(arrays)
    engine = opencv.Engine(network, weights)
    for batch in (1, 2):
        data = np.repeat(expected["input_crop4"][None], batch, axis=0)
        blobs = engine.forward({"data": data}, ["prob", "CAM_pool", "fire9/concat"])
        prob = blobs["prob"][-1]
        assert blobs["prob"].shape == (batch, 1000)
        assert difference(prob, expected["prob"][4]) <= 1e-5
        assert difference(blobs["CAM_pool"][-1, :, 0, 0], expected["cam_pool"][4]) <= 1e-5
        assert difference(blobs["fire9/concat"][-1], expected["features_crop4"]) <= 1e-5
        assert np.array_equal(
            np.argsort(-prob, kind="stable"), np.argsort(-expected["prob"][4], kind="stable")
        )


@needs_opencv_4
def test_blobs_mean_their_last_value():
    layers = layer_text("Power", "scale: 2", tops=["y"]) + layer_text("ReLU", "", ["y"], ["y"], "relu")
    engine = opencv.Engine(network_from(layers, {"data": (1, 3)}), {})
    blobs = engine.forward({"data": np.float32([[-1, 0, 2]])}, ["y", "data"])
    assert blobs["y"].tolist() == [[0, 0, 4]]
    assert blobs["data"].tolist() == [[-1, 0, 2]]


@needs_opencv_4
def test_splits_are_copies():
    layers = (
        layer_text("Split", "", tops=["a", "b"], name="split")
        + layer_text("ReLU", "", ["a"], ["a"], "relu")
        + layer_text("Eltwise", "", ["a", "b"], ["sum"], "sum")
    )
    engine = opencv.Engine(network_from(layers, {"data": (1, 2)}), {})
    blobs = engine.forward({"data": np.float32([[-1, 2]])}, ["a", "b", "sum"])
    assert {name: array.tolist() for name, array in blobs.items()} == {
        "a": [[0, 2]],
        "b": [[-1, 2]],
        "sum": [[-1, 4]],
    }


@needs_opencv_4
def test_results_stay_as_they_are():
    engine = opencv.Engine(network_from(layer_text("Power", "scale: 2"), {"data": (1, 2)}), {})
    first = engine.forward({"data": np.float32([[1, 2]])}, ["y"])["y"]
    engine.forward({"data": np.float32([[5, 6]])}, ["y"])
    assert first.tolist() == [[2, 4]]


@needs_opencv_4
@pytest.mark.parametrize("options", [{"precision": "float16"}, {"device": "cuda"}])
def test_settings_that_it_does_not_have(options):
    with pytest.raises(CamcaffeError, match=r"engine opencv: .* expected float32 on cpu"):
        opencv.Engine(network_from(layer_text("ReLU"), {"data": (1, 2)}), {}, **options)


@pytest.mark.opencv5
def test_opencv_5_is_told_from_opencv_4():
    with pytest.raises(CamcaffeError, match=r"engine opencv: .*opencv-python-headless<5.*OpenCV 5 no longer"):
        opencv.Engine(network_from(layer_text("ReLU"), {"data": (1, 2)}), {})

import numpy as np
import pytest

from camcaffe import CamcaffeError
from camcaffe.backprop import merge_gradients, score_blobs
from camcaffe.caffe.network import read_network
from camcaffe.loading import load_backprop
from camcaffe.ten_crop import ten_crops

RNG = np.random.default_rng(0)


def options(small_net, **more):
    return {**dict(argument[2:].split("=") for argument in small_net), **more}


@pytest.fixture(
    params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("torch", "pycaffe")]
)
def engine(request):
    """The engines that have gradients."""
    return request.param


@pytest.fixture
def small(small_net, engine):
    return load_backprop(**options(small_net, engine=engine))


def test_the_gradient_is_that_of_the_score_before_the_softmax(small):
    """The net is piecewise linear up to its FC layer: a small step changes a score by its gradient."""
    crops = RNG.normal(scale=20, size=(2, 3, 40, 40)).astype(np.float32)
    gradients = small.gradients(crops, [5, 2])
    assert gradients.shape == (2, 2, 3, 40, 40)
    step = np.float32(1e-2) * np.sign(gradients[:, 0])

    def scores(at):
        return small.net.forward(blobs=["fc"], data=at)["fc"][:, [5, 2]].astype(np.float64)

    expected = (gradients * step[:, None]).sum(axis=(2, 3, 4), dtype=np.float64)
    np.testing.assert_allclose(scores(crops + step) - scores(crops), expected, rtol=0.02, atol=1e-4)
    assert expected[:, 0].min() > 5e-3


def test_looks_at_the_best_classes(small):
    crops = RNG.normal(scale=20, size=(10, 3, 40, 40)).astype(np.float32)
    classes, scores, gradients = small.look(crops, 3)
    mean = small.net.forward(data=crops)["prob"].mean(axis=0)
    assert classes.tolist() == np.argsort(-mean)[:3].tolist()
    np.testing.assert_array_equal(scores, mean[classes])
    np.testing.assert_array_equal(gradients, small.gradients(crops, classes))


@pytest.mark.torch
@pytest.mark.cuda
def test_gradients_on_a_gpu(small_net):
    crops = RNG.normal(scale=20, size=(10, 3, 40, 40)).astype(np.float32)
    found = [
        load_backprop(**options(small_net, engine="torch", device=name)).look(crops, 3)
        for name in ("cpu", "cuda")
    ]
    assert found[0][0].tolist() == found[1][0].tolist()
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5)
    np.testing.assert_allclose(found[0][2], found[1][2], atol=1e-5 * np.abs(found[0][2]).max())


def test_merge_is_the_originals_on_gradients():
    """mergeTenCrop.m to the letter: each crop on its canvas of zeros, absolute values, sums."""
    gradients = RNG.normal(size=(10, 2, 3, 227, 227)).astype(np.float32)
    merged = merge_gradients(gradients)
    assert merged.shape == (2, 256, 256)
    assert merged.dtype == np.float32
    for index in range(2):
        expected = np.zeros((256, 256))
        for one, (x, y, mirrored) in zip(gradients[:, index], ten_crops(227)):
            canvas = np.zeros((3, 256, 256))
            canvas[:, y : y + 227, x : x + 227] = one[:, :, ::-1] if mirrored else one
            expected += np.abs(canvas).sum(axis=0)
        np.testing.assert_allclose(merged[index], expected, rtol=1e-6)


def test_equals_real_caffes_gradient(reference, squeezenet_home, engine):
    expected = np.load(reference / "caffe" / "squeezenetCAM_expected.npz")
    backprop = load_backprop("squeezenetCAM", engine=engine)
    gradient = backprop.gradients(expected["input_crop4"][None], [int(expected["top_class"])])[0, 0]
    np.testing.assert_allclose(gradient, expected["input_gradient_crop4"], rtol=0, atol=1e-5)
    # The whole range is 0.006: of the probabilities the gradient would be another.
    assert np.abs(gradient).max() > 5e-3


def test_a_net_without_a_cam_head(tmp_path, small_net, engine):
    """Fully connected layers on a feature map, as in AlexNet and VGG, have no CAM."""
    from camcaffe.caffe.net import Net
    from camcaffe.loading import load

    text = (tmp_path / "small.prototxt").read_text()
    text = text.replace("pool: AVE global_pooling: true", "pool: MAX kernel_size: 3 stride: 3")
    (tmp_path / "fc.prototxt").write_text(text)
    Net(tmp_path / "fc.prototxt", seed=3).save(tmp_path / "fc.caffemodel")
    files = {"prototxt": tmp_path / "fc.prototxt", "caffemodel": tmp_path / "fc.caffemodel", "mean": "1,2,3"}
    with pytest.raises(CamcaffeError, match="no CAM head"):
        load(**files)
    backprop = load_backprop(**files, engine=engine)
    classes, _, gradients = backprop.look(RNG.normal(size=(10, 3, 40, 40)).astype(np.float32), 2)
    assert gradients.shape == (10, 2, 3, 40, 40)
    assert np.abs(gradients).max() > 0
    assert backprop.labels[classes[0]] == f"class {classes[0]}"


def test_scores_of_a_net_without_softmax(reference):
    folder = reference / "caffe"
    assert score_blobs(read_network(folder / "deploy_squeezenetCAM.prototxt")) == ("prob", "CAM_fc")
    plain = read_network(folder / "deploy_squeezenet_v1.0.prototxt")
    assert score_blobs(plain) == (plain.outputs[0], plain.outputs[0])


@pytest.mark.onnx
def test_engines_without_gradients_are_refused(small_net, monkeypatch):
    with pytest.raises(
        CamcaffeError, match="engine onnx: it has no gradients; expected the engine pycaffe or torch"
    ):
        load_backprop(**options(small_net, engine="onnx"))
    monkeypatch.setenv("CAMCAFFE_ENGINE", "onnx")
    with pytest.raises(CamcaffeError, match="engine onnx: it has no gradients"):
        load_backprop(**options(small_net))


def test_nets_with_several_outputs_are_refused(tmp_path, small_net):
    text = (tmp_path / "small.prototxt").read_text().replace('type: "Softmax"', 'type: "Sigmoid"')
    (tmp_path / "two.prototxt").write_text(text + 'layer { name: "y" type: "ReLU" bottom: "fc" top: "y" }')
    with pytest.raises(CamcaffeError, match=r"two\.prototxt: outputs prob, y; expected one output"):
        score_blobs(read_network(tmp_path / "two.prototxt"))

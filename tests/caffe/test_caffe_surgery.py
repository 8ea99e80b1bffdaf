import numpy as np
import pytest

from camcaffe import CamcaffeError
from camcaffe.caffe.caffemodel import read_caffemodel
from camcaffe.caffe.surgery import convolution_to_inner_product, rename_layers


def test_squeezenet_becomes_squeezenet_cam(reference):
    weights = read_caffemodel(reference / "caffe" / "squeezenet_v1.0.caffemodel")
    expected = read_caffemodel(reference / "caffe" / "squeezenetCAM.caffemodel")
    operated = convolution_to_inner_product(weights, "conv_final", "CAM_fc")
    assert list(operated) == list(expected)
    for name, blobs in expected.items():
        assert all(np.array_equal(a, b) and a.shape == b.shape for a, b in zip(operated[name], blobs))


def test_pooling_and_the_convolution_commute():
    rng = np.random.default_rng(0)
    maps, kernels, bias = rng.normal(size=(2, 5, 4, 3)), rng.normal(size=(7, 5, 1, 1)), rng.normal(size=7)
    fc, fc_bias = convolution_to_inner_product({"conv": [kernels, bias]}, "conv", "fc")["fc"]
    convolved = np.einsum("nkyx,ck->ncyx", maps, kernels[:, :, 0, 0]) + bias[:, None, None]
    np.testing.assert_allclose(maps.mean(axis=(2, 3)) @ fc.T + fc_bias, convolved.mean(axis=(2, 3)))


def test_without_bias_and_with_a_legacy_one():
    kernels, bias = np.ones((3, 2, 1, 1)), np.arange(3.0).reshape(1, 1, 1, 3)
    assert [blob.shape for blob in convolution_to_inner_product({"c": [kernels]}, "c", "f")["f"]] == [(3, 2)]
    operated = convolution_to_inner_product({"a": [bias], "c": [kernels, bias]}, "c", "f")
    assert [blob.shape for blob in operated["f"]] == [(3, 2), (3,)]
    assert list(operated) == ["a", "f"]


def test_a_layer_that_cannot_be_replaced():
    weights = {"big": [np.zeros((4, 2, 3, 3))], "fc": [np.zeros((4, 2))]}
    with pytest.raises(CamcaffeError, match=r"big: .* \(4, 2, 3, 3\); expected \(classes, units, 1, 1\)"):
        convolution_to_inner_product(weights, "big", "CAM_fc")
    with pytest.raises(CamcaffeError, match=r"fc: weights of shape \(4, 2\)"):
        convolution_to_inner_product(weights, "fc", "CAM_fc")
    with pytest.raises(CamcaffeError, match=r"conv: no layer of this name has weights; .* big, fc"):
        convolution_to_inner_product(weights, "conv", "CAM_fc")


def test_renaming():
    a, b = [np.zeros(2)], [np.ones(3)]
    assert rename_layers({"a": a, "b": b}, {"a": "c", "x": "y"}) == {"c": a, "b": b}
    assert rename_layers({"a": a, "b": b}, {"a": "b", "b": "a"}) == {"b": a, "a": b}
    with pytest.raises(CamcaffeError, match="b: two layers would have this name"):
        rename_layers({"a": a, "b": b}, {"a": "b"})
    with pytest.raises(CamcaffeError, match="c: two layers would have this name"):
        rename_layers({"a": a, "b": b}, {"a": "c", "b": "c"})

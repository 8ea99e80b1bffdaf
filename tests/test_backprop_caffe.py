"""Gradients beside those of BVLC Caffe's own program, pixel by pixel."""

from types import SimpleNamespace

import numpy as np
import pytest

from camcaffe.caffe.engines.torch import Engine
from camcaffe.caffe.geometry import convolution_geometry, pooling_geometry
from camcaffe.caffe.mean import read_mean
from camcaffe.caffe.net import Net
from camcaffe.caffe.network import read_network
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.caffe.weights import load_weights
from camcaffe.matlab import read_rgb
from camcaffe.ten_crop import prepare_image

pytestmark = [pytest.mark.caffe_root, pytest.mark.torch]

# For the root's Python, which has Caffe alone: all blobs of a forward pass, and the gradient of the best
# class's score.
GRADIENT = """
import sys
import caffe
import numpy as np

crops, layer, scores = np.load("crops.npy"), sys.argv[1], sys.argv[2]
net = caffe.Net("net.prototxt", "net.caffemodel", caffe.TEST)
net.blobs["data"].reshape(*crops.shape)
net.blobs["data"].data[...] = crops
net.forward()
best = net.blobs[scores].data.reshape(len(crops), -1).mean(axis=0).argmax()
net.blobs[scores].diff[...] = 0
net.blobs[scores].diff.reshape(len(crops), -1)[:, best] = 1
net.backward(start=layer)
np.save("gradient.npy", net.blobs["data"].diff)
np.savez("blobs.npz", **{name: blob.data for name, blob in net.blobs.items() if "_split_" not in name})
"""


def gradient_in_caffe(real_caffe, prototxt, caffemodel, crops, scores, kernels):
    """Caffe's blobs (without those of Split layers), the gradient of the best class's score, and its seed."""
    folder = real_caffe.folder
    (folder / "net.prototxt").write_text("force_backward: true\n" + prototxt.read_text())
    (folder / "net.caffemodel").write_bytes(caffemodel.read_bytes())
    (folder / "gradient.py").write_text(GRADIENT)
    np.save(folder / "crops.npy", crops)
    layer = next(one.name for one in reversed(read_network(prototxt).layers) if scores in one.tops)
    real_caffe.run("env", "GLOG_minloglevel=2", "python3", "gradient.py", layer, scores, blas=kernels)
    with np.load(folder / "blobs.npz") as arrays:
        blobs = dict(arrays)
    seed = np.zeros_like(blobs[scores])
    seed.reshape(len(crops), -1)[:, blobs[scores].reshape(len(crops), -1).mean(axis=0).argmax()] = 1
    return blobs, np.load(folder / "gradient.npy"), seed


@pytest.fixture
def squeezenet(reference):
    """The files of squeezenet_v1.0, its network, and the blob of its scores."""
    prototxt = reference / "caffe" / "deploy_squeezenet_v1.0.prototxt"
    return SimpleNamespace(
        prototxt=prototxt,
        caffemodel=reference / "caffe" / "squeezenet_v1.0.caffemodel",
        network=read_network(prototxt),
        scores="pool_final",
    )


@pytest.fixture
def crops_of(reference):
    mean = read_mean(reference / "cam_repo" / "ilsvrc_2012_mean.mat")
    folders = {"test.jpg": reference / "cam_repo"}
    images = reference / "mini_ilsvrc" / "images"
    return lambda name: prepare_image(read_rgb(folders.get(name, images) / name), mean, 227)


# OpenBLAS sums up in one order on processors with AVX2 (Haswell), and in another on those without (Prescott).
CASES = [
    ("test.jpg", "Prescott"),
    ("test.jpg", "Haswell"),
    ("ILSVRC2012_val_00000361.JPEG", "Prescott"),
    ("ILSVRC2012_val_00001508.JPEG", "Haswell"),
]


def winners(blob):
    """Of each 3x3 window with stride 2, (N, C, rows, columns): the flat place of the first largest value."""
    view = np.lib.stride_tricks.sliding_window_view(blob, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
    rows, columns = np.divmod(view.reshape(*view.shape[:4], 9).argmax(axis=4), 3)
    rows += 2 * np.arange(rows.shape[2])[:, None]
    columns += 2 * np.arange(rows.shape[3])
    return rows * blob.shape[3] + columns


def choices_that_differ(network, ours, caffes):
    """Where the two programs chose differently: (layer, index in its top, how near the choice was)."""
    for layer in network.layers:
        if layer.type == "ReLU":
            top = layer.tops[0]
            for place in np.argwhere((ours[top] > 0) != (caffes[top] > 0)):
                yield layer, place, max(ours[top][tuple(place)], caffes[top][tuple(place)])
        elif layer.type == "Pooling" and layer.message.pooling_param.pool == 0:
            bottom = layer.bottoms[0]
            first, second = winners(ours[bottom]), winners(caffes[bottom])
            for place in np.argwhere(first != second):
                at = first[tuple(place)], second[tuple(place)]
                values = (
                    blob[place[0], place[1]].ravel()[list(at)] for blob in (ours[bottom], caffes[bottom])
                )
                yield layer, place, max(abs(float(a) - float(b)) for a, b in values)


def pixels_behind(network, layer, place):
    """The pixels of the input that a place in a layer's top depends on, as slices."""
    behind = {layer.tops[0]: [(index, index) for index in place]}
    until = network.layers.index(layer) + 1
    for one, shapes in reversed(list(zip(network.layers[:until], infer_shapes(network).layers))):
        seen = behind.pop(one.tops[0], None)
        if seen is None:
            continue
        if one.type in ("Convolution", "Pooling"):
            size = shapes.bottoms[0][2:]
            if one.type == "Convolution":
                window = convolution_geometry(one.message.convolution_param, size)
            else:
                window = pooling_geometry(one.message.pooling_param, *size)
            seen = [
                (low * stride - pad, high * stride - pad + kernel - 1)
                for (low, high), stride, pad, kernel in zip(seen, window.stride, window.pad, window.kernel)
            ]
        for bottom in one.bottoms:
            both = zip(seen, behind.get(bottom, seen))
            behind[bottom] = [(min(a[0], b[0]), max(a[1], b[1])) for a, b in both]
    return tuple(slice(max(low, 0), high + 1) for low, high in behind["data"])


@pytest.mark.parametrize(("photograph", "kernels"), CASES)
def test_input_gradients_equal_real_caffes(real_caffe, squeezenet, crops_of, photograph, kernels):
    """Within 1e-5, and they reach 0.005, except behind choices that only rounding decides.

    A rectifier sends the gradient on where its value is positive, a max pooling to the largest. Caffe and
    PyTorch sum up a convolution's K products in different orders, so their values differ by about sqrt(K)
    roundings of 2^-24 of the blob's largest value; so do Caffe's own from one processor to the next. Of the
    three million choices for a crop a few are as near as that. All others are the same, and those few change
    only what lies in their own fields of view.
    """
    crops = crops_of(photograph)[:: 1 if photograph == "test.jpg" else 3]
    caffes, expected, seed = gradient_in_caffe(
        real_caffe, squeezenet.prototxt, squeezenet.caffemodel, crops, squeezenet.scores, kernels
    )
    assert expected.shape == crops.shape
    assert np.abs(expected).max() > 2e-3
    network = squeezenet.network
    weights = load_weights(network, infer_shapes(network), squeezenet.caffemodel)
    engine, inputs = Engine(network, weights), {"data": crops}
    gradient = engine.backward(inputs, {squeezenet.scores: seed}, ["data"])["data"]
    # Those of the pass that the gradient went back through.
    ours = engine.forward(inputs, [layer.tops[0] for layer in network.layers])
    most_products = max(arrays[0][0].size for arrays in weights.values())
    same, others = np.ones((len(crops), 227, 227), bool), np.zeros(len(crops), int)
    for layer, (crop, _, *place), gap in choices_that_differ(network, ours, caffes):
        uncertain = np.sqrt(most_products) * 2.0**-24 * caffes[layer.tops[0]][crop].max()
        assert gap <= uncertain, (layer.name, crop, gap, uncertain)
        same[(crop, *pixels_behind(network, layer, place))] = False
        others[crop] += 1
    off = np.abs(gradient - expected).max(axis=1)
    assert off[same].max() <= 1e-5
    assert others.max() <= 10, others
    assert same.mean() > 0.8
    assert np.mean(off > 1e-5) < 0.005
    by_caffes_choices = gradient_at(squeezenet, caffes, seed)
    np.testing.assert_allclose(by_caffes_choices, expected, rtol=0, atol=1e-5)


def gradient_at(squeezenet, blobs, seed):
    """Our gradient by the input where every layer goes back from the values in `blobs`."""
    net = Net(squeezenet.prototxt, squeezenet.caffemodel, engine="torch")
    net.blobs["data"].reshape(*blobs["data"].shape)
    net.reshape()
    net.blobs[squeezenet.scores].diff[...] = seed
    names = list(net.top_names)
    for name in reversed(names[1 : names.index(squeezenet.scores) + 1]):
        for blob in net.bottom_names[name]:
            if blob in blobs:  # else the copy of one, by a Split layer
                net.blobs[blob].data[...] = blobs[blob]
        net.forward(start=name, end=name)
        net.backward(start=name, end=name)
    return net.blobs["data"].diff


TIES = """
name: "ties"
input: "data" input_shape {{ dim: 4 dim: 5 dim: 13 dim: 17 }}
layer {{ name: "relu" type: "ReLU" bottom: "data" top: "a" }}
layer {{ name: "pool" type: "Pooling" bottom: "a" top: "b" pooling_param {{ pool: MAX {first} }} }}
layer {{ name: "again" type: "Pooling" bottom: "b" top: "c" pooling_param {{ pool: MAX {second} }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "c" top: "scores"
         inner_product_param {{ num_output: 3 weight_filler {{ type: "gaussian" }} }} }}
"""


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("kernel_size: 3 stride: 2", "kernel_size: 2 stride: 1"),
        ("kernel_size: 3 stride: 2 pad: 1", "kernel_h: 2 kernel_w: 3 stride: 3"),
        ("kernel_size: 2 stride: 2", "global_pooling: true"),
    ],
)
def test_of_equal_values_the_one_that_caffe_takes(real_caffe, tmp_path, first, second):
    """A few whole numbers, so that nearly every window has its largest value several times, and zeros."""
    prototxt, caffemodel = tmp_path / "ties.prototxt", tmp_path / "ties.caffemodel"
    prototxt.write_text(TIES.format(first=first, second=second))
    Net(prototxt, engine="torch", seed=1).save(caffemodel)
    crops = np.random.default_rng(0).integers(-2, 3, (4, 5, 13, 17)).astype(np.float32)
    _, expected, seed = gradient_in_caffe(real_caffe, prototxt, caffemodel, crops, "scores", "Prescott")
    net = Net(prototxt, caffemodel, engine="torch")
    net.forward(data=crops)
    gradient = net.backward(scores=seed)["data"]
    assert np.count_nonzero(expected) > 10
    np.testing.assert_array_equal(gradient != 0, expected != 0)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=0)

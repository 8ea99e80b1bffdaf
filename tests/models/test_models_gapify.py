from pathlib import Path

import pytest

from camcaffe import CamcaffeError
from camcaffe.caffe.diff import net_differences
from camcaffe.caffe.head import find_head
from camcaffe.caffe.network import read_network
from camcaffe.caffe.prototxt import net_to_text, read_prototxt
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.models.gapify import gapify

MODELS = Path(__file__).resolve().parents[2] / "models"
RATES = "[{lr_mult: 1.0 decay_mult: 1.0}, {lr_mult: 2.0 decay_mult: 0.0}]"
# The published files write a std into every xavier filler, which Caffe ignores; BVLC's training net does not.
STDS = {"1x1": 0.03, "3x3_reduce": 0.09, "3x3": 0.03, "5x5_reduce": 0.2, "5x5": 0.03, "pool_proj": 0.1}
VGG_TRUNK = [f"conv{block}_{i}" for block in range(1, 6) for i in range(1, 3 if block < 3 else 4)]


def difference(net, path, tmp_path):
    (tmp_path / "net.prototxt").write_text(net_to_text(net))
    return net_differences(read_prototxt(tmp_path / "net.prototxt"), read_prototxt(path))


def std_lines():
    stds = {"conv1/7x7_s2": 0.1, "conv2/3x3_reduce": 0.1, "conv2/3x3": 0.03}
    for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e"):
        stds.update({f"inception_{module}/{branch}": std for branch, std in STDS.items()})
    return [
        f"layer {name!r}: convolution_param: weight_filler: std: not set | {std}"
        for name, std in stds.items()
    ]


@pytest.mark.parametrize(("pool", "model"), [("AVE", "googlenetCAM"), ("MAX", "googlenetGMP")])
def test_googlenet_becomes_googlenet_cam(tmp_path, pool, model):
    net = gapify(MODELS / "deploy_googlenet.prototxt", "inception_4e/output", 1024, pool=pool)
    assert difference(net.deploy, MODELS / f"deploy_{model}.prototxt", tmp_path) == [
        "net: force_backward: not set | True"
    ]
    assert (net.map_shape, net.classes) == ((832, 14, 14), 1000)
    assert net.dropped[0] == "pool4/3x3_s2" and net.dropped[-1] == "prob"
    assert {name.split("/")[0] for name in net.dropped} == {
        "pool4", "inception_5a", "inception_5b", "pool5", "loss3", "prob",
    }  # fmt: skip


def test_googlenet_becomes_the_published_places_net(tmp_path, reference):
    net = gapify(MODELS / "deploy_googlenet.prototxt", "inception_4e/output", classes=205)
    original = reference / "cam_repo" / "deploy_googlenetCAM_places205.prototxt"
    assert difference(net.deploy, original, tmp_path) == ["net: force_backward: not set | True"]


def test_googlenets_training_becomes_the_published_one(tmp_path, reference):
    net = gapify(MODELS / "train_val_googlenet.prototxt", "inception_4e/output")
    original = reference / "cam_repo" / "train_val_googlenetCAM.prototxt"
    authors = "/data/vision/scratch/torralba/khosla/deep_train/imagenet_iter"
    assert difference(net.train_val(), original, tmp_path) == [
        f"layer 'data': data_param: source: 'ilsvrc12_train_lmdb' | '{authors}/ilsvrc12_train_lmdb'",
        "layer 'data': data_param: batch_size: 32 | 64",
        f"layer 'data': data_param: source: 'ilsvrc12_val_lmdb' | '{authors}/ilsvrc12_val_lmdb'",
        *std_lines(),
    ]
    assert [name for name in net.dropped if name.startswith("loss3")] == ["loss3/classifier"]
    assert {"loss1/loss", "loss2/top-5", "loss1/conv"} < set(net.dropped)


def test_googlenets_training_makes_the_deploy_net_too(tmp_path):
    net = gapify(MODELS / "train_val_googlenet.prototxt", "inception_4e/output")
    ours = MODELS / "deploy_googlenetCAM.prototxt"
    assert difference(net.deploy, ours, tmp_path) == ["net: force_backward: not set | True", *std_lines()]


def test_vgg_becomes_vgg_cam(tmp_path, reference):
    net = gapify(MODELS / "deploy_vgg16.prototxt", "conv5_3", 1024)
    assert difference(net.deploy, reference / "cam_repo" / "deploy_vgg16CAM.prototxt", tmp_path) == [
        *(f"layer {name!r}: param: not set | {RATES}" for name in VGG_TRUNK),
        "layer 'CAM_conv': convolution_param: bias_filler: value: 1.0 | 0.0",
        "layer 'CAM_dropout': only in the second",
        f"layer 'CAM_fc': param: {RATES} | [{{lr_mult: 1.0 decay_mult: 1.0}}]",
        "layer 'CAM_fc': inner_product_param: weight_filler: {type: \"xavier\"} | not set",
        "layer 'CAM_fc': inner_product_param: bias_filler: {type: \"constant\" value: 0.0} | not set",
    ]


def test_alexnet_becomes_alexnet_gap(tmp_path):
    net = gapify(MODELS / "train_val_caffenet.prototxt", "conv5", group=1)
    name = "net: name: 'CaffeNet' | 'CaffeNetCAM'"
    assert difference(net.deploy, MODELS / "deploy_caffeNetCAM.prototxt", tmp_path) == [name]
    assert difference(net.train_val(), MODELS / "train_val_caffeNetCAM.prototxt", tmp_path) == [
        name,
        "layer 'data': data_param: batch_size: 256 | 64",
    ]
    assert net.map_shape == (256, 13, 13)


def test_an_old_net_is_cut_after_its_relu(tmp_path, reference):
    original = reference / "cam_repo" / "deploy_alexnetplusCAM_imagenet.prototxt"
    assert "layers {" in original.read_text()
    nets = [gapify(original, layer, 64) for layer in ("conv5", "relu5")]
    assert nets[0].deploy == nets[1].deploy
    names = [layer.name for layer in nets[0].deploy.layer]
    assert names[-7:] == ["conv5", "relu5", "CAM_conv", "CAM_relu", "CAM_pool", "CAM_fc", "prob"]


OLDEST = """
name: "oldest" input: "data" input_dim: 2 input_dim: 3 input_dim: 9 input_dim: 13
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "pad" }
layers { layer { name: "conv" type: "conv" num_output: 4 kernelsize: 3 blobs_lr: 1 blobs_lr: 2 }
  bottom: "pad" top: "conv" }
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
layers { layer { name: "fc" type: "innerproduct" num_output: 6 } bottom: "conv" top: "fc" }
layers { layer { name: "prob" type: "softmax" } bottom: "fc" top: "prob" }
"""


def write(tmp_path, text):
    path = tmp_path / "parent.prototxt"
    path.write_text(text)
    return path


def test_the_oldest_form_and_a_map_that_is_not_square(tmp_path):
    net = gapify(write(tmp_path, OLDEST), "conv", 8)
    assert net.map_shape == (4, 9, 13) and net.classes == 6
    conv, _, _, _, pool, _, _ = net.deploy.layer
    assert list(conv.convolution_param.pad) == [1]
    assert [spec.lr_mult for spec in conv.param] == [1, 2]
    options = pool.pooling_param
    assert [options.kernel_h, options.kernel_w, options.stride_h, options.stride_w] == [9, 13, 9, 13]
    (tmp_path / "deploy.prototxt").write_text(net_to_text(net.deploy))
    network = read_network(tmp_path / "deploy.prototxt")
    shapes = infer_shapes(network)
    assert shapes.blobs["prob"] == (2, 6)
    head = find_head(network, shapes)
    assert (head.kind, head.cam_blob, head.classifier) == ("GAP -> FC", "CAM_conv", "CAM_fc")


BRANCHES = """
name: "branches"
layer { name: "in" type: "Input" top: "image" top: "info"
  input_param { shape { dim: 1 dim: 3 dim: 12 dim: 10 } shape { dim: 1 dim: 3 } } }
layer { name: "stem" type: "Convolution" bottom: "image" top: "stem"
  convolution_param { num_output: 5 kernel_size: 3 } }
layer { name: "left" type: "Convolution" bottom: "stem" top: "left"
  convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "right" type: "Convolution" bottom: "stem" top: "right"
  convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "both" type: "Concat" bottom: "left" bottom: "right" top: "both" }
layer { name: "drop" type: "Dropout" bottom: "both" top: "both" }
layer { name: "relu" type: "ReLU" bottom: "both" top: "both" }
layer { name: "halves" type: "Slice" bottom: "both" top: "a" top: "b" slice_param { slice_point: 2 } }
layer { name: "shifted" type: "Scale" bottom: "a" bottom: "info" top: "shifted" scale_param { axis: 0 } }
layer { name: "pool" type: "Pooling" bottom: "both" top: "pool" pooling_param { global_pooling: true } }
layer { name: "classes" type: "Convolution" bottom: "pool" top: "scores"
  convolution_param { num_output: 9 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "prob" type: "Softmax" bottom: "scores" top: "prob" }
"""


def test_a_cut_in_a_branch_leaves_out_the_others(tmp_path):
    net = gapify(write(tmp_path, BRANCHES), "left", 2, group=1)
    assert [layer.name for layer in net.trunk.layers] == ["stem", "left"]
    assert net.map_shape == (3, 10, 8)
    assert (net.image_blob, net.input_shape) == ("image", (1, 3, 12, 10))
    assert list(net.deploy.input) == ["image"]
    assert " ".join(net.dropped) == "right both drop relu halves shifted pool classes prob"


def test_dropout_behind_the_cut_is_dropped_and_the_relu_is_not(tmp_path):
    net = gapify(write(tmp_path, BRANCHES), "both", 2, group=1)
    assert [layer.name for layer in net.trunk.layers] == ["stem", "left", "right", "both", "relu"]
    net = gapify(tmp_path / "parent.prototxt", "drop", 2, group=1)
    assert [layer.name for layer in net.trunk.layers][-2:] == ["drop", "relu"]


def test_cam_fc_is_filled_as_the_classifier(tmp_path):
    fc = gapify(write(tmp_path, BRANCHES), "both", 2, group=1).deploy.layer[-2].inner_product_param
    assert (fc.num_output, fc.weight_filler.type, fc.bias_filler.type) == (9, "msra", "constant")


def test_few_classes_have_no_top_5(tmp_path):
    def accuracies(**options):
        net = gapify(write(tmp_path, BRANCHES), "both", 2, group=1, **options)
        return [layer.name for layer in net.added if layer.type == "Accuracy"]

    assert accuracies() == accuracies(classes=5) == ["accuracy", "accuracy_top5"]
    assert accuracies(classes=4) == ["accuracy"]
    net = gapify(MODELS / "train_val_googlenet.prototxt", "inception_4e/output", classes=2)
    assert [layer.name for layer in net.added if layer.type == "Accuracy"] == ["loss3/top-1"]


TRAINED = """
name: "trained" force_backward: true
layer { name: "images" type: "HDF5Data" top: "pixels" top: "labels" include { phase: TRAIN }
  hdf5_data_param { source: "train.txt" batch_size: 4 } }
layer { name: "images" type: "HDF5Data" top: "pixels" top: "labels" include { phase: TEST }
  hdf5_data_param { source: "val.txt" batch_size: 2 } }
layer { name: "first" type: "Slice" bottom: "labels" top: "truth" top: "rest" slice_param { slice_point: 1 } }
layer { name: "unread" type: "Silence" bottom: "rest" }
layer { name: "halve" type: "Power" bottom: "pixels" top: "pixels" power_param { scale: 0.5 } }
layer { name: "noise" type: "Dropout" bottom: "pixels" top: "pixels" include { phase: TRAIN } }
layer { name: "conv" type: "Convolution" bottom: "pixels" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "side" type: "InnerProduct" bottom: "conv" top: "side" inner_product_param { num_output: 3 } }
layer { name: "side_loss" type: "SoftmaxWithLoss" bottom: "side" bottom: "truth" top: "side_loss" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "truth" top: "loss"
  loss_param { ignore_label: 2 } }
"""


def test_a_training_net_keeps_its_data_and_its_loss(tmp_path):
    with pytest.raises(
        CamcaffeError, match="size of its images, in the blob 'pixels', is not told; expected"
    ):
        gapify(write(tmp_path, TRAINED), "conv")
    net = gapify(tmp_path / "parent.prototxt", "conv", 8, input_shapes={"pixels": (5, 1, 9, 7)})
    assert (net.image_blob, net.label_blob, net.map_shape) == ("pixels", "truth", (4, 7, 5))
    assert [layer.name for layer in net.trunk.layers] == ["halve", "conv"]
    assert net.deploy.force_backward
    train_val = net.train_val()
    assert not train_val.force_backward
    names = " ".join(layer.name for layer in train_val.layer)
    assert names == "images images first halve noise conv CAM_conv CAM_relu CAM_pool CAM_fc loss"
    loss = train_val.layer[-1]
    assert (list(loss.bottom), loss.loss_param.ignore_label) == (["CAM_fc", "truth"], 2)
    assert net.dropped == ["unread", "side", "side_loss", "fc"]


POOLED = """
input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 6 }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { kernel_size: 2 } }
"""
# What is wrong -> (parent, layer to cut after, what the error says).
REFUSED = {
    "a near name": (TRAINED, "convx", "no layer 'convx' in phase TEST; expected one of conv$"),
    "a far name": (TRAINED, "zz", "no layer 'zz' in phase TEST; expected .*`camcaffe net show` lists"),
    "for training only": (TRAINED, "noise", "no layer 'noise' in phase TEST"),
    "two tops": (BRANCHES, "halves", "layer 'halves' has 2 tops; expected one"),
    "no map": (
        BRANCHES,
        "classes",
        "'classes' makes 9 x 1 x 1 values an image, not a map; .* such as 'relu'",
    ),
    "flat": (OLDEST, "fc", "'fc' makes 6 values an image, not a map; .* such as 'relu'"),
    "two inputs": (BRANCHES, "shifted", "read 'image', 'info'; expected one blob, with images"),
    "no classes": (POOLED, "pool", "no fully connected layer or convolution makes the class scores 'pool'"),
    "another loss": (
        TRAINED.replace("SoftmaxWithLoss", "EuclideanLoss"),
        "conv",
        "trains no classification; expected a deploy net, or",
    ),
    "a loss without labels": (
        TRAINED.replace('bottom: "side" bottom: "truth"', 'bottom: "side"').replace(
            'bottom: "fc" bottom: "truth"', 'bottom: "fc"'
        ),
        "conv",
        "trains no classification",
    ),
    "an input without axes": (
        BRANCHES.replace("dim: 1 dim: 3 dim: 12 dim: 10", "dim: 360").replace(
            'name: "stem" type: "Convolution" bottom: "image"',
            'name: "shape" type: "Reshape" bottom: "image" top: "shaped"'
            " reshape_param { shape { dim: 1 dim: 3 dim: 12 dim: 10 } } }"
            ' layer { name: "stem" type: "Convolution" bottom: "shaped"',
        ),
        "left",
        r"its input 'image' has the shape \(360,\); expected four axes",
    ),
    "a layer's name that is taken": (
        BRANCHES.replace('name: "stem"', 'name: "CAM_fc"'),
        "left",
        "have the name 'CAM_fc', which a new layer needs",
    ),
    "a blob's name that is taken": (
        BRANCHES.replace('top: "left"', 'top: "CAM_pool"').replace('bottom: "left"', 'bottom: "CAM_pool"'),
        "left",
        "have the name 'CAM_pool', which a new layer needs",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path, case):
    text, layer, message = REFUSED[case]
    with pytest.raises(CamcaffeError, match=f"parent.prototxt: .*{message}"):
        gapify(write(tmp_path, text), layer, 4, group=1)


def test_groups_that_do_not_divide(tmp_path):
    with pytest.raises(CamcaffeError, match="7 channels behind layer 'both', and 4 units, in 2 groups"):
        gapify(write(tmp_path, BRANCHES), "both", 4)


def test_a_net_that_has_a_head_gets_another(tmp_path):
    first = gapify(write(tmp_path, BRANCHES), "both", 2, group=1)
    again = gapify(write(tmp_path, net_to_text(first.deploy)), "relu", 2, group=1)
    assert again.deploy == first.deploy
    with pytest.raises(CamcaffeError, match="have the name 'CAM_conv'"):
        gapify(tmp_path / "parent.prototxt", "CAM_conv", 2, group=1)

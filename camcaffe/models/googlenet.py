"""GoogLeNet and its networks for class activation mapping."""

from __future__ import annotations

from collections.abc import Sequence

from camcaffe.caffe.messages import LayerParameter
from camcaffe.models.layers import (
    accuracy,
    concat,
    constant,
    convolution,
    dropout,
    inner_product,
    lmdb,
    lrn,
    pooling,
    rectified,
    softmax_loss,
    xavier,
)
from camcaffe.models.nets import CAM_SOLVER, MEAN_PIXEL, Description, cam_layers, data_layers

SIZE = 224
# Inception module -> channels of 1x1, 3x3_reduce, 3x3, 5x5_reduce, 5x5 and pool_proj.
INCEPTION = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
# Where the authors of GoogLeNet-CAM kept ImageNet.
AUTHORS_LMDB = "/data/vision/scratch/torralba/khosla/deep_train/imagenet_iter/ilsvrc12_{}_lmdb"


def googlenet() -> Description:
    """GoogLeNet as BVLC trained it (bvlc_googlenet); training adds losses on inception_4a and 4d."""
    end = [
        pooling("pool5/7x7_s1", "inception_5b/output", "AVE", 7, 1),
        dropout("pool5/drop_7x7_s1", "pool5/7x7_s1", 0.4),
        _scores("loss3/classifier", "pool5/7x7_s1", 1000),
    ]
    solver = {
        **CAM_SOLVER,
        "test_interval": 4000,
        "test_initialization": False,
        "base_lr": 0.01,
        "gamma": 0.96,
        "stepsize": 320000,
        "display": 40,
        "average_loss": 40,
        "max_iter": 10000000,
        "weight_decay": 0.0002,
        "snapshot": 40000,
    }
    return Description(
        "GoogleNet",
        SIZE,
        [*_trunk("5b", stds=False), *end],
        data_layers(SIZE, MEAN_PIXEL, (32, 50)),
        solver,
        deployed=[*_trunk("5b"), *end],
        heads=[*_side_loss(1, "4a"), *_side_loss(2, "4d"), *_heads(3, "loss3/classifier")],
        input_as_layer=True,
    )


def googlenet_cam() -> Description:
    """GoogLeNet-GAP of the paper, on ImageNet (GoogLeNet-CAM), as its authors published it: GAP over 14x14.

    The data's source, the folder of the snapshots and the GPU's number are the authors' own: put in yours.
    """
    data = [
        lmdb("TRAIN", AUTHORS_LMDB.format("train"), 64, mirror=True, crop_size=SIZE, **MEAN_PIXEL),
        lmdb("TEST", AUTHORS_LMDB.format("val"), 50, mirror=False, crop_size=SIZE, **MEAN_PIXEL),
    ]
    solver = {**CAM_SOLVER, "snapshot_prefix": "CAMmodels/imagenet_googlenetCAM_train", "device_id": 1}
    return _cam(1000, data, solver)


def googlenet_cam_places205() -> Description:
    """GoogLeNet-CAM on Places205, as its authors published it: GAP over 14x14."""
    data = data_layers(SIZE, MEAN_PIXEL, dataset="places205")
    return _cam(205, data, {**CAM_SOLVER, "test_iter": [410]})


def googlenet_gmp() -> Description:
    """GoogLeNet-GMP of the paper, on ImageNet: GoogLeNet-GAP with global max pooling over 14x14.

    No prototxt of it was published.
    """
    return _cam(1000, data_layers(SIZE, MEAN_PIXEL), pool="MAX")


def _cam(
    classes: int, data: Sequence[LayerParameter], solver: dict = CAM_SOLVER, *, pool: str = "AVE"
) -> Description:
    layers = [
        *_trunk("4e"),
        *cam_layers("inception_4e/output", (14, 14), bias=1, pool=pool),
        _scores("CAM_fc", "CAM_pool", classes),
    ]
    heads = _heads(3, "CAM_fc")
    return Description("GoogleNet", SIZE, layers, data, solver, heads=heads, force_backward=True)


def _trunk(last: str, *, stds: bool = True) -> list[LayerParameter]:
    """The layers up to inception module `last`; `stds` writes the numbers that xavier ignores."""
    layers = [
        *_conv("conv1/7x7_s2", "data", 64, 7, stds and 0.1, stride=2, pad=3),
        pooling("pool1/3x3_s2", "conv1/7x7_s2", "MAX", 3, 2),
        lrn("pool1/norm1", "pool1/3x3_s2"),
        *_conv("conv2/3x3_reduce", "pool1/norm1", 64, 1, stds and 0.1),
        *_conv("conv2/3x3", "conv2/3x3_reduce", 192, 3, stds and 0.03, pad=1),
        lrn("conv2/norm2", "conv2/3x3"),
        pooling("pool2/3x3_s2", "conv2/norm2", "MAX", 3, 2),
    ]
    for module, channels in INCEPTION.items():
        bottom = layers[-1].top[0]
        if module in ("4a", "5a"):
            pool = f"pool{int(module[0]) - 1}/3x3_s2"
            layers.append(pooling(pool, bottom, "MAX", 3, 2))
            bottom = pool
        layers += _inception(f"inception_{module}/", bottom, channels, stds)
        if module == last:
            break
    return layers


def _inception(module: str, bottom: str, channels: Sequence[int], stds: bool) -> list[LayerParameter]:
    one, reduce3, three, reduce5, five, proj = channels
    outputs = [module + branch for branch in ("1x1", "3x3", "5x5", "pool_proj")]
    return [
        *_conv(module + "1x1", bottom, one, 1, stds and 0.03),
        *_conv(module + "3x3_reduce", bottom, reduce3, 1, stds and 0.09),
        *_conv(module + "3x3", module + "3x3_reduce", three, 3, stds and 0.03, pad=1),
        *_conv(module + "5x5_reduce", bottom, reduce5, 1, stds and 0.2),
        *_conv(module + "5x5", module + "5x5_reduce", five, 5, stds and 0.03, pad=2),
        pooling(module + "pool", bottom, "MAX", 3, 1, pad=1),
        *_conv(module + "pool_proj", module + "pool", proj, 1, stds and 0.1),
        concat(module + "output", outputs),
    ]


def _conv(
    name: str, bottom: str, num_output: int, kernel: int, std: float, **options
) -> list[LayerParameter]:
    folder, last = name.split("/")
    fill = (xavier(std=std) if std else xavier(), constant(0.2))
    relu = f"{folder}/relu_{last.replace('_s2', '')}"
    return rectified(relu, convolution(name, bottom, num_output, kernel, fill=fill, **options))


def _scores(name: str, bottom: str, classes: int) -> LayerParameter:
    return inner_product(name, bottom, classes, fill=(xavier(), constant(0)))


def _side_loss(number: int, module: str) -> list[LayerParameter]:
    loss = f"loss{number}/"
    fill = (xavier(), constant(0.2))
    return [
        pooling(loss + "ave_pool", f"inception_{module}/output", "AVE", 5, 3),
        *_conv(loss + "conv", loss + "ave_pool", 128, 1, 0),
        *rectified(loss + "relu_fc", inner_product(loss + "fc", loss + "conv", 1024, fill=fill)),
        dropout(loss + "drop_fc", loss + "fc", 0.7),
        _scores(loss + "classifier", loss + "fc", 1000),
        *_heads(number, loss + "classifier", weight=0.3),
    ]


def _heads(number: int, scores: str, *, weight: float = 1) -> list[LayerParameter]:
    loss = f"loss{number}/"
    name = loss + (f"loss{number}" if number == 3 else "loss")
    return [
        softmax_loss(name, scores, top=f"{loss}loss{number}", weight=weight),
        accuracy(loss + "top-1", scores),
        accuracy(loss + "top-5", scores, top_k=5),
    ]

"""AlexNet, CaffeNet, and the networks for class activation mapping made from them."""

from __future__ import annotations

from collections.abc import Sequence

from camcaffe.caffe.messages import LayerParameter
from camcaffe.models.layers import (
    bare,
    constant,
    convolution,
    dropout,
    gaussian,
    inner_product,
    lrn,
    pooling,
    rectified,
)
from camcaffe.models.nets import (
    BVLC_SOLVER,
    CAM_SOLVER,
    IMAGENET_MEAN,
    PLACES_MEAN,
    Description,
    cam_layers,
    data_layers,
)

SIZE = 227
WEIGHTS = gaussian(0.01)


def alexnet() -> Description:
    """AlexNet as BVLC trained it (bvlc_alexnet): normalization before pooling, biases from 0.1."""
    layers = [*_trunk(norm_first=True, bias=0.1), *_classifier(bias=0.1)]
    return _baseline("AlexNet", layers, bare(layers, rates=True))


def caffenet() -> Description:
    """CaffeNet (bvlc_reference_caffenet), BVLC's AlexNet with pooling before normalization, biases from 1."""
    layers = [*_trunk(), *_classifier()]
    return _baseline("CaffeNet", layers, bare(layers))


def caffenet_cam() -> Description:
    """AlexNet-GAP of the paper, on ImageNet: AlexNet up to conv5, one more convolution, GAP over 13x13.

    No prototxt of it was published. Its authors' script calls it deploy_caffeNetCAM.prototxt: so the layers
    up to conv5 are CaffeNet's. The convolution is the paper's: 3x3, stride 1, pad 1, 1024 channels, one
    group.
    """
    layers = [*_trunk(), *cam_layers("conv5", (13, 13), bias=1, group=1), _scores("CAM_fc", "CAM_pool", 1000)]
    return Description("CaffeNetCAM", SIZE, layers, data_layers(SIZE, IMAGENET_MEAN))


def alexnetstar_cam() -> Description:
    """AlexNet*-GAP of the paper, on ImageNet: AlexNet up to conv5, two more convolutions, GAP over 13x13.

    Nothing was published of it but that there are two convolutions. Here they are the two that AlexNet+ has
    more than AlexNet (3x3, pad 1, 512 channels, two groups), and the map stays at the 13x13 that the paper
    gives for AlexNet: a reading, not the authors' file. AlexNet+ itself, the nearest published network, has
    11x11 maps.
    """
    layers = [
        *_trunk(),
        *_more_convolutions("conv5"),
        pooling("CAM_pool", "conv7", "AVE", 13, 13),
        _scores("CAM_fc", "CAM_pool", 1000),
    ]
    return Description("AlexNetStarCAM", SIZE, layers, data_layers(SIZE, IMAGENET_MEAN))


def alexnetplus_imagenet() -> Description:
    """AlexNet+-CAM on ImageNet, as its authors published it: GAP over 11x11.

    Against AlexNet, conv5 has 384 channels, pool5 moves by one pixel, and two convolutions follow it. Of the
    published networks it is the nearest to the paper's AlexNet*-GAP.
    """
    layers = [*_plus_trunk(), dropout("drop8", "pool8_global"), _scores("fc9", "pool8_global", 1000)]
    return Description("imagenetCNN_alexnetdeep", SIZE, layers, data_layers(SIZE, IMAGENET_MEAN))


def alexnetplus_places205() -> Description:
    """AlexNet+-CAM on Places205, as its authors published it: GAP over 11x11, no dropout."""
    return Description(
        "placesCNNobjectdiscoveryAverageSumDeepNoDropout",
        SIZE,
        [*_plus_trunk(), _scores("fc9", "pool8_global", 205)],
        data_layers(SIZE, PLACES_MEAN, dataset="places205"),
        solver={**CAM_SOLVER, "test_iter": [410]},
    )


def _baseline(name: str, layers: Sequence[LayerParameter], deployed: Sequence[LayerParameter]) -> Description:
    data = data_layers(SIZE, IMAGENET_MEAN, (256, 50))
    return Description(name, SIZE, layers, data, BVLC_SOLVER, deployed, input_as_layer=True)


def _trunk(*, norm_first: bool = False, bias: float = 1, conv5: int = 256) -> list[LayerParameter]:
    plain, biased = (WEIGHTS, constant(0)), (WEIGHTS, constant(bias))
    layers = rectified("relu1", convolution("conv1", "data", 96, 11, stride=4, fill=plain))
    layers += _pool_and_norm("1", norm_first)
    last = layers[-1].top[0]
    layers += rectified("relu2", convolution("conv2", last, 256, 5, pad=2, group=2, fill=biased))
    layers += _pool_and_norm("2", norm_first)
    last = layers[-1].top[0]
    layers += rectified("relu3", convolution("conv3", last, 384, 3, pad=1, fill=plain))
    layers += rectified("relu4", convolution("conv4", "conv3", 384, 3, pad=1, group=2, fill=biased))
    layers += rectified("relu5", convolution("conv5", "conv4", conv5, 3, pad=1, group=2, fill=biased))
    return layers


def _pool_and_norm(number: str, norm_first: bool) -> list[LayerParameter]:
    conv, pool, norm = "conv" + number, "pool" + number, "norm" + number
    if norm_first:
        return [lrn(norm, conv), pooling(pool, norm, "MAX", 3, 2)]
    return [pooling(pool, conv, "MAX", 3, 2), lrn(norm, pool)]


def _more_convolutions(bottom: str) -> list[LayerParameter]:
    options = {"pad": 1, "group": 2, "fill": (WEIGHTS, constant(1))}
    return [
        *rectified("relu6", convolution("conv6", bottom, 512, 3, **options)),
        *rectified("relu7", convolution("conv7", "conv6", 512, 3, **options)),
    ]


def _plus_trunk() -> list[LayerParameter]:
    return [
        *_trunk(conv5=384),
        pooling("pool5", "conv5", "MAX", 3, 1),
        *_more_convolutions("pool5"),
        pooling("pool8_global", "conv7", "AVE", 11, 11),
    ]


def _classifier(*, bias: float = 1) -> list[LayerParameter]:
    fill = (gaussian(0.005), constant(bias))
    return [
        pooling("pool5", "conv5", "MAX", 3, 2),
        *rectified("relu6", inner_product("fc6", "pool5", 4096, fill=fill)),
        dropout("drop6", "fc6"),
        *rectified("relu7", inner_product("fc7", "fc6", 4096, fill=fill)),
        dropout("drop7", "fc7"),
        _scores("fc8", "fc7", 1000),
    ]


def _scores(name: str, bottom: str, classes: int) -> LayerParameter:
    return inner_product(name, bottom, classes, fill=(WEIGHTS, constant(0)))

"""VGG16 and its network for class activation mapping."""

from __future__ import annotations

from camcaffe.caffe.messages import LayerParameter
from camcaffe.models.layers import (
    bare,
    constant,
    convolution,
    dropout,
    gaussian,
    inner_product,
    pooling,
    rectified,
)
from camcaffe.models.nets import BVLC_SOLVER, VGG_MEAN_PIXEL, Description, cam_layers, data_layers

SIZE = 224
FILL = (gaussian(0.01), constant(0))
CHANNELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def vgg16() -> Description:
    """VGG16 (VGG_ILSVRC_16_layers), as its authors published it for Caffe.

    They published no training files; fillers and solver here follow AlexNet's, and a net this deep wants its
    first and last layers from a shallower one, as their paper tells.
    """
    layers = [
        *_trunk(FILL),
        pooling("pool5", "conv5_3", "MAX", 2, 2),
        *rectified("relu6", inner_product("fc6", "pool5", 4096, fill=FILL)),
        dropout("drop6", "fc6"),
        *rectified("relu7", inner_product("fc7", "fc6", 4096, fill=FILL)),
        dropout("drop7", "fc7"),
        inner_product("fc8", "fc7", 1000, fill=FILL),
    ]
    return Description(
        "VGG_ILSVRC_16_layers", SIZE, layers, data_layers(SIZE, VGG_MEAN_PIXEL), BVLC_SOLVER, bare(layers)
    )


def vgg16_cam() -> Description:
    """VGGnet-GAP of the paper, on ImageNet (VGG16-CAM), as its authors published it: GAP over 14x14.

    Training starts from VGG16's weights; CAM_fc starts from zeros.
    """
    layers = [
        *_trunk(()),
        *cam_layers("conv5_3", (14, 14), bias=0),
        dropout("CAM_dropout", "CAM_pool"),
        inner_product("CAM_fc", "CAM_pool", 1000, rates=((1, 1),)),
    ]
    return Description("VGG_ILSVRC_16_layers", SIZE, layers, data_layers(SIZE, VGG_MEAN_PIXEL))


def _trunk(fill: tuple) -> list[LayerParameter]:
    layers, bottom = [], "data"
    for block, channels in enumerate(CHANNELS, start=1):
        if block > 1:
            layers.append(pooling(f"pool{block - 1}", bottom, "MAX", 2, 2))
            bottom = f"pool{block - 1}"
        for i, num_output in enumerate(channels, start=1):
            conv = convolution(f"conv{block}_{i}", bottom, num_output, 3, pad=1, fill=fill)
            layers += rectified(f"relu{block}_{i}", conv)
            bottom = conv.name
    return layers

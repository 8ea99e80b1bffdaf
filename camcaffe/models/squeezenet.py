"""SqueezeNet v1.0 and its network for class activation mapping."""

from __future__ import annotations

from camcaffe.caffe.messages import LayerParameter
from camcaffe.models.layers import (
    concat,
    convolution,
    dropout,
    gaussian,
    global_pooling,
    inner_product,
    pooling,
    rectified,
    xavier,
)
from camcaffe.models.nets import CAM_SOLVER, MEAN_PIXEL, Description, data_layers

SIZE = 227
FILL = (xavier(),)
# Fire module -> channels of its 1x1 convolution that squeezes, and of each of the two that expand.
FIRES = {
    2: (16, 64),
    3: (16, 64),
    4: (32, 128),
    5: (32, 128),
    6: (48, 192),
    7: (48, 192),
    8: (64, 256),
    9: (64, 256),
}


def squeezenet() -> Description:
    """SqueezeNet v1.0 on ImageNet, ending with the class scores: GAP over the class maps.

    The layers have the names of its authors' Deep Compression release (FireNet). Their plain release is the
    same network with other names.
    """
    layers = [
        *_trunk(),
        *rectified(
            "relu_conv_final",
            convolution(
                "conv_final", "fire9/concat", 1000, 1, pad=1, fill=(gaussian(0.01, mean=0),), rates=()
            ),
        ),
        global_pooling("pool_final", "conv_final"),
    ]
    solver = {
        **CAM_SOLVER,
        "test_iter": [2000],
        "test_interval": 1000,
        "base_lr": 0.08,
        "lr_policy": "poly",
        "power": 0.5,
        "display": 40,
        "average_loss": 40,
        "iter_size": 32,
        "max_iter": 85000,
        "weight_decay": 0.0002,
        "snapshot": 1000,
        "test_initialization": False,
    }
    for key in ("gamma", "stepsize"):
        del solver[key]
    data = data_layers(SIZE, MEAN_PIXEL, (32, 25))
    return Description("FireNet", SIZE, layers, data, solver, batch=1, probabilities=False)


def squeezenet_cam() -> Description:
    """SqueezeNet-CAM on ImageNet: SqueezeNet v1.0 with GAP -> FC for its last convolution.

    That is a 1x1 convolution, whose weights serve the fully connected layer: it needs no training.
    """
    layers = [
        *_trunk(),
        global_pooling("CAM_pool", "fire9/concat"),
        inner_product("CAM_fc", "CAM_pool", 1000, rates=()),
    ]
    return Description("SqueezeNet-CAM", SIZE, layers, data_layers(SIZE, MEAN_PIXEL))


def _trunk() -> list[LayerParameter]:
    layers = [*_conv("conv1", "data", 96, 7, stride=2), pooling("pool1", "conv1", "MAX", 3, 2)]
    for number, (squeeze, expand) in FIRES.items():
        layers += _fire(number, layers[-1].top[0], squeeze, expand)
        if number in (4, 8):
            layers.append(pooling(f"pool{number}", layers[-1].top[0], "MAX", 3, 2))
    return [*layers, dropout("drop9", "fire9/concat")]


def _fire(number: int, bottom: str, squeeze: int, expand: int) -> list[LayerParameter]:
    fire = f"fire{number}/"
    return [
        *_conv(fire + "conv1x1_1", bottom, squeeze, 1),
        *_conv(fire + "conv1x1_2", fire + "conv1x1_1", expand, 1),
        *_conv(fire + "conv3x3_2", fire + "conv1x1_1", expand, 3, pad=1),
        concat(fire + "concat", [fire + "conv1x1_2", fire + "conv3x3_2"]),
    ]


def _conv(name: str, bottom: str, num_output: int, kernel: int, **options) -> list[LayerParameter]:
    folder, slash, last = name.rpartition("/")
    conv = convolution(name, bottom, num_output, kernel, fill=FILL, rates=(), **options)
    return rectified(f"{folder}{slash}relu_{last}", conv)

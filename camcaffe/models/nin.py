"""Network in Network, whose last convolution already has one map a class."""

from __future__ import annotations

from camcaffe.caffe.messages import LayerParameter
from camcaffe.models.layers import constant, convolution, dropout, gaussian, pooling, rectified
from camcaffe.models.nets import BVLC_SOLVER, IMAGENET_MEAN, Description, data_layers

SIZE = 224


def nin() -> Description:
    """Network in Network (nin_imagenet), as its authors published it for Caffe: GAP over the class maps, 6x6.

    Their file trains; the softmax that makes probabilities of its scores is added here.
    """
    layers = [
        *_conv("conv1", "data", 96, 11, "relu0", stride=4, std=0.01),
        *_conv("cccp1", "conv1", 96, 1, "relu1"),
        *_conv("cccp2", "cccp1", 96, 1, "relu2"),
        pooling("pool0", "cccp2", "MAX", 3, 2),
        *_conv("conv2", "pool0", 256, 5, "relu3", pad=2),
        *_conv("cccp3", "conv2", 256, 1, "relu5"),
        *_conv("cccp4", "cccp3", 256, 1, "relu6"),
        pooling("pool2", "cccp4", "MAX", 3, 2),
        *_conv("conv3", "pool2", 384, 3, "relu7", pad=1, std=0.01),
        *_conv("cccp5", "conv3", 384, 1, "relu8"),
        *_conv("cccp6", "cccp5", 384, 1, "relu9"),
        pooling("pool3", "cccp6", "MAX", 3, 2),
        dropout("drop", "pool3"),
        *_conv("conv4-1024", "pool3", 1024, 3, "relu10", pad=1, top="conv4"),
        *_conv("cccp7-1024", "conv4", 1024, 1, "relu11", top="cccp7"),
        *_conv("cccp8-1024", "cccp7", 1000, 1, "relu12", top="cccp8", std=0.01),
        pooling("pool4", "cccp8", "AVE", 6, 1),
    ]
    solver = {**BVLC_SOLVER, "test_iter": [562], "stepsize": 200000}
    return Description("nin_imagenet", SIZE, layers, data_layers(SIZE, IMAGENET_MEAN, (64, 89)), solver)


def _conv(
    name: str, bottom: str, num_output: int, kernel: int, relu: str, *, std: float = 0.05, **options
) -> list[LayerParameter]:
    fill = (gaussian(std), constant(0))
    return rectified(relu, convolution(name, bottom, num_output, kernel, fill=fill, **options))

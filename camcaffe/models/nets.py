"""A network and how it is trained, told once: its deploy, train_val and solver files are made from this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from camcaffe.caffe import messages
from camcaffe.models.layers import (
    accuracy,
    constant,
    convolution,
    gaussian,
    input_layer,
    lmdb,
    rectified,
    softmax,
    softmax_loss,
    whole_map_pooling,
)

# Mean pixels in blue, green, red: GoogLeNet's, SqueezeNet's and the CAM authors', and VGG's.
MEAN_PIXEL = {"mean_value": [104, 117, 123]}
VGG_MEAN_PIXEL = {"mean_value": [103.939, 116.779, 123.68]}
IMAGENET_MEAN = {"mean_file": "imagenet_mean.binaryproto"}
PLACES_MEAN = {"mean_file": "places205_mean.binaryproto"}

# The one solver that the CAM authors published, for GoogLeNet-CAM; theirs for the other nets are not known.
CAM_SOLVER = {
    "test_iter": [1000],
    "test_interval": 3000,
    "base_lr": 0.001,
    "lr_policy": "step",
    "gamma": 0.1,
    "stepsize": 40000,
    "display": 20,
    "max_iter": 160000,
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "snapshot": 10000,
}
# BVLC's for AlexNet and CaffeNet.
BVLC_SOLVER = {
    **CAM_SOLVER,
    "test_interval": 1000,
    "base_lr": 0.01,
    "stepsize": 100000,
    "max_iter": 450000,
}


@dataclass(frozen=True)
class Description:
    """A network from the blob `data` to its class scores, and how it is trained.

    Attributes:
        name: the net's name in its prototxt.
        size: height and width of its input, in pixels.
        layers: its layers; the last one's top holds the class scores.
        data: the layers that training reads images and labels from.
        solver: the solver's settings, but for the names of files.
        deployed: the deploy net's layers where they are not `layers`.
        heads: training's losses and accuracies; () for a loss, top-1 and top-5 on the scores.
        batch: images in the deploy net's input.
        input_as_layer: the deploy net's input is a layer, not a field of the net.
        force_backward: gradients reach the deploy net's input.
        probabilities: the deploy net ends with a softmax.
    """

    name: str
    size: int
    layers: Sequence[messages.LayerParameter]
    data: Sequence[messages.LayerParameter]
    solver: dict = field(default_factory=lambda: CAM_SOLVER)
    deployed: Sequence[messages.LayerParameter] = ()
    heads: Sequence[messages.LayerParameter] = ()
    batch: int = 10
    input_as_layer: bool = False
    force_backward: bool | None = None
    probabilities: bool = True

    def deploy(self) -> messages.NetParameter:
        """The net for classification: images in the blob `data`, probabilities out."""
        layers = list(self.deployed or self.layers)
        if self.probabilities:
            layers.append(softmax("prob", layers[-1].top[0]))
        shape = [self.batch, 3, self.size, self.size]
        if self.input_as_layer:
            return messages.NetParameter(name=self.name, layer=[input_layer(shape), *layers])
        return messages.NetParameter(
            name=self.name, input=["data"], input_dim=shape, force_backward=self.force_backward, layer=layers
        )

    def train_val(self) -> messages.NetParameter:
        """The net for training and validation: images and labels from LMDBs, loss and accuracies out."""
        heads = self.heads or classification_heads(self.layers[-1].top[0])
        return messages.NetParameter(name=self.name, layer=[*self.data, *self.layers, *heads])


def cam_layers(
    bottom: str, size: tuple[int, int], *, bias: float, units: int = 1024, group: int = 2, pool: str = "AVE"
) -> list[messages.LayerParameter]:
    """The layers that the paper puts behind a cut network: one more convolution, pooled over the whole map.

    Args:
        bottom: the last blob that is kept.
        size: height and width of the map, in pixels of `bottom`; the pooling is written for this size.
        bias: what the convolution's biases begin with.
        units: channels of the convolution.
        group: groups of the convolution; the paper mentions none, the published networks have two.
        pool: "AVE" (GAP) or "MAX" (GMP).
    """
    fill = (gaussian(0.01), constant(bias))
    conv = convolution("CAM_conv", bottom, units, 3, pad=1, group=group, fill=fill)
    return [*rectified("CAM_relu", conv), whole_map_pooling("CAM_pool", "CAM_conv", pool, *size)]


def classification_heads(scores: str) -> list[messages.LayerParameter]:
    """The loss, and in the test phase the top-1 and top-5 accuracy, of a blob of class scores."""
    return [
        softmax_loss("loss", scores),
        accuracy("accuracy", scores),
        accuracy("accuracy_top5", scores, top_k=5),
    ]


def data_layers(
    size: int, mean: dict, batches: tuple[int, int] = (64, 50), dataset: str = "ilsvrc12"
) -> list[messages.LayerParameter]:
    """Random mirrored crops of `size` pixels for training, centre crops for validation.

    Args:
        size: height and width of a crop, in pixels.
        mean: what is subtracted, as transform_param's field.
        batches: images in a batch of training and of validation.
        dataset: the LMDBs are `DATASET_train_lmdb` and `DATASET_val_lmdb` in the working folder.
    """
    return [
        lmdb("TRAIN", f"{dataset}_train_lmdb", batches[0], mirror=True, crop_size=size, **mean),
        lmdb("TEST", f"{dataset}_val_lmdb", batches[1], mirror=False, crop_size=size, **mean),
    ]

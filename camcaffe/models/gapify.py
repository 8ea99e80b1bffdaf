"""A classification net made a net for class activation mapping: cut, one convolution, GAP, one FC layer.

Section 2 of the paper, and section 3.1 for the networks that it did this to.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from camcaffe.caffe.messages import LayerParameter, NetParameter
from camcaffe.caffe.network import Network, network_of
from camcaffe.caffe.prototxt import read_prototxt
from camcaffe.caffe.shape_rules import DATA_TYPES
from camcaffe.caffe.shapes import Shape, infer_shapes
from camcaffe.caffe.upgrade import upgrade_net
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike
from camcaffe.models.layers import constant, inner_product, softmax, xavier
from camcaffe.models.nets import cam_layers, classification_heads

# Images in the input of a deploy net whose parent reads its data from files: the ten crops of one image.
TEN_CROPS = 10
# The convolution's biases start from 1, as in the published GoogLeNet-CAM.
BIAS = 1
# Layers that a classifier can be -> where their settings are.
WEIGHING = {"InnerProduct": "inner_product_param", "Convolution": "convolution_param"}


@dataclass(frozen=True)
class Gapified:
    """A net for class activation mapping, made from a parent.

    Attributes:
        trunk: the kept layers; what the parent's weights are for.
        deploy: the net for classification: images in, probabilities in the blob `prob`.
        kept: the parent's layers that training keeps, those among them that read data included.
        added: the new layers up to CAM_fc, the loss and the accuracies.
        image_blob: the blob that images come in.
        label_blob: the blob that their labels come in.
        input_shape: (images, channels, height, width) of the first.
        map_shape: (channels, height, width) of the blob behind the cut.
        classes: what CAM_fc tells apart.
        dropped: names of the parent's layers that are left out.
    """

    trunk: Network
    deploy: NetParameter
    kept: Sequence[LayerParameter]
    added: Sequence[LayerParameter]
    image_blob: str
    label_blob: str
    input_shape: Shape
    map_shape: Shape
    classes: int
    dropped: Sequence[str]

    @property
    def reads_data(self) -> bool:
        """Whether the parent has layers that read data for training."""
        return any(layer.type in DATA_TYPES for layer in self.kept)

    def train_val(self, data: Sequence[LayerParameter] = ()) -> NetParameter:
        """The net for training and validation.

        Args:
            data: layers that make `image_blob` and `label_blob`; the parent's where there are none.

        Raises:
            CamcaffeError: one of them makes a blob that the net has already.
        """
        kept = [layer for layer in self.kept if not (data and layer.type in DATA_TYPES)]
        net = NetParameter(name=self.trunk.name, layer=[*data, *kept, *self.added])
        for phase in ("TRAIN", "TEST"):
            network_of(net, self.trunk.source, phase)
        return net


def gapify(
    parent: PathLike,
    cut_after: str,
    units: int = 1024,
    *,
    pool: str = "AVE",
    classes: int | None = None,
    group: int = 2,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> Gapified:
    """Cut a classification net after a layer and give it a CAM head.

    What is kept is the layer, what works in place on its blob (its ReLU; not dropout), and all that they are
    made of; so a cut in a branch of an inception module leaves out the other branches. Behind it come
    CAM_conv (3x3, pad 1, in-place ReLU), CAM_pool over the whole map, and CAM_fc, which is filled as the
    parent's classifier, or else as the published GoogLeNet-CAM. The parent's last loss, and the accuracies of
    the same scores, read CAM_fc; other losses and all else go.

    Args:
        parent: a deploy or training prototxt of any version.
        cut_after: the name of the last layer to keep.
        units: channels of CAM_conv.
        pool: "AVE" (GAP) or "MAX" (GMP).
        classes: what CAM_fc tells apart; None: as many as the parent does.
        group: groups of CAM_conv; the published networks have two, the paper mentions none (1).
        input_shapes: the shape of the images' blob, by its name and batch axis included, where it is to be
            another than the prototxt tells, or the prototxt tells none; crops of a data layer are taken for
            color.

    Raises:
        CamcaffeError: the prototxt cannot be read; no layer has this name, or it makes no map; the kept part
            has names that the new layers need, or reads more than images; the parent is no classification
            net; its data's size is not told.
    """
    net = read_prototxt(parent)
    network = network_of(net, parent)
    blob = _cut_blob(network, cut_after)
    is_trained = any(layer.type in DATA_TYPES for layer in net.layer)
    scores, label = _scores_and_label(net, network, is_trained)
    classifier = _classifier(network, scores)
    classes = classes or getattr(classifier, WEIGHING[classifier.type]).num_output

    kept = _kept(net.layer, cut_after, blob, *([label] if is_trained else []))
    deployed = [layer for layer in _kept(network.message.layer, cut_after, blob) if not _is_source(layer)]
    image_blob = _image_blob(network, deployed)
    shape = _input_shape(image_blob, network, input_shapes or {})
    if len(shape) != 4:
        raise CamcaffeError(parent, f"its input {image_blob!r} has the shape {shape}", "four axes: images")
    trunk = _upgraded(_deploy_net(network, image_blob, shape, deployed), parent)
    channels, height, width = _map_shape(trunk, cut_after, blob)
    if channels % group or units % group:
        found = f"{channels} channels behind layer {cut_after!r}, and {units} units, in {group} groups"
        raise CamcaffeError(parent, found, "multiples of the groups, or 1 group")

    cam = cam_layers(blob, (height, width), bias=BIAS, units=units, group=group, pool=pool)
    cam.append(_cam_fc(classifier, classes))
    heads = _heads(net, scores) if is_trained else classification_heads("CAM_fc")
    heads = [layer for layer in heads if layer.accuracy_param.top_k <= classes]
    prob = softmax("prob", "CAM_fc")
    _refuse_collisions(trunk, [*cam, prob, *heads])
    deploy = _deploy_net(network, image_blob, shape, [*deployed, *cam, prob])
    infer_shapes(_upgraded(deploy, parent))

    staying = {layer.name for layer in [*kept, *heads]}
    return Gapified(
        trunk=trunk,
        deploy=deploy,
        kept=[layer for layer in kept if layer.type != "Input"],
        added=[*cam, *heads],
        image_blob=image_blob,
        label_blob=label,
        input_shape=shape,
        map_shape=(channels, height, width),
        classes=classes,
        dropped=[layer.name for layer in net.layer if layer.name not in staying],
    )


def _cut_blob(network: Network, name: str) -> str:
    layers = {layer.name: layer for layer in network.layers}
    if name not in layers:
        close = difflib.get_close_matches(name, layers)
        expected = f"one of {', '.join(close)}" if close else "a name that `camcaffe net show` lists"
        raise CamcaffeError(network.source, f"no layer {name!r} in phase TEST", expected)
    if len(layers[name].tops) != 1:
        raise CamcaffeError(network.source, f"layer {name!r} has {len(layers[name].tops)} tops", "one")
    return layers[name].tops[0]


def _scores_and_label(net: NetParameter, network: Network, is_trained: bool) -> tuple[str, str]:
    """The blobs of the parent's class scores and of its labels; "label" in a deploy net."""
    if not is_trained:
        return next(layer.tops[0] for layer in reversed(network.layers) if layer.tops), "label"
    losses = [layer for layer in net.layer if layer.type == "SoftmaxWithLoss" and len(layer.bottom) == 2]
    if not losses:
        expected = "a deploy net, or a training net whose class scores a SoftmaxWithLoss reads"
        raise CamcaffeError(network.source, "it reads data, but trains no classification", expected)
    return losses[-1].bottom[0], losses[-1].bottom[1]


def _classifier(network: Network, scores: str) -> LayerParameter:
    """The layer with weights that the class scores come from."""
    blob = scores
    for layer in reversed(network.layers):
        if blob in layer.tops:
            if layer.type in WEIGHING:
                return layer.message
            blob = layer.bottoms[0] if layer.bottoms else blob
    found = f"no fully connected layer or convolution makes the class scores {scores!r}"
    raise CamcaffeError(network.source, found, "a classification net")


def _kept(layers: Sequence[LayerParameter], cut_after: str, blob: str, *others: str) -> list[LayerParameter]:
    """The layers that the cut blob and others are made of; dropout behind the cut is not part of it."""
    last = max(index for index, layer in enumerate(layers) if layer.name == cut_after)
    wanted, kept = {blob, *others}, []
    for index, layer in reversed(list(enumerate(layers))):
        if index > last and layer.type == "Dropout" and list(layer.top) == [blob]:
            continue
        if wanted.intersection(layer.top):
            kept.append(layer)
            wanted.update(layer.bottom)
    return kept[::-1]


def _is_source(layer: LayerParameter) -> bool:
    return layer.type == "Input" or layer.type in DATA_TYPES


def _image_blob(network: Network, layers: Sequence[LayerParameter]) -> str:
    """The one blob that the kept layers start from."""
    made, sources = set(), {}
    for layer in layers:
        sources.update(dict.fromkeys(blob for blob in layer.bottom if blob not in made))
        made.update(layer.top)
    if len(sources) != 1:
        found = f"the layers up to the cut read {', '.join(map(repr, sources)) or 'nothing'}"
        raise CamcaffeError(network.source, found, "one blob, with images")
    return next(iter(sources))


def _input_shape(blob: str, network: Network, given: Mapping[str, Sequence[int]]) -> Shape:
    if given.keys() - {blob}:
        raise CamcaffeError(network.source, f"no input {', '.join(given.keys() - {blob})!r}", repr(blob))
    if blob in given:
        return tuple(given[blob])
    if blob in network.inputs:
        return network.inputs[blob]
    for layer in network.layers:
        if blob in layer.tops and layer.message.transform_param.crop_size:
            size = layer.message.transform_param.crop_size
            return (TEN_CROPS, 3, size, size)
    found = f"the size of its images, in the blob {blob!r}, is not told"
    raise CamcaffeError(network.source, found, f"--input {blob}=BATCH,CHANNELS,HEIGHT,WIDTH")


def _deploy_net(
    network: Network, image_blob: str, shape: Shape, layers: Iterable[LayerParameter]
) -> NetParameter:
    """A deploy net in the form of the published ones, with its input in the head."""
    net = NetParameter(name=network.name, input=[image_blob], input_shape=[{"dim": shape}])
    if network.force_backward:
        net.force_backward = True
    for layer in layers:
        copy = net.layer.add()
        copy.CopyFrom(layer)
        copy.ClearField("include")
        copy.ClearField("exclude")
    return net


def _upgraded(net: NetParameter, source: PathLike) -> Network:
    copy = NetParameter()
    copy.CopyFrom(net)
    upgrade_net(copy, source)
    return network_of(copy, source)


def _map_shape(trunk: Network, cut_after: str, blob: str) -> Shape:
    shapes = infer_shapes(trunk)
    shape = shapes.blobs[blob]
    if not _is_map(shape):
        maps = [layer.name for layer, made in zip(trunk.layers, shapes.layers) if _is_map(made.tops[0])]
        found = f"layer {cut_after!r} makes {' x '.join(map(str, shape[1:]))} values an image, not a map"
        expected = f"a layer that makes one, such as {maps[-1]!r}" if maps else "a convolutional net"
        raise CamcaffeError(trunk.source, found, expected)
    return shape[1:]


def _is_map(shape: Shape) -> bool:
    return len(shape) == 4 and shape[2:] != (1, 1)


def _cam_fc(classifier: LayerParameter, classes: int) -> LayerParameter:
    layer = inner_product("CAM_fc", "CAM_pool", classes, fill=(xavier(), constant(0)))
    options = getattr(classifier, WEIGHING[classifier.type])
    if options.HasField("weight_filler"):
        layer.inner_product_param.weight_filler.CopyFrom(options.weight_filler)
    if options.HasField("bias_filler"):
        layer.inner_product_param.bias_filler.CopyFrom(options.bias_filler)
    return layer


def _heads(net: NetParameter, scores: str) -> list[LayerParameter]:
    """The parent's losses and accuracies of these scores, which read CAM_fc from now on."""
    heads = []
    for layer in net.layer:
        if layer.type in ("SoftmaxWithLoss", "Accuracy") and list(layer.bottom[:1]) == [scores]:
            heads.append(LayerParameter())
            heads[-1].CopyFrom(layer)
            heads[-1].bottom[0] = "CAM_fc"
    return heads


def _refuse_collisions(trunk: Network, new: Iterable[LayerParameter]) -> None:
    kept = {layer.name for layer in trunk.layers}
    kept.update(*(layer.tops for layer in trunk.layers))
    for layer in new:
        for name in (layer.name, *layer.top):
            if name in kept:
                found = f"the layers up to the cut have the name {name!r}, which a new layer needs"
                raise CamcaffeError(trunk.source, found, "a cut in front of it, or another name")

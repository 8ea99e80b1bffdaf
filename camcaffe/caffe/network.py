"""A net as one phase sees it: its inputs, its layers in order, its outputs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from camcaffe.caffe import messages
from camcaffe.caffe.prototxt import read_prototxt
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike


@dataclass(frozen=True)
class Layer:
    """One layer: its wiring, and its settings as Caffe's LayerParameter (V2, without weights)."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    message: messages.LayerParameter = field(repr=False)


@dataclass(frozen=True)
class Network:
    """A net's description, filtered for one phase.

    Attributes:
        name: the net's name.
        phase: "TEST" or "TRAIN".
        inputs: shape of each input blob, in order; the tops of the Input layers.
        layers: the other layers, in order: each bottom is an input or a top of a layer before.
        outputs: blobs that no layer reads, sorted by name, as in pycaffe.
        force_backward: the net asks for gradients back to its inputs.
        source: the prototxt, for errors.
        message: the filtered NetParameter (V2), Input layers included.
    """

    name: str
    phase: str
    inputs: dict[str, tuple[int, ...]]
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]
    force_backward: bool
    source: str
    message: messages.NetParameter = field(repr=False)


def read_network(
    prototxt: PathLike, phase: str = "TEST", level: int = 0, stages: Sequence[str] = ()
) -> Network:
    """Read a prototxt and keep the layers that Caffe would keep in this phase.

    Args:
        prototxt: the description, of any version.
        phase: "TEST" or "TRAIN".
        level: the level that min_level and max_level rules are held against.
        stages: the stages that stage and not_stage rules are held against.

    Raises:
        CamcaffeError: the file cannot be read; a bottom is made by no layer above (cycles and wrong order
            included); a blob is made twice; a rule contradicts itself; an Input layer lacks its shape.
    """
    return network_of(read_prototxt(prototxt), prototxt, phase, level, stages)


def network_of(
    net: messages.NetParameter,
    source: PathLike,
    phase: str = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
) -> Network:
    """The Network of a V2 description, as `read_network` makes it from a file."""
    net = _filtered(net, source, phase, level, stages)
    inputs, layers = {}, []
    unread = {}  # blob -> not yet read by any layer
    for message in net.layer:
        layer = Layer(message.name, message.type, tuple(message.bottom), tuple(message.top), message)
        _wire(layer, unread, source)
        if layer.type == "Input":
            inputs.update(_input_shapes(layer, source))
        else:
            layers.append(layer)
    if not net.layer:
        raise CamcaffeError(source, f"no layer is left in phase {phase}", "a prototxt that describes a net")
    outputs = tuple(sorted(blob for blob, is_unread in unread.items() if is_unread))
    return Network(
        net.name, phase, inputs, tuple(layers), outputs, net.force_backward, os.fspath(source), net
    )


def insert_splits(network: Network) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """The layers as BVLC Caffe runs them, where a blob that several layers read is split for them.

    Returns:
        (name, bottoms, tops) of each layer in order, Input and Split layers included: what pycaffe
        shows as `_layer_names`, `bottom_names` and `top_names`.
    """
    layers = [(message, list(message.bottom), list(message.top)) for message in network.message.layer]
    maker = {}  # blob -> (layer index, top index) that wrote it last
    source, readers = {}, Counter()  # (layer, bottom) -> its writer; writer -> how many read it
    for i, (message, bottoms, tops) in enumerate(layers):
        for j, blob in enumerate(bottoms):
            source[i, j] = maker[blob]
            readers[maker[blob]] += 1
        for j, blob in enumerate(tops):
            maker[blob] = (i, j)
            # The loss itself reads a top that counts towards it.
            if j < len(message.loss_weight) and message.loss_weight[j]:
                readers[i, j] += 1
    result, used = [], Counter()
    for i, (message, bottoms, tops) in enumerate(layers):
        for j, blob in enumerate(bottoms):
            writer = source[i, j]
            if readers[writer] > 1:
                bottoms[j] = _split_blob(layers, writer, blob, used[writer])
                used[writer] += 1
        split_tops = list(tops)
        result.append([message.name, bottoms, split_tops])
        for j, blob in enumerate(tops):
            count = readers[i, j]
            if count > 1:
                names = tuple(_split_blob(layers, (i, j), blob, k) for k in range(count))
                result.append([f"{blob}_{message.name}_{j}_split", (blob,), names])
                if j < len(message.loss_weight) and message.loss_weight[j]:
                    used[i, j] += 1  # the first copy is the loss's
    return [(name, tuple(bottoms), tuple(tops)) for name, bottoms, tops in result]


def _split_blob(layers: list, writer: tuple[int, int], blob: str, index: int) -> str:
    layer, top = writer
    return f"{blob}_{layers[layer][0].name}_{top}_split_{index}"


def _filtered(net, source: PathLike, phase: str, level: int, stages: Sequence[str]) -> messages.NetParameter:
    if phase not in ("TRAIN", "TEST"):
        raise CamcaffeError("phase", f"{phase!r}", "TRAIN or TEST")
    number = messages.NetState.DESCRIPTOR.file.enum_types_by_name["Phase"].values_by_name[phase].number
    all_stages = {*net.state.stage, *stages}
    kept = messages.NetParameter()
    kept.CopyFrom(net)
    kept.ClearField("layer")
    for layer in net.layer:
        if layer.include and layer.exclude:
            raise CamcaffeError(source, f"layer {layer.name!r} has both include and exclude", "one of them")
        rules = layer.include or layer.exclude
        meets = any(_meets(rule, number, level, all_stages) for rule in rules)
        if meets == bool(layer.include):
            copy = kept.layer.add()
            copy.CopyFrom(layer)
            copy.ClearField("blobs")
    return kept


def _meets(rule: messages.NetStateRule, phase: int, level: int, stages: set) -> bool:
    return (
        (not rule.HasField("phase") or rule.phase == phase)
        and (not rule.HasField("min_level") or level >= rule.min_level)
        and (not rule.HasField("max_level") or level <= rule.max_level)
        and stages.issuperset(rule.stage)
        and stages.isdisjoint(rule.not_stage)
    )


def _wire(layer: Layer, unread: dict, source: PathLike) -> None:
    # A layer may overwrite its bottom only where no other layer reads it: Caffe would have split it.
    own = {blob for blob, count in Counter(layer.bottoms).items() if count == 1 and unread.get(blob)}
    for blob in layer.bottoms:
        if blob not in unread:
            found = f"unknown bottom blob {blob!r} of layer {layer.name!r}"
            raise CamcaffeError(source, found, "an input or a top of a layer above")
        unread[blob] = False
    for index, blob in enumerate(layer.tops):
        in_place = layer.bottoms[index : index + 1] == (blob,) and blob in own
        if blob in unread and not in_place:
            raise CamcaffeError(source, f"top blob {blob!r} of layer {layer.name!r} is made a second time")
        unread[blob] = True


def _input_shapes(layer: Layer, source: PathLike) -> dict[str, tuple[int, ...]]:
    shapes = [tuple(shape.dim) for shape in layer.message.input_param.shape]
    if len(shapes) == 1:
        shapes *= len(layer.tops)
    if len(shapes) != len(layer.tops):
        found = f"layer {layer.name!r} of type Input has {len(layer.tops)} tops and {len(shapes)} shapes"
        raise CamcaffeError(source, found, "a shape for each top, or one for all")
    return dict(zip(layer.tops, shapes))

"""What Caffe settles before a net is trained: what counts as loss, and where gradients flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from camcaffe.caffe.engines.torch import WITHOUT_GRADIENT, plan
from camcaffe.caffe.network import Layer, Network
from camcaffe.caffe.shape_rules import DATA_TYPES
from camcaffe.caffe.shapes import Shape, Shapes
from camcaffe.errors import CamcaffeError

# Layer type -> the bottoms by which Caffe has no gradient.
_WITHOUT_GRADIENT = {
    "Accuracy": (0, 1),
    "BatchReindex": (1,),
    "Embed": (0,),
    "SoftmaxWithLoss": (1,),
    **dict.fromkeys(WITHOUT_GRADIENT, (0,)),
}


@dataclass(frozen=True)
class Step:
    """One layer's part in a pass.

    Attributes:
        layer: the layer; a loss whose top the prototxt does not name has one here.
        dead: the blobs that nothing needs after it.
        loss_weights: of each top, how much it counts towards the net's loss.
        propagated: of each bottom, whether gradients go on to what it was computed from.
        params: of each parameter, its shape.
        trained: of each parameter, whether gradients by it are computed.
    """

    layer: Layer
    dead: tuple[str, ...]
    loss_weights: tuple[float, ...]
    propagated: tuple[bool, ...]
    params: tuple[Shape, ...]
    trained: tuple[bool, ...]


def steps_of(network: Network, shapes: Shapes) -> list[Step]:
    """The layers that the net's outputs and losses depend on, in order; data layers are left out.

    Raises:
        CamcaffeError: a layer has loss_weight, propagate_down or param in a number that does not suit it,
            overwrites a loss, or has no gradient where a loss of phase TRAIN needs it.
    """
    layers, params = [], {}
    for layer, made in zip(network.layers, shapes.layers):
        if layer.type not in DATA_TYPES:
            layers.append(_with_top(layer))
            # Not by the name, which a layer without parameters may share with one that has some.
            params[id(layers[-1])] = made.params
    losses = set()
    for layer in layers:
        for blob in losses.intersection(layer.tops):
            raise _misfit(network, layer, f"it overwrites {blob!r}, which counts as loss", "another top")
        losses.update(blob for blob, weight in zip(layer.tops, _loss_weights(network, layer)) if weight)
    before_losses = [layer for layer, _ in plan(layers, losses)]
    steps, needing = [], set()
    for layer, dead in plan(layers, {*network.outputs, *losses}):
        propagated = _propagated(network, layer)
        trained = _trained(network, layer, len(params[id(layer)]))
        flowing = [index for index, blob in enumerate(layer.bottoms) if propagated[index] and blob in needing]
        if network.phase == "TRAIN" and any(layer is other for other in before_losses):
            _check_gradient(network, layer, flowing)
        (needing.update if flowing or any(trained) else needing.difference_update)(layer.tops)
        steps.append(Step(layer, dead, _loss_weights(network, layer), propagated, params[id(layer)], trained))
    return steps


def outputs_of(network: Network, steps: Sequence[Step]) -> tuple[dict[str, str], dict[str, float]]:
    """What Caffe prints after a pass: the net's output blobs, and how much they count towards the loss.

    A loss that a layer reads is an output, too, under the name of the copy that Caffe makes of it.

    Returns:
        Name in Caffe -> blob, sorted by name; name in Caffe -> loss weight, where that is not 0.
    """
    names, weights = {blob: blob for blob in network.outputs}, {}
    for step in steps:
        for index, (blob, weight) in enumerate(zip(step.layer.tops, step.loss_weights)):
            if weight and any(blob in other.layer.bottoms for other in steps):
                name = f"{blob}_{step.layer.name}_{index}_split_0"
                names[name], weights[name] = blob, weight
            elif weight and blob in names:
                weights[blob] = weight
    return {name: names[name] for name in sorted(names)}, weights


def _with_top(layer: Layer) -> Layer:
    if layer.tops or not _is_loss(layer):
        return layer
    return replace(layer, tops=(f"{layer.name} (automatic)",))


def _is_loss(layer: Layer) -> bool:
    return layer.type.endswith("Loss")


def _loss_weights(network: Network, layer: Layer) -> tuple[float, ...]:
    given = tuple(layer.message.loss_weight)
    if not given:
        return (float(_is_loss(layer)), *[0.0] * len(layer.tops))[: len(layer.tops)]
    if len(given) != len(layer.tops):
        raise _misfit(
            network, layer, f"{len(given)} loss_weight", f"none, or one for each of {len(layer.tops)} tops"
        )
    return given


def _propagated(network: Network, layer: Layer) -> tuple[bool, ...]:
    given, count = tuple(layer.message.propagate_down), len(layer.bottoms)
    if len(given) not in (0, count):
        raise _misfit(
            network, layer, f"{len(given)} propagate_down", f"none, or one for each of {count} bottoms"
        )
    return (True,) * count if network.force_backward or not given else given


def _trained(network: Network, layer: Layer, count: int) -> tuple[bool, ...]:
    specs = layer.message.param
    if len(specs) > count:
        raise _misfit(network, layer, f"{len(specs)} param", f"at most {count}, as it has parameters")
    if layer.type == "BatchNorm":
        return (False,) * count
    rates = [spec.lr_mult for spec in specs] + [1.0] * (count - len(specs))
    return tuple(network.force_backward or rate != 0 for rate in rates)


def _check_gradient(network: Network, layer: Layer, flowing: list[int]) -> None:
    for index in flowing:
        if index in _WITHOUT_GRADIENT.get(layer.type, ()):
            found = f"the loss depends on learned parameters through bottom {layer.bottoms[index]!r}"
            raise _misfit(
                network, layer, found, "no such way, or propagate_down: false: there is no gradient"
            )


def _misfit(network: Network, layer: Layer, found: str, expected: str) -> CamcaffeError:
    return CamcaffeError(f"{network.source}: layer {layer.name!r} of type {layer.type}", found, expected)

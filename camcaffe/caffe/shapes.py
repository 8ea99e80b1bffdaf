"""The shape of every blob and weight of a net, inferred without allocating any."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from camcaffe.caffe.geometry import Geometry, Misfit, convolution_geometry, pooling_geometry
from camcaffe.caffe.network import Layer, Network
from camcaffe.caffe.shape_rules import DATA_TYPES, RULES, UNSUPPORTED
from camcaffe.errors import CamcaffeError

__all__ = [
    "Geometry",
    "LayerShapes",
    "Misfit",
    "Shapes",
    "convolution_geometry",
    "infer_shapes",
    "multiply_adds",
    "pooling_geometry",
]

# Caffe's own limits: it counts a blob's values in an int, and its axes up to here.
MOST_VALUES = 2**31 - 1
_MOST_AXES = 32

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerShapes:
    """The shapes of one layer's bottoms, tops and weight blobs."""

    bottoms: tuple[Shape, ...]
    tops: tuple[Shape, ...]
    params: tuple[Shape, ...]


@dataclass(frozen=True)
class Shapes:
    """The shapes of a net: of each blob (its last shape, where layers work in place) and of each layer."""

    blobs: dict[str, Shape]
    layers: tuple[LayerShapes, ...]


def infer_shapes(network: Network, input_shapes: Mapping[str, Sequence[int]] | None = None) -> Shapes:
    """The shapes that Caffe gives the blobs and weights of a net.

    Args:
        network: the net.
        input_shapes: other shapes for some inputs, and shapes for the tops of data layers, which the
            prototxt does not tell.

    Returns:
        Shapes, with one LayerShapes for each of `network.layers`.

    Raises:
        CamcaffeError: naming the prototxt and the layer: a type that is unknown or has no rule, settings
            that do not suit the bottoms, a blob that is empty or larger than Caffe allows.
    """
    given = {name: tuple(int(dim) for dim in shape) for name, shape in (input_shapes or {}).items()}
    blobs = {**network.inputs, **given}
    sources = {top for layer in network.layers if layer.type in DATA_TYPES for top in layer.tops}
    for name, shape in blobs.items():
        if name not in network.inputs and name not in sources:
            found, expected = f"there is no input {name!r}", ", ".join([*network.inputs, *sorted(sources)])
            raise CamcaffeError(network.source, found, expected)
        _check(network, f"input {name!r}", shape)
    layers = []
    for layer in network.layers:
        bottoms = tuple(blobs[name] for name in layer.bottoms)
        tops, params = _apply_rule(network, layer, bottoms, blobs)
        for kind, shapes in (("top", tops), ("weight", params)):
            for shape in shapes:
                _check(network, f"a {kind} blob of layer {layer.name!r} of type {layer.type}", shape)
        blobs.update(zip(layer.tops, tops))
        layers.append(LayerShapes(bottoms, tuple(tops), tuple(params)))
    return Shapes(blobs, tuple(layers))


def multiply_adds(layer: Layer, shapes: LayerShapes) -> int:
    """Multiply-adds of a layer's matrix products for the whole batch; 0 for layers without one."""
    if layer.type == "InnerProduct":
        return sum(map(math.prod, shapes.tops)) * math.prod(shapes.params[0]) // shapes.tops[0][-1]
    if layer.type == "Convolution":
        return sum(math.prod(top) for top in shapes.tops) * math.prod(shapes.params[0][1:])
    if layer.type == "Deconvolution":
        return sum(math.prod(bottom) for bottom in shapes.bottoms) * math.prod(shapes.params[0][1:])
    return 0


def _apply_rule(network: Network, layer: Layer, bottoms: tuple, blobs: dict) -> tuple:
    source = f"{network.source}: layer {layer.name!r} of type {layer.type}"
    if layer.type in DATA_TYPES:
        if not all(top in blobs for top in layer.tops):
            expected = "a deploy prototxt, or shapes for " + ", ".join(map(repr, layer.tops))
            raise CamcaffeError(source, "it reads data whose shape the prototxt does not tell", expected)
        return [blobs[top] for top in layer.tops], []
    if layer.type in UNSUPPORTED:
        raise CamcaffeError(source, UNSUPPORTED[layer.type])
    if layer.type not in RULES:
        raise CamcaffeError(source, "an unknown layer type", "a layer type of BVLC Caffe 1.0")
    rule, fewest, most = RULES[layer.type]
    if not fewest <= len(bottoms) <= most:
        wanted = f"{fewest}" if fewest == most else f"{fewest} or more" if most > 2 else f"{fewest} to {most}"
        raise CamcaffeError(source, f"{len(bottoms)} bottoms", wanted)
    try:
        tops, params = rule(layer, bottoms)
    except Misfit as error:
        raise CamcaffeError(source, error.found, error.expected) from error
    if len(tops) != len(layer.tops):
        raise CamcaffeError(source, f"{len(layer.tops)} tops", f"{len(tops)}")
    return tops, params


def _check(network: Network, what: str, shape: Shape) -> None:
    if len(shape) > _MOST_AXES or not all(dim > 0 for dim in shape) or math.prod(shape) > MOST_VALUES:
        found = f"{what} has the shape {shape if len(shape) <= _MOST_AXES else f'of {len(shape)} axes'}"
        raise CamcaffeError(network.source, found, f"positive sizes and at most {MOST_VALUES:,} values")

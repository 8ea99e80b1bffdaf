"""A net's weights: from a caffemodel, checked against the net, or from the prototxt's fillers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping

import numpy as np

from camcaffe.caffe import messages
from camcaffe.caffe.caffemodel import read_caffemodel
from camcaffe.caffe.fillers import fill
from camcaffe.caffe.geometry import Misfit
from camcaffe.caffe.network import Layer, Network
from camcaffe.caffe.shapes import Shape, Shapes
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike

# Layer type -> the message with its fillers, and for each weight blob the filler's name and the
# constant that Caffe takes where the prototxt has none. Blobs of other types start from 0.
_WEIGHT_AND_BIAS = (("weight_filler", 0), ("bias_filler", 0))
_FILLERS = {
    "Convolution": ("convolution_param", _WEIGHT_AND_BIAS),
    "Deconvolution": ("convolution_param", _WEIGHT_AND_BIAS),
    "InnerProduct": ("inner_product_param", _WEIGHT_AND_BIAS),
    "Embed": ("embed_param", _WEIGHT_AND_BIAS),
    "Bias": ("bias_param", (("filler", 0),)),
    "PReLU": ("prelu_param", (("filler", 0.25),)),
    "Scale": ("scale_param", (("filler", 1), ("bias_filler", 0))),
}

Weights = dict[str, list[np.ndarray]]


def load_weights(network: Network, shapes: Shapes, caffemodel: PathLike, seed: int = 0) -> Weights:
    """Read a net's weights as Caffe does: layer by layer, by name.

    Layers of the file that the net lacks are left aside. Layers of the net that the file lacks are filled as
    the prototxt says, with a warning that names them.

    Args:
        network: the net.
        shapes: its shapes.
        caffemodel: the file, binary or HDF5.
        seed: for the fillers.

    Returns:
        Layer name -> its blobs, float32, for each layer that has weights. Blobs that layers share by the
        `name` of their `param` are one array.

    Raises:
        CamcaffeError: the file cannot be read; it has no layer of the net, or one with another number of
            blobs or other shapes; a weight is NaN or infinite.
    """
    weights, missing = read_weights(network, shapes, caffemodel)
    needed = _layers_with_weights(network, shapes)
    owners = _owners(network, needed)
    rng = np.random.default_rng(seed)
    for name in missing:
        layer, wanted = needed[name]
        weights[name] = _filled(network, layer, wanted, rng)
    for (name, index), (owner, owner_index) in owners.items():
        if name not in missing:  # as in Caffe, the last of those that share it wins
            weights[owner][owner_index][...] = weights[name][index].reshape(needed[owner][1][owner_index])
    _share(weights, owners)
    filled = [name for name in missing if any((name, i) not in owners for i in range(len(weights[name])))]
    if filled:
        message = f"{os.fspath(caffemodel)} lacks layer {', '.join(filled)}: filled as {network.source} says"
        warnings.warn(message, stacklevel=2)
    return {name: weights[name] for name in needed}


def read_weights(network: Network, shapes: Shapes, caffemodel: PathLike) -> tuple[Weights, list[str]]:
    """The weights that a caffemodel has for a net, and the names of the layers that it lacks.

    Raises:
        CamcaffeError: as `load_weights`.
    """
    found = read_caffemodel(caffemodel)
    needed = _layers_with_weights(network, shapes)
    if needed and found.keys().isdisjoint(needed):
        raise CamcaffeError(caffemodel, f"it has weights for no layer of {network.source}")
    weights = {
        name: _fitted(f"{os.fspath(caffemodel)}: layer {name!r}", found.pop(name), wanted)
        for name, (_, wanted) in needed.items()
        if name in found
    }
    return weights, [name for name in needed if name not in weights]


def fill_weights(network: Network, shapes: Shapes, seed: int = 0) -> Weights:
    """Fill a net's weights as its prototxt says.

    Args:
        network: the net.
        shapes: its shapes.
        seed: the same seed gives the same weights.

    Returns:
        As `load_weights`.

    Raises:
        CamcaffeError: a filler is unknown or does not suit its blob.
    """
    needed = _layers_with_weights(network, shapes)
    rng = np.random.default_rng(seed)
    weights = {name: _filled(network, layer, wanted, rng) for name, (layer, wanted) in needed.items()}
    _share(weights, _owners(network, needed))
    return weights


def _layers_with_weights(network: Network, shapes: Shapes) -> dict[str, tuple[Layer, tuple[Shape, ...]]]:
    needed = {}
    for layer, layer_shapes in zip(network.layers, shapes.layers):
        if layer_shapes.params:
            if layer.name in needed:
                raise CamcaffeError(network.source, f"two layers with weights are named {layer.name!r}")
            needed[layer.name] = (layer, layer_shapes.params)
    return needed


def _owners(network: Network, needed: Mapping) -> dict[tuple[str, int], tuple[str, int]]:
    """(layer, blob index) -> the first (layer, blob index) of the same `param` name, for all behind it."""
    first, owners = {}, {}
    for name, (layer, wanted) in needed.items():
        for index, (spec, shape) in enumerate(zip(layer.message.param, wanted)):
            if not spec.name:
                continue
            owner = first.setdefault(spec.name, (name, index))
            if owner == (name, index):
                continue
            owners[name, index] = owner
            owned = needed[owner[0]][1][owner[1]]
            permissive = spec.share_mode == messages.ParamSpec.PERMISSIVE
            if np.prod(owned) != np.prod(shape) if permissive else owned != shape:
                found = f"layer {name!r} shares {spec.name!r} of shape {owned} as {shape}"
                raise CamcaffeError(network.source, found)
    return owners


def _share(weights: Weights, owners: Mapping) -> None:
    for (name, index), (owner, owner_index) in owners.items():
        weights[name][index] = weights[owner][owner_index].reshape(weights[name][index].shape)


def _fitted(source: str, arrays: list[np.ndarray], wanted: tuple[Shape, ...]) -> list[np.ndarray]:
    if len(arrays) != len(wanted):
        raise CamcaffeError(source, f"{len(arrays)} weight blobs", f"{len(wanted)}")
    fitted = []
    for index, (array, shape) in enumerate(zip(arrays, wanted)):
        # Old files store every blob with four axes, ones in front.
        legacy = (1,) * (4 - len(shape)) + shape
        if array.shape not in (shape, legacy):
            raise CamcaffeError(source, f"weight blob {index} of shape {array.shape}", f"{shape}")
        if not np.isfinite(array).all():
            raise CamcaffeError(source, f"weight blob {index} has NaN or infinite values", "numbers")
        fitted.append(array.reshape(shape))
    return fitted


def _filled(
    network: Network, layer: Layer, wanted: tuple[Shape, ...], rng: np.random.Generator
) -> list[np.ndarray]:
    try:
        return [fill(options, shape, rng) for options, shape in zip(_fillers(layer, wanted), wanted)]
    except Misfit as error:
        source = f"{network.source}: layer {layer.name!r} of type {layer.type}"
        raise CamcaffeError(source, error.found, error.expected) from error


def _fillers(layer: Layer, wanted: tuple[Shape, ...]) -> list[messages.FillerParameter]:
    if layer.type not in _FILLERS:
        return [messages.FillerParameter() for _ in wanted]
    field, names = _FILLERS[layer.type]
    options = getattr(layer.message, field)
    # A Scale with two bottoms has no factors of its own: its only blob is the bias.
    fillers = []
    for name, constant in names[-1:] if layer.type == "Scale" and len(layer.bottoms) == 2 else names:
        has_own = options.HasField(name)
        fillers.append(getattr(options, name) if has_own else messages.FillerParameter(value=constant))
    return fillers

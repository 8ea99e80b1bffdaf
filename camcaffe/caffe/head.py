"""The CAM head of a net: which blob holds the features, which layer weighs them. Found from its graph."""

from __future__ import annotations

from dataclasses import dataclass

from camcaffe.caffe.network import Layer, Network
from camcaffe.caffe.shapes import Shapes
from camcaffe.errors import CamcaffeError

# What may stand between the class scores, the classifier and the pool, and changes no map.
_TRANSPARENT = {"Softmax", "Dropout", "Flatten", "Reshape"}
# What may also stand between a 1x1 convolution and the pool behind it.
_BEHIND_CLASS_MAPS = {"ReLU", "Dropout"}
_POOLS = {0: "GMP", 1: "GAP"}  # Caffe's MAX and AVE, by what the paper calls them
_EXPECTED = (
    "global pooling before one fully connected layer, or behind a 1x1 convolution with a channel a class;"
    " --cam-blob and --fc can name others"
)


@dataclass(frozen=True)
class Head:
    """Where class activation maps come from.

    Attributes:
        kind: "GAP -> FC" (the paper's, section 2), "GMP -> FC" (section 3.2), "1x1 conv -> GAP" (NIN: the
            pooled blob holds the class maps themselves) or "given" (named by the user).
        cam_blob: the blob in front of the pool: (N, units, H, W) features, or (N, classes, H, W) class maps.
        classifier: the layer whose weights, (classes, units), weigh the features; None where the blob
            holds the class maps themselves.
        scores: the net's output, (N, classes).
        path: the layers from the scores back to the maps, and what each was taken for.
    """

    kind: str
    cam_blob: str
    classifier: str | None
    scores: str
    path: tuple[str, ...]


def find_head(
    network: Network, shapes: Shapes, cam_blob: str | None = None, classifier: str | None = None
) -> Head:
    """Find a net's CAM head by walking back from its class scores.

    Args:
        network: the net.
        shapes: its shapes, from `infer_shapes`.
        cam_blob: take this blob's features, with `classifier`, instead of looking.
        classifier: the fully connected layer or 1x1 convolution that weighs the units of `cam_blob`.

    Returns:
        The head.

    Raises:
        CamcaffeError: there is none, and why; or the two that were named do not fit each other.
    """
    if cam_blob is not None or classifier is not None:
        return _given(network, shapes, cam_blob, classifier)
    reasons = []
    for output in network.outputs:
        try:
            return _walk(network, shapes, output)
        except _NoHead as reason:
            reasons.append(f"{output}: {reason}")
    raise CamcaffeError(network.source, f"no CAM head ({'; '.join(reasons)})", _EXPECTED)


class _NoHead(Exception):
    pass


def _walk(network: Network, shapes: Shapes, output: str) -> Head:
    path, classifier = [], None
    for index, layer in _upwards(network, output):
        bottom, top = shapes.layers[index].bottoms, shapes.layers[index].tops
        label = f"{layer.name} ({layer.type})"
        if layer.type in _TRANSPARENT:
            path.append(f"{label}: changes no map")
        elif layer.type == "Pooling" and classifier is not None:
            _require_global(label, bottom[0], top[0])
            pool = _POOLS.get(layer.message.pooling_param.pool)
            if pool is None:
                raise _NoHead(f"{label} pools neither the average nor the maximum")
            path.append(f"{label}: {pool} over the whole {bottom[0][2]} x {bottom[0][3]} map")
            return Head(f"{pool} -> FC", layer.bottoms[0], classifier, output, tuple(path))
        elif layer.type == "Pooling":
            _require_global(label, bottom[0], top[0])
            if _POOLS.get(layer.message.pooling_param.pool) != "GAP":
                raise _NoHead(f"{label} pools class maps, but not their average")
            path.append(f"{label}: GAP over the whole {bottom[0][2]} x {bottom[0][3]} class maps")
            path += _class_maps(network, layer.bottoms[0], index)
            return Head("1x1 conv -> GAP", layer.bottoms[0], None, output, tuple(path))
        elif classifier is None and _weighs_units(layer, bottom[0]):
            classifier = layer.name
            path.append(f"{label}: the classifier")
        else:
            raise _NoHead(f"{label} stands before any global pooling")
    raise _NoHead("it leads back to the net's input without any global pooling")


def _upwards(network: Network, blob: str, before: int | None = None):
    """The layers that made `blob`, from its last writer back, along their first bottoms."""
    for index in reversed(range(len(network.layers) if before is None else before)):
        layer = network.layers[index]
        if blob in layer.tops:
            yield index, layer
            if not layer.bottoms:
                return
            blob = layer.bottoms[0]


def _class_maps(network: Network, blob: str, before: int) -> list:
    """What lies between the pool and the 1x1 convolution that makes the class maps."""
    path = []
    for _, layer in _upwards(network, blob, before):
        label = f"{layer.name} ({layer.type})"
        if layer.type in _BEHIND_CLASS_MAPS:
            path.append(f"{label}: part of the class maps")
        elif layer.type == "Convolution" and set(layer.message.convolution_param.kernel_size) == {1}:
            return [*path, f"{label}: the 1x1 convolution that makes the class maps"]
        else:
            raise _NoHead(f"{label} makes the blob that is pooled")
    raise _NoHead(f"no layer makes {blob}")


def _weighs_units(layer: Layer, bottom: tuple) -> bool:
    """A fully connected layer, or the same written as a 1x1 convolution of pooled units."""
    pooled = len(bottom) == 4 and bottom[2:] == (1, 1)
    return layer.type == "InnerProduct" or (layer.type == "Convolution" and pooled)


def _require_global(label: str, bottom: tuple, top: tuple) -> None:
    if len(top) != 4 or top[2:] != (1, 1):
        raise _NoHead(f"{label} pools {bottom[2:]} to {top[2:]}, not the whole map to one value")


def _given(network: Network, shapes: Shapes, cam_blob: str | None, classifier: str | None) -> Head:
    if cam_blob is None or classifier is None:
        raise CamcaffeError("CAM head", "only one of --cam-blob and --fc", "both or neither")
    if cam_blob not in shapes.blobs:
        raise CamcaffeError(network.source, f"no blob {cam_blob!r}", f"one of {', '.join(shapes.blobs)}")
    weighing = {
        layer.name: made.params[0]
        for layer, made in zip(network.layers, shapes.layers)
        if layer.type in ("InnerProduct", "Convolution")
    }
    if classifier not in weighing:
        raise CamcaffeError(
            network.source,
            f"no fully connected layer or convolution {classifier!r}",
            f"one of {', '.join(weighing)}",
        )
    features, weights = shapes.blobs[cam_blob], weighing[classifier]
    if len(features) != 4 or features[1:2] != weights[1:2] or weights[2:] not in ((), (1, 1)):
        raise CamcaffeError(
            network.source,
            f"blob {cam_blob} of shape {features} and weights of {classifier} of shape {weights}",
            "(N, units, H, W) and (classes, units) with the same units",
        )
    path = (f"{cam_blob} and {classifier}: named by the user",)
    return Head("given", cam_blob, classifier, network.outputs[0], path)

"""Net surgery: weights of one net made to fit another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from camcaffe.errors import CamcaffeError

Weights = dict[str, list[np.ndarray]]


def rename_layers(weights: Mapping[str, Sequence[np.ndarray]], names: Mapping[str, str]) -> Weights:
    """The weights with layers called anew.

    Args:
        weights: layer name -> its blobs.
        names: old name -> new name; layers that are not in it keep theirs.

    Raises:
        CamcaffeError: two layers would have one name.
    """
    renamed = {}
    for name, blobs in weights.items():
        new = names.get(name, name)
        if new in renamed:
            raise CamcaffeError(new, "two layers would have this name")
        renamed[new] = list(blobs)
    return renamed


def convolution_to_inner_product(
    weights: Mapping[str, Sequence[np.ndarray]], convolution: str, inner_product: str
) -> Weights:
    """The weights with a 1x1 convolution turned into a fully connected layer.

    Global average pooling and a 1x1 convolution commute: a net that ends with that convolution, then GAP, is
    GAP -> FC with the same weights (Zhou et al., section 2), but for a ReLU or padding between the two.

    Args:
        weights: layer name -> its blobs.
        convolution: the layer to replace, weights (classes, units, 1, 1), ungrouped.
        inner_product: the new layer's name; its weights are (classes, units).

    Raises:
        CamcaffeError: there is no such layer, or its kernels are larger than 1x1.
    """
    if convolution not in weights:
        raise CamcaffeError(convolution, "no layer of this name has weights", f"one of {', '.join(weights)}")
    kernels, *bias = weights[convolution]
    if kernels.ndim != 4 or kernels.shape[2:] != (1, 1):
        raise CamcaffeError(convolution, f"weights of shape {kernels.shape}", "(classes, units, 1, 1)")
    replaced = {name: list(blobs) for name, blobs in weights.items() if name != convolution}
    replaced[inner_product] = [kernels[:, :, 0, 0], *(values.reshape(-1) for values in bias)]
    return replaced

"""Class activation maps from the last conv blob and the classifier's weights; ranking of classes."""

from __future__ import annotations

import numpy as np

from camcaffe.errors import CamcaffeError

# How many classes of an image are looked at where nobody says, as the original scripts do.
TOP = 5

# OpenBLAS spreads larger products over threads: their sums would depend on the number of cores.
_LARGEST_PRODUCT = 2**18
_FEWEST_PIXELS = 16


def class_activation_maps(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """M_c(x, y) = sum_k w_k^c f_k(x, y) (paper, section 2); port of the original's `returnCAMmap.m`.

    Summed over x and y, divided by the area of the pool and with the classifier's bias added, a map
    gives its class's score.

    Args:
        features: (N, C, H, W) last conv blob behind its ReLU, of N crops; or (C, H, W) of one.
        weights: (K, C) rows of the classifier's weights, for the K classes wanted.

    Returns:
        (N, K, H, W), or (K, H, W), float32 maps, without the bias.

    Raises:
        CamcaffeError: the shapes do not fit.
    """
    features = np.asarray(features, dtype=np.float32)
    weights = np.asarray(weights, dtype=np.float32)
    if features.ndim not in (3, 4) or weights.ndim != 2 or features.shape[-3] != weights.shape[1]:
        raise CamcaffeError(
            "class activation maps",
            f"features of shape {features.shape} and weights of shape {weights.shape}",
            "(crops, units, height, width) and (classes, units) with the same units",
        )
    *crops, units, height, width = features.shape
    pixels = features.reshape(*crops, units, height * width)
    maps = np.empty((*crops, len(weights), height * width), np.float32)
    step = max(_LARGEST_PRODUCT // max(weights.size, 1), _FEWEST_PIXELS)
    for begin in range(0, height * width, step):
        block = slice(begin, begin + step)
        np.matmul(weights, pixels[..., block], out=maps[..., block])
    return maps.reshape(*crops, len(weights), height, width)


def rank_classes(scores: np.ndarray, top: int | None = None) -> np.ndarray:
    """The classes with the highest scores, best first; of equal scores, the lower class comes first.

    Args:
        scores: (classes,) scores.
        top: how many classes; by default five, or all where there are fewer.

    Returns:
        (top,) int64 class indices from 0.

    Raises:
        CamcaffeError: NaN among the scores, or `top` beyond the number of classes.
    """
    scores = np.asarray(scores)
    top = min(TOP, len(scores)) if top is None else top
    if not 1 <= top <= len(scores):
        raise CamcaffeError("ranking", f"the top {top} of {len(scores)} classes", f"1 to {len(scores)}")
    if np.isnan(scores).any():
        raise CamcaffeError("ranking", "scores that are not numbers (NaN)", "numbers")
    return np.argsort(-scores, kind="stable")[:top]

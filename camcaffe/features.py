"""The authors' .mat files (features, weights, mean) in Caffe's layout.

MATLAB stores a blob as W x H x C x N, column-major; reversing the axes gives Caffe's (N, C, H, W).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike
from camcaffe.matlab import loadmat


@dataclass(frozen=True)
class Features:
    """What a net leaves of one image, as `demo.m` caches it.

    Attributes:
        conv: (10, C, H, W) float32 last conv blob of the ten crops.
        scores: (10, classes) float32 class scores of the ten crops.
        scores_4d: the file stores the scores as 1 x 1 x classes x 10. The original's mean over the
            crops then does nothing, and the classes are ranked by the first crop alone.
    """

    conv: np.ndarray
    scores: np.ndarray
    scores_4d: bool

    def class_scores(self, ranking: str = "original") -> np.ndarray:
        """One score a class: what the classes are ranked by.

        Args:
            ranking: "original" for what `demo.m` does with this file; "mean" for the mean over the
                ten crops, whatever the file's shape.

        Returns:
            (classes,) float32.
        """
        if ranking == "original" and self.scores_4d:
            return self.scores[0]
        return self.scores.mean(axis=0)


def read_features(path: PathLike) -> Features:
    """Read `activation_lastconv` (W x H x C x 10) and `scores` (classes x 10) from a .mat file.

    Raises:
        CamcaffeError: the file cannot be read, lacks a variable, or holds another shape or NaN.
    """
    variables = loadmat(path)
    conv = _numbers(path, variables, "activation_lastconv")
    scores = _numbers(path, variables, "scores")
    if conv.ndim != 4 or conv.shape[3] != 10:
        raise CamcaffeError(path, f"activation_lastconv of shape {conv.shape}", "width x height x units x 10")
    scores_4d = scores.ndim == 4
    if not (scores.ndim == 2 or (scores_4d and scores.shape[:2] == (1, 1))) or scores.shape[-1] != 10:
        raise CamcaffeError(path, f"scores of shape {scores.shape}", "classes x 10, or 1 x 1 x classes x 10")
    return Features(conv.T, scores.reshape(-1, 10).T, scores_4d)


def read_weights(path: PathLike) -> np.ndarray:
    """Read the classifier's weights, `weights_LR` (units x classes), from a .mat file.

    Returns:
        (classes, units) float32.

    Raises:
        CamcaffeError: the file cannot be read, lacks the variable, or holds another shape or NaN.
    """
    weights = _numbers(path, loadmat(path), "weights_LR")
    if weights.ndim != 2:
        raise CamcaffeError(path, f"weights_LR of shape {weights.shape}", "units x classes")
    return weights.T


def read_mean(path: PathLike) -> np.ndarray:
    """Read Caffe's mean image, `mean_data` (256 x 256 x 3, W x H x BGR), from a .mat file.

    Returns:
        (3, 256, 256) float32 BGR.

    Raises:
        CamcaffeError: the file cannot be read, lacks the variable, or holds another shape or NaN.
    """
    mean = _numbers(path, loadmat(path), "mean_data")
    if mean.shape != (256, 256, 3):
        raise CamcaffeError(path, f"mean_data of shape {mean.shape}", "256 x 256 x 3")
    return mean.T


def _numbers(path: PathLike, variables: dict, name: str) -> np.ndarray:
    if name not in variables:
        held = ", ".join(sorted(variables)) or "nothing"
        raise CamcaffeError(path, f"no variable {name!r} (it holds: {held})")
    values = variables[name]
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        raise CamcaffeError(path, f"{name} is not an array of numbers")
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise CamcaffeError(path, f"{name} holds NaN or infinity", "numbers")
    return values

"""The original's `demo.m`: an image, and its features or a net, to a caption and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from camcaffe.cam import class_activation_maps, rank_classes
from camcaffe.errors import CamcaffeError
from camcaffe.heatmap import demo_picture
from camcaffe.matlab import imresize
from camcaffe.model import Model
from camcaffe.ten_crop import IMAGE_SIZE, merge_ten_crop, prepare_image


@dataclass(frozen=True)
class Demo:
    """What the demo shows of one image.

    Attributes:
        classes: (K,) int64 indices from 0 of the top classes, best first.
        scores: (K,) float32 scores of these classes.
        caption: the line that the original prints.
        maps: (K, 256, 256) float32 merged class activation maps.
        picture: (256, 256 + K * 264, 3) uint8 RGB: the image, then the overlays.
    """

    classes: np.ndarray
    scores: np.ndarray
    caption: str
    maps: np.ndarray
    picture: np.ndarray


def demo_of_features(
    image: np.ndarray,
    conv: np.ndarray,
    class_scores: np.ndarray,
    weights: np.ndarray,
    labels: Sequence[str],
    top: int | None = None,
    crop_size: int = 224,
) -> Demo:
    """Rank the classes, map the top ones, and lay the maps over the image.

    Args:
        image: (H, W, 3) uint8 RGB; resized to 256 x 256 (bicubic), as the demo does.
        conv: (10, C, h, w) float32 last conv blob of the ten crops.
        class_scores: (classes,) scores to rank by.
        weights: (classes, C) float32 weights of the classifier behind the global pool.
        labels: a label a class, for the caption.
        top: how many classes to show; by default five, or all where there are fewer.
        crop_size: the net's input size.

    Returns:
        The `Demo`.

    Raises:
        CamcaffeError: features, scores, weights and labels do not fit each other.
    """
    if not len(class_scores) == len(weights) == len(labels):
        raise CamcaffeError(
            "classes",
            f"{len(class_scores)} scores, {len(weights)} rows of weights, {len(labels)} labels",
            "as many of each",
        )
    classes = rank_classes(class_scores, top)
    maps = merge_ten_crop(class_activation_maps(conv, weights[classes]), crop_size)
    square = imresize(image, (IMAGE_SIZE, IMAGE_SIZE))
    caption = "".join(f" --top{rank}:{labels[index]}" for rank, index in enumerate(classes, 1))
    return Demo(classes, class_scores[classes], caption, maps, demo_picture(square, maps))


def demo_of_model(image: np.ndarray, model: Model, top: int | None = None) -> Demo:
    """`demo.m` with a net: the features are those of the image as the demo resizes it.

    The image is made 256 x 256 by `imresize` (bicubic, 8 bits) before the ten crops are cut; elsewhere,
    in `Model`, they are cut from the image as it is.

    Args:
        image: (H, W, 3) uint8 RGB.
        model: the net and what goes with it.
        top: how many classes to show; by default five, or all where there are fewer.
    """
    square = imresize(image, (IMAGE_SIZE, IMAGE_SIZE))
    conv, scores = model.forward(prepare_image(square, model.mean, model.crop_size))
    return demo_of_features(
        image, conv, scores.mean(axis=0), model.weights, model.labels, top, model.crop_size
    )

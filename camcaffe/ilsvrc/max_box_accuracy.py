"""MaxBoxAcc and MaxBoxAccV2: localization at the best threshold of the score maps, for the true class.

Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right" (CVPR 2020), and its
journal version "Evaluation for Weakly Supervised Object Localization: Protocol, Metrics, and Datasets",
which brought V2. Both ask each image for the map of its true class, sweep one threshold for all maps, and
report the share of images located at the best one:

    MaxBoxAcc     the box of the largest contour; right at IoU >= 0.5 with some true box
    MaxBoxAccV2   the best box of all contours; the mean over IoU 0.3, 0.5 and 0.7, each at its own threshold
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.evaluation import overlap
from camcaffe.ilsvrc.truth import Truth

IOUS = (0.3, 0.5, 0.7)
THRESHOLDS = np.arange(0, 1, 0.001)


@dataclass(frozen=True)
class MaxBoxAccuracy:
    """The two accuracies.

    Attributes:
        v1: MaxBoxAcc.
        v2: MaxBoxAccV2.
        threshold: the lowest of those at which V1 is reached, as a share of the map's range.
        by_iou: V2's three parts, at IoU 0.3, 0.5 and 0.7.
        missing: images without a map, which count as misses.
    """

    v1: float
    v2: float
    threshold: float
    by_iou: tuple
    missing: int


class MaxBoxEvaluator:
    """MaxBoxAcc and MaxBoxAccV2 of score maps that come one by one.

    All images of the truth count, the blacklisted too, as Choe et al. count them.

    Args:
        truth: of all images. The true boxes are scaled to the size of a map where it says the size of
            the image; else the maps must have the size of their images.
        thresholds: the sweep, ascending, in 0..1.
    """

    def __init__(self, truth: Truth, thresholds: np.ndarray = THRESHOLDS):
        self._truth = truth
        self._thresholds = np.asarray(thresholds, np.float64)
        self._seen = np.zeros(len(truth), bool)
        self._largest_right = np.zeros(len(self._thresholds), np.int64)
        self._any_right = np.zeros((len(IOUS), len(self._thresholds)), np.int64)

    def best_overlaps(self, image: int, score_map: np.ndarray) -> tuple:
        """The best overlap with a true box at each threshold. Keeps nothing: threads may call it at once.

        Args:
            image: the image's position in the truth.
            score_map: (H, W) numbers, of any range: it is stretched to 0..1.

        Returns:
            (T,) for the largest contour and (T,) for the best of all contours.

        Raises:
            CamcaffeError: the map is no map, or does not have the size of the image.
        """
        name = self._truth.name(image)
        pixels = _to_uint8(score_map, f"score map of {name}")
        true_boxes = self._scaled_boxes(image, pixels.shape, name)
        if not len(true_boxes):
            return (np.full(len(self._thresholds), -1.0),) * 2
        # The map has 256 levels, so that many thresholds share a mask: that of the highest level in use.
        levels = (self._thresholds * pixels.max()).astype(np.int64)
        used = np.unique(pixels)
        places = np.searchsorted(used, levels, side="right") - 1
        largest, best = np.empty(len(used)), np.empty(len(used))
        for place in np.unique(places):
            boxes, biggest = _contour_boxes(pixels > used[place])
            overlaps = overlap(boxes[:, None], true_boxes).max(axis=1)
            largest[place], best[place] = overlaps[biggest], overlaps.max()
        return largest[places], best[places]

    def accumulate(self, image: int, overlaps: tuple) -> None:
        """Count what `best_overlaps` found for an image.

        Raises:
            CamcaffeError: the image comes a second time.
        """
        if self._seen[image]:
            raise CamcaffeError(
                self._truth.source, f"{self._truth.name(image)} was judged twice", "each image once"
            )
        self._seen[image] = True
        largest, best = overlaps
        self._largest_right += largest >= 0.5
        self._any_right += best >= np.array(IOUS)[:, None]

    def compute(self) -> MaxBoxAccuracy:
        """The accuracies over all images of the truth."""
        images = len(self._truth)
        by_iou = tuple((self._any_right.max(axis=1) / images).tolist())
        return MaxBoxAccuracy(
            v1=float(self._largest_right.max() / images),
            v2=sum(by_iou) / len(by_iou),
            threshold=float(self._thresholds[self._largest_right.argmax()]),
            by_iou=by_iou,
            missing=int((~self._seen).sum()),
        )

    def _scaled_boxes(self, image: int, shape: tuple, name: str) -> np.ndarray:
        boxes = self._truth.boxes_of(image)
        size = np.array(shape[::-1])
        if self._truth.sizes is not None:
            return np.trunc(boxes * np.tile(size, 2) / np.tile(self._truth.sizes[image], 2))
        if len(boxes) and (boxes[:, :2] >= size).any():
            raise CamcaffeError(
                f"score map of {name}",
                "{} x {} pixels".format(*size),
                "the size of the image, or true boxes with sizes",
            )
        return boxes


def _to_uint8(score_map: np.ndarray, place: str) -> np.ndarray:
    scores = np.asarray(score_map)
    if scores.ndim != 2 or not scores.size or scores.dtype.kind not in "fiub":
        raise CamcaffeError(
            place, f"an array of shape {scores.shape} and type {scores.dtype}", "numbers, (H, W)"
        )
    scores = scores.astype(np.float64)
    if not np.isfinite(scores).all():
        raise CamcaffeError(place, "NaN or infinity in it", "finite scores")
    scores -= scores.min()
    if scores.max() > 0:
        scores /= scores.max()
    return (scores * 255).astype(np.uint8)


def _contour_boxes(mask: np.ndarray) -> tuple:
    """The boxes of a mask's contours, (n, 4) corners, and which one is that of the largest contour.

    A box ends one pixel past its contour, except at the picture's edge, as in the authors' program; no
    contour at all is the box of the first pixel.
    """
    import cv2

    contours = cv2.findContours(mask.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)[0]
    if not contours:
        return np.zeros((1, 4)), 0
    boxes = np.array([cv2.boundingRect(contour) for contour in contours], np.float64)
    boxes[:, 2:] = np.minimum(boxes[:, :2] + boxes[:, 2:], np.array(mask.shape[::-1]) - 1)
    return boxes, int(np.argmax([cv2.contourArea(contour) for contour in contours]))

"""Classification and localization error as the ILSVRC devkit computes them (eval_clsloc.m)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.predictions import GUESSES, Predictions
from camcaffe.ilsvrc.truth import Truth

IOU = 0.5


def overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes with inclusive corners; -1 where they do not meet.

    Args:
        first: (..., 4) corners (xmin, ymin, xmax, ymax).
        second: (..., 4) corners; the two broadcast.

    Returns:
        float64. A box is xmax - xmin + 1 pixels wide, so boxes that share one column of pixels meet
        (the devkit's compute_overlap.m).
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    sides = high - low + 1
    shared = sides.prod(axis=-1)
    union = _area(first) + _area(second) - shared
    meet = (sides > 0).all(axis=-1)
    return np.where(meet, shared / np.where(meet, union, 1), -1.0)


@dataclass(frozen=True)
class Errors:
    """What an evaluation found, image by image, and the error rates of it.

    The classification error is that of all images; localization skips the blacklisted ones, as the
    devkit does, unless it is told to take them in.

    Attributes:
        class_wrong: (N, 5) bool: none of the first 1, 2, ... 5 guesses has the image's class.
        box_wrong: (N, 5) bool: none of them has the class and a box that fits.
        known: (N,) bool: some guess, at any rank, has the image's class.
        known_right: (N,) bool: some guess of the image's class has a box that fits.
        blacklisted: (N,) bool.
    """

    class_wrong: np.ndarray
    box_wrong: np.ndarray
    known: np.ndarray
    known_right: np.ndarray
    blacklisted: np.ndarray

    def counted(self, blacklist: bool = True) -> np.ndarray:
        """(N,) bool: the images that localization counts."""
        return ~self.blacklisted if blacklist else np.ones_like(self.blacklisted)

    def classification(self) -> np.ndarray:
        """(5,) float64: the classification error of the first 1, 2, ... 5 guesses."""
        return self.class_wrong.mean(axis=0)

    def localization(self, blacklist: bool = True) -> np.ndarray:
        """(5,) float64: the localization error of the first 1, 2, ... 5 guesses."""
        return self.box_wrong[self.counted(blacklist)].mean(axis=0)

    def gt_known(self, blacklist: bool = True) -> float:
        """GT-known localization: the share of images where a box of the true class fits, wherever ranked.

        Where no guess has the true class its box is not known and the image is a miss, which makes this
        a lower bound; it is exact where `known` is true of every image (as many guesses as classes).
        """
        return float(self.known_right[self.counted(blacklist)].mean())


def interval(error: np.ndarray, images: int, resamples: int, seed: int = 0) -> np.ndarray:
    """95 % percentile bootstrap intervals of error rates over images drawn with replacement.

    Of n images drawn from n, a share p of which is wrong, a binomial number is wrong: a resample is one
    draw from that distribution, and need not draw n images. Equal rates get equal intervals.

    Args:
        error: (K,) error rates.
        images: of how many images.
        resamples: how many draws.
        seed: of the random numbers.

    Returns:
        (K, 2) float64: lower and upper end.
    """
    wrong = [np.random.default_rng(seed).binomial(images, rate, size=resamples) for rate in error]
    return np.quantile(np.array(wrong) / images, [0.025, 0.975], axis=1).T


class ErrorEvaluator:
    """Errors of guesses that come batch by batch.

    Example:
        >>> evaluator = ErrorEvaluator(truth)
        >>> for images, predictions in batches:
        ...     evaluator.accumulate(images, predictions)
        >>> top5_error = evaluator.compute().localization()[4]

    Args:
        truth: of all images.
    """

    def __init__(self, truth: Truth):
        self._truth = truth
        self._seen = np.zeros(len(truth), bool)
        self._class_right = np.zeros((len(truth), GUESSES), bool)
        self._box_right = np.zeros((len(truth), GUESSES), bool)
        self._known = np.zeros(len(truth), bool)
        self._known_right = np.zeros(len(truth), bool)

    def accumulate(self, images: np.ndarray, predictions: Predictions) -> None:
        """Judge the guesses for some images.

        Args:
            images: (B,) positions of the images in the truth, each at most once in all.
            predictions: B rows; the errors look at the first five guesses.

        Raises:
            CamcaffeError: an image comes a second time.
        """
        if self._seen[images].any() or len(np.unique(images)) != len(images):
            raise CamcaffeError(self._truth.source, "an image was judged twice", "each image once")
        self._seen[images] = True
        class_right = predictions.labels == self._truth.labels[images, None]
        box_right = class_right & (self._best_overlap(images, predictions.boxes) >= IOU)
        columns = min(GUESSES, predictions.labels.shape[1])
        self._class_right[images, :columns] = class_right[:, :columns]
        self._box_right[images, :columns] = box_right[:, :columns]
        self._known[images] = class_right.any(axis=1)
        self._known_right[images] = box_right.any(axis=1)

    def compute(self) -> Errors:
        """The errors over all images.

        Raises:
            CamcaffeError: an image was not judged.
        """
        if not self._seen.all():
            name = self._truth.name(int(np.argmin(self._seen)))
            raise CamcaffeError(self._truth.source, f"no guesses for {name}", "guesses for every image")
        return Errors(
            ~np.logical_or.accumulate(self._class_right, axis=1),
            ~np.logical_or.accumulate(self._box_right, axis=1),
            self._known,
            self._known_right,
            self._truth.blacklisted,
        )

    def _best_overlap(self, images: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        first, last = self._truth.offsets[images], self._truth.offsets[images + 1]
        counts = last - first
        owners = np.repeat(np.arange(len(images)), counts)
        places = (
            np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
        )
        best = np.full(boxes.shape[:2], -1.0)
        np.maximum.at(best, owners, overlap(boxes[owners], self._truth.boxes[places][:, None]))
        return best


def evaluate(truth: Truth, predictions: Predictions, source: str = "predictions") -> Errors:
    """Judge all rows of a prediction file at once.

    Args:
        truth: of N images.
        predictions: N rows, in the truth's order.
        source: the prediction file, for the message.

    Raises:
        CamcaffeError: there are more or fewer rows than images.
    """
    if len(predictions) != len(truth):
        expected = f"{len(truth)}, one for each image of {truth.source}"
        raise CamcaffeError(source, f"{len(predictions)} rows", expected)
    evaluator = ErrorEvaluator(truth)
    evaluator.accumulate(np.arange(len(truth)), predictions)
    return evaluator.compute()


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2:] - boxes[..., :2] + 1).prod(axis=-1)

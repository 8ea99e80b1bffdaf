"""A run held against the truth, image by image and class by class."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from camcaffe.ilsvrc.evaluation import Errors, overlap
from camcaffe.ilsvrc.guesses import RunGuesses, evaluate_run
from camcaffe.ilsvrc.predictions import GUESSES
from camcaffe.ilsvrc.truth import Truth
from camcaffe.run_store import RunStore


@dataclass(frozen=True)
class Judgement:
    """What a report tells of N images.

    Attributes:
        truth: of the images.
        errors: "loose", "tight" and "combined" -> their errors.
        ranks: (N,) int64, where the run ranks the image's class, from 1; 0 where it does not have it.
        first: (N,) int64, the id of the best-ranked class; 0 where the run has none.
        iou: "loose" and "tight" -> (N,) float64, the overlap of that box of the image's class with the true
            box that it fits best; NaN where the run does not have the image's class.
        notes: what was odd about the run, a line each.
    """

    truth: Truth
    errors: dict[str, Errors]
    ranks: np.ndarray
    first: np.ndarray
    iou: dict[str, np.ndarray]
    notes: list[str]

    def counted(self) -> np.ndarray:
        """(N,) bool: the images that localization counts, which are those not blacklisted."""
        return ~self.truth.blacklisted


@dataclass(frozen=True)
class ClassErrors:
    """The errors of one class, with one loose box for each of an image's five classes.

    Attributes:
        id: the class.
        images: how many images of it are not blacklisted.
        class_top1, class_top5, box_top5: shares of them that are wrong.
        taken_for: (id, images): what its images are called most often where the first guess is wrong; None
            where it never is, or there is no guess.
    """

    id: int
    images: int
    class_top1: float
    class_top5: float
    box_top5: float
    taken_for: tuple[int, int] | None


def judge(run: RunStore, truth: Truth) -> Judgement:
    """Judge a run.

    Args:
        run: an open run over all images of the truth.
        truth: of N images with names.

    Raises:
        CamcaffeError: as `evaluate_run` says.
    """
    evaluation = evaluate_run(run, truth)
    first = np.zeros(len(truth), np.int64)
    iou = {name: np.full(len(truth), np.nan) for name in ("loose", "tight")}
    for images, predictions in RunGuesses(run, truth.synsets, truth.names):
        first[images] = predictions["loose"].labels[:, 0]
        right = predictions["loose"].labels == truth.labels[images, None]
        for row in np.flatnonzero(right.any(axis=1)):
            image, rank = images[row], right[row].argmax()
            for name, found in iou.items():
                overlaps = overlap(predictions[name].boxes[row, rank], truth.boxes_of(image))
                found[image] = overlaps.max(initial=0)
    return Judgement(truth, evaluation.errors, evaluation.ranks, first, iou, evaluation.notes)


def worst_classes(judgement: Judgement, most: int) -> list[ClassErrors]:
    """The classes with the highest localization error; of equals, those with more images come first."""
    wrong = judgement.errors["loose"]
    found = []
    for label in np.unique(judgement.truth.labels):
        mine = (judgement.truth.labels == label) & judgement.counted()
        if not mine.any():
            continue
        others = Counter(guess for guess in judgement.first[mine].tolist() if guess not in (0, label))
        found.append(
            ClassErrors(
                int(label),
                int(mine.sum()),
                float(wrong.class_wrong[mine, 0].mean()),
                float(wrong.class_wrong[mine, GUESSES - 1].mean()),
                float(wrong.box_wrong[mine, GUESSES - 1].mean()),
                others.most_common(1)[0] if others else None,
            )
        )
    found.sort(key=lambda one: (-one.box_top5, -one.images, -one.class_top5, -one.class_top1, one.id))
    return found[:most]

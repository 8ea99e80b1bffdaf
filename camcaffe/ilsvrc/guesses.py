"""From a run's ranked classes and boxes to the three sets of guesses: loose, tight and combined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from camcaffe.boxes.convention import xywh_to_corners
from camcaffe.boxes.loose_tight import loose_tight
from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.evaluation import ErrorEvaluator, Errors
from camcaffe.ilsvrc.names import ImageNames
from camcaffe.ilsvrc.predictions import Predictions
from camcaffe.ilsvrc.score_maps import ranks_of_true_class
from camcaffe.ilsvrc.synsets import Synsets
from camcaffe.ilsvrc.truth import Truth
from camcaffe.run_store import ImageResult, RunStore

SETS = ("loose", "tight", "combined")

# The corner before the first pixel, which no true box holds: the class counts, its box never fits.
_NO_BOX = np.array([-1, -1, 0, 0])


class RunGuesses:
    """A run's guesses for some images, batch by batch.

    Example:
        >>> guesses = RunGuesses(run, truth.synsets, truth.names)
        >>> for images, predictions in guesses:
        ...     evaluator.accumulate(images, predictions["combined"])

    Args:
        run: an open run.
        synsets: the classes, which the run's labels are looked up in.
        names: the images wanted, by path without suffix; a batch refers to them by their positions here.

    Attributes, which are known when all batches have come:
        failed: the images that the run could not read; they have no guesses.
        one_box: how many maps had a single box, which then is loose and tight; the original crashes there.
        no_box: how many maps had no box; their class counts, but not as located.
        others: how many images of the run are not among `names`.

    Raises:
        CamcaffeError: a label of the run names no class of `synsets`; while batches come: the run lacks an
            image, or has two of one name.
    """

    def __init__(self, run: RunStore, synsets: Synsets, names: Sequence[str], batch: int = 500):
        self._run, self._names, self._batch = run, names, batch
        self._ids = np.array(synsets.ids_of_labels(run.labels, str(run.path)), np.int64)
        self._forget()

    def __iter__(self) -> Iterator[tuple[np.ndarray, dict[str, Predictions]]]:
        self._forget()
        wanted = ImageNames(self._names)
        seen: dict[int, str] = {}
        batch: list[tuple[int, ImageResult]] = []
        for result in self._run.results():
            image = wanted.find(result.name)
            if image is None:
                self.others += 1
                continue
            if image in seen:
                raise CamcaffeError(
                    self._run.path,
                    f"both {seen[image]} and {result.name}",
                    f"{self._names[image]} once",
                )
            seen[image] = result.name
            batch.append((image, result))
            if len(batch) == self._batch:
                yield self._predictions(batch)
                batch = []
        if batch:
            yield self._predictions(batch)
        if len(seen) < len(self._names):
            missing = next(name for image, name in enumerate(self._names) if image not in seen)
            raise CamcaffeError(
                self._run.path,
                f"{len(seen)} of {len(self._names)} images, without {missing}",
                "a run that went through all images",
            )

    def collect(self, boxes: str) -> Predictions:
        """The guesses of one set for all images, in the order of `names`.

        Args:
            boxes: "loose", "tight" or "combined".
        """
        parts = [(images, predictions[boxes]) for images, predictions in self]
        most = max(part.labels.shape[1] for _, part in parts)
        labels = np.zeros((len(self._names), most), np.int64)
        corners = np.zeros((len(self._names), most, 4))
        for images, part in parts:
            labels[images, : part.labels.shape[1]] = part.labels
            corners[images, : part.labels.shape[1]] = part.boxes
        return Predictions(labels, corners)

    def notes(self) -> list[str]:
        """What was odd about the guesses, a line each, once they have come."""
        noted = (
            (len(self.failed), f"images failed and have no guesses, {''.join(self.failed[:1])} first"),
            (self.one_box, "maps have a single box, which is loose and tight"),
            (self.no_box, "maps have no box; their class counts, but not as located"),
            (self.others, "images of the run are not asked for"),
        )
        return [f"{self._run.path}: {count} {text}" for count, text in noted if count]

    def _forget(self) -> None:
        self.failed: list[str] = []
        self.one_box = self.no_box = self.others = 0

    def _predictions(self, batch: list[tuple[int, ImageResult]]) -> tuple[np.ndarray, dict[str, Predictions]]:
        images = np.array([image for image, _ in batch])
        most = max(1, *(len(result.classes) for _, result in batch))
        ranks = {name: np.zeros((len(batch), most), np.int64) for name in SETS}
        boxes = {name: np.zeros((len(batch), most, 4)) for name in SETS}
        classes = np.full((len(batch), most), -1)
        for row, (_, result) in enumerate(batch):
            if result.failure is not None or not result.classes:
                self.failed.append(result.name)
                continue
            found = loose_tight([ranked.boxes for ranked in result.classes], _NO_BOX)
            self.one_box += found.one_box
            self.no_box += found.no_box
            count = len(result.classes)
            classes[row, :count] = [ranked.index for ranked in result.classes]
            ranks["loose"][row, :count] = ranks["tight"][row, :count] = np.arange(count)
            ranks["combined"][row, :count] = found.combined_ranks
            for name in SETS:
                boxes[name][row, :count] = getattr(found, name)
        used = classes >= 0
        labels = np.where(used, self._ids[classes], 0)
        return images, {
            name: Predictions(
                np.where(used, np.take_along_axis(labels, ranks[name], axis=1), 0),
                np.where(used[..., None], xywh_to_corners(boxes[name]), 0),
            )
            for name in SETS
        }


@dataclass(frozen=True)
class RunEvaluation:
    """A run judged.

    Attributes:
        errors: "loose", "tight" and "combined" -> their errors.
        ranks: (N,) int64, where the run ranks each image's true class, from 1; 0 where it does not have it.
        notes: what was odd about the run, a line each.
    """

    errors: dict[str, Errors]
    ranks: np.ndarray
    notes: list[str]


def evaluate_run(run: RunStore, truth: Truth) -> RunEvaluation:
    """Judge a run's three sets of boxes, batch by batch.

    Args:
        run: an open run over all images of the truth; it may have more.
        truth: of N images with names.

    Raises:
        CamcaffeError: as `RunGuesses` says, or the truth does not name its images.
    """
    if truth.names is None:
        raise CamcaffeError(
            truth.source, "the images have no names", "a list of them, to find them in the run"
        )
    evaluators = {boxes: ErrorEvaluator(truth) for boxes in SETS}
    ranks = np.zeros(len(truth), np.int64)
    guesses = RunGuesses(run, truth.synsets, truth.names)
    for images, predictions in guesses:
        for boxes in SETS:
            evaluators[boxes].accumulate(images, predictions[boxes])
        ranks[images] = ranks_of_true_class(predictions["loose"].labels, truth.labels[images])
    errors = {boxes: evaluator.compute() for boxes, evaluator in evaluators.items()}
    return RunEvaluation(errors, ranks, guesses.notes())

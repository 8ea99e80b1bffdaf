"""Prediction files: for each image its guesses, best first, each a class and a box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from camcaffe import files
from camcaffe.errors import CamcaffeError, at
from camcaffe.ilsvrc.lines import coordinate, read_lines

GUESSES = 5  # the most that the devkit and the evaluation server look at

_EXPECTED = "rows of guesses: id xmin ymin xmax ymax"


@dataclass(frozen=True)
class Predictions:
    """The guesses for N images, at most K each.

    Attributes:
        labels: (N, K) int64, ids from 1, best first; 0 where there is no guess.
        boxes: (N, K, 4) float64, corners (xmin, ymin, xmax, ymax), inclusive.
    """

    labels: np.ndarray
    boxes: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def read_predictions(path: files.PathLike, classes: int) -> Predictions:
    """Read a prediction file as the devkit's eval_clsloc.m does, one image a line::

        621 59 63 471 238 624 59 42 464 225 623 58 40 472 257
        186 138 1 495 274 555 1 30 471 374

    Rows may have different numbers of guesses; those beyond five are ignored. Five zeros are no guess,
    as MATLAB fills short rows.

    Args:
        path: the file.
        classes: how many classes there are.

    Raises:
        CamcaffeError: the file is missing, or a row is empty, cut off or holds something else than
            numbers, an id that is no class, or a box whose corners are out of order.
    """
    rows = []
    for number, line in enumerate(read_lines(path, _EXPECTED), 1):
        row = _numbers(line, at(path, number))
        if not row or len(row) % 5:
            expected = "a multiple of five: id xmin ymin xmax ymax"
            raise CamcaffeError(at(path, number), f"{len(row)} numbers", expected)
        rows.append(row[: 5 * GUESSES])
    guesses = np.zeros((len(rows), max(map(len, rows)) // 5, 5))
    for row, target in zip(rows, guesses.reshape(len(rows), -1)):
        target[: len(row)] = row
    _check(guesses, path, classes)
    return Predictions(guesses[..., 0].astype(np.int64), guesses[..., 1:].copy())


def write_predictions(path: files.PathLike, predictions: Predictions) -> None:
    """Write a prediction file for the devkit or for the evaluation server, which take the same rows.

    Args:
        path: the file, written whole or not at all.
        predictions: what to write, at most five guesses an image; one without a guess becomes `0 0 0 0 0`.
    """
    labels, boxes = predictions.labels[:, :GUESSES], predictions.boxes[:, :GUESSES]
    table = np.concatenate([labels[..., None].astype(np.float64), boxes], axis=2)
    used = np.maximum(1, np.logical_or.accumulate(labels[:, ::-1] != 0, axis=1).sum(axis=1))
    rows = (" ".join(map(_text, row[:count].ravel().tolist())) for row, count in zip(table, used))
    files.write_text(path, "".join(f"{row}\n" for row in rows))


def _text(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _numbers(line: str, place: str) -> list:
    words = line.split()
    try:
        if "_" not in line:  # Python would take 1_0 for 10
            return list(map(float, words))
    except ValueError:
        pass
    return [coordinate(word, place, f"value {position}") for position, word in enumerate(words, 1)]


def _check(guesses: np.ndarray, path: files.PathLike, classes: int) -> None:
    def refuse(wrong: np.ndarray, found: str, expected: str) -> None:
        if wrong.any():
            row, guess = np.argwhere(wrong)[0]
            shown = " ".join(f"{value:.15g}" for value in guesses[row, guess])
            raise CamcaffeError(at(path, row + 1), f"guess {guess + 1} is {shown}: {found}", expected)

    labels, corners = guesses[..., 0], guesses[..., 1:]
    refuse(~(np.abs(guesses) < 2**31).all(axis=2), "not all are numbers of pixels", "finite numbers")
    wrong_label = (labels < 1) | (labels > classes) | (labels % 1 != 0)
    empty = (guesses == 0).all(axis=2)
    refuse(wrong_label & ~empty, "no such id", f"a whole number from 1 to {classes}")
    refuse((corners[..., :2] > corners[..., 2:]).any(axis=2), "corners out of order", "xmin ymin xmax ymax")

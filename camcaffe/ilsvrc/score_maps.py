"""Folders of score maps, the heat maps of a run among them, and their MaxBoxAcc."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from camcaffe import files
from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.max_box_accuracy import THRESHOLDS, MaxBoxAccuracy, MaxBoxEvaluator
from camcaffe.ilsvrc.names import path_tails
from camcaffe.ilsvrc.truth import Truth

_SUFFIXES = (".npy", ".png", ".jpg", ".jpeg", ".JPEG")


class ScoreMaps:
    """The score maps of a folder, in one of two layouts.

    That of the original's heat maps, the map of each image's best class in `top1` and so on::

        top1/ILSVRC2012_val_00000001.jpg  top2/ILSVRC2012_val_00000001.jpg ...

    or one map an image, of its true class: gray JPEG or PNG, or NumPy's .npy of (H, W) numbers::

        ILSVRC2012_val_00000001.npy

    Args:
        folder: the folder.

    Raises:
        CamcaffeError: there is no such folder.
    """

    def __init__(self, folder: files.PathLike):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise CamcaffeError(folder, "no such folder", "a folder of heat maps")
        self.ranked = (self.folder / "top1").is_dir()

    def find(self, name: str, rank: int = 0) -> Path | None:
        """The file with the map of an image's true class, None where there is none.

        Args:
            name: the image's name without suffix, with or without the folders that its map lies in.
            rank: where the true class stands among the image's classes, from 1; 0: not among them. It
                does not matter where the folder has one map an image.
        """
        folder = self.folder / f"top{rank}" if self.ranked else self.folder
        candidates = (folder / f"{tail}{suffix}" for tail in path_tails(name) for suffix in _SUFFIXES)
        return next((file for file in candidates if file.is_file()), None)


def read_score_map(path: files.PathLike) -> np.ndarray:
    """A score map: (H, W) uint8 from a picture, or what a .npy file holds.

    Raises:
        CamcaffeError: the file is damaged, or would need unpickling.
    """
    if Path(path).suffix != ".npy":
        from camcaffe.matlab import read_gray

        return read_gray(path)
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CamcaffeError(path, f"not readable ({error})", "an array that np.save wrote") from error


def ranks_of_true_class(labels: np.ndarray, true_labels: np.ndarray) -> np.ndarray:
    """Where the true classes stand among the distinct classes of the guesses.

    Args:
        labels: (N, K) ids, best first, 0 for no guess; the combined boxes repeat a class.
        true_labels: (N,) ids.

    Returns:
        (N,) int64, from 1; 0 where the true class is not among them.
    """
    ranks = np.zeros(len(labels), np.int64)
    for image, (row, true_label) in enumerate(zip(labels.tolist(), true_labels.tolist())):
        ranked = list(dict.fromkeys(label for label in row if label))
        if true_label in ranked:
            ranks[image] = ranked.index(true_label) + 1
    return ranks


def max_box_accuracy(
    truth: Truth,
    maps: ScoreMaps,
    ranks: Sequence[int],
    progress: Callable[[Iterable], Iterable] = iter,
    thresholds: np.ndarray = THRESHOLDS,
) -> MaxBoxAccuracy:
    """MaxBoxAcc of a folder of score maps, several images at a time.

    Args:
        truth: of N images with names.
        maps: the folder.
        ranks: (N,) as `ranks_of_true_class` says; looked at where the folder has the layout of heat maps.
        progress: wraps the images as they come, e.g. `tqdm`.
        thresholds: the sweep, ascending, in 0..1.

    Raises:
        CamcaffeError: a map is damaged or of a wrong size, or the folder has none, or the images no names.
    """
    if truth.names is None:
        raise CamcaffeError(truth.source, "the images have no names", "a list of them, to find their maps")
    evaluator = MaxBoxEvaluator(truth, thresholds)
    found = [(image, maps.find(name, rank)) for image, (name, rank) in enumerate(zip(truth.names, ranks))]
    found = [(image, path) for image, path in found if path is not None]
    if not found:
        raise CamcaffeError(
            maps.folder, f"no map of {truth.names[0]} or any other image", "NAME.jpg or top1/NAME.jpg"
        )

    def judge(work: tuple) -> tuple:
        image, path = work
        return image, evaluator.best_overlaps(image, read_score_map(path))

    # OpenCV works without Python's lock, so that threads share the cores.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for image, overlaps in progress(pool.map(judge, found)):
            evaluator.accumulate(image, overlaps)
    return evaluator.compute()

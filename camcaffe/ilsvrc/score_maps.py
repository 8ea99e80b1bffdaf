"""Folders of score maps: the heat maps of a run, or any map of the true class for each image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from camcaffe import files
from camcaffe.errors import CamcaffeError

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

    def find(self, name: str, rank: int | None) -> Path | None:
        """The file with the map of an image's true class, None where there is none.

        Args:
            name: the image's key.
            rank: where the true class stands among the image's classes, from 1; None: not among them.
        """
        folder = self.folder
        if self.ranked:
            if rank is None:
                return None
            folder = folder / f"top{rank}"
        return next((file for suffix in _SUFFIXES if (file := folder / f"{name}{suffix}").is_file()), None)


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


def rank_of_class(labels: np.ndarray, true_label: int) -> int | None:
    """Where a class stands among the distinct classes of a row of guesses, from 1; None if it does not.

    Args:
        labels: (K,) ids, best first, 0 for no guess. The combined boxes repeat a class.
        true_label: the id of the class.
    """
    ranked = list(dict.fromkeys(labels[labels > 0].tolist()))
    return ranked.index(true_label) + 1 if true_label in ranked else None

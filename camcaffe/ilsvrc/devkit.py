"""A development kit's folder of ILSVRC 2012 to 2014: classes, ground truth and blacklist."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from camcaffe import files
from camcaffe.errors import CamcaffeError, at
from camcaffe.ilsvrc.lines import read_lines, whole_number
from camcaffe.ilsvrc.synsets import Synsets, read_meta, read_synset_mapping

_META = ("meta_clsloc.mat", "meta.mat")
_KAGGLE = "LOC_synset_mapping.txt"
_TEXT = r"ILSVRC20\d\d(_clsloc)?_validation_{}\.txt"


@dataclass(frozen=True)
class Devkit:
    """The files of a devkit.

    Attributes:
        meta: meta_clsloc.mat, meta.mat or Kaggle's LOC_synset_mapping.txt.
        ground_truth: the validation images' ids; None with Kaggle's files, whose CSV says them.
        blacklist: the images to skip; None where the kit has no such list (2012, Kaggle).
    """

    meta: Path
    ground_truth: Path | None
    blacklist: Path | None

    @classmethod
    def find(cls, folder: files.PathLike) -> Devkit:
        """The files in a devkit's folder, or in its `data`.

        2012 has meta.mat, ILSVRC2012_validation_ground_truth.txt and no blacklist; 2013 and 2014 have
        meta_clsloc.mat, ILSVRC2014_clsloc_validation_ground_truth.txt and ..._blacklist.txt. A folder
        with Kaggle's LOC_synset_mapping.txt has the classes only.

        Raises:
            CamcaffeError: the folder or a file in it is missing, or there are two of one kind.
        """
        root = Path(folder)
        if not root.is_dir():
            raise CamcaffeError(folder, "no such folder", "the folder of an ILSVRC devkit")
        data = root / "data" if (root / "data").is_dir() else root
        meta = next((data / name for name in (*_META, _KAGGLE) if (data / name).is_file()), None)
        if meta is None:
            raise CamcaffeError(data, "no list of classes", f"{', '.join(_META)} or {_KAGGLE}")
        ground_truth = _only(data, "ground_truth")
        if ground_truth is None and meta.name != _KAGGLE:
            raise CamcaffeError(data, "no ground truth", "ILSVRC2014_clsloc_validation_ground_truth.txt")
        return cls(meta, ground_truth, _only(data, "blacklist"))


def read_synsets(path: files.PathLike) -> Synsets:
    """The classes of a devkit's folder, or of one of its meta files or LOC_synset_mapping.txt itself.

    Raises:
        CamcaffeError: there are none.
    """
    meta = Devkit.find(path).meta if Path(path).is_dir() else Path(path)
    return read_meta(meta) if meta.suffix == ".mat" else read_synset_mapping(meta)


def read_ground_truth(path: files.PathLike, classes: int) -> np.ndarray:
    """The ids of the validation images, one a line, in the order of the images' names::

        490
        361

    Args:
        path: the devkit's ..._validation_ground_truth.txt.
        classes: how many classes there are.

    Returns:
        (N,) int64, from 1.

    Raises:
        CamcaffeError: the file is missing, or a line is not one id.
    """
    lines = read_lines(path, "a devkit's ground truth")
    ids = [
        whole_number(line.strip(), 1, classes, at(path, number), "the id")
        for number, line in enumerate(lines, 1)
    ]
    return np.array(ids, np.int64)


def read_blacklist(path: files.PathLike, images: int) -> np.ndarray:
    """The validation images that localization skips, by their lines in the ground truth::

        36
        50

    Args:
        path: the devkit's ..._validation_blacklist.txt.
        images: how many images there are.

    Returns:
        (images,) bool: True for those listed.

    Raises:
        CamcaffeError: the file is missing, or a line is no image, or one that was listed before.
    """
    listed = np.zeros(images, bool)
    for number, line in enumerate(read_lines(path, "a devkit's blacklist"), 1):
        image = whole_number(line.strip(), 1, images, at(path, number), "the image")
        if listed[image - 1]:
            # The devkit would divide by one image too few.
            raise CamcaffeError(at(path, number), f"image {image} again", "each image once")
        listed[image - 1] = True
    return listed


def _only(data: Path, kind: str) -> Path | None:
    found = sorted(file for file in data.iterdir() if re.fullmatch(_TEXT.format(kind), file.name))
    if len(found) > 1:
        raise CamcaffeError(data, f"both {found[0].name} and {found[1].name}", "the files of one year")
    return found[0] if found else None

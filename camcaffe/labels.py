"""Class lists: what each of a net's scores stands for, in the order of the scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike, read_bytes
from camcaffe.matlab import loadmat


def read_labels(path: PathLike) -> tuple[str, ...]:
    """Read a class list: a .mat file with the cell array `categories`, or text in UTF-8, a label a line.

    Empty lines of a text file, and lines that begin with #, are left out::

        # ImageNet, ILSVRC 2012: WNID, then words
        n01440764 tench, Tinca tinca
        n01443537 goldfish, Carassius auratus

    Returns:
        The labels, in the order of the net's scores.

    Raises:
        CamcaffeError: the file cannot be read, or holds no such list.
    """
    labels = _from_mat(path) if Path(path).suffix.lower() == ".mat" else _from_text(path)
    if not labels:
        raise CamcaffeError(path, "the file has no label", "a label a class")
    return tuple(labels)


def _from_mat(path: PathLike) -> list[str]:
    cells = loadmat(path).get("categories")
    if not isinstance(cells, np.ndarray) or cells.dtype != object or cells.ndim != 2:
        raise CamcaffeError(path, "no cell array 'categories'", "the net's class list")
    labels = cells[:, 0].tolist()  # Places205 has the class index in a second column
    if not all(isinstance(label, str) for label in labels):
        raise CamcaffeError(path, "'categories' holds other things than text", "the net's class list")
    return labels


def _from_text(path: PathLike) -> list[str]:
    expected = "text in UTF-8, a class label a line"
    try:
        lines = read_bytes(path, expected).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise CamcaffeError(path, "not text in UTF-8", expected) from error
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]

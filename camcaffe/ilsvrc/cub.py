"""CUB-200-2011: 11,788 birds with one box each, in the folder CUB_200_2011."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from camcaffe import files
from camcaffe.errors import CamcaffeError, at
from camcaffe.ilsvrc.lines import coordinate, read_lines, whole_number
from camcaffe.ilsvrc.names import path_tails
from camcaffe.ilsvrc.synsets import Synsets
from camcaffe.ilsvrc.truth import Truth

_MOST = 10**9


def read_cub(folder: files.PathLike, split: str = "test") -> Truth:
    """The truth of one split of CUB-200-2011, in the order of the images' numbers.

    Every file has one line an image (classes.txt: a class), which begins with its number::

        images.txt              1 001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg
        image_class_labels.txt  1 1
        bounding_boxes.txt      1 60.0 27.0 325.0 304.0         (x, y, width, height)
        train_test_split.txt    1 0                             (1: training, 0: test)
        classes.txt             1 001.Black_footed_Albatross

    Args:
        folder: CUB_200_2011.
        split: "train" or "test".

    Returns:
        The truth; box (x, y, w, h) has the corners (x, y, x + w, y + h), as the original generate_bbox
        reads its own boxes and as Choe et al. read these.

    Raises:
        CamcaffeError: a file is missing, or a line of it broken or of an image that images.txt does not have.
    """
    root = Path(folder)
    names = _column(root / "images.txt", 1)
    classes = tuple(name for (name,) in _column(root / "classes.txt", 1))
    images = len(names)
    labels = _column(root / "image_class_labels.txt", 1, images)
    boxes = _column(root / "bounding_boxes.txt", 4, images)
    splits = _column(root / "train_test_split.txt", 1, images)

    chosen, ids, corners = [], [], []
    for number, ((name,), (label,), box, (training,)) in enumerate(zip(names, labels, boxes, splits), 1):
        place = at(root / "train_test_split.txt", number)
        if (split == "train") != bool(whole_number(training, 0, 1, place, "the split")):
            continue
        place = at(root / "image_class_labels.txt", number)
        ids.append(whole_number(label, 1, len(classes), place, "the class"))
        corners.append(_corners(box, at(root / "bounding_boxes.txt", number)))
        chosen.append(next(path_tails(name)))
    if not chosen:
        raise CamcaffeError(root / "train_test_split.txt", f"no image of the {split} split", "some")
    return Truth.of_images(
        synsets=Synsets(classes, classes, str(root / "classes.txt")),
        names=chosen,
        labels=np.array(ids, np.int64),
        owners=np.arange(len(chosen)),
        boxes=np.array(corners, np.float64),
        source=str(root),
    )


def _column(path: Path, words: int, images: int | None = None) -> list:
    rows = []
    for number, line in enumerate(read_lines(path, "a file of CUB_200_2011"), 1):
        row = line.split()
        if len(row) != words + 1 or whole_number(row[0], 1, _MOST, at(path, number), "the number") != number:
            raise CamcaffeError(at(path, number), f"{line[:60]!r}", f"the number {number} and {words} more")
        rows.append(row[1:])
    if images is not None and len(rows) != images:
        raise CamcaffeError(
            path, f"{len(rows)} lines", f"a line for each of the {images} images of images.txt"
        )
    return rows


def _corners(words: list, place: str) -> list:
    x, y, width, height = (
        coordinate(word, place, what) for what, word in zip(("x", "y", "width", "height"), words)
    )
    if width <= 0 or height <= 0:
        raise CamcaffeError(place, f"a box of {width:g} x {height:g}", "a width and a height")
    return [x, y, x + width, y + height]

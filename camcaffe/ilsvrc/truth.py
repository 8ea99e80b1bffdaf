"""What is true of the images of a benchmark: their classes, their boxes, and which ones do not count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from camcaffe import files
from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.annotations import read_annotations
from camcaffe.ilsvrc.devkit import Devkit, read_blacklist, read_ground_truth, read_synsets
from camcaffe.ilsvrc.lines import read_image_list
from camcaffe.ilsvrc.synsets import Synsets


@dataclass(frozen=True)
class Truth:
    """The truth of N images, with M boxes in all.

    Attributes:
        synsets: the classes.
        names: the images' file names without suffix, with folders where the truth has some, in the order
            of the rows of a prediction file; None where nothing names them (a devkit's cache without a list).
        labels: (N,) int64, the id of each image's class.
        boxes: (M, 4) float64, corners, inclusive: those of the image's own class, image after image.
        offsets: (N + 1,) int64: image i has boxes[offsets[i]:offsets[i + 1]].
        blacklisted: (N,) bool.
        sizes: (N, 2) int64, width and height; None where nothing says them.
        source: the file that says how many images there are.
    """

    synsets: Synsets
    names: list | None
    labels: np.ndarray
    boxes: np.ndarray
    offsets: np.ndarray
    blacklisted: np.ndarray
    sizes: np.ndarray | None
    source: str

    @classmethod
    def of_images(
        cls,
        synsets: Synsets,
        names: Sequence[str] | None,
        labels: np.ndarray,
        owners: np.ndarray,
        boxes: np.ndarray,
        source: str,
        blacklisted: np.ndarray | None = None,
        sizes: np.ndarray | None = None,
    ) -> Truth:
        """A truth from boxes of which image `owners[m]` (ascending) owns the m-th."""
        offsets = np.searchsorted(owners, np.arange(len(labels) + 1))
        if blacklisted is None:
            blacklisted = np.zeros(len(labels), bool)
        return cls(
            synsets,
            None if names is None else list(names),
            labels,
            boxes,
            offsets,
            blacklisted,
            sizes,
            source,
        )

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, image: int) -> str:
        """What to call an image in a message."""
        return f"image {image + 1}" if self.names is None else self.names[image]

    def boxes_of(self, image: int) -> np.ndarray:
        """The true boxes of an image's own class, (n, 4) corners."""
        return self.boxes[self.offsets[image] : self.offsets[image + 1]]


def read_truth(devkit: files.PathLike, boxes: files.PathLike, images: files.PathLike | None = None) -> Truth:
    """The truth of ILSVRC's validation set.

    Args:
        devkit: the folder of a devkit of 2012 to 2014, or the one with Kaggle's LOC_synset_mapping.txt.
        boxes: the folder of XML files, the devkit's .mat cache, or Kaggle's LOC_val_solution.csv.
        images: a list that says which image each line of the ground truth is about; by default the
            images stand in the order of their names.

    Raises:
        CamcaffeError: a file is missing or broken, or the files contradict each other.
    """
    kit = Devkit.find(devkit)
    synsets = read_synsets(kit.meta)
    names = None if images is None else read_image_list(images)
    annotations = read_annotations(boxes, synsets, names)
    if kit.ground_truth is None:
        labels = _labels_of_boxes(annotations)
        source = annotations.source
    else:
        labels = read_ground_truth(kit.ground_truth, len(synsets))
        source = str(kit.ground_truth)
        if len(labels) != annotations.images:
            raise CamcaffeError(
                annotations.source if images is None else images,
                f"{annotations.images} images",
                f"{len(labels)}, as {kit.ground_truth} has lines",
            )
    blacklisted = np.zeros(len(labels), bool)
    if kit.blacklist is not None:
        blacklisted = read_blacklist(kit.blacklist, len(labels))

    own = annotations.labels == labels[annotations.owners]
    truth = Truth.of_images(
        synsets,
        annotations.names,
        labels,
        annotations.owners[own],
        annotations.boxes[own],
        source,
        blacklisted,
        annotations.sizes,
    )
    if blacklisted.all():
        raise CamcaffeError(kit.blacklist, "lists every image", "some images that count")
    without = np.flatnonzero((np.diff(truth.offsets) == 0) & ~blacklisted)
    if without.size:
        image = int(without[0])
        label = f"{synsets.wnids[labels[image] - 1]} (line {image + 1} of {source})"
        raise CamcaffeError(
            annotations.source,
            f"{truth.name(image)} has no box of its class, {label}",
            "images in the order of the ground truth, each with a box of its class",
        )
    return truth


def _labels_of_boxes(annotations) -> np.ndarray:
    # Every image has one class, and all its boxes are of it.
    firsts = np.searchsorted(annotations.owners, np.arange(annotations.images))
    labels = annotations.labels[np.minimum(firsts, len(annotations.labels) - 1)]
    mixed = np.flatnonzero(annotations.labels != labels[annotations.owners])
    if mixed.size:
        image = int(annotations.owners[mixed[0]])
        raise CamcaffeError(
            annotations.source, f"{annotations.names[image]} has boxes of two classes", "boxes of one class"
        )
    return labels

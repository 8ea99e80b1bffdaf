"""Where the parts of ILSVRC lie: the folders that its archives unpack to."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from camcaffe import files
from camcaffe.errors import CamcaffeError

# What unpacking the benchmark's archives leaves, those of 2012 to 2014 first, then Kaggle's.
_IMAGES = (
    "ILSVRC2012_img_val",
    "ILSVRC2012_img_val.tar",
    "images",
    "Data/CLS-LOC/val",
    "ILSVRC/Data/CLS-LOC/val",
)
_DEVKITS = ("ILSVRC2014_devkit", "ILSVRC2013_devkit", "ILSVRC2012_devkit_t12", "devkit", ".")
_BOXES = (
    "ILSVRC2012_bbox_val_v3/val",
    "ILSVRC2012_bbox_val_v3",
    "val_bbox",
    "val",
    "Annotations/CLS-LOC/val",
    "ILSVRC/Annotations/CLS-LOC/val",
    "LOC_val_solution.csv",
)


class Layout(NamedTuple):
    """The validation set's images, the devkit, and the true boxes, as the readers of each take them."""

    images: Path
    devkit: Path
    boxes: Path


def find_layout(
    folder: files.PathLike,
    images: files.PathLike | None = None,
    devkit: files.PathLike | None = None,
    boxes: files.PathLike | None = None,
) -> Layout:
    """The parts of ILSVRC in a folder.

    Args:
        folder: where the benchmark's archives were unpacked.
        images: where the images are instead.
        devkit: where the devkit is instead.
        boxes: where the true boxes are instead.

    Raises:
        CamcaffeError: the folder or a part is not there; the line has the names that were looked for.
    """
    root = Path(folder)
    if not root.is_dir():
        raise CamcaffeError(folder, "no such folder", "the folder that has ILSVRC's parts")
    return Layout(
        Path(images) if images is not None else _first(root, _IMAGES, "images"),
        Path(devkit) if devkit is not None else _first(root, _DEVKITS, "devkit"),
        Path(boxes) if boxes is not None else _first(root, _BOXES, "boxes"),
    )


def _first(root: Path, names: tuple, option: str) -> Path:
    for name in names:
        # Kaggle's archive has its class list at the top, where the devkit would be a folder.
        if (root / name).exists() and (name != "." or (root / "LOC_synset_mapping.txt").is_file()):
            return root / name
    expected = ", ".join(name for name in names if name != ".")
    raise CamcaffeError(root, f"no {option} in it", f"{expected}, or --{option}")

"""Class lists: what each of a network's scores stands for, in the network's order."""

from __future__ import annotations

from pathlib import Path

from camcaffe import files
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike

# Name of a class list -> its file in this package.
CLASS_LISTS = {
    "imagenet": Path(__file__).with_name("classes_imagenet.txt"),
    "places205": Path(__file__).with_name("classes_places205.txt"),
}


def class_labels(name: str) -> tuple[str, ...]:
    """The labels of a class list by name, in Caffe's order.

    Returns:
        For "imagenet" 1000 labels such as `n01440764 tench, Tinca tinca`: the WNID, then words. For
        "places205" 205 such as `/a/abbey`. They are the lines of the originals' category files.

    Raises:
        CamcaffeError: there is no class list of this name.
    """
    if name not in CLASS_LISTS:
        raise CamcaffeError(name, "no class list has this name", f"one of {', '.join(CLASS_LISTS)}")
    return read_class_list(CLASS_LISTS[name])


def read_class_list(path: PathLike) -> tuple[str, ...]:
    """Read a class list: text in UTF-8, a label a line, in the order of the scores.

    Empty lines and lines that begin with # are left out::

        # ImageNet, ILSVRC 2012: WNID, then words
        n01440764 tench, Tinca tinca
        n01443537 goldfish, Carassius auratus

    Raises:
        CamcaffeError: the file cannot be read, is not text in UTF-8 or has no label.
    """
    expected = "a text file with a class label a line"
    try:
        lines = files.read_bytes(path, expected).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise CamcaffeError(path, "the file is not text in UTF-8", expected) from error
    labels = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not labels:
        raise CamcaffeError(path, "the file has no label", expected)
    return tuple(labels)

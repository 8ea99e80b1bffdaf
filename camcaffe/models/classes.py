"""The class lists of the networks that are known by name."""

from __future__ import annotations

from pathlib import Path

from camcaffe.errors import CamcaffeError
from camcaffe.labels import read_labels

# Name of a class list -> its file in this package.
CLASS_LISTS = {
    "imagenet": Path(__file__).with_name("classes_imagenet.txt"),
    "places205": Path(__file__).with_name("classes_places205.txt"),
    "digits": Path(__file__).with_name("digitsCAM") / "classes_digits.txt",
}


def class_labels(name: str) -> tuple[str, ...]:
    """The labels of a class list by name, in Caffe's order.

    Returns:
        For "imagenet" 1000 labels such as `n01440764 tench, Tinca tinca`: the WNID, then words. For
        "places205" 205 such as `/a/abbey`; these are the lines of the originals' category files. For "digits"
        ten, `0` to `9`.

    Raises:
        CamcaffeError: there is no class list of this name.
    """
    if name not in CLASS_LISTS:
        raise CamcaffeError(name, "no class list has this name", f"one of {', '.join(CLASS_LISTS)}")
    return read_labels(CLASS_LISTS[name])

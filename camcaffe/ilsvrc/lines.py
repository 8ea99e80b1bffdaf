"""Lines of a text file, and errors that name the file and the line."""

from __future__ import annotations

import re

from camcaffe import files
from camcaffe.errors import CamcaffeError, at


def read_lines(path: files.PathLike, expected: str) -> list[str]:
    """The lines of a UTF-8 text file, without line ends; `expected` says what it should hold.

    Raises:
        CamcaffeError: the file is missing, unreadable, empty or no text.
    """
    data = files.read_bytes(path, expected)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise CamcaffeError(at(path, number), "not UTF-8 text", expected) from error
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.rstrip("\r") for line in lines]


def whole_number(text: str, low: int, high: int, place: str, what: str) -> int:
    """`text` as an integer in low..high.

    Raises:
        CamcaffeError: it is something else; the line names `place` and `what`.
    """
    expected = f"a whole number from {low} to {high}"
    if not (text.isascii() and text.isdigit()):
        raise CamcaffeError(place, f"{what} is {_shown(text)}", expected)
    number = int(text)
    if not low <= number <= high:
        raise CamcaffeError(place, f"{what} is {_shown(text)}", expected)
    return number


def coordinate(text: str | None, place: str, what: str) -> float:
    """`text` as a finite number of pixels.

    Raises:
        CamcaffeError: it is missing or something else; the line names `place` and `what`.
    """
    if text is None:
        raise CamcaffeError(place, f"no {what}", "a number of pixels")
    try:
        number = float("" if "_" in text else text)  # Python would take 1_0 for 10
    except ValueError as error:
        raise CamcaffeError(place, f"{what} is {_shown(text)}", "a number of pixels") from error
    # Beyond 2**31 an area would lose its last digits, and no picture is that large.
    if not abs(number) < 2**31:
        raise CamcaffeError(place, f"{what} is {_shown(text)}", "a number of pixels")
    return number


def checked_corners(corners: list[float], place: str) -> list[float]:
    """The corners (xmin, ymin, xmax, ymax) of a box, once they are in order.

    Raises:
        CamcaffeError: a maximum lies before its minimum.
    """
    for axis, low, high in (("x", corners[0], corners[2]), ("y", corners[1], corners[3])):
        if high < low:
            raise CamcaffeError(
                place, f"{axis}max {high:g} is less than {axis}min {low:g}", "corners in order"
            )
    return corners


def image_key(name: str) -> str:
    """What lists, annotations and runs know an image by: its file name without folder and suffix."""
    return re.sub(r"(?i)\.(jpe?g|png|bmp|tiff?|gif|webp)$", "", re.split(r"[/\\]", name)[-1])


def read_image_list(path: files.PathLike) -> list[str]:
    """The keys of the images that a list names, one a line, in its order.

    A line may go on after the name, as Caffe's lists do::

        ILSVRC2012_val_00000361.JPEG
        val/ILSVRC2012_val_00001050.JPEG 24

    Raises:
        CamcaffeError: the list is missing, a line is empty, or an image stands in it twice.
    """
    first_line: dict[str, int] = {}
    for number, line in enumerate(read_lines(path, "a list of image names"), 1):
        words = line.split()
        if not words:
            raise CamcaffeError(at(path, number), "an empty line", "the name of an image")
        key = image_key(words[0])
        if key in first_line:
            raise CamcaffeError(
                at(path, number), f"{words[0]} again", f"each image once (line {first_line[key]} has it)"
            )
        first_line[key] = number
    return list(first_line)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")

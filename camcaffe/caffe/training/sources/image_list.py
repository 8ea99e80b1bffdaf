"""The images of an ImageData layer: a list of files and labels."""

from __future__ import annotations

import math
import os
import re

import numpy as np

from camcaffe import files
from camcaffe.caffe.network import Layer
from camcaffe.caffe.shapes import MOST_VALUES
from camcaffe.errors import CamcaffeError, at

_EXPECTED = "an image, a space and a whole number a line"


def read_image_list(path: files.PathLike) -> list[tuple[str, int]]:
    """Read a list of images for Caffe: a file's name, a space, a whole number.

    A name may have spaces itself::

        cats/tabby 1.jpg 0
        dogs/beagle.jpg 1

    Raises:
        CamcaffeError: the list is missing or empty, or a line is broken; its number is told.
    """
    data = files.read_bytes(path, _EXPECTED)
    pairs = []
    for number, line in enumerate(os.fsdecode(data).removesuffix("\n").split("\n"), 1):
        name, _, label = line.rstrip("\r").rpartition(" ")
        if not name.strip() or "\0" in name:
            raise CamcaffeError(at(path, number), _shown(line), _EXPECTED)
        if not re.fullmatch(r"-?[0-9]{1,10}", label) or abs(int(label)) >= 2**31:
            raise CamcaffeError(at(path, number), f"the label {_shown(label)}", _EXPECTED)
        pairs.append((name, int(label)))
    return pairs


def decode_picture(data: bytes, source: files.PathLike, flags: int) -> np.ndarray:
    """Decode a picture as Caffe does, with OpenCV; what a JPEG that is cut short lacks becomes gray.

    Args:
        data: the file's bytes.
        source: the file, for errors.
        flags: OpenCV's `IMREAD_...`.

    Returns:
        (H, W) or (H, W, BGR or BGRA) uint8.

    Raises:
        CamcaffeError: it is no picture, or has not 8 bits a channel.
    """
    import cv2

    if data.startswith(b"\xff\xd8"):
        # OpenCV ends a JPEG that is cut short where it reads a file, and leaves the rest undefined where it
        # reads memory.
        data += b"\xff\xd9"
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise CamcaffeError(source, f"not a picture that can be read ({error.err})", "a picture") from error
    if image is None:
        raise CamcaffeError(source, "not a picture that can be read", "a picture that OpenCV decodes")
    if image.dtype != np.uint8:
        raise CamcaffeError(source, f"a picture of {image.dtype} values", "8 bits a channel")
    return image


def channels_first(image: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) as (C, H, W), without a copy."""
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)


class ListedImages:
    """The images that an ImageData layer's list names, read as Caffe reads them.

    Pixels are BGR or gray, resized bilinearly to new_height x new_width. As in Caffe, root_folder stands
    right before each name, without a slash between them, and pictures are turned as OpenCV turns them by
    their EXIF tag.

    Args:
        layer: the ImageData layer.

    Raises:
        CamcaffeError: the list cannot be read, or only one of new_height and new_width is given.
    """

    def __init__(self, layer: Layer):
        settings, self._layer = layer.message.image_data_param, f"layer {layer.name!r}"
        self._size = settings.new_width, settings.new_height
        if bool(settings.new_width) != bool(settings.new_height):
            found = f"new_height is {settings.new_height} and new_width {settings.new_width}"
            raise CamcaffeError(self._layer, found, "both or none")
        self._root, self._is_color = settings.root_folder, settings.is_color
        self._images = read_image_list(settings.source)

    def __len__(self) -> int:
        return len(self._images)

    def read(self, number: int) -> tuple[np.ndarray, int, str]:
        """Pixels (C, H, W) uint8, label, and the file's name."""
        import cv2

        name, label = self._images[number]
        path = self._root + name
        flags = cv2.IMREAD_COLOR if self._is_color else cv2.IMREAD_GRAYSCALE
        image = decode_picture(files.read_bytes(path, "an image that can be read"), path, flags)
        if any(self._size):
            image = self._resized(image)
        return channels_first(image), label, path

    def _resized(self, image: np.ndarray) -> np.ndarray:
        import cv2

        asked = "new_width {} and new_height {}".format(*self._size)
        channels = 3 if self._is_color else 1
        if channels * math.prod(self._size) > MOST_VALUES:
            raise CamcaffeError(self._layer, asked, f"at most {MOST_VALUES:,} values an image")
        try:
            return cv2.resize(image, self._size)
        except cv2.error as error:
            found = f"OpenCV cannot resize to {asked}"
            raise CamcaffeError(self._layer, found, "a size that fits into memory") from error


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")

"""The ten crops of a 256 x 256 image, cut out (`prepare_image`) and put back (`merge_ten_crop`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from camcaffe.errors import CamcaffeError
from camcaffe.matlab import imresize, resize_weights

IMAGE_SIZE = 256


class Crop(NamedTuple):
    """Where a crop lies in the 256 x 256 image: its top-left pixel, and whether it is mirrored in x."""

    x: int
    y: int
    mirrored: bool


def ten_crops(crop_size: int) -> tuple:
    """The places of the ten crops, in the order of the original's `prepare_image`.

    The four corners, x offset outermost, then the centre; then the same five mirrored. pycaffe's own
    oversampling walks rows first and puts the centre of a 227-pixel crop one pixel higher and more left.

    Args:
        crop_size: the net's input size, 1 to 256: 224 for GoogLeNet and VGG, 227 for AlexNet.

    Returns:
        Ten `Crop`s.
    """
    if not 1 <= crop_size <= IMAGE_SIZE:
        raise CamcaffeError("ten crops", f"a crop size of {crop_size}", f"1 to {IMAGE_SIZE}")
    corners = (0, IMAGE_SIZE - crop_size)
    centre = (IMAGE_SIZE + 1 - crop_size) // 2
    places = [(x, y) for x in corners for y in corners] + [(centre, centre)]
    return tuple(Crop(x, y, mirrored) for mirrored in (False, True) for x, y in places)


def prepare_image(image: np.ndarray, mean: np.ndarray, crop_size: int) -> np.ndarray:
    """A net's input: the image resized to 256 x 256 (bilinear), less the mean, cut into ten crops.

    Port of the original's `prepare_image.m`.

    Args:
        image: (H, W, 3) uint8 RGB.
        mean: (3, 256, 256) float32 BGR mean image, or (3,) BGR mean colour.
        crop_size: the net's input size.

    Returns:
        (10, 3, crop_size, crop_size) float32 BGR.
    """
    bgr = np.asarray(image)[:, :, ::-1].astype(np.float32)
    mean = np.asarray(mean, dtype=np.float32)
    if mean.shape not in ((3,), (3, IMAGE_SIZE, IMAGE_SIZE)):
        raise CamcaffeError("mean", f"an array of shape {mean.shape}", "(3, 256, 256) or (3,)")
    resized = imresize(bgr, (IMAGE_SIZE, IMAGE_SIZE), "bilinear").transpose(2, 0, 1)
    centred = resized - mean.reshape(3, *mean.shape[1:] or (1, 1))
    crops = np.empty((10, 3, crop_size, crop_size), dtype=np.float32)
    for crop, place in zip(crops, ten_crops(crop_size)):
        cut = centred[:, place.y : place.y + crop_size, place.x : place.x + crop_size]
        crop[:] = cut[:, :, ::-1] if place.mirrored else cut
    return crops


def merge_ten_crop(maps: np.ndarray, crop_size: int | None = None) -> np.ndarray:
    """The ten crops' maps, each put back in its place, added up.

    Port of the original's `mergeTenCrop.m`. The absolute values are added, three times over (the
    original adds three identical channels), and the sum is not divided by how many crops cover a
    pixel: that is why the border of a heat map is darker.

    Args:
        maps: (10, K, h, w) float: the class activation maps of K classes.
        crop_size: the net's input size, to which the maps are first resized (bicubic);
            by default they have that size already.

    Returns:
        (K, 256, 256) float32.
    """
    maps = np.asarray(maps)
    if maps.ndim != 4 or len(maps) != 10:
        raise CamcaffeError("ten crops", f"maps of shape {maps.shape}", "(10, classes, height, width)")
    size = maps.shape[2] if crop_size is None else crop_size
    # The maps are so small that dense products beat imresize's sparse ones.
    rows = resize_weights(maps.shape[2], size).toarray()
    columns = resize_weights(maps.shape[3], size).toarray()
    # Double up to here and single from here on, each crop times 3 before it is added: so the
    # original's sums come out to the last bit.
    return add_ten_crop(np.abs((rows @ crop @ columns.T).astype(np.float32)) * np.float32(3) for crop in maps)


def add_ten_crop(crops: Iterable[np.ndarray]) -> np.ndarray:
    """Ten crops' values, each crop put back in its place and mirrored back, added up in order.

    Args:
        crops: ten (K, size, size) float32 arrays.

    Returns:
        (K, 256, 256) float32.
    """
    merged = None
    for index, crop in enumerate(crops):
        if merged is None:
            places = ten_crops(crop.shape[-1])
            merged = np.zeros((len(crop), IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32)
        x, y, mirrored = places[index]
        canvas = merged[:, y : y + crop.shape[1], x : x + crop.shape[2]]
        canvas += crop[:, :, ::-1] if mirrored else crop
    return merged

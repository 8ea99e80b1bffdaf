"""The ten crops of a 256 x 256 image, cut out (`prepare_image`) and put back (`merge_ten_crop`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from camcaffe.errors import CamcaffeError
from camcaffe.matlab import resize_weights

IMAGE_SIZE = 256

# Rows of a resized map that are computed at a time: they stay in the cache, and OpenBLAS does not spread so
# small a product over threads, which would cost more than they bring.
_BLOCK = 80


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
    mean = np.asarray(mean, dtype=np.float32)
    if mean.shape not in ((3,), (3, IMAGE_SIZE, IMAGE_SIZE)):
        raise CamcaffeError("mean", f"an array of shape {mean.shape}", "(3, 256, 256) or (3,)")
    centred = _resized(np.asarray(image)) - mean.reshape(3, *mean.shape[1:] or (1, 1))
    crops = np.empty((10, 3, crop_size, crop_size), dtype=np.float32)
    for crop, place in zip(crops, ten_crops(crop_size)):
        cut = centred[:, place.y : place.y + crop_size, place.x : place.x + crop_size]
        crop[:] = cut[:, :, ::-1] if place.mirrored else cut
    return crops


def _resized(image: np.ndarray) -> np.ndarray:
    """`imresize` (bilinear) of the (H, W, 3) image as single: (3, 256, 256) float32, blue first.

    The same numbers in less time: the axes change places while they are few bytes.
    """
    height, width = image.shape[:2]
    rows = resize_weights(height, IMAGE_SIZE, "bilinear")
    columns = resize_weights(width, IMAGE_SIZE, "bilinear")
    bgr = image[:, :, ::-1].transpose(2, 0, 1)
    # The dimension that shrinks most goes first, as in imresize.
    if width > height:
        narrow = _along_first(columns, bgr.transpose(2, 0, 1))
        return _along_first(rows, narrow.transpose(2, 1, 0)).astype(np.float32).transpose(1, 0, 2)
    low = _along_first(rows, bgr.transpose(1, 0, 2))
    return _along_first(columns, low.transpose(2, 1, 0)).astype(np.float32).transpose(1, 2, 0)


def _along_first(weights, image: np.ndarray) -> np.ndarray:
    rows = np.ascontiguousarray(image).reshape(len(image), -1).astype(np.float64, copy=False)
    return (weights @ rows).reshape(-1, *image.shape[1:])


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
    columns = np.ascontiguousarray(resize_weights(maps.shape[3], size).toarray().T)
    large = np.empty((1, size, size), dtype=np.float32)
    merged = np.empty((maps.shape[1], IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32)
    # A class at a time: its canvas and one crop fit into a core's cache.
    for index, canvas in enumerate(merged):
        canvas[:] = add_ten_crop(_resized_times_3(crop, rows, columns, large) for crop in maps[:, index])[0]
    return merged


def _resized_times_3(one: np.ndarray, rows: np.ndarray, columns: np.ndarray, large: np.ndarray) -> np.ndarray:
    """`large`, filled with three times the absolute values of rows @ one @ columns."""
    high = rows @ one
    for top in range(0, len(high), _BLOCK):
        block = large[0, top : top + _BLOCK]
        # Double up to here and single from here on, each crop times 3 before it is added: so the
        # original's sums come out to the last bit.
        block[:] = high[top : top + _BLOCK] @ columns
        np.abs(block, out=block)
        block *= np.float32(3)
    return large


def add_ten_crop(crops: Iterable[np.ndarray]) -> np.ndarray:
    """Ten crops' values, each crop put back in its place and mirrored back, added up in order.

    Args:
        crops: ten (K, size, size) float32 arrays.

    Returns:
        (K, 256, 256) float32.
    """
    merged, mirrored = None, False
    for index, crop in enumerate(crops):
        if merged is None:
            places = ten_crops(crop.shape[-1])
            merged = np.zeros((len(crop), IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32)
        x, y, crop_mirrored = places[index]
        if crop_mirrored != mirrored:
            # Mirrored crops are added to a mirrored canvas: one copy in place of five.
            merged, mirrored = np.ascontiguousarray(merged[:, :, ::-1]), crop_mirrored
        left = IMAGE_SIZE - x - crop.shape[2] if mirrored else x
        canvas = merged[:, y : y + crop.shape[1], left : left + crop.shape[2]]
        canvas += crop
    return np.ascontiguousarray(merged[:, :, ::-1]) if mirrored else merged

"""Data and ImageData: pictures with labels, one after the other, each transformed."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from camcaffe.caffe.network import Layer
from camcaffe.caffe.training.sources.database import Datums
from camcaffe.caffe.training.sources.image_list import ListedImages
from camcaffe.caffe.training.sources.order import SKIP, TRANSFORM, Order, generator
from camcaffe.caffe.training.sources.transform import Transformer, sizes
from camcaffe.errors import CamcaffeError


class Items(Protocol):
    """Pictures with labels, by their number; `len()` tells how many."""

    def __len__(self) -> int: ...

    def read(self, number: int) -> tuple[np.ndarray, int, str]:
        """Pixels (C, H, W) uint8 or float32, label, and where they are from."""


class TransformedSource:
    """The batches of a Data or an ImageData layer; a `Source`.

    Every picture has the first one's size once it is transformed: Caffe also takes other sizes from
    batch to batch, which a network of fixed shapes cannot.

    Args:
        layer: the layer.
        phase: "TRAIN" or "TEST".
        seed: of mirrors and crops.
        items: its pictures.
        order: the order to take them in.
        batch_size: how many at a time.

    Raises:
        CamcaffeError: settings that do not suit the pictures, or the first picture cannot be read.
    """

    def __init__(self, layer: Layer, phase: str, seed: int, items: Items, order: Order, batch_size: int):
        self.tops, self._items, self._order = layer.tops, items, order
        self._batch_size, self._seed = batch_size, seed
        self._transform = Transformer(layer, phase)
        pixels, _, source = items.read(order.item(0))
        self.shapes = ((batch_size, *self._transform.shape(pixels, source)), (batch_size,))[: len(layer.tops)]

    def batch(self, index: int) -> list[np.ndarray]:
        """See `Source`."""
        values = np.empty(self.shapes[0], np.float32)
        labels = np.empty(self._batch_size, np.float32)
        rng = generator(self._seed, TRANSFORM, index)
        for place in range(self._batch_size):
            number = self._order.item(index * self._batch_size + place)
            pixels, labels[place], source = self._items.read(number)
            transformed = self._transform(pixels, source, rng)
            if transformed.shape != values.shape[1:]:
                wanted = f"{sizes(values.shape[1:])} as the first picture, or a crop_size"
                raise CamcaffeError(source, f"a picture of {sizes(transformed.shape)}", wanted)
            values[place] = transformed
        return [values, labels][: len(self.tops)]


def open_data(layer: Layer, phase: str, seed: int) -> TransformedSource:
    """The source of a Data layer. As in Caffe 1.0, its rand_skip has no effect."""
    settings = layer.message.data_param
    if settings.backend != settings.LMDB:
        raise CamcaffeError(
            f"layer {layer.name!r}",
            f"its data_param has the backend LEVELDB (Caffe's default), source {settings.source!r}",
            "backend: LMDB, and an LMDB as `camcaffe dataset --lmdb` or `convert_imageset` makes it",
        )
    transform = layer.message.transform_param
    if transform.force_color and transform.force_gray:
        raise CamcaffeError(f"layer {layer.name!r}", "it has both force_color and force_gray", "one of them")
    color = transform.force_color if transform.force_color or transform.force_gray else None
    items = Datums(settings.source, color)
    return TransformedSource(layer, phase, seed, items, Order(len(items)), settings.batch_size)


def open_image_data(layer: Layer, phase: str, seed: int) -> TransformedSource:
    """The source of an ImageData layer."""
    settings = layer.message.image_data_param
    items = ListedImages(layer)
    if settings.rand_skip > len(items):
        found = f"rand_skip {settings.rand_skip} with the {len(items)} images of {settings.source}"
        raise CamcaffeError(f"layer {layer.name!r}", found, "at most their number")
    skip = int(generator(seed, SKIP).integers(settings.rand_skip)) if settings.rand_skip else 0
    order = Order(len(items), seed, settings.shuffle, skip)
    return TransformedSource(layer, phase, seed, items, order, settings.batch_size)

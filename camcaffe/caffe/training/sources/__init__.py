"""Caffe's data layers as sources of batches: Data (LMDB), ImageData and HDF5Data."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from camcaffe.caffe.network import Layer
from camcaffe.caffe.shapes import Shape
from camcaffe.caffe.training.sources.hdf5 import HDF5Source
from camcaffe.caffe.training.sources.prefetch import Prefetch
from camcaffe.caffe.training.sources.transformed import open_data, open_image_data
from camcaffe.errors import CamcaffeError

__all__ = ["LAYERS", "Prefetch", "Source", "open_source"]

# Layer type -> its source, its settings, and the fewest and most tops that Caffe gives it.
LAYERS = {
    "Data": (open_data, "data_param", 1, 2),
    "ImageData": (open_image_data, "image_data_param", 2, 2),
    "HDF5Data": (HDF5Source, "hdf5_data_param", 1, math.inf),
}


class Source(Protocol):
    """The batches that one data layer gives in a run, by their number.

    Attributes:
        tops: the layer's top blobs.
        shapes: the shape of each, batch axis included.
    """

    tops: tuple[str, ...]
    shapes: tuple[Shape, ...]

    def batch(self, index: int) -> list[np.ndarray]:
        """The batch of that number, counted from 0 at the start of the run: a float32 array a top.

        It depends on nothing but the files, the layer's settings, the phase, the seed and the number, so that
        a run that is taken up again at another number goes on as if it had never stopped. Batches read one
        after the other are read fastest.

        Raises:
            CamcaffeError: what is read is damaged, or does not suit the layer.
        """


def open_source(layer: Layer, phase: str, seed: int = 0) -> Source:
    """The source of a data layer's batches, as Caffe reads them; relative names start at the working folder.

    Without shuffling, mirroring, random crops and skips, each batch is Caffe's to the last bit. Where Caffe
    draws at random, so does this from `seed`, with other numbers.

    Args:
        layer: a layer of a type in `LAYERS`.
        phase: "TRAIN" crops at random, "TEST" in the centre.
        seed: of all that is random; not negative.

    Raises:
        CamcaffeError: another type, settings that Caffe refuses too, files that are missing or damaged.
    """
    name = f"layer {layer.name!r}"
    if layer.type not in LAYERS:
        raise CamcaffeError(name, f"it is of type {layer.type}", ", ".join(LAYERS))
    opener, settings, fewest, most = LAYERS[layer.type]
    if not fewest <= len(layer.tops) <= most:
        raise CamcaffeError(name, f"{len(layer.tops)} tops", f"from {fewest} to {most} for {layer.type}")
    options = getattr(layer.message, settings)
    if not options.source:
        raise CamcaffeError(name, "it has no source", f"one in its {settings}")
    if options.batch_size == 0:
        raise CamcaffeError(name, "batch_size is 0", "at least 1")
    return opener(layer, phase, seed)

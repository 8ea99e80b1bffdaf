"""The batches of a net's data layers by their number."""

from __future__ import annotations

import numpy as np

from camcaffe.caffe.network import Network
from camcaffe.caffe.shape_rules import DATA_TYPES
from camcaffe.caffe.shapes import Shape
from camcaffe.caffe.training.sources import Prefetch, open_source
from camcaffe.errors import CamcaffeError


class Feed:
    """What a net's data layers give, read ahead in the order in which it is used.

    Args:
        network: the net, in its phase.
        seed: of all that is random; not negative.

    Attributes:
        shapes: top of a data layer -> its shape.

    Raises:
        CamcaffeError: a data layer cannot be opened; the net has an Input, which nothing fills.
    """

    def __init__(self, network: Network, seed: int):
        if network.inputs:
            found = f"input {', '.join(map(repr, network.inputs))}, which nothing fills"
            raise CamcaffeError(network.source, found, "data layers: Data, ImageData or HDF5Data")
        layers = [layer for layer in network.layers if layer.type in DATA_TYPES]
        self._sources = [open_source(layer, network.phase, seed + i) for i, layer in enumerate(layers)]
        self.shapes: dict[str, Shape] = {}
        for source in self._sources:
            self.shapes.update(zip(source.tops, source.shapes))
        self._prefetch, self._next = None, 0

    def batch(self, index: int) -> dict[str, np.ndarray]:
        """The batch of that number, from 0: top -> float32 array.

        Raises:
            CamcaffeError: it cannot be read.
        """
        if self._prefetch is None or index != self._next:
            self.close()
            self._prefetch = Prefetch(self._sources, index)
        self._next = index + 1
        return self._prefetch.next()

    def close(self) -> None:
        """Stop reading ahead."""
        if self._prefetch is not None:
            self._prefetch.close()
            self._prefetch = None

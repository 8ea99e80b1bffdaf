"""A net in one of its phases, with its data and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from camcaffe.caffe.network import Network
from camcaffe.caffe.shape_rules import DATA_TYPES
from camcaffe.caffe.shapes import Shape, infer_shapes
from camcaffe.caffe.training.net import Outputs, TrainingNet, training_parameters
from camcaffe.caffe.training.sources import Prefetch, open_source
from camcaffe.caffe.weights import Weights, fill_weights, read_weights
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike

if TYPE_CHECKING:
    import torch


class PhaseNet:
    """A net in its phase, fed by its own data layers.

    Args:
        network: the net.
        shared: parameters of another net, which this one takes where its layers have the same names; all
            others are filled as the prototxt says.
        seed: of all that is random; not negative.
        device: where PyTorch runs.
        threads: CPU threads; None: all.

    Attributes:
        parameters: (layer name, blob index) -> tensor.
        has_own: some of them are not shared.
        loss_weights: blob -> how much it counts towards the loss, where that is not 0.

    Raises:
        CamcaffeError: the net or its data cannot be used.
    """

    def __init__(
        self,
        network: Network,
        shared: Mapping[tuple[str, int], torch.Tensor],
        *,
        seed: int,
        device: str = "cpu",
        threads: int | None = None,
    ):
        self._network, self._feed = network, _Feed(network, seed)
        self._shapes = infer_shapes(network, self._feed.shapes)
        filled = training_parameters(fill_weights(network, self._shapes, seed), device=device)
        self.has_own = not filled.keys() <= shared.keys()
        self.parameters = {key: shared.get(key, tensor) for key, tensor in filled.items()}
        self._net = TrainingNet(
            network, self._feed.shapes, self.parameters, device=device, seed=seed, threads=threads
        )
        self.loss_weights, self.backward = self._net.loss_weights, self._net.backward

    def forward(self, index: int) -> Outputs:
        """Run the net on the batch of that number, from 0.

        Raises:
            CamcaffeError: the batch cannot be read, or has a label that is no class.
        """
        return self._net.forward(self._feed.batch(index), index)

    def take(self, caffemodel: PathLike) -> list[str]:
        """Copy the weights of those layers that a caffemodel has; the names of those that it lacks.

        Raises:
            CamcaffeError: it cannot be read, has no layer of the net, or shapes that do not fit.
        """
        weights, missing = read_weights(self._network, self._shapes, caffemodel)
        taken = set()
        for name, arrays in weights.items():
            for index, array in enumerate(arrays):
                assign(self.parameters[name, index], array)
                taken.add(id(self.parameters[name, index]))
        lacking = {name for (name, _), tensor in self.parameters.items() if id(tensor) not in taken}
        return [name for name in missing if name in lacking]

    def weights(self) -> Weights:
        """Layer name -> its parameters, in the layer's own shapes: copies."""
        return self._net.weights()

    def close(self) -> None:
        """Stop reading ahead."""
        self._feed.close()


def assign(tensor: torch.Tensor, array: np.ndarray) -> None:
    """Set a tensor's values, whatever the shapes."""
    import torch

    with torch.no_grad():
        tensor.copy_(torch.from_numpy(array.reshape(tensor.shape)))


class _Feed:
    """The batches of a net's data layers by their number, read ahead in the order in which they are used."""

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
        if self._prefetch is None or index != self._next:
            self.close()
            self._prefetch = Prefetch(self._sources, index)
        self._next = index + 1
        return self._prefetch.next()

    def close(self) -> None:
        if self._prefetch is not None:
            self._prefetch.close()
            self._prefetch = None

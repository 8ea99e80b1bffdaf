"""One net's ONNX models for whatever blobs, batch and input size are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from camcaffe.caffe.network import Network
from camcaffe.caffe.onnx_export import LAYERS, to_onnx
from camcaffe.errors import CamcaffeError

# Models kept at once; each holds the weights.
_MOST_MODELS = 4


class CompiledModels:
    """Models, made when they are first asked for.

    Args:
        network: the net.
        weights: layer name -> its parameters.
        library: the name of what runs the models.
        build: from an ONNX model's bytes to what the library runs.
        converters: as in `to_onnx`.
    """

    def __init__(
        self,
        network: Network,
        weights: dict[str, list[np.ndarray]],
        library: str,
        build: Callable[[bytes], Any],
        converters: Mapping = LAYERS,
    ):
        self._network, self._weights = network, weights
        self._library, self._build, self._converters = library, build, converters
        self._models = {}

    def get(self, inputs: dict[str, np.ndarray], blobs: Sequence[str]) -> tuple[Any, dict[str, np.ndarray]]:
        """The model that gives `blobs`, in this order, and those of the inputs that it reads, float32."""
        key = (tuple(blobs), tuple((name, array.shape[1:]) for name, array in inputs.items()))
        model, dims = self._models.pop(key, (None, {}))
        if model is None or not all(_takes(dims[name], inputs[name]) for name in dims):
            model, dims = self._new({name: array.shape for name, array in inputs.items()}, blobs)
        self._models[key] = model, dims
        if len(self._models) > _MOST_MODELS:
            self._models.pop(next(iter(self._models)))
        return model, {name: np.ascontiguousarray(inputs[name], np.float32) for name in dims}

    def _new(self, shapes: dict[str, tuple[int, ...]], blobs: Sequence[str]) -> tuple[Any, dict]:
        model = to_onnx(self._network, self._weights, blobs, input_shapes=shapes, converters=self._converters)
        dims = {
            tensor.name: [None if d.dim_param else d.dim_value for d in tensor.type.tensor_type.shape.dim]
            for tensor in model.graph.input
        }
        with self.told_in_one_line():
            return self._build(model.SerializeToString()), dims

    @contextmanager
    def told_in_one_line(self) -> Iterator[None]:
        """Say in one line what makes the library fail: no memory left, an index in the data out of range.

        Raises:
            CamcaffeError: naming the prototxt.
        """
        try:
            yield
        except CamcaffeError:
            raise
        except Exception as error:  # the libraries' exceptions have no other base
            found = f"{self._library} failed: {str(error)[:300]}"
            raise CamcaffeError(self._network.source, found) from error


def _takes(dims: Sequence, array: np.ndarray) -> bool:
    return all(dim is None or dim == size for dim, size in zip(dims, array.shape))

"""What pycaffe calls a blob, and the parameters of a net, which may be changed in place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from camcaffe.caffe.engines import Variable
from camcaffe.errors import CamcaffeError

if TYPE_CHECKING:
    from camcaffe.caffe.passes import Memory


class Blob:
    """A blob of a net, or one of its parameters.

    Args:
        memory: the `Memory` that holds the arrays.
        key: the blob's name, or (layer name, index).
    """

    def __init__(self, memory: Memory, key: Variable):
        self._memory, self._key = memory, key

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of its axes; (batch, channels, height, width) for most blobs."""
        return self._memory.shape(self._key)

    @property
    def data(self) -> np.ndarray:
        """The values, in Caffe's layout."""
        return self._memory.data(self._key)

    @property
    def diff(self) -> np.ndarray:
        """The gradient by the values."""
        return self._memory.diff(self._key)

    @property
    def count(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    @property
    def num(self) -> int:
        """The first of four axes."""
        return self._legacy(0)

    @property
    def channels(self) -> int:
        """The second of four axes."""
        return self._legacy(1)

    @property
    def height(self) -> int:
        """The third of four axes."""
        return self._legacy(2)

    @property
    def width(self) -> int:
        """The fourth of four axes."""
        return self._legacy(3)

    def reshape(self, *shape: int) -> None:
        """Give an input blob another shape; the blobs behind it follow with the net's next pass."""
        self._memory.reshape(self._key, tuple(int(size) for size in shape))

    def _legacy(self, axis: int) -> int:
        shape = self.shape
        if len(shape) > 4:
            raise CamcaffeError(f"blob {self._key!r}", f"{len(shape)} axes", "at most four")
        return shape[axis] if axis < len(shape) else 1


class _Buffer:
    """One parameter's memory; layers that share a parameter share it.

    Attributes:
        values: what the engines work with; never written to.
        shown: the copy that the user may write to, from the first time that it was asked for.
        diff: the gradient.
    """

    def __init__(self, values: np.ndarray):
        self.values, self.shown, self.diff = values, None, np.zeros(0, np.float32)


class Parameters:
    """A net's parameters by (layer name, index).

    Whoever has been given an array may write to it at any time. So a copy is given out, and before a pass the
    copies that are out (not all the weights) are compared with what the engine has.

    Args:
        weights: layer name -> its parameters, as `load_weights` returns them.
    """

    def __init__(self, weights: dict[str, list[np.ndarray]]):
        self._buffers, self.shapes = {}, {}
        self._replaced = False
        by_address = {}
        for name, arrays in weights.items():
            for index, array in enumerate(arrays):
                address = array.__array_interface__["data"][0]
                self._buffers[name, index] = by_address.setdefault(address, _Buffer(array.reshape(-1)))
                self.shapes[name, index] = array.shape

    def data(self, key: tuple[str, int]) -> np.ndarray:
        """The values, to be read and written."""
        buffer = self._buffers[key]
        if buffer.shown is None:
            buffer.shown = buffer.values.copy()
        return buffer.shown.reshape(self.shapes[key])

    def diff(self, key: tuple[str, int]) -> np.ndarray:
        """The gradient, to be read and written; zeros at first."""
        buffer = self._buffers[key]
        if not buffer.diff.size:
            buffer.diff = np.zeros_like(buffer.values)
        return buffer.diff.reshape(self.shapes[key])

    def weights(self) -> dict[str, list[np.ndarray]]:
        """Layer name -> its parameters, as of the last `take_over`."""
        return self._by_layer(lambda buffer: buffer.values)

    def latest(self) -> dict[str, list[np.ndarray]]:
        """Layer name -> its parameters, as they are now."""
        return self._by_layer(lambda buffer: buffer.values if buffer.shown is None else buffer.shown)

    def take_over(self) -> bool:
        """Make what was written the values; whether there was any change since the last call."""
        changed, self._replaced = self._replaced, False
        for buffer in self._buffers.values():
            if buffer.shown is not None and not _same_bits(buffer.shown, buffer.values):
                buffer.values, changed = buffer.shown.copy(), True
        return changed

    def replace(self, weights: dict[str, list[np.ndarray]]) -> None:
        """Set the parameters of the layers in `weights`."""
        for name, arrays in weights.items():
            for index, array in enumerate(arrays):
                buffer = self._buffers[name, index]
                buffer.values, self._replaced = array.reshape(-1), True
                if buffer.shown is not None:
                    buffer.shown[...] = buffer.values

    def _by_layer(self, values: Callable[[_Buffer], np.ndarray]) -> dict[str, list[np.ndarray]]:
        result = {}
        for (name, index), buffer in self._buffers.items():
            result.setdefault(name, []).append(values(buffer).reshape(self.shapes[name, index]))
        return result


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    # As bits, NaN equals itself, and 0 does not equal -0.
    return np.array_equal(a.view(np.uint32), b.view(np.uint32))

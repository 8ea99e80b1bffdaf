"""An ONNX graph while it is being written, and what one Caffe layer brings to it."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from camcaffe.caffe.network import Layer

# A blob's shape; None stands for a dimension that changes with the batch.
Dims = tuple[Optional[int], ...]


@dataclass(frozen=True)
class Step:
    """A layer on its way into the graph.

    Attributes:
        layer: its name, type and settings.
        inputs: the tensors that hold its bottoms.
        bottoms: the bottoms' shapes.
        tops: the tops' shapes.
        weights: its parameters, float32.
    """

    layer: Layer
    inputs: tuple[str, ...]
    bottoms: tuple[Dims, ...]
    tops: tuple[Dims, ...]
    weights: list[np.ndarray]

    def axis(self, axis: int) -> int:
        """The axis of the first bottom, counted from the front."""
        return axis % len(self.bottoms[0])


class Unsupported(Exception):
    """An option of a layer that ONNX's operators do not express; the text names it."""


class OpenBatch(Exception):
    """A layer must know a dimension that changes with the batch."""


def known(dims: Dims) -> tuple[int, ...]:
    """The dimensions, if none of them changes with the batch.

    Raises:
        OpenBatch: one does.
    """
    if None in dims:
        raise OpenBatch
    return dims


class Graph:
    """Nodes and constants in the order of their making; tensors are named after `layer`, the one at work.

    Args:
        reserved: names that no tensor gets before `name_tensors`: the blobs'.
    """

    def __init__(self, reserved: Iterable[str]):
        self.nodes, self.constants = [], []
        self.layer = ""
        self._taken = set(reserved)

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes):
        """Add a node; return its output tensor, or their list where there are several."""
        from onnx import helper

        tensors = [self._name(op) for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, tensors, name=tensors[0], **attributes))
        return tensors[0] if outputs == 1 else tensors

    def constant(self, values, dtype: type = np.float32) -> str:
        """Add a constant; return its tensor."""
        from onnx import numpy_helper

        name = self._name("constant")
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype), name))
        return name

    def integers(self, *values: int) -> str:
        """A constant of int64 values: shapes, axes, indices."""
        return self.constant(values, np.int64)

    def scalar(self, value: float) -> str:
        """A float32 constant without dimensions."""
        from onnx import numpy_helper

        name = self._name("constant")
        self.constants.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name

    def affine(self, tensor: str, scale: float, shift: float = 0) -> str:
        """scale * tensor + shift, without the parts that change nothing."""
        if scale != 1:
            tensor = self.node("Mul", tensor, self.scalar(scale))
        if shift != 0:
            tensor = self.node("Add", tensor, self.scalar(shift))
        return tensor

    def reshape(self, tensor: str, old: Dims, new: Dims) -> str:
        """The tensor in the shape `new`; `old`, its own, saves the node where they are equal."""
        if old == new and new.count(None) < 2:
            return tensor
        if new.count(None) > 1:
            raise OpenBatch
        return self.node("Reshape", tensor, self.integers(*(-1 if dim is None else dim for dim in new)))

    def name_tensors(self, tensors: Mapping[str, str], blobs: Sequence[str], inputs: Container[str]) -> dict:
        """Name the tensors after the blobs that they hold at the end.

        Args:
            tensors: blob -> tensor.
            blobs: those that become outputs: each gets a tensor of its own.
            inputs: the inputs, whose names are taken: an output of that name is called `name:last`.

        Returns:
            The tensors of `blobs`.
        """
        constants = {constant.name for constant in self.constants}
        names, outputs = {}, {}
        for blob in blobs:
            self.layer, tensor = blob, tensors[blob]
            if tensor in inputs or tensor in constants or tensor in names:
                tensor = self.node("Identity", tensor)
            names[tensor] = outputs[blob] = self._free(f"{blob}:last") if blob in inputs else blob
        for blob, tensor in tensors.items():
            if blob not in outputs and blob not in inputs and tensor not in inputs:
                names.setdefault(tensor, blob)
        for node in self.nodes:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
        for constant in self.constants:
            constant.name = names.get(constant.name, constant.name)
        return outputs

    def _name(self, what: str) -> str:
        return self._free(f"{self.layer}:{what}")

    def _free(self, name: str) -> str:
        candidates = (name if i == 1 else f"{name}{i}" for i in itertools.count(1))
        free = next(candidate for candidate in candidates if candidate not in self._taken)
        self._taken.add(free)
        return free

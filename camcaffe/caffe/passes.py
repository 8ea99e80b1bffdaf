"""The arrays of a net, and the forward and backward passes that make them.

A pass computes what is asked for. Other blobs of it are computed when they are read, from the same inputs and
weights, and a blob that was read after one pass is computed with the next: so a program that was written for
Caffe, where all blobs are always there, pays for the blobs that it looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from camcaffe.caffe import messages
from camcaffe.caffe.blobs import Parameters
from camcaffe.caffe.engines import Engine, Variable
from camcaffe.caffe.network import Network, network_of
from camcaffe.caffe.shapes import Shapes, infer_shapes
from camcaffe.errors import CamcaffeError

# Engines kept at once; each holds weights. More than one is needed by passes over parts of a net.
_MOST_ENGINES = 3


class _Results:
    """What passes have made, one array a key; what they have not, they make when it is read."""

    def __init__(self):
        self._arrays, self._passes, self._read = {}, {}, set()

    def get(self, key: Variable, default: Callable[[], np.ndarray] | None = None) -> np.ndarray:
        """The array; that of `default` where no pass has made the key."""
        if key not in self._arrays:
            past = self._passes.get(key)
            self._arrays.update(past.compute(self._missing(past, key)) if past else {key: default()})
        self._read.add(key)
        return self._arrays[key]

    def put(
        self, keys: Iterable[Variable], compute: Callable[[list], dict], asked: Iterable[Variable]
    ) -> None:
        """Replace `keys` by what a new pass makes of them: those asked for or read last time at once."""
        keys = set(keys)
        arrays = compute([key for key in dict.fromkeys([*asked, *self._read]) if key in keys])
        past = _Pass(compute)
        self.forget(keys)
        self._arrays.update(arrays)
        self._passes.update(dict.fromkeys(keys, past))
        self._read = set()

    def forget(self, keys: Iterable[Variable]) -> None:
        """Drop the keys: nothing has made them."""
        for key in keys:
            self._arrays.pop(key, None)
            self._passes.pop(key, None)

    def _missing(self, past: _Pass, key: Variable) -> list[Variable]:
        # Whoever reads a second one will read them all: at most three passes for one.
        past.late += 1
        if past.late == 1:
            return [key]
        return [
            other for other, made_by in self._passes.items() if made_by is past and other not in self._arrays
        ]


class _Pass:
    def __init__(self, compute: Callable[[list], dict]):
        self.compute, self.late = compute, 0


class Memory:
    """The blobs of a net and their gradients.

    Args:
        network: the net as Caffe runs it, Split layers included. Layers are counted as in `network.message`.
        parameters: its weights.
        training: whether the phase is TRAIN.
        make_engine: from a part of the network and its weights to an engine.
    """

    def __init__(
        self,
        network: Network,
        parameters: Parameters,
        training: bool,
        make_engine: Callable[[Network, dict], Engine],
    ):
        self.parameters = parameters
        self._network, self._training, self._make_engine = network, training, make_engine
        self._inputs = {name: np.zeros(shape, np.float32) for name, shape in network.inputs.items()}
        self._shapes = dict(infer_shapes(network).blobs)
        # In Caffe the copies that a Split layer makes are one memory; their diffs are not.
        self._original = {
            top: layer.bottoms[0] for layer in network.layers if layer.type == "Split" for top in layer.tops
        }
        self._data, self._diffs = _Results(), _Results()
        self._parts, self._engines = {}, {}
        self._forward_pass = None  # (first layer, last layer, inputs)
        self._adds_up, self._not_added = False, (0, dict)

    def shape(self, key: Variable) -> tuple[int, ...]:
        """The shape of a blob or parameter."""
        if isinstance(key, tuple):
            return self.parameters.shapes[key]
        return self._inputs[key].shape if key in self._inputs else self._shapes[key]

    def data(self, key: Variable) -> np.ndarray:
        """The values of a blob or parameter; zeros before the first pass."""
        if isinstance(key, tuple):
            return self.parameters.data(key)
        key = self._original.get(key, key)
        if key in self._inputs:
            return self._inputs[key]
        return self._data.get(key, lambda: np.zeros(self._shapes[key], np.float32))

    def diff(self, key: Variable) -> np.ndarray:
        """The gradient by a blob or parameter; before a pass zeros, or a loss's weight."""
        if isinstance(key, tuple):
            self._add_up()
            return self.parameters.diff(key)
        return self._diffs.get(key, lambda: np.full(self.shape(key), self.loss_weight(key), np.float32))

    def loss_weight(self, blob: str) -> float:
        """How much the blob counts towards the loss."""
        for layer in self._network.layers:
            if blob in layer.tops and blob not in layer.bottoms:
                index = layer.tops.index(blob)
                if layer.message.loss_weight:
                    return layer.message.loss_weight[index]
                return float(layer.type.endswith("Loss") and index == 0)
        return 0.0

    def reshape(self, key: Variable, shape: tuple[int, ...]) -> None:
        """Give an input another shape, and zeros for values.

        Raises:
            CamcaffeError: the blob is not an input.
        """
        if key not in self._inputs:
            raise CamcaffeError(self._network.source, f"blob {key!r} is computed", "an input to be reshaped")
        if shape != self._inputs[key].shape:
            self.set_input(key, np.zeros(shape, np.float32))

    def set_input(self, name: str, values: np.ndarray) -> None:
        """Set the values of an input, and its shape to theirs."""
        if values.shape == self._inputs[name].shape:
            self._inputs[name][...] = values
        else:
            self._inputs[name] = np.array(values, np.float32)
            self._diffs.forget([name])

    def reshape_all(self) -> None:
        """Let the shapes of all blobs follow from those of the inputs."""
        self._set_shapes(self._checked_shapes(self._network, self._inputs).blobs)

    def forward(self, first: int, last: int, asked: Sequence[str]) -> None:
        """Run the layers from `first` to `last`.

        Args:
            first: index of a layer; what it and the later ones read from before it, is taken as it is.
            last: index of a layer.
            asked: blobs to be computed at once.

        Raises:
            CamcaffeError: the net or the engine does not take the inputs, or the engine lacks a layer.
        """
        part = self._part(first, last)
        if self.parameters.take_over():
            self._engines.clear()
        inputs = {name: self.data(name).copy() for name in part.inputs}
        shapes = self._checked_shapes(part, inputs)
        engine = self._engine(first, last)
        made = {top: shapes.blobs[top] for layer in part.layers for top in layer.tops}
        self._set_shapes(made)
        originals = made.keys() - self._original.keys()
        in_place = originals & self._inputs.keys()
        asked = [*(self._original.get(name, name) for name in asked), *in_place]
        self._data.put(originals, lambda blobs: engine.forward(inputs, blobs) if blobs else {}, asked)
        for name in in_place:
            self.set_input(name, self._data.get(name))
        self._forward_pass = first, last, inputs

    def backward(self, last: int, first: int, asked: Sequence[str]) -> None:
        """Run the layers backwards, from the diffs as they are of the blobs that leave layer `last`.

        Args:
            last: index of the layer to begin at.
            first: index of the layer to end at.
            asked: blobs whose diffs are computed at once.

        Raises:
            CamcaffeError: no forward pass has gone through these layers; the engine has no gradient for one.
        """
        begun, ended, inputs = self._forward_pass or (0, -1, {})
        if not begun <= first <= last <= ended:
            found = f"no forward pass has gone through all of layers {first} to {last}"
            raise CamcaffeError(self._network.source, found, "forward() before backward()")
        part = self._part(first, last)
        tops = {top for layer in part.layers for top in layer.tops}
        leaving = tops.intersection(part.outputs)
        if begun < first and any(_in_place(self._part(begun, first - 1), blob) for blob in part.inputs):
            # Engines take a gradient by a blob's first value; here it is by the one that enters this part.
            begun, inputs = first, {name: self.data(name).copy() for name in part.inputs}
        # The engine of the forward pass has what that left behind; a blob's name means its last value there.
        later = self._network.message.layer[last + 1 : ended + 1]
        changed = any(leaving.intersection(layer.top) for layer in later)
        engine = self._engine(begun, last if changed else ended)
        seeds = {blob: self.diff(blob).copy() for blob in leaving}
        seeds = {blob: diff for blob, diff in seeds.items() if diff.any()}

        def gradients(keys: Sequence[Variable]) -> dict[Variable, np.ndarray]:
            if keys and seeds:
                return engine.backward(inputs, seeds, keys)
            return {key: np.zeros(self.shape(key), np.float32) for key in keys}

        layers = {layer.name for layer in part.layers}
        parameters = [key for key in self.parameters.shapes if key[0] in layers]
        made = (tops | part.inputs.keys()) - leaving
        if self._adds_up:
            self._diffs.put([*made, *parameters], gradients, [*asked, *parameters])
            self._add({key: self._diffs.get(key) for key in parameters})
            self._diffs.forget(parameters)
        else:
            self._diffs.put(made, gradients, asked)
            self._not_added = self._not_added[0] + 1, lambda: gradients(parameters)
        # A layer that works in place turns the diff that it is given into the one that it gives.
        for blob, diff in gradients([blob for blob in leaving if _in_place(part, blob)]).items():
            self.diff(blob)[...] = diff

    def clear_parameter_diffs(self) -> None:
        """Set the parameters' diffs to 0; from now on each backward pass adds to them."""
        self._adds_up = True
        for key in self.parameters.shapes:
            self.parameters.diff(key)[...] = 0

    def _add_up(self) -> None:
        # Caffe adds to the parameters' diffs in each pass. It costs as much as the pass itself, so it is done
        # from the moment on that somebody wants them.
        if self._adds_up:
            return
        count, gradients_of_last = self._not_added
        if count > 1:
            found = f"{count} backward passes were not added up"
            raise CamcaffeError("diff of a parameter", found, "clear_param_diffs() before the first of them")
        self._adds_up = True
        self._add(gradients_of_last())

    def _add(self, diffs: dict[Variable, np.ndarray]) -> None:
        for key, diff in diffs.items():
            self.parameters.diff(key)[...] += diff

    def _set_shapes(self, shapes: dict[str, tuple[int, ...]]) -> None:
        changed = [name for name, shape in shapes.items() if self._shapes[name] != shape]
        self._data.forget(changed)
        self._diffs.forget(changed)
        self._shapes.update(shapes)

    def _checked_shapes(self, part: Network, inputs: dict[str, np.ndarray]) -> Shapes:
        shapes = infer_shapes(
            part, {name: array.shape for name, array in inputs.items() if name in part.inputs}
        )
        for layer, found in zip(part.layers, shapes.layers):
            for index, wanted in enumerate(found.params):
                has = self.parameters.shapes[layer.name, index]
                if wanted != has:
                    source = f"{part.source}: layer {layer.name!r} of type {layer.type}"
                    bottoms = ", ".join(map(str, found.bottoms))
                    raise CamcaffeError(
                        source, f"bottom {bottoms} takes weights {wanted}", f"{has}, its weights"
                    )
        return shapes

    def _part(self, first: int, last: int) -> Network:
        if (first, last) == (0, len(self._network.message.layer) - 1):
            return self._network
        if (first, last) not in self._parts:
            self._parts[first, last] = self._cut(first, last)
        return self._parts[first, last]

    def _cut(self, first: int, last: int) -> Network:
        message = messages.NetParameter(name=self._network.name)
        made = set()
        for layer in self._network.message.layer[first : last + 1]:
            for blob in layer.bottom:
                if blob not in made:
                    entering = message.layer.add(name=blob, type="Input", top=[blob])
                    entering.input_param.shape.add(dim=self.shape(blob))
            made.update(layer.bottom, layer.top)
            message.layer.add().CopyFrom(layer)
        return network_of(message, self._network.source)

    def _engine(self, first: int, last: int) -> Engine:
        engine = self._engines.pop((first, last), None)
        if engine is None:
            part, weights = self._part(first, last), self.parameters.weights()
            if self._training:
                _refuse_training(part)
            names = [layer.name for layer in part.layers if layer.name in weights]
            engine = self._make_engine(part, {name: weights[name] for name in names})
        self._engines[first, last] = engine
        if len(self._engines) > _MOST_ENGINES:
            self._engines.pop(next(iter(self._engines)))
        return engine


def _in_place(network: Network, blob: str) -> bool:
    return any(blob in layer.bottoms and blob in layer.tops for layer in network.layers)


def _refuse_training(network: Network) -> None:
    for layer in network.layers:
        batch_norm = layer.message.batch_norm_param
        if layer.type == "Dropout" or (layer.type == "BatchNorm" and not batch_norm.use_global_stats):
            source = f"{network.source}: layer {layer.name!r} of type {layer.type}"
            raise CamcaffeError(source, "it works differently in phase TRAIN, which is not done here", "TEST")

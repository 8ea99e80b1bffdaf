"""A network in its phase on PyTorch, with Caffe's losses, accuracies and gradients."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from camcaffe.caffe import messages
from camcaffe.caffe.engines import torch as engine
from camcaffe.caffe.network import Layer, Network
from camcaffe.caffe.shapes import Shape, infer_shapes
from camcaffe.caffe.training.steps import Step, outputs_of, steps_of
from camcaffe.caffe.weights import Weights
from camcaffe.errors import CamcaffeError

if TYPE_CHECKING:
    import torch

INSTALL = 'pip install "camcaffe[train]"'

# Layer type -> its function in camcaffe.caffe.training.layers: in both phases, and in phase TRAIN only.
_LAYERS = {"Accuracy": "accuracy", "SoftmaxWithLoss": "softmax_with_loss"}
_TRAIN_LAYERS = {"BatchNorm": "batch_norm", "Dropout": "dropout"}

_TRAIN = messages.NetState.DESCRIPTOR.file.enum_types_by_name["Phase"].values_by_name["TRAIN"].number


def training_parameters(weights: Weights, device: str = "cpu") -> dict[tuple[str, int], torch.Tensor]:
    """A net's weights as leaf tensors, to be changed in place by whoever trains them.

    Args:
        weights: layer name -> its blobs, as `load_weights` and `fill_weights` give them.
        device: as PyTorch calls it.

    Returns:
        (layer name, index) -> float32 tensor. Blobs that share memory in `weights` are one tensor, in the
        first one's shape; the tensors first appear in the order of Caffe's learnable_params.

    Raises:
        CamcaffeError: PyTorch is missing, or has no such device.
    """
    where = _device(device)
    import torch

    tensors, by_address = {}, {}
    for name, arrays in weights.items():
        for index, array in enumerate(arrays):
            address = array.__array_interface__["data"][0]
            if address not in by_address:
                by_address[address] = torch.tensor(array, device=where, requires_grad=True)
            tensors[name, index] = by_address[address]
    return tensors


@dataclass(frozen=True)
class Outputs:
    """What a forward pass gave.

    Attributes:
        loss: tensor without axes: the sum of the net's losses by their weights.
    """

    loss: torch.Tensor
    _tensors: dict[str, torch.Tensor]

    @property
    def blobs(self) -> dict[str, np.ndarray]:
        """The net's output blobs, float32, in the order in which Caffe prints them."""
        return {name: engine.array_of(tensor) for name, tensor in self._tensors.items()}


class TrainingNet:
    """A network in its phase, which works on parameters that it does not own.

    In phase TRAIN dropout drops, BatchNorm normalizes by the batch and updates its statistics in place, and
    gradients can be taken; in phase TEST none is kept.

    Args:
        network: the net, filtered for its phase.
        input_shapes: the shapes of the data layers' tops, and of inputs that differ from the prototxt's.
        parameters: as `training_parameters` gives them; those of a train net serve its test net, which finds
            them by its layers' names.
        device: where the parameters are and PyTorch runs.
        seed: for what is drawn at random.
        threads: CPU threads; None: all.

    Attributes:
        loss_weights: output blob -> how much it counts towards the loss, where that is not 0.

    Raises:
        CamcaffeError: the shapes do not fit; a layer cannot be run here, or contradicts itself;
            a parameter is missing or has another shape.
    """

    def __init__(
        self,
        network: Network,
        input_shapes: Mapping[str, Sequence[int]],
        parameters: Mapping[tuple[str, int], torch.Tensor],
        *,
        device: str = "cpu",
        seed: int = 0,
        threads: int | None = None,
    ):
        self._network, self._parameters = network, parameters
        self._device, self._seed, self._threads = _device(device), seed, threads
        shapes = infer_shapes(network, input_shapes)
        given = {name: tuple(int(size) for size in shape) for name, shape in input_shapes.items()}
        self._inputs = {**network.inputs, **given}
        self._steps = [(step, self._function(step.layer)) for step in steps_of(network, shapes)]
        self._shapes = {}
        for layer, found in zip(network.layers, shapes.layers):
            if found.params:
                self._shapes[layer.name] = found.params
            for index, shape in enumerate(found.params):
                self._check_parameter(layer, index, shape)
        self._outputs, self.loss_weights = outputs_of(network, [step for step, _ in self._steps])

    def forward(self, batch: Mapping[str, np.ndarray], step: int) -> Outputs:
        """Run the net.

        Args:
            batch: an array for every input and every top of a data layer.
            step: number of this pass; dropout depends on nothing but the seed, this and the layer's name.

        Raises:
            CamcaffeError: a blob of the batch is missing or has another shape; a label is no class; PyTorch
                failed.
        """
        import torch

        with self._running(), torch.set_grad_enabled(self._is_train):
            values = {name: self._input(batch, name) for name in self._inputs}
            loss = torch.zeros((), device=self._device)
            for part, function in self._steps:
                tops = self._run(part, function, values, step)
                values.update(zip(part.layer.tops, tops))
                for top, weight in zip(tops, part.loss_weights):
                    if weight:
                        loss = loss + weight * top.sum()
                for blob in part.dead:
                    del values[blob]
            return Outputs(loss, {name: values[blob].detach() for name, blob in self._outputs.items()})

    def backward(self, outputs: Outputs) -> None:
        """Add the gradients of `outputs.loss` to the `.grad` of the parameters; once for each forward pass.

        A parameter that the loss does not depend on, or whose `lr_mult` is 0, is passed over.

        Raises:
            CamcaffeError: PyTorch failed.
        """
        if outputs.loss.requires_grad:
            with self._running():
                outputs.loss.backward()

    def weights(self) -> Weights:
        """The parameters of the net's layers as they are now, each in its layer's shape: copies."""
        return {
            name: [
                engine.array_of(self._parameters[name, index]).reshape(shape)
                for index, shape in enumerate(wanted)
            ]
            for name, wanted in self._shapes.items()
        }

    @contextmanager
    def _running(self) -> Iterator[None]:
        with engine.failures(self._network.source), engine.settings(self._threads, gradient=True):
            yield

    @property
    def _is_train(self) -> bool:
        return self._network.phase == "TRAIN"

    def _run(self, part: Step, function: Callable, values: dict, step: int) -> list:
        layer = part.layer
        bottoms = [
            values[blob] if on else values[blob].detach() for blob, on in zip(layer.bottoms, part.propagated)
        ]
        params = []
        for index, (shape, trained) in enumerate(zip(part.params, part.trained)):
            param = self._parameters[layer.name, index].view(shape)
            params.append(param if trained else param.detach())
        if layer.type == "Dropout" and self._trains(layer):
            function = partial(function, generator=self._generator(layer, step))
        return engine.run_layer(self._network, layer, function, bottoms, params)

    def _function(self, layer: Layer) -> Callable:
        from camcaffe.caffe.training import layers

        own = {**_LAYERS, **_TRAIN_LAYERS} if self._trains(layer) else _LAYERS
        source = f"{self._network.source}: layer {layer.name!r} of type {layer.type}"
        ratio = layer.message.dropout_param.dropout_ratio
        if not 0 <= ratio < 1:
            raise CamcaffeError(source, f"dropout_ratio {ratio:g}", "0 or more, and less than 1")
        if layer.type in own:
            return getattr(layers, own[layer.type])
        if layer.type not in engine.LAYERS:
            raise CamcaffeError(source, "no such layer can be trained", "losses of type SoftmaxWithLoss")
        return engine.layer_function(self._network, layer)

    def _trains(self, layer: Layer) -> bool:
        # Whether a layer that has two ways goes that of training.
        message, options = layer.message, layer.message.batch_norm_param
        if options.HasField("use_global_stats"):
            return not options.use_global_stats
        return message.phase == _TRAIN if message.HasField("phase") else self._is_train

    def _generator(self, layer: Layer, step: int) -> torch.Generator:
        import torch

        numbers = (self._seed, step, zlib.crc32(layer.name.encode()))
        (state,) = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
        return torch.Generator(self._device).manual_seed(int(state) >> 1)

    def _input(self, batch: Mapping[str, np.ndarray], name: str):
        import torch

        if name not in batch:
            raise CamcaffeError(
                f"the batch for {self._network.source}", f"no blob {name!r}", ", ".join(self._inputs)
            )
        array = np.require(batch[name], np.float32, ["C", "W"])
        if array.shape != self._inputs[name]:
            found = f"blob {name!r} of the shape {array.shape}"
            raise CamcaffeError(f"the batch for {self._network.source}", found, f"{self._inputs[name]}")
        return torch.from_numpy(array).to(self._device)

    def _check_parameter(self, layer: Layer, index: int, shape: Shape) -> None:
        source = f"{self._network.source}: layer {layer.name!r} of type {layer.type}"
        if (layer.name, index) not in self._parameters:
            raise CamcaffeError(source, f"no parameter {index}", f"one of the shape {shape}")
        found = tuple(self._parameters[layer.name, index].shape)
        specs = layer.message.param
        permissive = index < len(specs) and specs[index].share_mode == messages.ParamSpec.PERMISSIVE
        if math.prod(found) != math.prod(shape) if permissive else found != shape:
            raise CamcaffeError(source, f"parameter {index} of the shape {found}", f"{shape}")


def _device(name: str):
    if engine.version() is None:
        raise CamcaffeError("training", "PyTorch cannot be imported", INSTALL)
    return engine.usable_device(name)

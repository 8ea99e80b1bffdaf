"""What Caffe's solvers do with gradients: SGD, Nesterov's momentum and Adam, in Caffe's order and float32."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from camcaffe.caffe import messages
from camcaffe.caffe.network import Layer, Network
from camcaffe.errors import CamcaffeError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Learnable:
    """One of a net's learnable parameters; those that several layers share count once.

    Attributes:
        owner: (layer name, blob index); the first layer's, where several share it.
        tensor: the values, with the gradient in `grad`; no `grad` is a gradient of zeros.
        lr_mult: how much of the learning rate it takes.
        decay_mult: how much of the weight decay it takes.
    """

    owner: tuple[str, int]
    tensor: torch.Tensor
    lr_mult: float
    decay_mult: float


def learnable_parameters(
    network: Network, parameters: Mapping[tuple[str, int], torch.Tensor]
) -> list[Learnable]:
    """A net's learnable parameters in Caffe's order (`learnable_params`), that of a state's history.

    Args:
        network: the net.
        parameters: (layer name, blob index) -> its tensor; shared ones are one tensor.

    Raises:
        CamcaffeError: a layer has more `param` than blobs; layers that share a parameter want different
            multipliers; a BatchNorm's statistics are given a learning rate.
    """
    layers = {layer.name: layer for layer in network.layers}
    _check_counts(network, parameters)
    owners, multipliers = {}, {}
    for (name, index), tensor in parameters.items():
        owner, _ = owners.setdefault(id(tensor), ((name, index), tensor))
        known = multipliers.setdefault(owner, {})
        for kind, value in _multipliers(network, layers[name], index).items():
            if known.setdefault(kind, value) != value:
                found = f"layer {name!r} shares a parameter of layer {owner[0]!r} with another {kind}"
                raise CamcaffeError(network.source, found, f"{kind}: {known[kind]:g}")
    return [
        Learnable(
            owner, tensor, multipliers[owner].get("lr_mult", 1), multipliers[owner].get("decay_mult", 1)
        )
        for owner, tensor in owners.values()
    ]


@np.errstate(over="ignore", invalid="ignore")
def clip_gradients(
    solver: messages.SolverParameter, learnables: Sequence[Learnable]
) -> tuple[np.float32, np.float32] | None:
    """Scale all gradients down where their norm exceeds `clip_gradients`; before `iter_size` divides them.

    Returns:
        (their L2 norm, the factor that they were scaled by); None where nothing was to be done.
    """
    if solver.clip_gradients < 0:
        return None
    gradients = [learnable.tensor.grad for learnable in learnables if learnable.tensor.grad is not None]
    squares = sum((np.float32(gradient.norm().item()) ** 2 for gradient in gradients), np.float32(0))
    norm, limit = np.sqrt(squares), np.float32(solver.clip_gradients)
    if not norm > limit:
        return None
    factor = limit / norm
    for gradient in gradients:
        gradient.mul_(float(factor))
    return norm, factor


class Updates:
    """One of Caffe's solver types with its memory of the iterations before.

    Args:
        solver: the settings; `type` is one of `TYPES`.
        learnables: from `learnable_parameters`.

    Attributes:
        history: the memory, tensors shaped as the parameters, in the order of Caffe's snapshots: one a
            parameter, then, for Adam, a second one a parameter.
    """

    def __init__(self, solver: messages.SolverParameter, learnables: Sequence[Learnable]):
        import torch

        self._solver, self._learnables = solver, learnables
        self._value, count = TYPES[solver.type]
        self.history = [torch.zeros_like(one.tensor.detach()) for _ in range(count) for one in learnables]

    @np.errstate(over="ignore", invalid="ignore")  # what overflows, the next loss tells
    def apply(self, rate: np.float32, iteration: int) -> None:
        """Update all parameters by their gradients, and forget these.

        Args:
            rate: the iteration's learning rate.
            iteration: from 0.
        """
        import torch

        with torch.no_grad():
            for index, learnable in enumerate(self._learnables):
                tensor = learnable.tensor
                gradient = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
                self._normalize(gradient)
                self._regularize(learnable, gradient)
                local_rate = np.float32(rate) * np.float32(learnable.lr_mult)
                memory = self.history[index :: len(self._learnables)]
                tensor -= self._value(self._solver, gradient, memory, local_rate, iteration)
                tensor.grad = None

    def _normalize(self, gradient: torch.Tensor) -> None:
        if self._solver.iter_size != 1:
            gradient.mul_(float(np.float32(1) / np.float32(self._solver.iter_size)))

    def _regularize(self, learnable: Learnable, gradient: torch.Tensor) -> None:
        decay = float(np.float32(self._solver.weight_decay) * np.float32(learnable.decay_mult))
        if decay:
            values = learnable.tensor
            is_l1 = self._solver.regularization_type == "L1"
            gradient.add_(values.sign() if is_l1 else values, alpha=decay)


def _sgd(solver, gradient, memory, rate: np.float32, iteration: int):
    (history,) = memory
    return history.mul_(solver.momentum).add_(gradient, alpha=float(rate))


def _nesterov(solver, gradient, memory, rate: np.float32, iteration: int):
    (history,) = memory
    before = history.clone()
    history.mul_(solver.momentum).add_(gradient, alpha=float(rate))
    # Step back by what momentum did before, then over by what it does now.
    return before.mul_(-solver.momentum).add_(
        history, alpha=float(np.float32(1) + np.float32(solver.momentum))
    )


def _adam(solver, gradient, memory, rate: np.float32, iteration: int):
    mean, square = memory
    beta1, beta2, one = np.float32(solver.momentum), np.float32(solver.momentum2), np.float32(1)
    mean.mul_(float(beta1)).add_(gradient, alpha=float(one - beta1))
    square.mul_(float(beta2)).add_(gradient * gradient, alpha=float(one - beta2))
    # C++ raises a float to an int in double precision.
    t = iteration + 1
    correction = np.float32(math.sqrt(1 - math.pow(beta2, t)) / (1 - math.pow(beta1, t)))
    return (mean / square.sqrt().add_(solver.delta)).mul_(float(rate * correction))


# Solver type -> the function of its update value, and how many histories a parameter has.
TYPES = {"SGD": (_sgd, 1), "Nesterov": (_nesterov, 1), "Adam": (_adam, 2)}


def _check_counts(network: Network, parameters: Mapping) -> None:
    for layer in network.layers:
        blobs = sum(name == layer.name for name, _ in parameters)
        if len(layer.message.param) > blobs:
            found = f"layer {layer.name!r} has {len(layer.message.param)} param for {blobs} parameters"
            raise CamcaffeError(network.source, found)


def _multipliers(network: Network, layer: Layer, index: int) -> dict[str, float]:
    spec = layer.message.param[index] if index < len(layer.message.param) else messages.ParamSpec()
    given = {kind: getattr(spec, kind) for kind in ("lr_mult", "decay_mult") if spec.HasField(kind)}
    if layer.type == "BatchNorm" and given.setdefault("lr_mult", 0) != 0:
        found = f"layer {layer.name!r} of type BatchNorm has lr_mult: {given['lr_mult']:g}"
        raise CamcaffeError(network.source, found, "0: its statistics are not learned")
    return given

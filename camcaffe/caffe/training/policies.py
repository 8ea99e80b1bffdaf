"""Caffe's learning rate policies, in the mixture of float32 and float64 that its C++ computes them in."""

from __future__ import annotations

import math

import numpy as np

from camcaffe.caffe import messages


def current_step(solver: messages.SolverParameter, iteration: int, before: int) -> int:
    """How many steps of the policies `step` and `multistep` lie behind.

    Args:
        solver: the settings.
        iteration: from 0.
        before: the number at the iteration before; what a snapshot has as its `current_step`.
    """
    if solver.lr_policy == "step":
        return iteration // solver.stepsize
    values = solver.stepvalue
    # One more at most: of two equal `stepvalue`, the second counts an iteration later.
    at_next = solver.lr_policy == "multistep" and before < len(values) and iteration >= values[before]
    return before + at_next


def learning_rate(solver: messages.SolverParameter, iteration: int, steps: int = 0) -> np.float32:
    """The learning rate of an iteration, to the bit as Caffe computes it (`GetLearningRate`).

    Args:
        solver: the settings; `lr_policy` is one of `POLICIES`, with the settings that it needs.
        iteration: from 0.
        steps: the `current_step`; only `step` and `multistep` ask for it.
    """
    with np.errstate(over="ignore"):
        return np.float32(POLICIES[solver.lr_policy](solver, iteration, steps))


def _fixed(solver, iteration: int, steps: int) -> float:
    return solver.base_lr


def _steps(solver, iteration: int, steps: int) -> float:
    # C++ raises a float to an int in double precision, and a float to a float in single.
    return solver.base_lr * _or_infinity(math.pow, solver.gamma, steps)


def _exp(solver, iteration: int, steps: int) -> float:
    return solver.base_lr * _or_infinity(math.pow, solver.gamma, iteration)


def _inv(solver, iteration: int, steps: int) -> np.float32:
    base = np.float32(1) + np.float32(solver.gamma) * np.float32(iteration)
    return np.float32(solver.base_lr) * np.float32(_or_infinity(math.pow, base, -solver.power))


def _poly(solver, iteration: int, steps: int) -> np.float32:
    left = np.float32(1) - np.float32(iteration) / np.float32(solver.max_iter)
    return np.float32(solver.base_lr) * np.float32(_or_infinity(math.pow, left, solver.power))


def _sigmoid(solver, iteration: int, steps: int) -> np.float32:
    behind = np.float32(iteration) - np.float32(solver.stepsize)
    decay = np.float32(_or_infinity(math.exp, -np.float32(solver.gamma) * behind))
    return np.float32(solver.base_lr) * (np.float32(1) / (np.float32(1) + decay))


def _or_infinity(function, *arguments: float) -> float:
    # Where C++ gives infinity, Python raises.
    try:
        return function(*map(float, arguments))
    except (OverflowError, ValueError):
        return math.inf


POLICIES = {
    "fixed": _fixed,
    "step": _steps,
    "exp": _exp,
    "inv": _inv,
    "multistep": _steps,
    "poly": _poly,
    "sigmoid": _sigmoid,
}

"""The engines that run a net, by name; a module is imported when it is asked for, its library when it runs.

An engine module holds `Engine` (the protocol below), `version()`: its library's version, or None where that
cannot be imported, `INSTALL`: the command that would install it, and `LAYERS`: the layer types it runs.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from types import ModuleType
from typing import Protocol, Union

import numpy as np

from camcaffe.caffe.network import Layer, Network
from camcaffe.errors import CamcaffeError

# Name -> module in this package.
ENGINES = {
    "pycaffe": "pycaffe",
    "onnx": "onnxruntime",
    "openvino": "openvino",
    "opencv": "opencv",
    "torch": "torch",
}
# What `auto` takes, the first that is there: real Caffe, then the embedded default.
AUTO = ("pycaffe", "onnx")
PRECISIONS = ("float32", "bfloat16", "float16")

# What a gradient is taken by: a blob's name, or a parameter as (layer name, index).
Variable = Union[str, tuple[str, int]]


class Engine(Protocol):
    """What runs one network with one set of weights; `camcaffe.caffe.Net` stands in front of it.

    Arrays are float32 in Caffe's layout. A blob's name means its last value, after the layers that work in
    place. Batch and input size may differ from call to call and from the prototxt's; that the network takes
    them has been checked with `infer_shapes` by the caller. The same dict of inputs, the object itself, means
    the same values whenever it is passed: what one call left behind may serve the next.

    Args:
        network: the layers to run.
        weights: layer name -> parameters, as `load_weights` and `fill_weights` give them, taken as they are
            now: whoever changes them makes a new engine.
        threads: CPU threads of one forward pass; None: the library's choice.
        precision: one of `PRECISIONS`; only float32 is faithful to Caffe.
        device: "cpu", or what else the library calls a device.
        gradients: whether backward passes follow each forward pass; only where `has_gradients`.

    Raises:
        CamcaffeError: the library is missing, or a layer, the precision or the device is beyond it.
    """

    name: str
    has_gradients: bool

    def __init__(
        self,
        network: Network,
        weights: dict[str, list[np.ndarray]],
        *,
        threads: int | None = None,
        precision: str = "float32",
        device: str = "cpu",
    ): ...

    def forward(self, inputs: dict[str, np.ndarray], blobs: Sequence[str]) -> dict[str, np.ndarray]:
        """The `blobs` asked for, from one array for each input of the network; nothing else is kept."""

    def backward(
        self, inputs: dict[str, np.ndarray], output_diffs: dict[str, np.ndarray], blobs: Sequence[Variable]
    ) -> dict[Variable, np.ndarray]:
        """The gradients of sum(output * diff) by the `blobs` asked for; only where `has_gradients`."""


def load(name: str) -> ModuleType:
    """The module of the engine `name`, whether or not its library is there.

    Raises:
        CamcaffeError: there is no such engine.
    """
    if name not in ENGINES:
        raise CamcaffeError("engine", f"unknown name {name!r}", f"auto, {', '.join(ENGINES)}")
    return importlib.import_module(f"{__name__}.{ENGINES[name]}")


def choose(name: str = "auto") -> ModuleType:
    """The module of the engine to use, its library known to be there.

    Args:
        name: an engine's name, or "auto": the engine that the environment variable CAMCAFFE_ENGINE names;
            without it real Caffe (`pycaffe`) where it can be imported, else `onnx`.

    Raises:
        CamcaffeError: there is no such engine, or its library is missing: then how to install it.
    """
    if name == "auto":
        name = os.environ.get("CAMCAFFE_ENGINE") or "auto"
    for candidate in AUTO if name == "auto" else (name,):
        module = load(candidate)
        if module.version() is not None:
            return module
    raise CamcaffeError(f"engine {candidate}", "its library cannot be imported", module.INSTALL)


def available_cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pools_stochastically(layer: Layer) -> bool:
    """Whether the layer is a stochastic pooling, which Caffe itself has on GPUs only."""
    options = {"Pooling": layer.message.pooling_param, "SPP": layer.message.spp_param}.get(layer.type)
    return options is not None and options.pool == options.STOCHASTIC


def unsupported(source: str, layer: Layer, engine: str, found: str = "") -> CamcaffeError:
    """The error of an engine that cannot run `layer`: which layer, of which type, and which engine could.

    Args:
        source: the prototxt.
        layer: the layer at fault.
        engine: the engine's name.
        found: the option at fault, where the engine runs other layers of this type.
    """
    # Engines with one table (onnx and openvino) run the same.
    others = [name for name in ENGINES if load(name).LAYERS is not load(engine).LAYERS]
    able = [name for name in others if layer.type in load(name).LAYERS]
    what = f"layer {layer.name!r} of type {layer.type}" + (f" with {found}" if found else "")
    return CamcaffeError(
        source,
        f"{what} is beyond the engine {engine}",
        f"the engine {' or '.join(able)}" if able else "no such layer: no engine runs it",
    )

"""The engine `torch`: PyTorch on the CPU or a GPU, with gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import numpy as np

from camcaffe.caffe.engines import PRECISIONS, Variable, available_cpus, pools_stochastically, unsupported
from camcaffe.caffe.network import Layer, Network
from camcaffe.errors import CamcaffeError

INSTALL = "pip install torch"

# Layer type -> its function in torch_layers.
LAYERS = {
    "AbsVal": "absval",
    "ArgMax": "argmax",
    "BNLL": "bnll",
    "BatchNorm": "batch_norm",
    "BatchReindex": "batch_reindex",
    "Bias": "bias",
    "Clip": "clip",
    "Concat": "concat",
    "Convolution": "convolution",
    "Crop": "crop",
    "Deconvolution": "deconvolution",
    "Dropout": "identity",
    "ELU": "elu",
    "Eltwise": "eltwise",
    "Embed": "embed",
    "Exp": "exp",
    "Flatten": "flatten",
    "InnerProduct": "inner_product",
    "LRN": "lrn",
    "Log": "log",
    "MVN": "mvn",
    "PReLU": "prelu",
    "Parameter": "parameter",
    "Pooling": "pooling",
    "Power": "power",
    "ReLU": "relu",
    "Reduction": "reduction",
    "Reshape": "reshape",
    "SPP": "spp",
    "Scale": "scale",
    "Sigmoid": "sigmoid",
    "Silence": "silence",
    "Slice": "slice_",
    "Softmax": "softmax",
    "Split": "identity",
    "Swish": "swish",
    "TanH": "tanh",
    "Threshold": "threshold",
    "Tile": "tile",
}

# Caffe itself stops a program that asks these for a gradient.
WITHOUT_GRADIENT = ("ArgMax", "Threshold")


def version() -> str | None:
    """PyTorch's version; None where it cannot be imported."""
    try:
        import torch
    except ImportError:
        return None
    return torch.__version__


class _Graph(NamedTuple):
    # What a forward pass leaves behind for backward passes.
    inputs: dict[str, np.ndarray]
    layers: set[str]  # the names of those that it ran
    values: dict  # blob -> its last value
    by: dict  # blob or parameter -> what gradients are taken by


class Engine:
    """A network in PyTorch; see `camcaffe.caffe.engines.Engine`.

    `device` is what PyTorch calls a device: "cpu", "cuda", "cuda:1", "mps". On a GPU float32 stays float32:
    TF32 is off while the network runs.
    """

    name = "torch"
    has_gradients = True

    def __init__(
        self,
        network: Network,
        weights: dict[str, list[np.ndarray]],
        *,
        threads: int | None = None,
        precision: str = "float32",
        device: str = "cpu",
        gradients: bool = False,
    ):
        if version() is None:
            raise CamcaffeError(f"engine {self.name}", "PyTorch cannot be imported", INSTALL)
        if precision not in PRECISIONS:
            raise CamcaffeError("precision", f"{precision!r}", ", ".join(PRECISIONS))
        import torch

        self._network, self._threads, self._gradients = network, threads, gradients
        self._dtype, self._device = getattr(torch, precision), usable_device(device)
        self._functions = {layer.type: layer_function(network, layer) for layer in network.layers}
        with failures(network.source):
            self._params = {
                name: [self._tensor(array) for array in arrays] for name, arrays in weights.items()
            }
        self._plans, self._graph = {}, None

    def forward(self, inputs: dict[str, np.ndarray], blobs: Sequence[str]) -> dict[str, np.ndarray]:
        """The `blobs` asked for."""
        import torch

        if self._gradients or self._has_run(inputs, blobs):
            with self._differentiating():
                values = self._graph_for(inputs, blobs).values
                return {name: array_of(values[name]) for name in blobs}
        if self._graph is not None and self._graph.inputs is not inputs:
            self._graph = None
        with failures(self._network.source), settings(self._threads), torch.inference_mode():
            values = {name: channels_last(self._tensor(array)) for name, array in inputs.items()}
            for layer, dead in self._plan(blobs):
                values.update(zip(layer.tops, self._run(layer, values, self._params.get(layer.name, ()))))
                for blob in dead:
                    del values[blob]
            return {name: array_of(values[name]) for name in blobs}

    def backward(
        self, inputs: dict[str, np.ndarray], output_diffs: dict[str, np.ndarray], blobs: Sequence[Variable]
    ) -> dict[Variable, np.ndarray]:
        """The gradients of sum(output * diff), as Caffe would leave them in the `diff` of `blobs`.

        Where layers work in place, an output diff belongs to the blob's last value, and a gradient is taken
        by its first: Caffe's in-place layers pass the diff back through the blob's one buffer.
        """
        import torch

        for layer, _ in self._plan(output_diffs):
            if layer.type in WITHOUT_GRADIENT:
                found = f"layer {layer.name!r} of type {layer.type} has no gradient"
                raise CamcaffeError(self._network.source, found, "outputs that do not depend on it")
        names = {*output_diffs, *(name for name in blobs if isinstance(name, str))}
        with self._differentiating():
            _, _, values, by = self._graph_for(inputs, names)
            # The places of maxima, a second top of Pooling, have no gradient: Caffe passes over their diff.
            outputs = [name for name in output_diffs if values[name].requires_grad]
            reached = [variable for variable in blobs if variable in by and by[variable].requires_grad]
            diffs = torch.autograd.grad(
                [values[name] for name in outputs],
                [by[variable] for variable in reached],
                [self._tensor(output_diffs[name]) for name in outputs],
                allow_unused=True,
                materialize_grads=True,
                retain_graph=True,
            )
            found = dict(zip(reached, map(array_of, diffs)))
        return {key: found[key] if key in found else self._zeros(key, by) for key in blobs}

    @contextmanager
    def _differentiating(self) -> Iterator[None]:
        import torch

        with failures(self._network.source), settings(self._threads, gradient=True), torch.enable_grad():
            yield

    def _has_run(self, inputs: dict[str, np.ndarray], names: Iterable[str]) -> bool:
        # Whether the pass that was kept is one of these inputs, and made these blobs.
        graph = self._graph
        needed = {layer.name for layer, _ in self._plan(names)}
        return graph is not None and graph.inputs is inputs and needed <= graph.layers

    def _graph_for(self, inputs: dict[str, np.ndarray], names: Iterable[str]) -> _Graph:
        # A program that goes back once a class has one forward pass for all.
        if not self._has_run(inputs, names):
            self._graph = None  # its memory goes before the next one's is needed
            layers = {layer.name for layer, _ in self._plan(names)}
            self._graph = _Graph(inputs, layers, *self._differentiable(inputs, names))
        return self._graph

    def _differentiable(self, inputs: dict[str, np.ndarray], names: Iterable[str]) -> tuple[dict, dict]:
        values = {name: self._tensor(array).requires_grad_() for name, array in inputs.items()}
        by = dict(values)
        for layer, _ in self._plan(names):
            params = [param.detach().requires_grad_() for param in self._params.get(layer.name, ())]
            by.update(((layer.name, index), param) for index, param in enumerate(params))
            for top, value in zip(layer.tops, self._run(layer, values, params)):
                # A view, so that a layer that returns its bottom still makes a tensor of its own.
                values[top] = value.view_as(value)
                by.setdefault(top, values[top])
        return values, by

    def _zeros(self, variable: Variable, by: dict) -> np.ndarray:
        # What is not even in `by` is a parameter of a layer that nothing asked for depends on.
        tensor = by[variable] if variable in by else self._params[variable[0]][variable[1]]
        return np.zeros(tensor.shape, np.float32)

    def _run(self, layer: Layer, values: dict, params: Sequence) -> list:
        bottoms = [values[blob] for blob in layer.bottoms]
        return run_layer(self._network, layer, self._functions[layer.type], bottoms, params)

    def _plan(self, wanted: Iterable[str]) -> list[tuple[Layer, tuple[str, ...]]]:
        key = frozenset(wanted)
        if key not in self._plans:
            self._plans[key] = plan(self._network.layers, key)
        return self._plans[key]

    def _tensor(self, array: np.ndarray):
        import torch

        return torch.tensor(np.asarray(array, np.float32), dtype=self._dtype, device=self._device)


def layer_function(network: Network, layer: Layer) -> Callable:
    """The function in torch_layers that runs a layer.

    Raises:
        CamcaffeError: there is none, or it does not know one of the layer's options.
    """
    from camcaffe.caffe.engines import torch_layers

    option = _option_beyond(layer)
    if layer.type not in LAYERS or option:
        raise unsupported(network.source, layer, Engine.name, option)
    return getattr(torch_layers, LAYERS[layer.type])


def run_layer(
    network: Network, layer: Layer, function: Callable, bottoms: Sequence, params: Sequence
) -> list:
    """The tops of a layer, from its bottoms and parameters (tensors), by `function`.

    Raises:
        CamcaffeError: PyTorch failed; with the layer's name.
    """
    with failures(f"{network.source}: layer {layer.name!r} of type {layer.type}"):
        return function(layer, bottoms, params)


@contextmanager
def failures(source: str) -> Iterator[None]:
    """What PyTorch raises in the block, as one line: no memory left, or an index that leads outside a blob.

    A GPU may tell of a layer's failure only where its results are fetched.

    Raises:
        CamcaffeError: with this source.
    """
    try:
        yield
    except (RuntimeError, IndexError) as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise CamcaffeError(source, f"PyTorch failed: {line}") from error


def plan(layers: Sequence[Layer], wanted: Iterable[str]) -> list[tuple[Layer, tuple[str, ...]]]:
    """The layers that the blobs `wanted` depend on, each with the blobs that nothing needs after it."""
    result, alive = [], set(wanted)
    for layer in reversed(layers):
        if alive.intersection(layer.tops):
            result.append((layer, tuple({*layer.bottoms, *layer.tops} - alive)))
            alive.update(layer.bottoms)
    return result[::-1]


def _option_beyond(layer: Layer) -> str:
    # The option that the layer's function does not know, for the error.
    if pools_stochastically(layer):
        return "pool: STOCHASTIC"
    axis = layer.message.convolution_param.axis
    if layer.type in ("Convolution", "Deconvolution") and axis != 1:
        return f"axis: {axis}"
    return ""


def usable_device(name: str):
    """The torch.device of this name.

    Raises:
        CamcaffeError: PyTorch has no such device here.
    """
    import torch

    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        found = f"{name!r} cannot be used: {str(error).splitlines()[0]}"
        raise CamcaffeError("device", found, "a device that PyTorch has here, such as cpu") from error
    return device


def channels_last(tensor):
    """The same values in the order of memory in which PyTorch pools several times as fast."""
    import torch

    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def array_of(tensor) -> np.ndarray:
    """A tensor's values as a float32 array of its own."""
    return np.array(tensor.detach().float().cpu().numpy(), order="C")


@contextmanager
def settings(threads: int | None, gradient: bool = False) -> Iterator[None]:
    """PyTorch's switches as Caffe's results need them; they are the process's own, and put back.

    Args:
        threads: CPU threads; None: all.
        gradient: whether gradients are taken.
    """
    import torch

    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    if hasattr(cudnn, "conv"):
        switches = [(cudnn.conv, "fp32_precision", "ieee"), (matmul, "fp32_precision", "ieee")]
    else:  # PyTorch before 2.9
        switches = [(cudnn, "allow_tf32", False), (matmul, "allow_tf32", False)]
    # A run that was stopped must end as if it had not been.
    switches.append((cudnn, "deterministic", True))
    if gradient:
        # PyTorch's own convolution is Caffe's (im2col and a matrix product) and rounds much alike. oneDNN's
        # is not: where the two largest values under a max pooling differ by a rounding error, it sends the
        # gradient the other way. NNPACK's, of batches from 16 on, is off 30 times as far.
        switches.append((torch.backends.mkldnn, "enabled", False))
    before = [getattr(backend, switch) for backend, switch, _ in switches]
    threads_before = torch.get_num_threads()
    has_nnpack = hasattr(torch.backends, "nnpack")  # the older PyTorch has no switch for it
    try:
        for backend, switch, value in switches:
            setattr(backend, switch, value)
        torch.set_num_threads(threads or available_cpus())
        with torch.backends.nnpack.flags(enabled=False) if gradient and has_nnpack else nullcontext():
            yield
    finally:
        for (backend, switch, _), value in zip(switches, before):
            setattr(backend, switch, value)
        torch.set_num_threads(threads_before)

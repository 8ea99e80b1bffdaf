"""The engine `pycaffe`: BVLC Caffe itself, through its Python module `caffe`, on the CPU."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from camcaffe.caffe import messages
from camcaffe.caffe.engines import Variable, pools_stochastically, unsupported
from camcaffe.caffe.network import Network
from camcaffe.caffe.prototxt import net_to_text
from camcaffe.errors import CamcaffeError

INSTALL = "Debian 11: apt-get install python3-caffe; elsewhere: sudo scripts/pycaffe_debian11.sh ROOT"

# The layer types of BVLC Caffe 1.0, without those that read files or run code which the prototxt names.
LAYERS = (
    "AbsVal",
    "Accuracy",
    "ArgMax",
    "BNLL",
    "BatchNorm",
    "BatchReindex",
    "Bias",
    "Clip",
    "Concat",
    "ContrastiveLoss",
    "Convolution",
    "Crop",
    "Deconvolution",
    "Dropout",
    "ELU",
    "Eltwise",
    "Embed",
    "EuclideanLoss",
    "Exp",
    "Filter",
    "Flatten",
    "HingeLoss",
    "Im2col",
    "InnerProduct",
    "LRN",
    "Log",
    "MVN",
    "MultinomialLogisticLoss",
    "PReLU",
    "Parameter",
    "Pooling",
    "Power",
    "ReLU",
    "Reduction",
    "Reshape",
    "SPP",
    "Scale",
    "Sigmoid",
    "SigmoidCrossEntropyLoss",
    "Silence",
    "Slice",
    "Softmax",
    "SoftmaxWithLoss",
    "Split",
    "Swish",
    "TanH",
    "Threshold",
    "Tile",
)

# Caffe would end the process in the backward pass of these: they have none, or none by one of their bottoms.
_WITHOUT_GRADIENT = ("Accuracy", "ArgMax", "BatchReindex", "Embed", "Filter", "Threshold")


def version() -> str | None:
    """Caffe's version; None where its Python module cannot be imported."""
    # Caffe logs every layer of every net to stderr. It reads this once, when it is loaded.
    os.environ.setdefault("GLOG_minloglevel", "2")
    try:
        # By name, for a folder that is called caffe can be imported too.
        from caffe import __version__
    except ImportError:
        return None
    return __version__


class Engine:
    """A network in BVLC Caffe; see `camcaffe.caffe.engines.Engine`.

    `threads` has no effect: Caffe's threads are those of its BLAS library, which reads their number from the
    environment (OPENBLAS_NUM_THREADS) when it is loaded.
    """

    name = "pycaffe"
    has_gradients = True

    def __init__(
        self,
        network: Network,
        weights: dict[str, list[np.ndarray]],
        *,
        threads: int | None = None,
        precision: str = "float32",
        device: str = "cpu",
        gradients: bool = False,  # Caffe keeps all blobs in any case
    ):
        if version() is None:
            raise CamcaffeError(f"engine {self.name}", "Caffe's Python module cannot be imported", INSTALL)
        if (precision, device) != ("float32", "cpu"):
            raise CamcaffeError(f"engine {self.name}", f"{precision} on {device}", "float32 on cpu")
        import caffe

        able = set(LAYERS).intersection(caffe.layer_type_list())
        for layer in network.layers:
            if layer.type not in able:
                raise unsupported(network.source, layer, self.name)
            if pools_stochastically(layer):
                raise unsupported(network.source, layer, self.name, "pool: STOCHASTIC")
        self._network = network
        self._net = _load(network)
        self._inputs, self._ran = None, set()
        for layer, arrays in weights.items():
            for blob, array in zip(self._net.params.get(layer, ()), arrays):
                blob.data[...] = np.reshape(array, blob.data.shape)

    def forward(self, inputs: dict[str, np.ndarray], blobs: Sequence[str]) -> dict[str, np.ndarray]:
        """The `blobs` asked for."""
        self._forward(inputs, blobs)
        return {name: self._net.blobs[name].data.copy() for name in blobs}

    def backward(
        self, inputs: dict[str, np.ndarray], output_diffs: dict[str, np.ndarray], blobs: Sequence[Variable]
    ) -> dict[Variable, np.ndarray]:
        """The gradients of sum(output * diff): the `diff` of `blobs` after Caffe's backward pass."""
        net = self._net
        needed = self._needed(output_diffs)
        for index in needed:
            if net.layers[index].type in _WITHOUT_GRADIENT:
                found = f"layer {net._layer_names[index]!r} of type {net.layers[index].type} has no gradient"
                raise CamcaffeError(self._network.source, found, "outputs that do not depend on it")
        self._forward(inputs, [*output_diffs, *(name for name in blobs if isinstance(name, str))])
        net.clear_param_diffs()
        for blob in net.blobs.values():
            blob.diff[...] = 0
        for name, diff in output_diffs.items():
            net.blobs[name].diff[...] = diff
        for index in reversed(needed):
            net._backward(index, index)
        variables = {
            key: net.blobs[key] if isinstance(key, str) else net.params[key[0]][key[1]] for key in blobs
        }
        return {key: blob.diff.copy() for key, blob in variables.items()}

    def _forward(self, inputs: dict[str, np.ndarray], blobs: Iterable[str]) -> None:
        needed = self._needed(blobs)
        if inputs is self._inputs and self._ran.issuperset(needed):
            return
        for name, array in inputs.items():
            blob = self._net.blobs[name]
            blob.reshape(*np.shape(array))
            blob.data[...] = array
        for index in needed:
            self._net._forward(index, index)
        self._inputs, self._ran = inputs, set(needed)

    def _needed(self, blobs: Iterable[str]) -> list[int]:
        # Where the layers that `blobs` depend on stand among Caffe's own, its Split layers included.
        names, alive, needed = list(self._net._layer_names), set(blobs), []
        for index in reversed(range(len(names))):
            if alive.intersection(self._net.top_names[names[index]]):
                needed.append(index)
                alive.update(self._net.bottom_names[names[index]])
        return needed[::-1]


def _load(network: Network):
    import caffe
    from caffe.proto import caffe_pb2
    from google.protobuf import text_format

    message = messages.NetParameter()
    message.CopyFrom(network.message)
    message.force_backward = True  # else Caffe leaves out the gradients that only the inputs need
    for layer in message.layer:
        # The network is filtered already; its level and stages are not known here.
        layer.ClearField("include")
        layer.ClearField("exclude")
        # Each layer has its own of the arrays that it shares: so each has its own gradient.
        for param in layer.param:
            param.ClearField("name")
    text = net_to_text(message)
    try:
        # Caffe itself would end the process.
        text_format.Parse(text, caffe_pb2.NetParameter())
    except text_format.ParseError as error:
        found = f"the installed Caffe does not know all its settings ({error})"
        raise CamcaffeError(network.source, found) from error
    with tempfile.TemporaryDirectory() as folder:
        prototxt = Path(folder) / "net.prototxt"
        prototxt.write_text(text, encoding="utf-8")
        return caffe.Net(str(prototxt), caffe.TEST)

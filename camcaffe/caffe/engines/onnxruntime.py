"""The engine `onnx`: a net as an ONNX model, run by ONNX Runtime on the CPU. The embedded default."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from camcaffe.caffe.engines import available_cpus
from camcaffe.caffe.network import Network
from camcaffe.caffe.onnx_export import LAYERS, to_onnx
from camcaffe.caffe.onnx_export.windows import lrn_by_convolution
from camcaffe.errors import CamcaffeError

INSTALL = "pip install onnx onnxruntime"
CONVERTERS = {**LAYERS, "LRN": lrn_by_convolution}

# Models kept at once: one each for other blobs, other input sizes.
_MOST_SESSIONS = 4


def version() -> str | None:
    """ONNX Runtime's version; None where it or the package onnx cannot be imported."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError:
        return None
    return onnxruntime.__version__


class Engine:
    """Runs a net in ONNX Runtime; a model is made for each set of blobs and each input size asked for."""

    name = "onnx"
    has_gradients = False

    def __init__(
        self,
        network: Network,
        weights: dict[str, list[np.ndarray]],
        *,
        threads: int | None = None,
        precision: str = "float32",
        device: str = "cpu",
    ):
        if precision != "float32":
            raise CamcaffeError("precision", f"the engine onnx has no {precision}", "float32")
        if device != "cpu":
            raise CamcaffeError("device", f"the engine onnx has no {device!r}", "cpu")
        self._network, self._weights = network, weights
        self._threads = threads or available_cpus()
        self._sessions = {}

    def forward(self, inputs: dict[str, np.ndarray], blobs: Sequence[str]) -> dict[str, np.ndarray]:
        """The `blobs` asked for; see `camcaffe.caffe.engines.Engine`."""
        key = (tuple(blobs), tuple((name, array.shape[1:]) for name, array in inputs.items()))
        session = self._sessions.pop(key, None)
        if session is None or not all(
            _takes(tensor.shape, inputs[tensor.name]) for tensor in session.get_inputs()
        ):
            session = self._new_session({name: array.shape for name, array in inputs.items()}, blobs)
        self._sessions[key] = session
        while len(self._sessions) > _MOST_SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        feeds = {i.name: np.ascontiguousarray(inputs[i.name], np.float32) for i in session.get_inputs()}
        return dict(zip(blobs, session.run(None, feeds)))

    def _new_session(self, input_shapes: dict[str, tuple[int, ...]], blobs: Sequence[str]):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        model = to_onnx(self._network, self._weights, blobs, input_shapes=input_shapes, converters=CONVERTERS)
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )


def _takes(dims: Sequence, array: np.ndarray) -> bool:
    """Whether a model's input, its open dimensions given by name, takes the array."""
    return all(isinstance(dim, str) or dim == size for dim, size in zip(dims, array.shape))

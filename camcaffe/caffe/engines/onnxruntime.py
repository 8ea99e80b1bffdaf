"""The engine `onnx`: a net as an ONNX model, run by ONNX Runtime on the CPU. The embedded default."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from camcaffe.caffe.engines import available_cpus
from camcaffe.caffe.network import Network
from camcaffe.caffe.onnx_export import LAYERS
from camcaffe.caffe.onnx_export.compiled import CompiledModels
from camcaffe.caffe.onnx_export.windows import lrn_by_convolution
from camcaffe.errors import CamcaffeError

__all__ = ["INSTALL", "LAYERS", "Engine", "version"]

INSTALL = "pip install onnxruntime onnx"


def version() -> str | None:
    """ONNX Runtime's version; None where it or the package onnx cannot be imported."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError:
        return None
    return onnxruntime.__version__


class Engine:
    """Runs a net in ONNX Runtime; see `camcaffe.caffe.engines.Engine` for arguments and errors."""

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
            raise CamcaffeError("precision", f"{precision} on the engine onnx", "float32")
        if device != "cpu":
            raise CamcaffeError("device", f"{device} on the engine onnx", "cpu")
        self._threads = threads or available_cpus()
        converters = {**LAYERS, "LRN": lrn_by_convolution}
        self._models = CompiledModels(network, weights, "ONNX Runtime", self._session, converters)

    def forward(self, inputs: dict[str, np.ndarray], blobs: Sequence[str]) -> dict[str, np.ndarray]:
        """The `blobs` asked for."""
        session, read = self._models.get(inputs, blobs)
        with self._models.told_in_one_line():
            return dict(zip(blobs, session.run(None, read)))

    def _session(self, model: bytes):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3  # errors; warnings concern the author of a graph
        # Measured on GoogLeNet-CAM: no slower, 70 MB less, and no thread that burns a core while it waits.
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

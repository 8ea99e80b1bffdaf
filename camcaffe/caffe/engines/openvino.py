"""The engine `openvino`: a net as an ONNX model, run by OpenVINO.

Of equal values, ArgMax may list others first than Caffe.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from camcaffe.caffe.engines import available_cpus
from camcaffe.caffe.network import Network
from camcaffe.caffe.onnx_export import LAYERS
from camcaffe.caffe.onnx_export.compiled import CompiledModels
from camcaffe.errors import CamcaffeError

__all__ = ["INSTALL", "LAYERS", "Engine", "version"]

INSTALL = "pip install openvino onnx"

# Precision -> what OpenVINO calls it.
_PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def version() -> str | None:
    """OpenVINO's version; None where it or the package onnx cannot be imported."""
    try:
        import onnx  # noqa: F401
        import openvino
    except ImportError:
        return None
    return openvino.__version__.split("-")[0]


class Engine:
    """Runs a net in OpenVINO; see `camcaffe.caffe.engines.Engine` for arguments and errors."""

    name = "openvino"
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
        import openvino

        self._core, self._device = openvino.Core(), device.upper()
        devices = self._core.available_devices
        if self._device not in devices:
            raise CamcaffeError("device", f"{device} on the engine openvino", " or ".join(devices).lower())
        # Without the hint OpenVINO computes in bfloat16 wherever the CPU can.
        self._precision, hint = precision, _PRECISIONS[precision]
        self._settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
        if self._device == "CPU":
            self._settings["INFERENCE_NUM_THREADS"] = threads or available_cpus()
        self._models = CompiledModels(network, weights, "OpenVINO", self._compile)

    def forward(self, inputs: dict[str, np.ndarray], blobs: Sequence[str]) -> dict[str, np.ndarray]:
        """The `blobs` asked for."""
        model, read = self._models.get(inputs, blobs)
        with self._models.told_in_one_line():
            results = model(read)
            return {blob: results[index] for index, blob in enumerate(blobs)}

    def _compile(self, model: bytes):
        compiled = self._core.compile_model(self._core.read_model(model), self._device, self._settings)
        # Where the device has no such numbers, OpenVINO computes in float32 and says so here only.
        used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if used != self._settings["INFERENCE_PRECISION_HINT"]:
            found = f"{self._precision} on the engine openvino and this {self._device.lower()}"
            raise CamcaffeError("precision", found, "float32")
        return compiled

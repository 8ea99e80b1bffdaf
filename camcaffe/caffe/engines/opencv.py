"""The engine `opencv`: the Caffe importer of OpenCV 4 (OpenCV 5 has none), a second opinion on the CPU.

What it computes otherwise than Caffe is refused here by name. The table was found by holding OpenCV 4.5.1 and
4.14 against BVLC Caffe on small nets of every layer type and option.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

import numpy as np

from camcaffe.caffe import messages
from camcaffe.caffe.caffemodel import write_caffemodel
from camcaffe.caffe.engines import available_cpus, unsupported
from camcaffe.caffe.geometry import pooling_geometry
from camcaffe.caffe.network import Network, network_of
from camcaffe.caffe.prototxt import net_to_text
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.errors import CamcaffeError

INSTALL = "pip install 'opencv-python-headless<5' (OpenCV 5 no longer reads Caffe nets)"

# The layer types that OpenCV 4.5.1 and later compute as Caffe does.
LAYERS = (
    "AbsVal",
    "BNLL",
    "BatchNorm",
    "Concat",
    "Convolution",
    "Crop",
    "Deconvolution",
    "Dropout",
    "ELU",
    "Eltwise",
    "Flatten",
    "InnerProduct",
    "LRN",
    "MVN",
    "PReLU",
    "Pooling",
    "Power",
    "ReLU",
    "Reshape",
    "Scale",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Split",
    "Swish",
    "TanH",
)

# Layer type -> what OpenCV leaves out or reads otherwise than Caffe, and how a layer asks for it.
_DEVIATIONS: dict[str, list[tuple[str, Callable]]] = {
    "BatchNorm": [
        (
            "use_global_stats: false",
            lambda m: (
                m.batch_norm_param.HasField("use_global_stats") and not m.batch_norm_param.use_global_stats
            ),
        )
    ],
    "Concat": [("concat_dim", lambda m: m.concat_param.HasField("concat_dim"))],
    "Convolution": [
        ("several bottoms", lambda m: len(m.bottom) > 1),
        ("an axis other than 1", lambda m: m.convolution_param.axis != 1),
    ],
    "Deconvolution": [
        ("several bottoms", lambda m: len(m.bottom) > 1),
        ("an axis other than 1", lambda m: m.convolution_param.axis != 1),
        ("dilation", lambda m: any(dilation != 1 for dilation in m.convolution_param.dilation)),
    ],
    "ELU": [("an alpha other than 1", lambda m: m.elu_param.alpha != 1)],
    "InnerProduct": [("transpose: true", lambda m: m.inner_product_param.transpose)],
    "LRN": [
        (
            "a k other than 1",
            lambda m: m.lrn_param.k != 1 and m.lrn_param.norm_region == m.lrn_param.ACROSS_CHANNELS,
        )
    ],
    "MVN": [("eps", lambda m: m.mvn_param.HasField("eps"))],
    "Pooling": [
        ("pool: STOCHASTIC", lambda m: m.pooling_param.pool == m.pooling_param.STOCHASTIC),
        ("round_mode: FLOOR", lambda m: m.pooling_param.round_mode != m.pooling_param.CEIL),
        # Such a window may lie outside the blob altogether.
        ("a stride beyond its kernel", lambda m: _stride_exceeds_kernel(m.pooling_param)),
    ],
    "Reshape": [("a negative axis", lambda m: m.reshape_param.axis < 0)],
    "Scale": [
        ("two bottoms and a bias", lambda m: len(m.bottom) > 1 and m.scale_param.bias_term),
        ("num_axes: 0", lambda m: m.scale_param.num_axes == 0),
        ("a negative axis", lambda m: m.scale_param.axis < 0),
    ],
    "Slice": [
        ("no slice_point", lambda m: not m.slice_param.slice_point),
        ("slice_dim", lambda m: m.slice_param.HasField("slice_dim")),
        ("a negative axis", lambda m: m.slice_param.axis < 0),
    ],
    "Swish": [("swish_param", lambda m: m.HasField("swish_param"))],
}


def version() -> str | None:
    """OpenCV's version; None where it cannot be imported or cannot read Caffe nets."""
    try:
        import cv2
    except ImportError:
        return None
    return cv2.__version__ if hasattr(cv2.dnn, "readNetFromCaffe") else None


class Engine:
    """A network in OpenCV's DNN module; see `camcaffe.caffe.engines.Engine`."""

    name = "opencv"
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
        if version() is None:
            raise CamcaffeError(f"engine {self.name}", "there is no OpenCV that reads Caffe nets", INSTALL)
        if (precision, device) != ("float32", "cpu"):
            raise CamcaffeError(f"engine {self.name}", f"{precision} on {device}", "float32 on cpu")
        for layer in network.layers:
            deviations = [what for what, applies in _DEVIATIONS.get(layer.type, ()) if applies(layer.message)]
            if layer.type in ("Convolution", "Deconvolution") and weights[layer.name][0].ndim != 4:
                deviations.append("other than two spatial axes")
            if layer.type not in LAYERS or deviations:
                raise unsupported(network.source, layer, self.name, " and ".join(deviations))
        self._network, self._threads, self._shapes = network, threads, {}
        renamed, self._names, new_names = _renamed(network)
        # Blob, by its new name -> the layer that makes it, and its place among the layer's tops.
        self._makers = {
            top: (layer.name, place) for layer in renamed.layers for place, top in enumerate(layer.tops)
        }
        with _errors_named(network.source):
            self._net = _load(renamed, {new_names[layer]: arrays for layer, arrays in weights.items()})

    def forward(self, inputs: dict[str, np.ndarray], blobs: Sequence[str]) -> dict[str, np.ndarray]:
        """The `blobs` asked for."""
        import cv2

        names = {blob: self._names[blob] for blob in blobs}
        layers = list({self._makers[name][0]: None for name in names.values() if name in self._makers})
        threads_before = cv2.getNumThreads()
        try:
            cv2.setNumThreads(self._threads or available_cpus())
            with _errors_named(self._network.source):
                for name, array in inputs.items():
                    self._net.setInput(np.ascontiguousarray(array, np.float32), name)
                tops = dict(zip(layers, self._net.forwardAndRetrieve(layers))) if layers else {}
        finally:
            cv2.setNumThreads(threads_before)
        shapes, result = self._blob_shapes(inputs), {}
        for blob, name in names.items():
            layer, place = self._makers.get(name, (None, 0))
            array = tops[layer][place] if layer is not None else np.asarray(inputs[name], np.float32)
            result[blob] = self._in_caffes_shape(blob, array, shapes[blob])
        return result

    def _blob_shapes(self, inputs: dict[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
        key = tuple((name, np.shape(array)) for name, array in inputs.items())
        if key not in self._shapes:
            self._shapes[key] = infer_shapes(self._network, dict(key)).blobs
        return self._shapes[key]

    def _in_caffes_shape(self, blob: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        # OpenCV 4.5 has no arrays of fewer than two axes; any other difference is a net it misread.
        if [dim for dim in array.shape if dim > 1] != [dim for dim in shape if dim > 1]:
            found = f"OpenCV gives blob {blob!r} the shape {array.shape}"
            raise CamcaffeError(self._network.source, found, f"{shape} as in Caffe: use another engine")
        # A copy: the array is OpenCV's own memory, which its next run writes over.
        return np.array(array.reshape(shape), order="C")


def _stride_exceeds_kernel(options) -> bool:
    window = pooling_geometry(options, 2**15, 2**15)  # any size will do
    return any(stride > kernel for stride, kernel in zip(window.stride, window.kernel))


def _renamed(network: Network) -> tuple[Network, dict[str, str], dict[str, str]]:
    # OpenCV calls some layers by their top, and does not always tell the values of a blob apart where layers
    # work in place. So each layer and its first top get a name of their own. Split layers go: OpenCV needs
    # none, and leaves out their tops that nothing reads. Also returned: for each blob the new name of its
    # last value, and the layers' new names.
    message = messages.NetParameter()
    message.CopyFrom(network.message)
    message.ClearField("layer")
    names, layers = {}, {}
    for index, layer in enumerate(network.message.layer):
        if layer.type == "Split":
            names.update(dict.fromkeys(layer.top, names[layer.bottom[0]]))
            continue
        copy = message.layer.add()
        copy.CopyFrom(layer)
        copy.bottom[:] = [names[blob] for blob in layer.bottom]
        if layer.type != "Input":
            copy.top[:] = [f"{layer.name}#{index}.{place}" for place in range(len(layer.top))]
            layers[layer.name] = copy.name = copy.top[0]
        names.update(zip(layer.top, copy.top))
    return network_of(message, network.source), names, layers


def _load(network: Network, weights: dict[str, list[np.ndarray]]):
    import cv2

    message = messages.NetParameter()
    message.CopyFrom(network.message)
    for layer in message.layer:
        if layer.type == "LRN":
            # OpenCV has other defaults than Caffe: nothing is left to them.
            for option in ("local_size", "alpha", "beta", "norm_region", "k"):
                setattr(layer.lrn_param, option, getattr(layer.lrn_param, option))
    # OpenCV 4.5 cannot read a blob without axes, such as PReLU's shared slope.
    weights = {layer: [np.atleast_1d(array) for array in arrays] for layer, arrays in weights.items()}
    with tempfile.TemporaryDirectory() as folder:
        prototxt, caffemodel = Path(folder) / "net.prototxt", Path(folder) / "net.caffemodel"
        prototxt.write_text(net_to_text(message), encoding="utf-8")
        write_caffemodel(caffemodel, network, weights)
        net = cv2.dnn.readNetFromCaffe(str(prototxt), str(caffemodel))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
    if hasattr(net, "enableWinograd"):
        net.enableWinograd(False)  # its 3x3 convolutions lose three bits
    return net


@contextmanager
def _errors_named(source: str) -> Iterator[None]:
    import cv2

    try:
        yield
    except cv2.error as error:
        found = f"OpenCV {cv2.__version__} cannot run this net ({error.err})"
        raise CamcaffeError(source, found, "another engine") from error

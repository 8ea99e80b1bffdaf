"""What engines are tested on: the reference's small nets, and variants of layers that these do not reach.

The variants' outputs and gradients under real Caffe are in variants.json, as fingerprints. To write it anew,
run this file where pycaffe is: scripts/pycaffe_debian11.sh shows how to get there.
"""

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from google.protobuf import text_format

from camcaffe.caffe import messages
from camcaffe.caffe.network import network_of, read_network
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.caffe.weights import load_weights

VARIANTS_FILE = Path(__file__).with_name("variants.json")

# The reference has two nets of each, numbered 0 and 1.
KINDS = tuple(
    """absval argmax batchnorm_scale bias bnll concat conv conv_dilation conv_group conv_nobias conv_rect
    deconv dropout eltwise_max eltwise_prod eltwise_sum elu exp flatten ip ip_axis2 ip_transpose log lrn
    lrn_within mvn pool_ave pool_global pool_max pool_rect power prelu reduction relu relu_leaky reshape
    sigmoid softmax tanh threshold tile""".split()  # noqa: SIM905
)


def bound(kind):
    """How far from Caffe a result may be, relative to the blob's largest value."""
    return 1e-4 if kind.startswith(("lrn", "mvn", "batchnorm")) else 1e-5


def layer_nets(reference, kind):
    """(network, weights, what Caffe made of it) of each of the reference's two nets."""
    for number in (0, 1):
        path = reference / "caffe" / "layers" / f"{kind}_{number}"
        network = read_network(f"{path}.prototxt")
        with np.load(f"{path}.npz") as arrays:
            expected = dict(arrays)
        yield network, load_weights(network, infer_shapes(network), f"{path}.caffemodel"), expected


def difference(actual, expected):
    """The largest difference, relative to the largest expected value."""
    assert actual.shape == expected.shape
    assert actual.dtype == np.float32
    return np.abs(actual - expected).max() / np.abs(expected).max()


def network_from(layers, shapes):
    """A network of the layers' text behind inputs of the given shapes."""
    inputs = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {size}" for size in shape)
        + " } } }\n"
        for name, shape in shapes.items()
    )
    return network_of(text_format.Parse(inputs + layers, messages.NetParameter()), "net.prototxt")


def layer_text(layer_type, options="", bottoms=("data",), tops=("y",), name="layer"):
    """One layer of a prototxt; the options are those of its own message."""
    fields = messages.LayerParameter.DESCRIPTOR.fields_by_name
    own = [field for field in fields if field.replace("_", "") == f"{layer_type.lower()}param"]
    own = own or ["convolution_param"]  # Deconvolution
    wires = "".join(f' bottom: "{blob}"' for blob in bottoms) + "".join(f' top: "{blob}"' for blob in tops)
    options = f" {own[0]} {{ {options} }}" if options else ""
    return f'layer {{ name: "{name}" type: "{layer_type}"{wires}{options} }}\n'


@dataclass(frozen=True)
class Variant:
    """One layer with its options: weights, inputs and output diffs follow from its text."""

    type: str
    options: str = ""
    shapes: tuple = ((2, 4, 9, 11),)
    tops: tuple = ("y",)
    ties: bool = False
    layers: str = ""
    network: object = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        names = ("data", "b", "c")[: len(self.shapes)]
        layers = self.layers or layer_text(self.type, self.options, names, self.tops)
        object.__setattr__(self, "network", network_from(layers, dict(zip(names, self.shapes))))

    def __str__(self):
        return f"{self.type}({self.options}) {list(self.shapes)} {list(self.tops)}"

    def arrays(self):
        """(weights, inputs, output diffs)."""
        random = np.random.RandomState(zlib.crc32(str(self).encode()))
        shapes = infer_shapes(self.network)
        weights = {}
        for layer, found in zip(self.network.layers, shapes.layers):
            draw = random.rand if layer.type == "BatchNorm" else random.randn
            if found.params:
                weights[layer.name] = [
                    np.float32(np.reshape(draw(*shape), shape) + 0.5) for shape in found.params
                ]
        inputs = {name: np.float32(random.randn(*shape)) for name, shape in self.network.inputs.items()}
        if self.ties:
            inputs = {name: np.round(array) for name, array in inputs.items()}
        diffs = {
            name: np.float32(np.reshape(random.randn(*shapes.blobs[name]), shapes.blobs[name]))
            for name in self.network.outputs
        }
        return weights, inputs, diffs

    def fingerprints(self, engine_class):
        """Blob, "diff of blob", "diff of layer[i]" -> its fingerprint, as the engine computes it."""
        weights, inputs, diffs = self.arrays()
        engine = engine_class(self.network, weights)
        result = dict(engine.forward(inputs, list(diffs)))
        if engine.has_gradients and self.type not in ("ArgMax", "Threshold", "BatchReindex", "Embed"):
            variables = [
                *inputs,
                *((layer, i) for layer, arrays in weights.items() for i in range(len(arrays))),
            ]
            gradients = engine.backward(inputs, diffs, variables)
            for key in variables:
                name = key if isinstance(key, str) else f"{key[0]}[{key[1]}]"
                result[f"diff of {name}"] = gradients[key]
        return {name: fingerprint(array) for name, array in result.items()}


def fingerprint(array):
    """[axes..., norm, two projections]: enough to tell a wrong, shifted or transposed array."""
    values = array.astype(np.float64).ravel()
    places = np.arange(values.size)
    numbers = np.abs(values).sum(), values @ np.cos(places), values @ np.sin(places * places)
    return [list(array.shape), *(float(f"{number:.9g}") for number in numbers)]


def assert_same_fingerprints(actual, expected, bound):
    """Of the blobs that both have; an engine without gradients has fewer."""
    for name, (shape, norm, *projections) in actual.items():
        expected_shape, expected_norm, *expected_projections = expected[name]
        assert shape == expected_shape, name
        pairs = zip([norm, *projections], [expected_norm, *expected_projections])
        assert max(abs(a - b) for a, b in pairs) <= bound * max(expected_norm, 1e-3), name


_V = Variant
_MAPS = (2, 4, 5, 6)
_RELU = layer_text("ReLU", "", ["y"], ["y"], "in_place")

VARIANTS = (
    *(
        _V("Pooling", f"pool: {pool} {options}", ties=pool == "MAX")
        for pool in ("MAX", "AVE")
        for options in (
            "kernel_size: 3 stride: 2",
            "kernel_size: 3 stride: 2 pad: 1",
            "kernel_size: 2 stride: 2",
            "kernel_size: 4 stride: 3 pad: 2",
            "kernel_size: 3 stride: 2 pad: 2",
            "kernel_size: 3 stride: 3 round_mode: FLOOR",
            "kernel_h: 2 kernel_w: 5 stride_h: 1 stride_w: 2 pad_h: 1 pad_w: 4",
            "kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 3",
            "kernel_size: 9 stride: 9",
            "kernel_size: 5 stride: 1 pad: 2",
        )
    ),
    _V("Pooling", "pool: MAX kernel_size: 3 stride: 2 pad: 1", tops=("y", "places"), ties=True),
    *(_V("SPP", f"pyramid_height: {height} pool: {pool}") for height in (1, 3) for pool in ("MAX", "AVE")),
    *(
        _V(kind, f"num_output: 6 {options}")
        for kind in ("Convolution", "Deconvolution")
        for options in (
            "kernel_size: 3 group: 2 dilation: 2 pad: 2",
            "kernel_h: 1 kernel_w: 5 stride_h: 2 stride_w: 3 pad_h: 2 pad_w: 1",
            "kernel_size: 3 kernel_size: 2 stride: 2 stride: 1 pad: 1 pad: 0 dilation: 1 dilation: 2",
            "kernel_size: 1",
            "kernel_size: 3 stride: 2 group: 2 bias_term: false",
        )
    ),
    _V("Convolution", "num_output: 6 kernel_size: 3", (_MAPS, _MAPS), ("y", "z")),
    _V("Convolution", "num_output: 6 kernel_size: 3 pad: 1 stride: 2", ((2, 4, 9),)),
    _V("Convolution", "num_output: 6 kernel_size: 3 pad: 1 stride: 2", ((2, 4, 5, 6, 7),)),
    *(
        _V("LRN", options, ((2, 7, 6, 5),))
        for options in (
            "",
            "local_size: 5",
            "local_size: 5 alpha: 1e-4 beta: 0.75",
            "local_size: 3 alpha: 2 beta: 0.5 k: 3",
            "local_size: 5 alpha: 1 norm_region: WITHIN_CHANNEL k: 2",
            "local_size: 1 alpha: 0.7",
        )
    ),
    *(
        _V("InnerProduct", f"num_output: 5 {options}")
        for options in ("", "bias_term: false", "axis: 3", "axis: -1", "axis: 2 transpose: true")
    ),
    *(
        _V(kind, options, ties=True)
        for kind, options in (
            ("ReLU", ""),
            ("ReLU", "negative_slope: 0.1"),
            ("PReLU", ""),
            ("ELU", ""),
            ("ELU", "alpha: 0.7"),
            ("AbsVal", ""),
            ("Threshold", "threshold: 0.5"),
        )
    ),
    _V("PReLU", "channel_shared: true"),
    _V("PReLU", "", ((3, 8),)),
    *(_V(kind) for kind in ("Sigmoid", "TanH", "BNLL", "Swish", "Dropout", "MVN", "BatchNorm")),
    _V("BatchNorm", "eps: 0.01 use_global_stats: true", ((4, 7),)),
    _V("BatchNorm", "use_global_stats: false eps: 0.01"),
    _V("Swish", "beta: 0.5"),
    _V("Clip", "min: -0.5 max: 0.7"),
    _V("MVN", "eps: 0.1"),
    _V("MVN", "across_channels: true"),
    _V("MVN", "normalize_variance: false"),
    *(
        _V("Power", options)
        for options in (
            "power: 2 scale: 0.5 shift: 1",
            "power: 0",
            "power: 3 scale: -1",
            "power: 1 scale: 2 shift: -1",
            "power: 2 scale: 0 shift: 3",
            "power: -2 scale: 2 shift: 30",
        )
    ),
    *(_V("Exp", options) for options in ("", "base: 10 scale: 0.2", "base: 2 shift: 3")),
    *(_V("Log", f"shift: 20 {options}") for options in ("", "base: 10 scale: 0.2")),
    *(_V("Softmax", f"axis: {axis}") for axis in (0, 1, 3, -2)),
    _V("Softmax", "", ((4, 9),)),
    *(
        _V("ArgMax", options, ties=True)
        for options in (
            "",
            "top_k: 3",
            "axis: 1 top_k: 2",
            "axis: -1 out_max_val: true",
            "out_max_val: true top_k: 2",
        )
    ),
    _V("ArgMax", "out_max_val: true top_k: 4", ((3, 12),), ties=True),
    *(_V("Concat", options, (_MAPS, _MAPS)) for options in ("", "axis: 0", "axis: -1", "concat_dim: 2")),
    _V("Concat", "", (_MAPS, (2, 3, 5, 6), (2, 1, 5, 6))),
    *(
        _V("Eltwise", options, (_MAPS,) * 3, ties="MAX" in options)
        for options in ("", "coeff: 2 coeff: -1 coeff: 0.5", "operation: PROD", "operation: MAX")
    ),
    *(
        _V(kind, options)
        for kind in ("Scale", "Bias")
        for options in ("", "axis: 0 num_axes: -1", "axis: 0 num_axes: 0", "axis: 2 num_axes: 2", "axis: -1")
    ),
    _V("Scale", "axis: 2 num_axes: 2 bias_term: true"),
    _V("Scale", "axis: 0", (_MAPS, (2, 4))),
    _V("Scale", "axis: 0 bias_term: true", (_MAPS, (2, 4))),
    _V("Scale", "", (_MAPS, (4, 5))),
    _V("Bias", "axis: 2", (_MAPS, (5,))),
    *(_V("Flatten", options) for options in ("", "axis: 2 end_axis: 3", "axis: 0 end_axis: 1", "axis: -2")),
    *(
        _V("Reshape", options)
        for options in (
            "shape { dim: 0 dim: -1 }",
            "shape { dim: 2 dim: -1 } axis: 1 num_axes: 1",
            "shape { dim: 1 } axis: -1 num_axes: 0",
            "shape { dim: 3 dim: -1 } axis: 2",
        )
    ),
    *(
        _V("Reduction", f"operation: {operation} axis: {axis} coeff: 0.5")
        for operation in ("SUM", "ASUM", "SUMSQ", "MEAN")
        for axis in (0, 1, -1)
    ),
    *(_V("Tile", f"axis: {axis} tiles: 3") for axis in (0, 1, -1)),
    *(
        _V("Slice", options, tops=tops)
        for options, tops in (
            ("", ("y", "z")),
            ("axis: 2 slice_point: 1 slice_point: 5", ("y", "z", "w")),
            ("slice_dim: 3 slice_point: 4", ("y", "z")),
            ("axis: -1 slice_point: 4", ("y", "z")),
        )
    ),
    _V("Split", tops=("y", "z")),
    *(
        _V("Crop", options, ((2, 4, 9, 11), like))
        for options, like in (
            ("", (2, 4, 5, 6)),
            ("axis: 1 offset: 1 offset: 2 offset: 3", (2, 3, 5, 6)),
            ("axis: 2 offset: 2", (2, 4, 5, 6)),
            ("axis: -1 offset: 2", (2, 4, 9, 6)),
        )
    ),
    _V(
        "Parameter",
        layers=layer_text("Parameter", "shape { dim: 3 dim: 4 }", [])
        + layer_text("ReLU", "", tops=["z"], name="relu"),
    ),
    _V(
        "Convolution",
        "in place, read twice",
        layers=layer_text("Convolution", "num_output: 6 kernel_size: 3")
        + _RELU
        + layer_text("Pooling", "kernel_size: 3 stride: 2", ["y"], ["p"], "pool")
        + layer_text("Eltwise", "operation: PROD", ["y", "y"], ["square"], "square"),
    ),
)


def expected_of_variants():
    """Variant's text -> name -> fingerprint, from real Caffe."""
    return json.loads(VARIANTS_FILE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    from camcaffe.caffe.engines.pycaffe import Engine

    lines = [f"{json.dumps(str(v))}: {json.dumps(v.fingerprints(Engine))}" for v in VARIANTS]
    VARIANTS_FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")

"""Small nets in the phase TRAIN, and what real Caffe makes of them."""

from dataclasses import dataclass, field

import numpy as np
from google.protobuf import text_format

from camcaffe.caffe import messages
from camcaffe.caffe.network import network_of
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.caffe.training.net import TrainingNet, training_parameters
from camcaffe.caffe.weights import fill_weights

SCRIPT = """
import glob
import caffe
import numpy as np

for prototxt in sorted(glob.glob("*.prototxt")):
    case = dict(np.load(prototxt + ".npz"))
    net = caffe.Net(prototxt, caffe.TRAIN)
    for name, blobs in net.params.items():
        for index, blob in enumerate(blobs):
            blob.data[...] = case["%s[%d]" % (name, index)]
    for name in net.inputs:
        net.blobs[name].data[...] = case[name]
    for _ in range(case["passes"]):
        net.clear_param_diffs()
        net.forward()
        net.backward()
    found = {name: net.blobs[name].data for name in net.outputs}
    for name, blobs in net.params.items():
        for index, blob in enumerate(blobs):
            found["%s[%d]" % (name, index)] = blob.data
            found["diff of %s[%d]" % (name, index)] = blob.diff
    np.savez(prototxt + ".found.npz", **found)
"""


@dataclass(frozen=True)
class Case:
    """A net's layers behind its inputs; the arrays are drawn unless given.

    Scores that a loss's gradient is wanted by are those of a Parameter layer.
    """

    layers: str
    inputs: dict = field(default_factory=dict)
    arrays: dict = field(default_factory=dict)
    passes: int = 1

    def text(self):
        shapes = {
            name: " ".join(f"dim: {size}" for size in array.shape) for name, array in self.inputs.items()
        }
        inputs = "".join(
            f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {shape} }} }} }}\n'
            for name, shape in shapes.items()
        )
        return inputs + self.layers

    def network(self, phase="TRAIN"):
        return network_of(text_format.Parse(self.text(), messages.NetParameter()), "net.prototxt", phase)

    def weights(self):
        network = self.network()
        weights = fill_weights(network, infer_shapes(network))
        random = np.random.RandomState(len(self.layers))
        for name, arrays in weights.items():
            for index, array in enumerate(arrays):
                given = self.arrays.get(f"{name}[{index}]")
                drawn = random.randn(*array.shape) / np.sqrt(array[:1].size)
                array[...] = drawn if given is None else given
        return weights

    def found(self, device="cpu"):
        """The outputs, the parameters and the gradients of the last pass, as ours are."""
        parameters = training_parameters(self.weights(), device)
        net = TrainingNet(self.network(), {}, parameters, device=device)
        for step in range(self.passes):
            for tensor in parameters.values():
                tensor.grad = None
            outputs = net.forward(self.inputs, step)
            net.backward(outputs)
        found = dict(outputs.blobs)
        for name, arrays in net.weights().items():
            for index, array in enumerate(arrays):
                found[f"{name}[{index}]"] = array
                gradient = parameters[name, index].grad
                found[f"diff of {name}[{index}]"] = (
                    np.zeros_like(array) if gradient is None else gradient.cpu().numpy().reshape(array.shape)
                )
        return found


def found_by_caffe(real_caffe, cases):
    """What `Case.found` gives, from real Caffe."""
    for number, case in enumerate(cases):
        path = real_caffe.folder / f"{number:03}.prototxt"
        path.write_text(case.text())
        weights = {f"{name}[{i}]": a for name, arrays in case.weights().items() for i, a in enumerate(arrays)}
        np.savez(f"{path}.npz", passes=case.passes, **case.inputs, **weights)
    (real_caffe.folder / "run.py").write_text(SCRIPT)
    real_caffe.run("env", "GLOG_minloglevel=2", "python3", "run.py", blas="Haswell")
    results = []
    for number in range(len(cases)):
        with np.load(real_caffe.folder / f"{number:03}.prototxt.found.npz") as found:
            results.append(dict(found))
    return results


def assert_equal_caffes(real_caffe, cases, bound=1e-6):
    """Every array within `bound`, relative to its largest value."""
    failures = []
    for case, expected in zip(cases, found_by_caffe(real_caffe, cases)):
        found = case.found()
        assert found.keys() == expected.keys(), case.layers
        for name, array in expected.items():
            assert found[name].shape == array.shape, (name, case.layers)
            error = np.abs(found[name] - array).max() / max(np.abs(array).max(), 1e-30)
            if not error <= bound and not np.array_equal(found[name], array, equal_nan=True):
                failures.append((float(error), name, case.layers, array.ravel()[:4].tolist()))
    assert not failures, failures[:9]

"""What is particular to ONNX Runtime; what it computes is tested in test_engines."""

import subprocess
import sys

import numpy as np
import pytest

from camcaffe.caffe.engines import onnxruntime as engine_module
from camcaffe.caffe.net import Net
from camcaffe.caffe.network import read_network
from camcaffe.errors import CamcaffeError

pytestmark = pytest.mark.onnx

LRN = """
layer {{ name: "data" type: "Input" top: "data"
  input_param {{ shape {{ dim: 2 dim: {channels} dim: 5 dim: 7 }} }} }}
layer {{ name: "norm" type: "LRN" bottom: "data" top: "norm" lrn_param {{ {options} }} }}
"""
RELU = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 7 } } }
layer { name: "a" type: "ReLU" bottom: "data" top: "a" }
layer { name: "b" type: "AbsVal" bottom: "a" top: "b" }
layer { name: "c" type: "TanH" bottom: "b" top: "c" }
layer { name: "d" type: "Sigmoid" bottom: "c" top: "d" }
layer { name: "e" type: "BNLL" bottom: "d" top: "e" }
"""


def _lrn(data, size, alpha, beta, k):
    padded = np.pad(data.astype(np.float64) ** 2, [(0, 0), (size // 2,) * 2, (0, 0), (0, 0)])
    sums = sum(padded[:, i : i + data.shape[1]] for i in range(size))
    return data / (k + alpha / size * sums) ** beta


@pytest.mark.parametrize("channels", [1, 3, 8, 96])
@pytest.mark.parametrize(
    ("size", "alpha", "beta", "k"),
    [(5, 1e-4, 0.75, 1), (3, 0.5, 0.75, 2), (9, 2, 0.75, 0.25), (5, 0.3, 0.5, 1), (1, 1, 0.75, 1)],
)
def test_lrn_equals_its_formula(tmp_path, channels, size, alpha, beta, k):
    path = tmp_path / "lrn.prototxt"
    options = f"local_size: {size} alpha: {alpha} beta: {beta} k: {k}"
    path.write_text(LRN.format(channels=channels, options=options))
    data = 20 * np.random.default_rng(0).standard_normal((2, channels, 5, 7)).astype(np.float32)
    expected = _lrn(data, size, alpha, beta, k)
    found = Net(path, engine="onnx").forward(data=data)["norm"]
    assert np.abs(found - expected).max() < 2e-6 * np.abs(expected).max()


@pytest.fixture
def sessions(monkeypatch):
    """The sessions that are made."""
    made = []
    make = engine_module.Engine._session

    def watched(self, model):
        made.append(make(self, model))
        return made[-1]

    monkeypatch.setattr(engine_module.Engine, "_session", watched)
    return made


def test_a_model_for_each_size_and_set_of_blobs(tmp_path, sessions):
    (tmp_path / "relu.prototxt").write_text(RELU)
    network = read_network(tmp_path / "relu.prototxt")
    engine = engine_module.Engine(network, {}, threads=1)
    for batch in (2, 1, 7, 2):
        data = np.full((batch, 3, 5, 7), -1, np.float32)
        assert engine.forward({"data": data}, ["a"])["a"].shape == (batch, 3, 5, 7)
    assert len(sessions) == 1
    assert sessions[0].get_session_options().intra_op_num_threads == 1
    engine.forward({"data": np.zeros((2, 3, 6, 7), np.float32)}, ["a"])
    engine.forward({"data": np.zeros((2, 3, 5, 7), np.float32)}, ["a", "b"])
    assert len(sessions) == 3
    engine.forward({"data": np.zeros((3, 3, 5, 7), np.float32)}, ["a"])
    assert len(sessions) == 3
    for blob in "bcde":
        engine.forward({"data": np.zeros((2, 3, 5, 7), np.float32)}, [blob])
    assert len(sessions) == 7
    engine.forward({"data": np.zeros((2, 3, 5, 7), np.float32)}, ["a"])
    assert len(sessions) == 8  # old models have made room


def test_a_net_of_one_batch_size_gets_a_model_for_each(tmp_path, sessions):
    options = "slice_param { axis: 0 slice_point: 1 }"
    text = RELU.split('layer { name: "b"')[0]
    text += f'layer {{ name: "s" type: "Slice" bottom: "a" top: "s" top: "t" {options} }}'
    (tmp_path / "slice.prototxt").write_text(text)
    engine = engine_module.Engine(read_network(tmp_path / "slice.prototxt"), {})
    for batch in (2, 5, 2):
        data = np.arange(batch * 105, dtype=np.float32).reshape(batch, 3, 5, 7)
        np.testing.assert_array_equal(engine.forward({"data": data}, ["t"])["t"], data[1:])
    assert len(sessions) == 3


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"precision": "float16"}, "precision: float16 on the engine onnx; expected float32"),
        ({"device": "cuda"}, "device: cuda on the engine onnx; expected cpu"),
    ],
)
def test_what_it_does_not_have(tmp_path, options, line):
    (tmp_path / "relu.prototxt").write_text(RELU)
    with pytest.raises(CamcaffeError, match=line):
        Net(tmp_path / "relu.prototxt", engine="onnx", **options).forward()


PROGRAM = """
import re, sys
from pathlib import Path
import numpy as np
from camcaffe.caffe.net import Net

net = Net(sys.argv[1], engine="onnx", threads=2)
data = np.ones((10, 3, 224, 224), np.float32)
for _ in range(2):
    net.forward(blobs=["CAM_conv"], data=data)
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_memory_of_ten_crops(reference):
    prototxt = reference / "cam_repo" / "deploy_googlenetCAM_places205.prototxt"
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(prototxt)], stdout=subprocess.PIPE, check=True, text=True
    )
    assert int(run.stdout) / 1024 < 600

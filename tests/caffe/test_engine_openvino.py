"""What is particular to OpenVINO; what it computes is tested in test_engines."""

import numpy as np
import pytest

from camcaffe.caffe.net import Net
from camcaffe.errors import CamcaffeError

pytestmark = pytest.mark.openvino

PROTOTXT = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 16 dim: 9 dim: 7 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 32 kernel_size: 3 weight_filler { type: "xavier" } } }
"""


@pytest.fixture
def prototxt(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(PROTOTXT)
    return path


@pytest.mark.parametrize(("precision", "name"), [("bfloat16", "bf16"), ("float16", "f16")])
def test_lower_precision_where_the_cpu_has_it(prototxt, precision, name):
    net = Net(prototxt, engine="openvino", precision=precision)
    data = np.random.default_rng(0).standard_normal((2, 16, 9, 7)).astype(np.float32)
    if not _has(name):
        with pytest.raises(CamcaffeError, match=f"precision: {precision} .* this cpu; expected float32"):
            net.forward(data=data)
        return
    exact = Net(prototxt, engine="openvino").forward(data=data)["conv"]
    rough = net.forward(data=data)["conv"]
    assert 0 < np.abs(rough - exact).max() < 0.02 * np.abs(exact).max()


def _has(precision):
    import openvino

    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_PRECISION_HINT": precision})
    return core.get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name() == precision


def test_unknown_device(prototxt):
    with pytest.raises(CamcaffeError, match=r"device: npu7 on the engine openvino; expected .*cpu"):
        Net(prototxt, engine="openvino", device="npu7").forward()


def test_batch_and_size_change(prototxt):
    net = Net(prototxt, engine="openvino", threads=1)
    for shape in ((2, 16, 9, 7), (5, 16, 9, 7), (1, 16, 4, 12), (2, 16, 9, 7)):
        out = net.forward(data=np.ones(shape))["conv"]
        assert out.shape == (shape[0], 32, shape[2] - 2, shape[3] - 2)
        np.testing.assert_allclose(out[0, :, 0, 0], net.params["conv"][0].data.sum(axis=(1, 2, 3)), atol=1e-5)

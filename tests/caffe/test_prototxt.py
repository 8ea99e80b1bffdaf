import importlib

import pytest
from google.protobuf import text_format

from camcaffe.caffe import messages
from camcaffe.caffe.prototxt import net_to_text, read_prototxt, read_solver
from camcaffe.errors import CamcaffeError

NET = b"""name: "n"
layer {
  name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 4 dim: 5 } }
}
layer {
  name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 2 kernel_size: 3 }
}
"""


@pytest.fixture
def write(tmp_path):
    def write(data):
        path = tmp_path / "net.prototxt"
        path.write_bytes(data)
        return path

    return write


def test_reads_what_is_written(write):
    net = read_prototxt(write(NET))
    assert net.name == "n" and [layer.type for layer in net.layer] == ["Input", "Convolution"]
    assert list(net.layer[1].convolution_param.kernel_size) == [3]
    assert text_format.Parse(net_to_text(net), messages.NetParameter()) == net


def test_comments_need_not_be_utf8(write):
    comment = "# 卷积层\n".encode("gbk")
    assert read_prototxt(write(comment + NET.replace(b"\r", b""))) == read_prototxt(write(NET))
    assert read_prototxt(write(NET.replace(b"\n", b"\r\n"))) == read_prototxt(write(NET))


def test_names_in_utf8(write):
    net = read_prototxt(write(NET.replace(b'"c"', '"höhe"'.encode())))
    assert net.layer[1].name == "höhe"
    assert "höhe" in net_to_text(net)


@pytest.mark.parametrize(
    ("data", "line", "match"),
    [
        (
            NET.replace(b"kernel_size", b"kernelsize"),
            8,
            '"ConvolutionParameter" has no field named "kernelsize"',
        ),
        (NET.replace(b"num_output: 2", b"num_output: x"), 8, "Couldn't parse integer: x"),
        (NET.replace(b"num_output: 2", b"num_output: -2"), 8, "-2"),
        (NET.replace(b"num_output: 2", b"num_output: 4294967296"), 8, "4294967296"),
        (NET.replace(b"kernel_size: 3", b"engine: OPENCL"), 8, "no value named OPENCL"),
        (NET.replace(b'top: "c"', b'top: "c'), 7, "String missing ending quote"),
        (NET[: NET.rindex(b"}")], None, 'Expected "}"'),
        (NET.replace(b'name: "n"', b'name: "n" name: "m"'), 1, "multiple"),
        (NET.replace(b'name: "n"', b"force_backward: perhaps"), 1, "perhaps"),
        (NET.replace(b'name: "n"', b'name: "\xb0"'), None, "(?i)utf-8"),
        (NET.replace(b'name: "n"', b'name: \xb0"n"'), 1, "Expected|udcb0"),
        (b"net: 'x.prototxt'\nbase_lr: 0.1\n", 1, 'no field named "net"'),
        (b"<!DOCTYPE html>\n<html>404</html>\n", 1, "Expected"),
        (NET + b"layer { clip_param { min: 0 } }", None, r"layer\[2\].clip_param.max is missing"),
        (NET + b"\0", None, "binary data, not text"),
        (b"\x0a\x04name\xa2\x06\x00", None, "binary data, not text"),
        (b"", None, "the file is empty"),
    ],
)
def test_errors_name_file_and_line(write, data, line, match):
    path = write(data)
    with pytest.raises(CamcaffeError, match=match) as error:
        read_prototxt(path)
    text = str(error.value)
    assert text.startswith(f"{path}:{line}: " if line else str(path))
    assert "expected a prototxt that describes a net" in text
    text.encode("utf-8")  # so that any terminal can show it


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(CamcaffeError, match=r"none.prototxt: no such file"):
        read_prototxt(tmp_path / "none.prototxt")
    with pytest.raises(CamcaffeError, match="is a directory"):
        read_prototxt(tmp_path)


def test_solver(reference, write):
    solver = read_solver(reference / "cam_repo" / "solver_imagenet_googlenetCAM.prototxt")
    assert (solver.lr_policy, solver.stepsize, solver.max_iter) == ("step", 40000, 160000)
    assert solver.base_lr == pytest.approx(0.001) and solver.type == "SGD"
    with pytest.raises(CamcaffeError, match=r":1: .*no field named \"layer\".* solver's settings"):
        read_solver(write(NET.replace(b'name: "n"\n', b"")))


@pytest.mark.pycaffe
def test_text_reads_in_caffe(reference, tmp_path):
    caffe_pb2 = importlib.import_module("caffe.proto.caffe_pb2")
    for path in reference.glob("cam_repo/*deploy*.prototxt"):
        net = read_prototxt(path)
        real = text_format.Parse(net_to_text(net), caffe_pb2.NetParameter())
        assert real.SerializeToString(deterministic=True) == net.SerializeToString(deterministic=True)

import importlib
import struct
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest
from google.protobuf import text_format

from camcaffe.caffe import messages
from camcaffe.caffe.caffemodel import read_caffemodel, read_net, weights_of, write_caffemodel
from camcaffe.caffe.network import network_of, read_network
from camcaffe.errors import CamcaffeError

VALUES = np.array([[0.1, -2.5, 3e-30], [1e30, -0.0, 7]], np.float32)
BLOB = {"shape": {"dim": [2, 3]}, "data": VALUES.ravel().tolist()}
LEGACY = {"num": 1, "channels": 1, "height": 2, "width": 3, "data": VALUES.ravel().tolist()}
NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 2 } }
layer { name: "relu" type: "ReLU" bottom: "fc" top: "fc" }
"""


@pytest.fixture
def write(tmp_path):
    def write(data):
        path = tmp_path / "net.caffemodel"
        path.write_bytes(data if isinstance(data, bytes) else data.SerializeToString())
        return path

    return write


def _network():
    return network_of(text_format.Parse(NET, messages.NetParameter()), "net.prototxt")


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        ({"layer": [{"name": "fc", "blobs": [BLOB]}]}, (2, 3)),
        ({"layer": [{"name": "fc", "blobs": [LEGACY]}]}, (1, 1, 2, 3)),
        ({"layers": [{"name": "fc", "blobs": [LEGACY]}]}, (1, 1, 2, 3)),
        ({"layers": [{"layer": {"name": "fc", "type": "innerproduct", "blobs": [LEGACY]}}]}, (1, 1, 2, 3)),
        ({"layer": [{"name": "r", "type": "ReLU"}, {"name": "fc", "blobs": [BLOB]}]}, (2, 3)),
    ],
    ids=["V2", "V2 with legacy shape", "V1", "V0", "layers without weights"],
)
def test_every_version(write, net, shape):
    weights = read_caffemodel(write(messages.NetParameter(**net)))
    assert list(weights) == ["fc"]
    (array,) = weights["fc"]
    assert array.dtype == np.float32 and array.shape == shape
    assert array.tobytes() == VALUES.tobytes()
    assert array.flags.c_contiguous and array.flags.writeable


def test_doubles_become_floats(write):
    blob = {"shape": {"dim": [2]}, "double_data": [1 / 3, 1e300]}
    weights = read_caffemodel(write(messages.NetParameter(layer=[{"name": "a", "blobs": [blob]}])))
    assert weights["a"][0].dtype == np.float32
    np.testing.assert_array_equal(weights["a"][0], np.array([np.float32(1 / 3), np.inf]))


@pytest.mark.parametrize(
    "data",
    [
        b"".join(b"\x2d" + struct.pack("<f", v) for v in VALUES.ravel()),  # each number with its own tag
        b"\x2a\x08" + VALUES.tobytes()[:8] + b"\x2a\x10" + VALUES.tobytes()[8:],  # two packed runs
        b"\x2a\x08"
        + VALUES.tobytes()[:8]
        + b"".join(b"\x2d" + struct.pack("<f", v) for v in VALUES.flat[2:]),
    ],
    ids=["unpacked", "two runs", "mixed"],
)
def test_other_ways_to_write_the_numbers(write, data):
    blob = messages.BlobProto(shape={"dim": [2, 3]}).SerializeToString() + data
    layer = b"\x0a\x02fc\x3a" + bytes([len(blob)]) + blob
    weights = read_caffemodel(write(b"\xa2\x06" + bytes([len(layer)]) + layer))
    assert weights["fc"][0].tobytes() == VALUES.tobytes()


def test_scalars_and_nets_without_weights(write):
    net = messages.NetParameter(layer=[{"name": "p", "blobs": [{"data": [0.25]}]}])
    assert read_caffemodel(write(net))["p"][0].shape == ()
    assert read_caffemodel(write(messages.NetParameter(layer=[{"name": "r"}]))) == {}


@pytest.mark.parametrize("name", ["new.caffemodel", "new.caffemodel.h5"])
def test_written_weights_come_back(tmp_path, name):
    weights = {"fc": [VALUES, np.array([1, np.float32(1e-40)], np.float32)]}
    write_caffemodel(tmp_path / name, _network(), weights)
    read = read_caffemodel(tmp_path / name)
    assert list(read) == ["fc"]
    assert [array.tobytes() for array in read["fc"]] == [array.tobytes() for array in weights["fc"]]
    assert [array.shape for array in read["fc"]] == [(2, 3), (2,)]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_written_file_describes_the_net(tmp_path):
    path = tmp_path / "new.caffemodel"
    write_caffemodel(path, _network(), {"fc": [VALUES, VALUES[:, 0]]})
    net = read_net(path)
    assert [layer.type for layer in net.layer] == ["Input", "InnerProduct", "ReLU"]
    assert weights_of(net, path)["fc"][0].tobytes() == VALUES.tobytes()
    assert weights_of(_network().message, "net.prototxt") == {}


def test_hdf5_with_slashes_in_names(tmp_path):
    path = tmp_path / "net.caffemodel"  # told by its content, not its name
    with h5py.File(path, "w") as file:
        file["data/conv1/7x7_s2/0"] = VALUES
        file["data/conv1/7x7_s2/1"] = VALUES[0].astype(np.float64)
    weights = read_caffemodel(path)
    assert list(weights) == ["conv1/7x7_s2"]
    assert [array.shape for array in weights["conv1/7x7_s2"]] == [(2, 3), (3,)]
    assert weights["conv1/7x7_s2"][1].dtype == np.float32
    with pytest.raises(CamcaffeError, match="HDF5 file, which has weights but no description"):
        read_net(path)


@pytest.mark.parametrize(
    ("items", "match"),
    [
        ({"other/0": VALUES}, "HDF5 file without the group 'data'"),
        ({"data/fc/1": VALUES}, r"layer 'fc' has the blobs \['1'\]; expected 0, 1"),
        ({"data/0": VALUES}, r"layer '' has the blobs"),
        ({"data/fc/0": np.array([1, 2])}, "dataset 'fc/0' is of type int64; expected floats"),
    ],
)
def test_hdf5_errors(tmp_path, items, match):
    path = tmp_path / "net.caffemodel.h5"
    with h5py.File(path, "w") as file:
        for name, value in items.items():
            file[name] = value
    with pytest.raises(CamcaffeError, match=match):
        read_caffemodel(path)


def test_hdf5_bombs(tmp_path):
    path = tmp_path / "net.caffemodel.h5"
    with h5py.File(path, "w") as file:  # nothing is stored: a terabyte of zeros in 2 KB
        file.create_dataset("data/fc/0", (2**19, 2**19), "f4", chunks=(1024, 1024))
    with pytest.raises(CamcaffeError, match=r"dataset 'fc/0' of shape \(524288, 524288\) in a file of"):
        read_caffemodel(path)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (
            messages.NetParameter(layer=[{"name": "fc", "blobs": [BLOB]}]).SerializeToString()[:-1],
            "40 bytes are cut",
        ),
        (b"<!DOCTYPE html><html>not found</html>", "it is a web page; expected a caffemodel"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"", "the file is empty"),
        (b"\xff" * 50, "50 bytes are cut short, damaged or something else"),
        (NET.encode(), "bytes are cut short, damaged or something else"),
        (messages.NetParameter(name="only a name"), "bytes are cut short, damaged or something else"),
        (
            messages.NetParameter(
                layer=[{"name": "a", "blobs": [{"shape": {"dim": [3, 3]}, "data": [1, 2]}]}]
            ),
            r"layer 'a': a blob has the shape \(3, 3\) but 2 values",
        ),
        (
            messages.NetParameter(
                layer=[{"name": "a", "blobs": [{"shape": {"dim": [2**40, 2**40]}, "data": [1]}]}]
            ),
            r"layer 'a': a blob has the shape \(1099511627776, 1099511627776\) but 1 values",
        ),
        (
            messages.NetParameter(
                layer=[{"name": "a", "blobs": [{"shape": {"dim": [-1, -2]}, "data": [1, 2]}]}]
            ),
            r"layer 'a': a blob has the shape \(-1, -2\)",
        ),
        (
            messages.NetParameter(layer=[{"name": "a", "blobs": [{"num": 2, "data": [1]}]}]),
            r"\(2, 0, 0, 0\) but 1",
        ),
        (
            messages.NetParameter(layer=[{"name": "a", "blobs": [BLOB]}] * 2),
            "two layers with weights are named 'a'",
        ),
        (b"\xa2\x06\x0a\x0a\x02\xff\xfe\x3a\x04\x2a\x02\x00\x00", "cut short|name is not UTF-8"),
    ],
)
def test_errors(write, data, match):
    path = write(data)
    with pytest.raises(CamcaffeError, match=match) as error:
        read_caffemodel(path)
    assert str(error.value).startswith(str(path))


def test_missing_file(tmp_path):
    with pytest.raises(CamcaffeError, match="none: no such file or directory; expected a caffemodel"):
        read_caffemodel(tmp_path / "none")


def test_nets_of_the_reference(reference):
    weights = read_caffemodel(reference / "caffe" / "squeezenetCAM.caffemodel")
    assert sum(array.size for arrays in weights.values() for array in arrays) == 1_248_424
    assert weights["CAM_fc"][0].shape == (1000, 512)


def test_large_files_take_their_size_and_no_lists_of_numbers(tmp_path):
    # 160 MB of weights: a list of floats would take 1.3 GB.
    path = tmp_path / "large.caffemodel"
    net = network_of(text_format.Parse(NET, messages.NetParameter()), "net.prototxt")
    write_caffemodel(path, net, {"fc": [np.zeros((4000, 10000), np.float32)], "relu": []})
    script = """
        import resource, sys
        from camcaffe.caffe.caffemodel import read_caffemodel
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        read_caffemodel(sys.argv[1])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    output = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), path], capture_output=True, check=True, text=True
    ).stdout
    assert int(output) * 1024 < 3.2 * 160e6


@pytest.mark.pycaffe
@pytest.mark.parametrize("suffix", ["", ".h5"])
def test_caffe_reads_what_is_written(tmp_path, reference, suffix):
    pycaffe = importlib.import_module("caffe.pycaffe")
    folder = reference / "caffe" / "layers"
    for name in ("conv_group_0", "batchnorm_scale_1", "prelu_1", "ip_transpose_0"):
        network = read_network(folder / f"{name}.prototxt")
        weights = read_caffemodel(folder / f"{name}.caffemodel")
        rng = np.random.default_rng(1)
        weights = {
            layer: [rng.standard_normal(array.shape, np.float32) for array in arrays]
            for layer, arrays in weights.items()
        }
        path = tmp_path / f"{name}.caffemodel{suffix}"
        write_caffemodel(path, network, weights)
        net = pycaffe.Net(str(folder / f"{name}.prototxt"), 1, weights=str(path))
        assert {layer: [blob.data.tobytes() for blob in blobs] for layer, blobs in net.params.items()} == {
            layer: [array.tobytes() for array in arrays] for layer, arrays in weights.items()
        }


@pytest.mark.pycaffe
def test_reads_what_caffe_writes(tmp_path, reference):
    pycaffe = importlib.import_module("caffe.pycaffe")
    folder = reference / "caffe" / "layers"
    for name in ("conv_group_0", "batchnorm_scale_1", "prelu_1", "deconv_0"):
        net = pycaffe.Net(str(folder / f"{name}.prototxt"), 1)
        net.save(str(tmp_path / "net.caffemodel"))
        net.save_hdf5(str(tmp_path / "net.caffemodel.h5"))
        for file in ("net.caffemodel", "net.caffemodel.h5"):
            weights = read_caffemodel(tmp_path / file)
            assert {layer: [array.tobytes() for array in arrays] for layer, arrays in weights.items()} == {
                layer: [blob.data.tobytes() for blob in blobs] for layer, blobs in net.params.items()
            }

import numpy as np
import pytest

from camcaffe import CamcaffeError
from camcaffe.caffe import messages
from camcaffe.caffe.mean import read_mean

MEAN = np.random.default_rng(0).normal(110, 20, (3, 256, 256)).astype(np.float32)


@pytest.mark.parametrize("legacy", [True, False])
def test_binaryproto(tmp_path, legacy):
    blob = messages.BlobProto(data=MEAN.ravel().tolist())
    if legacy:
        blob.num, blob.channels, blob.height, blob.width = 1, 3, 256, 256
    else:
        blob.shape.dim.extend([1, 3, 256, 256])
    (tmp_path / "mean.binaryproto").write_bytes(blob.SerializeToString())
    np.testing.assert_array_equal(read_mean(tmp_path / "mean.binaryproto"), MEAN)


def test_npy(tmp_path):
    np.save(tmp_path / "mean.npy", MEAN.astype(np.float64))
    np.testing.assert_array_equal(read_mean(tmp_path / "mean.npy"), MEAN)


def test_numbers():
    np.testing.assert_array_equal(read_mean("104,117,123.5"), np.array([104, 117, 123.5], np.float32))


def test_mat(reference):
    assert read_mean(reference / "cam_repo" / "ilsvrc_2012_mean.mat").shape == (3, 256, 256)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mean.binaryproto", b"<html>not found</html>", "not readable"),
        ("mean.binaryproto", messages.BlobProto(data=[1.0] * 5, num=6).SerializeToString(), "not readable"),
        ("mean.npy", b"\x93NUMPY\x01\x00", "not readable"),
        ("mean.npy", b"", "the file is empty"),
        ("mean.txt", b"104", "neither numbers nor a file of a known kind; expected a mean of three colours"),
    ],
    ids=["page", "shape", "cut", "empty", "kind"],
)
def test_refuses_damaged_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CamcaffeError, match=f"{name}: {message}"):
        read_mean(tmp_path / name)


def test_refuses_other_shapes_and_nan(tmp_path):
    np.save(tmp_path / "mean.npy", MEAN[:, :227, :227])
    with pytest.raises(CamcaffeError, match=r"mean\.npy: a mean of shape \(3, 227, 227\)"):
        read_mean(tmp_path / "mean.npy")
    with pytest.raises(CamcaffeError, match=r"104,117: a mean of shape \(2,\)"):
        read_mean("104,117")
    with pytest.raises(CamcaffeError, match="104,nan,123: the mean holds NaN"):
        read_mean("104,nan,123")


def test_refuses_pickles(tmp_path):
    np.save(tmp_path / "mean.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(CamcaffeError, match=r"mean\.npy: not readable .*allow_pickle"):
        read_mean(tmp_path / "mean.npy")

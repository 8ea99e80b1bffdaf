import h5py
import numpy as np
import pytest
from data_layers import data_layers

from camcaffe import CamcaffeError
from camcaffe.caffe.training.sources import open_source

ROWS = (5, 3, 4)


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i, rows in enumerate(ROWS):
        numbers = np.arange(rows) + sum(ROWS[:i])
        write(f"{i}.h5", data=numbers[:, None, None] * np.ones((2, 3)) / 7, label=numbers)
    (tmp_path / "files.txt").write_text("0.h5\n1.h5 2.h5\n")


def write(name, **datasets):
    with h5py.File(name, "w") as file:
        for key, values in datasets.items():
            file[key] = values


def source(extra="", seed=0, batch_size=4, tops='top: "data" top: "label"', listed="files.txt"):
    text = f"""layer {{ name: "data" type: "HDF5Data" {tops}
        hdf5_data_param {{ source: "{listed}" batch_size: {batch_size} {extra} }} }}"""
    return open_source(data_layers(text)[0], "TRAIN", seed)


def test_round_and_round_from_any_batch():
    read = source()
    assert read.shapes == ((4, 2, 3), (4,))
    for index in [0, 1, 2, 3, 300, 2, 0]:
        numbers = (4 * index + np.arange(4)) % 12
        data, label = read.batch(index)
        assert data.dtype == label.dtype == np.float32
        np.testing.assert_array_equal(label, numbers)
        np.testing.assert_array_equal(data[:, 1, 2], (numbers / 7).astype(np.float32))


def test_shuffle_goes_file_by_file():
    epochs = np.concatenate([source("shuffle: true").batch(index)[1] for index in range(12)]).reshape(4, 12)
    np.testing.assert_array_equal(np.sort(epochs, 1), np.tile(np.arange(12), (4, 1)))
    assert len({tuple(epoch) for epoch in epochs}) == 4
    file_of = np.repeat(np.arange(3), ROWS)
    for epoch in epochs.astype(int):
        assert np.count_nonzero(np.diff(file_of[epoch])) == 2
    read = source("shuffle: true")
    for index in [7, 0, 11]:
        np.testing.assert_array_equal(read.batch(index)[1], epochs.reshape(12, 4)[index])


def test_shuffle_of_one_file(tmp_path):
    (tmp_path / "one.txt").write_text("0.h5")
    epochs = [source("shuffle: true", batch_size=5, listed="one.txt").batch(index)[1] for index in range(20)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 10


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"data": np.zeros((4, 2, 3))}, "no dataset 'label'; expected an HDF5 file with a dataset for"),
        ({"data": np.zeros((4, 2, 3)), "label": np.zeros(5)}, "rows: 4 of 'data', 5 of 'label'; expected as"),
        ({"data": np.zeros((4, 2, 2)), "label": np.zeros(4)},
         r"datasets of shape \(4, 2, 2\), \(4,\); expected rows as those of 0.h5"),
        ({"data": np.zeros((4, 6)), "label": np.zeros(4)}, r"datasets of shape \(4, 6\), \(4,\); expected"),
        ({"data": np.zeros((4, 2, 3)), "label": 3.0}, r"dataset 'label' has the shape \(\)"),
        ({"data": np.zeros((0, 2, 3)), "label": np.zeros(0)}, r"dataset 'data' has the shape \(0, 2, 3\)"),
        ({"data": np.zeros((4, 2, 3)), "label": np.array([b"cat"] * 4)}, r"dataset 'label' is of type \|S3"),
        ({"data/inner": np.zeros(3)}, "no dataset 'data'"),
    ],
    ids=["missing", "rows", "columns", "rank", "scalar", "empty", "text", "group"],
)  # fmt: skip
def test_refuses_datasets(datasets, message):
    write("1.h5", **datasets)
    with pytest.raises(CamcaffeError, match=f"^1.h5: {message}"):
        source()


def test_refuses_files(tmp_path):
    with pytest.raises(CamcaffeError, match=r"^absent.txt: no such file"):
        source(listed="absent.txt")
    (tmp_path / "blank.txt").write_text(" \n")
    with pytest.raises(CamcaffeError, match=r"^blank.txt: no name in it"):
        source(listed="blank.txt")
    content = (tmp_path / "1.h5").read_bytes()
    for cut in (b"", b"text", content[:-100]):
        (tmp_path / "1.h5").write_bytes(cut)
        with pytest.raises(CamcaffeError, match=r"^1.h5: not readable \("):
            source()
    (tmp_path / "1.h5").unlink()
    with pytest.raises(CamcaffeError, match=r"^1.h5: no such file"):
        source()


def test_refuses_settings():
    with pytest.raises(CamcaffeError, match=r"^layer 'data': batch_size is 0"):
        source(batch_size=0)
    with pytest.raises(CamcaffeError, match=r"^layer 'data': 0 tops; expected from 1 to inf for HDF5Data"):
        source(tops="")
    text = """layer { name: "data" type: "HDF5Data" top: "data" transform_param { }
        hdf5_data_param { source: "files.txt" batch_size: 4 } }"""
    with pytest.raises(
        CamcaffeError, match=r"^layer 'data': it has a transform_param; expected none for HDF5Data"
    ):
        open_source(data_layers(text)[0], "TEST")

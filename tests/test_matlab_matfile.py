import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from camcaffe import CamcaffeError
from camcaffe.matlab import loadmat

NUMBERS = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
WORDS = ["n01440764 tench", "", "überraschung"]


def words_as_cells():
    cells = np.empty((3, 1), dtype=object)
    cells[:, 0] = WORDS
    return cells


def write_v5(path, **options):
    structs = np.array([[(1.0, "one")], [(2.0, "two")]], dtype=[("id", object), ("name", object)])
    scipy.io.savemat(
        path,
        {"numbers": NUMBERS, "text": "tench", "cells": words_as_cells(), "structs": structs,
         "one": {"id": 7.0}, "flag": np.array([[True, False]])},
        **options,
    )  # fmt: skip
    return path


def write_v73(path):
    """The same variables as MATLAB's `save -v7.3` lays them out."""
    with h5py.File(path, "w", userblock_size=512) as file:

        def put(name, value, kind):
            item = file.create_dataset(name, data=value)
            item.attrs["MATLAB_class"] = np.bytes_(kind)
            return item

        def characters(text):
            return np.array([[ord(letter)] for letter in text], dtype=np.uint16)

        def refer(name, items):
            grid = np.array([[item.ref for item in items]], dtype=h5py.ref_dtype)
            return file.create_dataset(name, data=grid, dtype=h5py.ref_dtype)

        put("numbers", NUMBERS.T, "single")
        put("text", characters("tench"), "char")
        put("flag", np.array([[1], [0]], dtype=np.uint8), "logical").attrs["MATLAB_int_decode"] = 1
        words = []
        for index, word in enumerate(WORDS):
            if word:
                words.append(put(f"#refs#/{index}", characters(word), "char"))
            else:
                words.append(put(f"#refs#/{index}", np.array([0, 0], dtype=np.uint64), "char"))
                words[-1].attrs["MATLAB_empty"] = np.uint8(1)
        refer("cells", words).attrs["MATLAB_class"] = np.bytes_("cell")
        group = file.create_group("one")
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        put("one/id", np.array([[7.0]]), "double")
        group = file.create_group("structs")
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        refer("structs/id", [put(f"#refs#/id{n}", np.array([[n]]), "double") for n in (1.0, 2.0)])
        refer("structs/name", [put(f"#refs#/name{n}", characters(n), "char") for n in ("one", "two")])
    return path


@pytest.fixture(params=["v5", "v7", "v7.3"])
def variables(request, tmp_path):
    path = tmp_path / "variables.mat"
    if request.param == "v7.3":
        return loadmat(write_v73(path))
    return loadmat(write_v5(path, do_compression=request.param == "v7"))


def test_numbers_have_matlabs_shape(variables):
    np.testing.assert_array_equal(variables["numbers"], NUMBERS)
    assert variables["numbers"].dtype == np.float32


def test_text_and_cells(variables):
    assert variables["text"] == "tench"
    assert variables["cells"].shape == (3, 1)
    assert variables["cells"][:, 0].tolist() == WORDS


def test_structs(variables):
    assert variables["structs"].shape == (2, 1)
    assert [one["name"] for one in variables["structs"][:, 0]] == ["one", "two"]
    assert [one["id"].item() for one in variables["structs"][:, 0]] == [1, 2]
    assert variables["one"]["id"].item() == 7


def test_logicals(variables):
    np.testing.assert_array_equal(variables["flag"].astype(bool), [[True, False]])


def test_version_4(tmp_path):
    scipy.io.savemat(tmp_path / "v4.mat", {"numbers": NUMBERS[0], "text": "tench"}, format="4")
    variables = loadmat(tmp_path / "v4.mat")
    np.testing.assert_array_equal(variables["numbers"], NUMBERS[0])
    assert variables["text"] == "tench"


def test_several_rows_of_text(tmp_path):
    scipy.io.savemat(tmp_path / "rows.mat", {"rows": np.array(["ab", "cd"])})
    assert loadmat(tmp_path / "rows.mat")["rows"] == ["ab", "cd"]


def test_hdf5_without_matlabs_attributes(tmp_path):
    with h5py.File(tmp_path / "plain.mat", "w") as file:
        file["numbers"] = NUMBERS.T
    np.testing.assert_array_equal(loadmat(tmp_path / "plain.mat")["numbers"], NUMBERS)


def test_sparse_matrices(tmp_path):
    matrix = scipy.sparse.csc_matrix(np.eye(3))
    scipy.io.savemat(tmp_path / "sparse.mat", {"matrix": matrix})
    np.testing.assert_array_equal(loadmat(tmp_path / "sparse.mat")["matrix"], np.eye(3))
    with h5py.File(tmp_path / "sparse73.mat", "w") as file:
        file.create_group("matrix").attrs["MATLAB_sparse"] = np.uint64(3)
    with pytest.raises(CamcaffeError, match=r"sparse73\.mat: .*sparse matrix in HDF5; expected numbers"):
        loadmat(tmp_path / "sparse73.mat")


@pytest.mark.parametrize("write", [write_v5, write_v73])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_refuses_a_file_cut_short(tmp_path, write, share):
    data = write(tmp_path / "whole.mat").read_bytes()
    (tmp_path / "cut.mat").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CamcaffeError, match=r"cut\.mat: not readable .*; expected a MATLAB .mat file"):
        loadmat(tmp_path / "cut.mat")


@pytest.mark.parametrize("content", [b"<html>", b"x" * 4096, b"\x00" * 700], ids=["html", "x", "zeros"])
def test_refuses_what_is_no_mat_file(tmp_path, content):
    (tmp_path / "not.mat").write_bytes(content)
    with pytest.raises(CamcaffeError, match=r"not\.mat: not readable"):
        loadmat(tmp_path / "not.mat")


def test_refuses_missing_and_empty_files(tmp_path):
    with pytest.raises(CamcaffeError, match=r"gone\.mat: no such file"):
        loadmat(tmp_path / "gone.mat")
    (tmp_path / "empty.mat").touch()
    with pytest.raises(CamcaffeError, match=r"empty\.mat: the file is empty"):
        loadmat(tmp_path / "empty.mat")

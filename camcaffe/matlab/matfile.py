"""MATLAB's `load` of .mat files, versions 4 to 7.3."""

from __future__ import annotations

import inspect
import io

import numpy as np

from camcaffe import files
from camcaffe.errors import CamcaffeError

_EXPECTED = "a MATLAB .mat file"
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def loadmat(path: files.PathLike) -> dict:
    """The variables of a .mat file, the same whichever version of the format holds them.

    Versions 4 to 7 are read by SciPy, 7.3 (HDF5) by h5py.

    Args:
        path: the file.

    Returns:
        Name -> value: numbers, sparse matrices too, as arrays of MATLAB's shape (two dimensions or
        more), a row of characters as `str` (several rows: a list of them), a cell array as an object
        array of such values, a struct as a dict, a struct array as an object array of dicts.

    Raises:
        CamcaffeError: the file is missing, cut short or no .mat file, or holds an object of a MATLAB
            class, a function handle or, in version 7.3, a sparse matrix.
    """
    data = files.read_bytes(path, _EXPECTED)
    # A version 7.3 file is HDF5 behind a MATLAB header of 512 bytes; files by h5py may lack the header.
    is_hdf5 = _HDF5_SIGNATURE in (data[:8], data[512:520])
    try:
        variables = _load_hdf5(data) if is_hdf5 else _load_classic(data)
    except _UnsupportedError as error:
        raise CamcaffeError(path, str(error), "numbers, text, cells and structs") from error
    except Exception as error:  # a stranger's file may break the parsers in any way
        raise CamcaffeError(path, f"not readable ({error or type(error).__name__})", _EXPECTED) from error
    if not variables or "" in variables:
        # Version 4 has no signature: SciPy finds a nameless variable in a file of zeros.
        raise CamcaffeError(path, "not readable (no named variable)", _EXPECTED)
    return variables


class _UnsupportedError(Exception):
    pass


def _load_classic(data: bytes) -> dict:
    from scipy.io import loadmat as scipy_loadmat

    # From 1.16 on SciPy asks which of its sparse classes is wanted; either becomes an array here.
    asked = {"spmatrix": False} if "spmatrix" in inspect.signature(scipy_loadmat).parameters else {}
    variables = scipy_loadmat(io.BytesIO(data), struct_as_record=True, chars_as_strings=True, **asked)
    return {name: _from_scipy(value) for name, value in variables.items() if not name.startswith("__")}


def _from_scipy(value):
    # By name, for SciPy has moved these classes about.
    if type(value).__name__ in ("MatlabFunction", "MatlabOpaque"):
        raise _UnsupportedError("an object of a MATLAB class or a function handle")
    if not isinstance(value, np.ndarray):
        return value.toarray()  # a sparse matrix
    if value.dtype.names:
        structs = np.empty(value.shape, dtype=object)
        for place in np.ndindex(value.shape):
            structs[place] = {name: _from_scipy(value[place][name]) for name in value.dtype.names}
        return _single(structs)
    if value.dtype == object:
        return _map_cells(value, _from_scipy)
    if value.dtype.kind == "U":
        return _text(value.ravel().tolist())
    return value


def _load_hdf5(data: bytes) -> dict:
    import h5py

    with h5py.File(io.BytesIO(data), "r") as file:
        return {name: _from_hdf5(file, item) for name, item in file.items() if not name.startswith("#")}


def _from_hdf5(file, item):
    import h5py

    kind = item.attrs.get("MATLAB_class", b"")
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    if (
        "MATLAB_sparse" in item.attrs
        or kind in ("function_handle", "opaque")
        or "MATLAB_object_decode" in (set(item.attrs) - {"MATLAB_int_decode"})
    ):
        raise _UnsupportedError(f"a {kind} object or a sparse matrix in HDF5")
    if isinstance(item, h5py.Group):
        return _structs(file, item)
    if "MATLAB_empty" in item.attrs:
        return "" if kind == "char" else np.zeros(tuple(int(n) for n in item[()]))
    value = item[()].T  # MATLAB writes its column-major arrays as they lie
    if item.dtype == h5py.ref_dtype:
        return _map_cells(value, lambda reference: _from_hdf5(file, file[reference]))
    if kind == "char":
        return _text(["".join(map(chr, row)) for row in np.atleast_2d(value)])
    return value.astype(bool) if kind == "logical" else value


def _structs(file, group):
    import h5py

    fields = {name: group[name] for name in group}
    arrays = [
        item
        for item in fields.values()
        if isinstance(item, h5py.Dataset)
        and item.dtype == h5py.ref_dtype
        and "MATLAB_class" not in item.attrs
    ]
    if not arrays:  # one struct: its fields are the values themselves
        return {name: _from_hdf5(file, item) for name, item in fields.items()}
    references = {name: item[()].T for name, item in fields.items()}
    structs = np.empty(arrays[0].shape[::-1], dtype=object)
    for place in np.ndindex(structs.shape):
        structs[place] = {name: _from_hdf5(file, file[grid[place]]) for name, grid in references.items()}
    return structs


def _map_cells(cells: np.ndarray, convert) -> np.ndarray:
    converted = np.empty(cells.shape, dtype=object)
    for place in np.ndindex(cells.shape):
        converted[place] = convert(cells[place])
    return converted


def _single(structs: np.ndarray):
    return structs.item() if structs.size == 1 else structs


def _text(rows: list):
    if not rows:
        return ""
    return rows[0] if len(rows) == 1 else rows

"""Weights in files: Caffe's binary protobuf (`.caffemodel`) of any version, and HDF5 (`.caffemodel.h5`)."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from google.protobuf.message import DecodeError, EncodeError

from camcaffe import files
from camcaffe.caffe import messages
from camcaffe.caffe.network import Network
from camcaffe.caffe.prototxt import is_text, read_prototxt
from camcaffe.caffe.upgrade import upgrade_net
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike

_EXPECTED = "a caffemodel"
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LEGACY_DIMS = ("num", "channels", "height", "width")
# Caffe does not compress; this leaves room for files that somebody packed, and stops at bombs.
_MOST_COMPRESSION = 100


def read_caffemodel(path: PathLike) -> dict[str, list[np.ndarray]]:
    """Read the weights of a net.

    Args:
        path: a caffemodel of any version (V0, V1, V2; float or double), or HDF5 (told by its content).

    Returns:
        Layer name -> its blobs, float32, C order, each in a writable buffer of its own. Blobs with the
        legacy num, channels, height, width have four dimensions. Layers without weights are left out.

    Raises:
        CamcaffeError: the file is missing, cut short or not a caffemodel; a blob's shape does not fit its
            number of values; two layers with weights share a name.
    """
    data = files.read_bytes(path, _EXPECTED)
    if data.startswith(HDF5_SIGNATURE):
        return _by_name(path, _hdf5_blobs(path, data))
    net = _parse_binary(path, data)
    del data  # the message has its own copy
    return _by_name(path, _protobuf_blobs(path, net))


def write_caffemodel(path: PathLike, network: Network, weights: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Write a net's weights as Caffe does: V2 binary, or HDF5 where the name ends in `.h5`.

    Args:
        path: where to; written whole or not at all.
        network: the net, whose layers' settings go into the binary file too.
        weights: layer name -> its blobs, in the net's shapes.

    Raises:
        CamcaffeError: the file cannot be written; binary weights exceed protobuf's 2 GB.
    """
    if os.fspath(path).endswith(".h5"):
        _write_hdf5(path, weights)
        return
    net = raw_messages()["NetParameter"].FromString(network.message.SerializeToString())
    left = dict(weights)
    for layer in net.layer:
        for array in left.pop(layer.name, ()):
            blob = layer.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.append(np.ascontiguousarray(array, "<f4").tobytes())
    files.write_bytes(path, to_bytes(net, path))


def read_net(path: PathLike) -> messages.NetParameter:
    """Read a net from a prototxt or a binary caffemodel, told apart by their content.

    Returns:
        The description brought to V2. A caffemodel's has its weights in it, as the file has them; its
        class is not `messages.NetParameter` but the like with raw blobs (`messages.with_raw_blobs`).

    Raises:
        CamcaffeError: the file cannot be read, or holds weights only (HDF5).
    """
    expected = "a prototxt or a binary caffemodel"
    data = files.read_bytes(path, expected)
    if data.startswith(HDF5_SIGNATURE):
        raise CamcaffeError(path, "an HDF5 file, which has weights but no description of the net", expected)
    if is_text(data):
        return read_prototxt(path)
    net = _parse_binary(path, data)
    upgrade_net(net, path)
    return net


def weights_of(net: messages.NetParameter, source: PathLike) -> dict[str, list[np.ndarray]]:
    """The weights in a net from `read_net`, as `read_caffemodel` gives them; none in a prototxt's."""
    return {} if isinstance(net, messages.NetParameter) else _by_name(source, _protobuf_blobs(source, net))


def to_bytes(net: messages.NetParameter, path: PathLike) -> bytes:
    """The binary form of a net.

    Raises:
        CamcaffeError: it exceeds the 2 GB of a protobuf message; the line names `path`.
    """
    try:
        return net.SerializeToString()
    except (EncodeError, ValueError) as error:
        raise CamcaffeError(path, f"the net does not fit a binary caffemodel ({error})") from error


def _by_name(path: PathLike, blobs: Iterable) -> dict[str, list[np.ndarray]]:
    weights = {}
    for name, arrays in blobs:
        if name in weights:
            raise CamcaffeError(path, f"two layers with weights are named {name!r}")
        weights[name] = arrays
    return weights


def _parse_binary(path: PathLike, data: bytes):
    try:
        net = messages.parse(raw_messages()["NetParameter"], data)
    except DecodeError as error:
        raise CamcaffeError(path, _not_protobuf(data), _EXPECTED) from error
    if not (net.layer or net.layers):
        raise CamcaffeError(path, _not_protobuf(data), _EXPECTED)
    return net


def _protobuf_blobs(path: PathLike, net) -> Iterable:
    for layer in [*net.layer, *net.layers]:
        v0 = getattr(layer, "layer", layer)  # V0 nests the settings one level deeper
        name = _layer_name(path, layer if layer.HasField("name") else v0)
        source = f"{os.fspath(path)}: layer {name!r}"
        arrays = [blob_array(source, blob) for blob in (layer.blobs or v0.blobs)]
        if arrays:
            yield name, arrays


@functools.cache
def raw_messages() -> dict:
    """`messages.with_raw_blobs()`, made once."""
    return messages.with_raw_blobs()


def blob_array(source: str, blob) -> np.ndarray:
    """The values of a blob of `raw_messages`, float32, in a buffer of their own.

    Raises:
        CamcaffeError: its shape does not fit its number of values; the line begins with `source`.
    """
    if any(blob.HasField(name) for name in _LEGACY_DIMS):
        shape = tuple(getattr(blob, name) for name in _LEGACY_DIMS)
    else:
        shape = tuple(blob.shape.dim)
    if any(dim < 0 for dim in shape):
        raise CamcaffeError(source, f"a blob has the shape {shape}")
    kind = "<f8" if blob.double_data else "<f4"
    chunks = list(blob.double_data or blob.data)  # each look at them copies them
    size = np.dtype(kind).itemsize
    if sum(map(len, chunks)) == math.prod(shape) * size:
        values = np.frombuffer(b"".join(chunks), kind)
    else:
        values = _unpacked_values(blob)
    if values.size != math.prod(shape):
        raise CamcaffeError(source, f"a blob has the shape {shape} but {values.size} values")
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, which load_weights refuses
        return values.astype(np.float32).reshape(shape)


def _unpacked_values(blob) -> np.ndarray:
    """The values of a blob that is not packed, as some writers leave them: slow, number by number."""
    try:
        typed = messages.BlobProto.FromString(blob.SerializeToString())
    except DecodeError:  # a packed run that is no multiple of the number's size
        return np.zeros(0, np.float32)
    return np.array(typed.double_data or typed.data)


def _not_protobuf(data: bytes) -> str:
    start = data[:200].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself"
    return f"its {len(data):,} bytes are cut short, damaged or something else"


def _layer_name(path: PathLike, layer) -> str:
    try:
        name = layer.name
    except UnicodeDecodeError:
        name = b""
    if isinstance(name, bytes):  # what older protobuf runtimes make of it
        raise CamcaffeError(path, "a layer's name is not UTF-8 text", _EXPECTED)
    return name


def _hdf5_blobs(path: PathLike, data: bytes) -> Iterable:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if not isinstance(file.get("data"), h5py.Group):
                raise CamcaffeError(path, "an HDF5 file without the group 'data'", _EXPECTED)
            names = []
            file["data"].visit(names.append)
            blobs = {}
            for name in names:
                item = file["data"][name]
                layer, _, index = name.rpartition("/")
                if isinstance(item, h5py.Dataset):
                    blobs.setdefault(layer, {})[index] = dataset_array(path, name, item, len(data))
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise CamcaffeError(path, f"a damaged HDF5 file ({error})", _EXPECTED) from error
    for layer, numbered in blobs.items():
        indices = [str(i) for i in range(len(numbered))]
        if not layer or sorted(numbered) != sorted(indices):
            raise CamcaffeError(path, f"layer {layer!r} has the blobs {sorted(numbered)}", "0, 1, ...")
        yield layer, [numbered[index] for index in indices]


def dataset_array(path: PathLike, name: str, dataset, file_size: int) -> np.ndarray:
    """The values of an HDF5 data set, float32.

    Raises:
        CamcaffeError: they are no floats, or far more than a file of `file_size` bytes can hold.
    """
    if dataset.dtype.kind != "f" or dataset.shape is None:
        raise CamcaffeError(path, f"dataset {name!r} is of type {dataset.dtype}", "floats")
    if math.prod(map(int, dataset.shape)) * dataset.dtype.itemsize > _MOST_COMPRESSION * file_size:
        raise CamcaffeError(path, f"dataset {name!r} of shape {dataset.shape} in a file of {file_size} bytes")
    return np.asarray(dataset[()], np.float32, order="C")


def _write_hdf5(path: PathLike, weights: Mapping[str, Sequence[np.ndarray]]) -> None:
    import h5py

    with files.replacing(path) as temporary, h5py.File(temporary, "w") as file:
        data = file.create_group("data")
        for layer, arrays in weights.items():
            group = data.create_group(layer)
            for index, array in enumerate(arrays):
                group.create_dataset(str(index), data=np.asarray(array, np.float32))

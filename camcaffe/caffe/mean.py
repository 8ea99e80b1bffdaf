"""The mean that is subtracted from a net's input, from whichever file holds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError

from camcaffe import features
from camcaffe.caffe import messages
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike, read_bytes, write_bytes

_EXPECTED = "a mean of three colours: a .mat, .binaryproto or .npy file, or three numbers such as 104,117,123"


def read_mean(mean: PathLike) -> np.ndarray:
    """Read a mean image or a mean colour.

    Args:
        mean: a .mat file with `mean_data` (W x H x BGR, as in Caffe's MATLAB demo), a .binaryproto (as
            Caffe's compute_image_mean writes it), a .npy file (3 x H x W or 3, as in Caffe's Python
            demo), or three numbers, blue, green, red, with commas between them.

    Returns:
        (3, 256, 256) float32 BGR, or (3,).

    Raises:
        CamcaffeError: the file cannot be read, or holds another shape, NaN or infinity.
    """
    suffix = Path(mean).suffix.lower()
    if suffix == ".mat":
        return features.read_mean(mean)
    if suffix == ".binaryproto":
        values = read_binaryproto(mean)
        values = values.reshape([n for n in values.shape if n != 1])
    elif suffix == ".npy":
        values = _read_npy(mean)
    else:
        values = _read_numbers(mean)
    if values.shape not in ((3,), (3, 256, 256)):
        raise CamcaffeError(mean, f"a mean of shape {values.shape}", "(3, 256, 256) or (3,)")
    if not np.isfinite(values).all():
        raise CamcaffeError(mean, "the mean holds NaN or infinity", "numbers")
    return values.astype(np.float32)


def read_binaryproto(path: PathLike) -> np.ndarray:
    """Read the one blob that a .binaryproto file holds, such as Caffe's compute_image_mean writes.

    Returns:
        float32, with the shape that the file tells; (N, C, H, W) in Caffe's old form.

    Raises:
        CamcaffeError: the file cannot be read, or holds other numbers of values than its shape has.
    """
    data = read_bytes(path, _EXPECTED)
    try:
        blob = messages.parse(messages.BlobProto, data)
        shape = tuple(blob.shape.dim) or (blob.num, blob.channels, blob.height, blob.width)
        return np.array(blob.data or blob.double_data, np.float32).reshape(shape)
    except (DecodeError, ValueError) as error:
        raise CamcaffeError(path, f"not readable ({error})", _EXPECTED) from error


def write_binaryproto(path: PathLike, blob: np.ndarray) -> None:
    """Write a blob (N, C, H, W) float32 as Caffe's compute_image_mean writes its mean."""
    number, channels, height, width = blob.shape
    message = messages.BlobProto(num=number, channels=channels, height=height, width=width)
    message.data.extend(blob.ravel().tolist())
    write_bytes(path, message.SerializeToString())


def _read_npy(path: PathLike) -> np.ndarray:
    import io

    try:
        return np.load(io.BytesIO(read_bytes(path, _EXPECTED)), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise CamcaffeError(path, f"not readable ({error})", _EXPECTED) from error


def _read_numbers(text: PathLike) -> np.ndarray:
    try:
        return np.array([float(number) for number in str(text).split(",")])
    except ValueError as error:
        raise CamcaffeError(text, "neither numbers nor a file of a known kind", _EXPECTED) from error

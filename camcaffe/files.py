"""Files that appear whole or not at all, and errors that name them."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Union

from camcaffe.errors import CamcaffeError

PathLike = Union[str, "os.PathLike[str]"]


def read_bytes(path: PathLike, expected: str = "a readable file") -> bytes:
    """The file's content.

    Raises:
        CamcaffeError: the file is missing, a folder, unreadable or empty; `expected` ends the line.
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise CamcaffeError(path, _reason(error), expected) from error
    if not data:
        raise CamcaffeError(path, "the file is empty", expected)
    return data


@contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to `path` when the block ends well, removed when it does not.

    Raises:
        CamcaffeError: the folder cannot be written, or the disk is full. Nothing is left behind.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    except (OSError, ValueError) as error:
        raise CamcaffeError(path, f"cannot be written: {_reason(error)}") from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        raise CamcaffeError(path, f"cannot be written: {_reason(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: PathLike, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: PathLike, text: str) -> None:
    """Write `text` to `path` as UTF-8 with Unix line ends, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def make_folder(path: PathLike) -> Path:
    """The folder, made with its parents where it does not exist."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise CamcaffeError(path, f"cannot be made: {_reason(error)}", "a folder") from error
    return folder


def _reason(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return "no file can have this name"
    return (error.strerror or str(error)).lower()


# The mask can only be read by setting it; two threads at once would read each other's zero.
_umask_lock = threading.Lock()


def _umask() -> int:
    # mkstemp makes private files; the finished file gets the mode that open() would have given it.
    with _umask_lock:
        mask = os.umask(0)
        os.umask(mask)
    return mask

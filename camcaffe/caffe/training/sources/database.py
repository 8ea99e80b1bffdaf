"""The datums of a Data layer: Caffe's LMDB."""

from __future__ import annotations

import math
import os
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError

from camcaffe.caffe import messages
from camcaffe.caffe.training.sources.image_list import channels_first, decode_picture
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike

INSTALL = "pip install lmdb"

# LMDB asks for a limit; the file is as large as what is in it.
_MOST_BYTES = 2**40
# LMDB keeps what is not yet committed in memory.
_DATUMS_A_TRANSACTION = 100

_EXPECTED = "a folder with Caffe's LMDB, data.mdb"

# A process may open an LMDB once; nets of both phases may read the same.
_open_environments = weakref.WeakValueDictionary()
_opening = threading.Lock()


def import_lmdb():
    """The module `lmdb`.

    Raises:
        CamcaffeError: it is not installed.
    """
    try:
        import lmdb
    except ImportError as error:
        raise CamcaffeError("LMDB", "its Python module cannot be imported", INSTALL) from error
    return lmdb


@contextmanager
def new_database(path: PathLike) -> Iterator[Callable[[str, messages.Datum], None]]:
    """Write an LMDB for Caffe, as its convert_imageset does.

    Args:
        path: a folder, made here; it is removed again where the block does not end well.

    Yields:
        A function that puts a datum under a key; Caffe reads them in the order of the keys' bytes.

    Raises:
        CamcaffeError: the folder exists already or cannot be written.
    """
    lmdb = import_lmdb()
    try:
        Path(path).mkdir()
    except OSError as error:
        raise CamcaffeError(path, f"cannot be made: {error.strerror.lower()}", "a new folder") from error
    try:
        with lmdb.open(str(path), map_size=_MOST_BYTES, lock=False, sync=False) as environment:
            put = _Transactions(environment)
            yield put
            put.commit()
            environment.sync(True)
    except BaseException as error:
        shutil.rmtree(path, ignore_errors=True)
        if isinstance(error, lmdb.Error):
            raise CamcaffeError(path, f"cannot be written ({error})") from error
        raise


class _Transactions:
    def __init__(self, environment):
        self._environment, self._transaction, self._count = environment, None, 0

    def __call__(self, key: str, datum: messages.Datum) -> None:
        if self._transaction is None:
            self._transaction = self._environment.begin(write=True)
        self._transaction.put(os.fsencode(key), datum.SerializeToString())
        self._count += 1
        if self._count % _DATUMS_A_TRANSACTION == 0:
            self.commit()

    def commit(self) -> None:
        if self._transaction is not None:
            self._transaction.commit()
            self._transaction = None


class Datums:
    """The datums of a Data layer's LMDB, in the order of their keys.

    Args:
        path: the LMDB's folder.
        color: decode encoded pictures to colour (True), to gray (False), or to what they are (None).

    Raises:
        CamcaffeError: there is no such LMDB, it is empty or cut short.
    """

    def __init__(self, path: PathLike, color: bool | None = None):
        import cv2

        self._path = os.fspath(path)
        self._flags = {None: cv2.IMREAD_UNCHANGED, True: cv2.IMREAD_COLOR, False: cv2.IMREAD_GRAYSCALE}[color]
        environment = _environment(path)
        self._count = environment.stat()["entries"]
        if self._count == 0:
            raise CamcaffeError(path, "the LMDB is empty", "a datum at least")
        self._transaction = environment.begin()
        self._cursor = self._transaction.cursor()
        self._place = -1

    def __len__(self) -> int:
        return self._count

    def read(self, number: int) -> tuple[np.ndarray, int, str]:
        """Pixels (C, H, W) uint8 or float32, label, and the LMDB and key."""
        self._seek(number)
        source = f"{self._path}, key {self._cursor.key().decode('utf-8', 'backslashreplace')!r}"
        try:
            datum = messages.Datum.FromString(self._cursor.value())
        except DecodeError as error:
            raise CamcaffeError(source, "no datum", "Caffe's message Datum") from error
        return _pixels(datum, source, self._flags), datum.label, source

    def _seek(self, number: int) -> None:
        # An LMDB has no way to its n-th key but through those before.
        lmdb = import_lmdb()
        if number < self._place:
            self._place = -1
        try:
            while self._place < number:
                is_there = self._cursor.next() if self._place >= 0 else self._cursor.first()
                if not is_there or not self._cursor.key():  # no entry has an empty key
                    found = f"a damaged LMDB (it ends after {self._place + 1} of {self._count} datums)"
                    raise CamcaffeError(self._path, found, _EXPECTED)
                self._place += 1
        except lmdb.Error as error:
            raise CamcaffeError(self._path, f"a damaged LMDB ({error})", _EXPECTED) from error


def _environment(path: PathLike):
    lmdb = import_lmdb()
    file = Path(path, "data.mdb")
    name = os.path.realpath(path)
    with _opening:
        environment = _open_environments.get(name)
        if environment is None:
            if not file.is_file():
                raise CamcaffeError(path, "there is no LMDB", _EXPECTED)
            try:
                environment = lmdb.open(str(path), readonly=True, lock=False, create=False)
            except lmdb.Error as error:
                raise CamcaffeError(file, f"not readable ({error})", _EXPECTED) from error
            _check_length(file, environment)
            _open_environments[name] = environment
    return environment


def _check_length(file: Path, environment) -> None:
    # LMDB maps the file into memory: to touch what is beyond its end would end the process.
    wanted = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    there = file.stat().st_size
    if there < wanted:
        environment.close()
        raise CamcaffeError(file, f"it is cut short after {there} bytes", f"{wanted} bytes")


def _pixels(datum: messages.Datum, source: str, flags: int) -> np.ndarray:
    if datum.encoded:
        return channels_first(decode_picture(datum.data, source, flags))
    shape = (datum.channels, datum.height, datum.width)
    values = np.frombuffer(datum.data, np.uint8) if datum.data else np.array(datum.float_data, np.float32)
    if min(shape) < 1 or values.size != math.prod(shape):
        found = f"a datum of {values.size} values for {shape[0]} x {shape[1]} x {shape[2]}"
        raise CamcaffeError(source, found, "channels x height x width values")
    return values.reshape(shape)

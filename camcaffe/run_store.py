"""The results of one run over many images: one SQLite file that a kill at any moment leaves whole.

    run         the run's identity (one JSON object) and when it began
    labels      class (Caffe's index) -> its line in the category list, e.g. "n01440764 tench, Tinca tinca"
    images      image name -> done, or failed with the reason
    classes     image, rank (0 is the best), class, score, all boxes as JSON [[x, y, w, h], ...]

The file is in WAL mode while it is written, so that it can be read meanwhile, and every batch of images is
one transaction: an image is there with all its classes and boxes, or not at all.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike

SQLITE_MAGIC = b"SQLite format 3\0"
APPLICATION_ID = 0x43414D52  # "CAMR"
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE run (identity TEXT NOT NULL, began TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE labels (class INTEGER PRIMARY KEY, label TEXT NOT NULL);
CREATE TABLE images (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL CHECK (status IN ('done', 'failed')),
    reason TEXT
);
CREATE TABLE classes (
    image INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    rank INTEGER NOT NULL,
    class INTEGER NOT NULL REFERENCES labels (class),
    score REAL NOT NULL,
    boxes TEXT NOT NULL,
    PRIMARY KEY (image, rank)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class RankedClass:
    """One class of an image, with its boxes.

    Attributes:
        index: the class as Caffe numbers it, from 0.
        score: its mean score over the crops.
        boxes: (N, 4) int64, xywh, in the order of the box program: the loose box first.
    """

    index: int
    score: float
    boxes: np.ndarray


@dataclass(frozen=True)
class ImageResult:
    """What a run found in one image: its classes, best first, or the reason why there are none."""

    name: str
    classes: tuple[RankedClass, ...] = ()
    failure: str | None = None


class RunStore:
    """One run's file. `RunStore.write` opens it to add results, `RunStore.read` to look at them.

    Example:
        >>> with RunStore.write("run.sqlite", identity, labels, resume=True) as run:
        ...     for batch in batches(run.pending(names)):
        ...         run.add(localize(batch))
    """

    def __init__(self, path: PathLike, connection: sqlite3.Connection):
        self.path = path
        self._connection = connection
        self.identity = self._stored_identity()
        self.labels = [
            label for (label,) in self._connection.execute("SELECT label FROM labels ORDER BY class")
        ]

    @classmethod
    def write(
        cls,
        path: PathLike,
        identity: Mapping[str, Any],
        labels: Sequence[str],
        resume: bool = False,
    ) -> RunStore:
        """Begin a run in a new file, or go on with the run of an existing one.

        Args:
            path: the run's file.
            identity: what makes results comparable (hashes of model and weights, engine, thresholds,
                versions): anything that JSON can hold.
            labels: the category lines in the order of Caffe's class indices.
            resume: go on where `path` holds a run already.

        Raises:
            CamcaffeError: `path` holds a run and `resume` is not set, or a run with another identity or
                other labels, or something else than a run; or it cannot be written.
        """
        identity = _plain(identity)
        with _told(path):
            connection = sqlite3.connect(str(path), timeout=60, isolation_level=None)
            try:
                # FULL costs one flush a batch and keeps what was reported as done, even when power fails.
                connection.executescript(
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"
                )
                _begin_run(path, connection, identity, labels, resume)
                return cls(path, connection)
            except BaseException:
                connection.close()
                raise

    @classmethod
    def read(cls, path: PathLike) -> RunStore:
        """Open a run to look at its results; it may be in the middle of being written.

        Raises:
            CamcaffeError: there is no file, or it is not a run.
        """
        file = Path(path)
        if not is_run(path):
            raise CamcaffeError(path, "not the result of a run", "a file that camcaffe localize wrote")
        if os.access(file, os.W_OK) and os.access(file.parent, os.W_OK):
            # Only who may write takes away, at the end, what WAL mode puts beside the file.
            mode = "rw"
        elif file.with_name(f"{file.name}-wal").exists():
            mode = "ro"
        else:  # a finished run that nobody here can change; nothing is put beside it
            mode = "ro&immutable=1"
        uri = f"{file.absolute().as_uri()}?mode={mode}"
        with _told(path):
            connection = sqlite3.connect(uri, uri=True, timeout=60, isolation_level=None)
            try:
                connection.execute("PRAGMA query_only = ON")
                _check_version(path, connection)
                return cls(path, connection)
            except BaseException:
                connection.close()
                raise

    def add(self, results: Iterable[ImageResult]) -> None:
        """Store a batch of images in one transaction; an image that is there already is replaced.

        Raises:
            CamcaffeError: the disk is full, or the file cannot be written. Nothing of the batch is stored.
        """
        rows = [
            (result, [_class_row(rank, found) for rank, found in enumerate(result.classes)])
            for result in results
        ]
        with _told(self.path), _transaction(self._connection) as execute:
            for result, classes in rows:
                status = "done" if result.failure is None else "failed"
                execute("DELETE FROM images WHERE name = ?", (result.name,))
                image = execute(
                    "INSERT INTO images (name, status, reason) VALUES (?, ?, ?)",
                    (result.name, status, result.failure),
                ).lastrowid
                for row in classes:
                    execute("INSERT INTO classes VALUES (?, ?, ?, ?, ?)", (image, *row))

    def pending(self, names: Sequence[str], retry_failed: bool = False) -> list[str]:
        """Those of `names`, in their order, that are still to do; failed ones only with `retry_failed`."""
        query = "SELECT name FROM images" + (" WHERE status = 'done'" if retry_failed else "")
        with _told(self.path):
            settled = {name for (name,) in self._connection.execute(query)}
        return [name for name in names if name not in settled]

    def names(self) -> list[str]:
        """The names of all images, done and failed, in order."""
        with _told(self.path):
            return [name for (name,) in self._connection.execute("SELECT name FROM images ORDER BY name")]

    def counts(self) -> dict[str, int]:
        """How many images are done and how many failed: {"done": n, "failed": m}."""
        with _told(self.path):
            found = dict(self._connection.execute("SELECT status, count(*) FROM images GROUP BY status"))
        return {status: found.get(status, 0) for status in ("done", "failed")}

    def results(self) -> Iterator[ImageResult]:
        """All images in the order of their names, done and failed, read as they are asked for."""
        with _told(self.path):
            rows = self._connection.execute(
                "SELECT name, status, reason, class, score, boxes"
                " FROM images LEFT JOIN classes ON image = id ORDER BY name, rank"
            )
            name, failure, classes = None, None, []
            for row in rows:
                if row[0] != name:
                    if name is not None:
                        yield ImageResult(name, tuple(classes), failure)
                    name, classes = row[0], []
                    failure = None if row[1] == "done" else row[2] or "no reason given"
                if row[3] is not None:
                    boxes = np.array(json.loads(row[5]), np.int64).reshape(-1, 4)
                    classes.append(RankedClass(row[3], row[4], boxes))
            if name is not None:
                yield ImageResult(name, tuple(classes), failure)

    def close(self) -> None:
        """Close the file; what was added is kept in any case."""
        self._connection.close()

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stored_identity(self) -> dict[str, Any]:
        row = self._connection.execute("SELECT identity FROM run").fetchone()
        if row is None:
            raise CamcaffeError(self.path, "the run has no identity", "a file that camcaffe localize wrote")
        return json.loads(row[0])


def is_run(path: PathLike) -> bool:
    """Whether `path` is a run's SQLite file, by its first bytes, and not a text file of predictions.

    Raises:
        CamcaffeError: the file is missing or unreadable.
    """
    try:
        with Path(path).open("rb") as file:
            return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
    except OSError as error:
        raise CamcaffeError(path, (error.strerror or str(error)).lower(), "a readable file") from error


def _begin_run(
    path: PathLike, connection: sqlite3.Connection, identity: dict, labels: Sequence[str], resume: bool
) -> None:
    with _transaction(connection) as execute:
        tables = execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not tables:
            for statement in SCHEMA.split(";\n"):
                execute(statement)
            execute(f"PRAGMA application_id = {APPLICATION_ID}")
            execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            execute("INSERT INTO run (identity) VALUES (?)", (json.dumps(identity, sort_keys=True),))
            connection.executemany("INSERT INTO labels VALUES (?, ?)", enumerate(labels))
            return
        _check_version(path, connection)
        if not resume:
            raise CamcaffeError(path, "holds a run already", "--resume to go on with it, or another name")
        stored = json.loads(execute("SELECT identity FROM run").fetchone()[0])
        stored_labels = [label for (label,) in execute("SELECT label FROM labels ORDER BY class")]
    for key in sorted(stored.keys() | identity.keys()):
        if stored.get(key) != identity.get(key):
            was, now = json.dumps(stored.get(key)), json.dumps(identity.get(key))
            raise CamcaffeError(
                path,
                f"the run was made with {key} {was}, not {now}",
                "the same run, or another file for this one",
            )
    if stored_labels != list(labels):
        raise CamcaffeError(path, "the run was made with other labels", "the same category list")


def _check_version(path: PathLike, connection: sqlite3.Connection) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise CamcaffeError(path, "a database of another program", "a file that camcaffe localize wrote")
    if version != SCHEMA_VERSION:
        raise CamcaffeError(path, f"a run in format {version}", f"format {SCHEMA_VERSION}")


def _class_row(rank: int, found: RankedClass) -> tuple:
    boxes = np.asarray(found.boxes, np.int64).reshape(-1, 4).tolist()
    return rank, int(found.index), float(found.score), json.dumps(boxes, separators=(",", ":"))


def _plain(identity: Mapping[str, Any]) -> dict:
    # Through JSON and back, so that a tuple equals the list which the file will give back.
    return json.loads(json.dumps(dict(identity)))


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[Any]:
    # IMMEDIATE takes the lock at once, so that two programs cannot both find an empty file and begin.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection.execute
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _told(path: PathLike) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise CamcaffeError(path, f"cannot be used: {error}", "a run's file on a disk with room") from error

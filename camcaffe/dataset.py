"""A folder of pictures as Caffe's training data: lists, labels, mean, and LMDBs where they are wanted.

It does in one pass what Caffe's create_imagenet.sh, convert_imageset and compute_image_mean do in three.
"""

from __future__ import annotations

import functools
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from camcaffe import files
from camcaffe.caffe import messages
from camcaffe.caffe.mean import write_binaryproto
from camcaffe.caffe.training.sources.database import new_database
from camcaffe.caffe.training.sources.image_list import decode_picture
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike
from camcaffe.localize.images import find_images
from camcaffe.matlab.pictures import imread

# Names of the two halves of a split that is there already; where both are there, val goes before test.
_TRAIN, _VALIDATION = "train", ("val", "test")

# LMDB's limit for a key, in bytes.
_LONGEST_KEY = 511

_PICTURES_A_THREAD = 16


@dataclass(frozen=True)
class Dataset:
    """What `make_dataset` has made.

    Attributes:
        labels: the classes, in the order of their numbers.
        train: the number of training pictures.
        val: the number of validation pictures.
        unreadable: a line for each picture that was left out.
    """

    labels: tuple[str, ...]
    train: int
    val: int
    unreadable: tuple[str, ...]


class _Listed(NamedTuple):
    file: Path
    path: str  # as the list has it
    label: int


def make_dataset(
    folder: PathLike,
    out: PathLike,
    *,
    size: int = 256,
    lmdb: bool = False,
    encode: str = "",
    validation: float = 0.1,
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[list], Iterable] = iter,
) -> Dataset:
    """Make training data of a folder that has a sub-folder for each class.

    `out` gets train.txt and val.txt, a line `path label` for each picture, as ImageData layers read them with
    out's own path as root_folder; labels.txt, the names of the classes; mean.binaryproto, the mean of the
    training pictures at `size`, (1, 3, size, size) BGR; and, where they are wanted, train_lmdb and val_lmdb,
    equal to what convert_imageset makes of the lists. Training pictures are in random order.

    Args:
        folder: sub-folder a class, pictures in it at any depth. Where the sub-folders are train and val (or
            test), with the classes in them, that split is kept.
        out: a new or an empty folder; it appears whole or not at all.
        size: rows and columns that the mean and the LMDBs have; proportions are not kept, as in Caffe.
        lmdb: whether to write the LMDBs.
        encode: how they hold the pictures: "" for raw pixels, "jpg" or "png".
        validation: the share of each class that is taken for validation, at random, where there is no split
            yet: one picture at least, and never all.
        seed: of what is random.
        workers: threads that decode pictures.
        progress: wraps the list of pictures while it is gone through, as tqdm does.

    Raises:
        CamcaffeError: the folder has no such form; a class has no training picture that can be read; `out`
            cannot be written; LMDBs are wanted, but their module is missing. Any other picture that cannot be
            read is left out, and told in the result.
    """
    if not 0 <= validation <= 1:
        raise CamcaffeError("validation", f"{validation}", "a share from 0 to 1")
    folder = Path(folder)
    train, val = _classes(folder, validation, np.random.default_rng((seed, 0)))
    labels, way = tuple(train), os.path.relpath(os.path.realpath(folder), os.path.realpath(out))
    train, val = (
        [
            _Listed(folder / name, f"{way}/{name}", i)
            for i, label in enumerate(labels)
            for name in part.get(label, ())
        ]
        for part in (train, val)
    )
    train = [train[i] for i in np.random.default_rng((seed, 1)).permutation(len(train))]
    total = np.zeros((size, size, 3), np.float32)
    encode = encode if lmdb else None
    with (
        _new_folder(Path(out)) as temporary,
        closing(_decoded(progress([*train, *val]), size, workers)) as pictures,
    ):
        # zip stops at the end of `train` before it takes another picture.
        in_train, unreadable = _write_part(temporary, "train", zip(train, pictures), encode, total)
        if not in_train:
            found = f"none of {len(train)} training pictures can be read ({unreadable[0]})"
            raise CamcaffeError(folder, found)
        for label in sorted(set(range(len(labels))).difference(in_train)):
            found = f"none of the training pictures of class {labels[label]!r} can be read"
            raise CamcaffeError(folder, found, "at least one of each class")
        in_val, more = _write_part(temporary, "val", zip(val, pictures), encode) if val else ([], [])
        files.write_text(temporary / "labels.txt", "".join(f"{label}\n" for label in labels))
        mean = total / np.float32(len(in_train))
        write_binaryproto(temporary / "mean.binaryproto", mean.transpose(2, 0, 1)[None])
    return Dataset(labels, len(in_train), len(in_val), (*unreadable, *more))


def _classes(folder: Path, validation: float, rng: np.random.Generator) -> tuple[dict, dict]:
    """Class -> names below the folder, in order, for training and for validation."""
    if not folder.is_dir():
        raise CamcaffeError(folder, "no such folder", "a folder with a sub-folder for each class")
    names = [image.name for image in find_images(folder)]
    parts = {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    there = [part for part in _VALIDATION if part in parts]
    if there and _TRAIN in parts and parts <= {_TRAIN, *_VALIDATION}:
        train, val = (
            _by_class(folder, [name for name in names if name.startswith(f"{part}/")], 1)
            for part in (_TRAIN, there[0])
        )
        for label in sorted(val.keys() - train.keys()):
            found = "no picture of this class is for training"
            raise CamcaffeError(folder / there[0] / label, found, f"some in {folder / _TRAIN / label}")
        return train, val
    classes = _by_class(folder, names, 0)
    for label in sorted(parts - classes.keys()):
        raise CamcaffeError(folder / label, "no picture in it", "pictures of one class")
    train, val = {}, {}
    for label, of_class in classes.items():
        count = min(max(round(len(of_class) * validation), 1), len(of_class) - 1) if validation else 0
        chosen = set(rng.permutation(len(of_class))[:count].tolist())
        val[label] = [name for i, name in enumerate(of_class) if i in chosen]
        train[label] = [name for i, name in enumerate(of_class) if i not in chosen]
    return train, val


def _by_class(folder: Path, names: list[str], depth: int) -> dict[str, list[str]]:
    """Class -> its pictures, in order; the class is the part of the name at that depth."""
    classes = {}
    for name in names:
        parts = name.split("/")
        if len(parts) < depth + 2:
            raise CamcaffeError(folder / name, "it lies in no class's folder", "a sub-folder for each class")
        if "\n" in name:
            raise CamcaffeError(folder, f"the name {name!r}", "names of one line, as lists have one a line")
        classes.setdefault(parts[depth], []).append(name)
    for label in classes:
        if label.startswith("#") or label.splitlines() != [label.strip()]:
            found, expected = f"the class name {label!r}", "one line, no # before it, no space around it"
            raise CamcaffeError(folder, found, expected)
    return dict(sorted(classes.items()))


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that becomes `path` when the block ends well."""
    target = Path(os.path.realpath(path))
    temporary = target.parent / f".{target.name}.{os.getpid()}"
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise CamcaffeError(path, "it exists already", "a new or an empty folder")
        shutil.rmtree(temporary, ignore_errors=True)
        files.make_folder(temporary)
        yield temporary
        temporary.replace(target)
    except CamcaffeError as error:
        if temporary not in (Path(error.source), *Path(error.source).parents):
            raise
        # Nobody knows the temporary folder.
        shown = path / Path(error.source).relative_to(temporary)
        raise CamcaffeError(shown, error.found, error.expected) from error
    except OSError as error:
        raise CamcaffeError(path, f"cannot be written: {(error.strerror or str(error)).lower()}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _decoded(listed: Iterable[_Listed], size: int, workers: int) -> Iterator[np.ndarray | CamcaffeError]:
    """The pictures, each (size, size, BGR) uint8, in order; for one that cannot be read, the reason."""
    decode, listed = functools.partial(_decode, size=size), iter(listed)
    with ThreadPoolExecutor(workers) as pool:
        while chunk := list(itertools.islice(listed, _PICTURES_A_THREAD * workers)):
            yield from pool.map(decode, chunk)


def _decode(listed: _Listed, size: int) -> np.ndarray | CamcaffeError:
    import cv2

    try:
        data = files.read_bytes(listed.file, "a picture")
        imread(listed.file, data=data)  # OpenCV would fill up what is cut short
        return cv2.resize(decode_picture(data, listed.file, cv2.IMREAD_COLOR), (size, size))
    except CamcaffeError as error:
        return error


def _write_part(
    folder: Path,
    part: str,
    pictures: Iterable[tuple[_Listed, np.ndarray | CamcaffeError]],
    encode: str | None,
    total: np.ndarray | None = None,
) -> tuple[list[int], list[str]]:
    """Write a list and, unless `encode` is None, an LMDB; add the pictures to `total`.

    Returns:
        The label of each picture that is written, and a line for each that is left out.
    """
    written, unreadable = [], []
    with ExitStack() as stack:
        put = stack.enter_context(new_database(folder / f"{part}_lmdb")) if encode is not None else None
        lines = stack.enter_context((folder / f"{part}.txt").open("w", encoding="utf-8", newline="\n"))
        for listed, picture in pictures:
            if isinstance(picture, CamcaffeError):
                unreadable.append(str(picture))
                continue
            lines.write(f"{listed.path} {listed.label}\n")
            if put is not None:
                key = os.fsencode(f"{len(written):08d}_{listed.path}")[:_LONGEST_KEY]
                put(os.fsdecode(key), _datum(picture, listed.label, encode))
            if total is not None:
                total += picture  # float32, as in compute_image_mean, whose rounding it has
            written.append(listed.label)
    return written, unreadable


def _datum(picture: np.ndarray, label: int, encode: str) -> messages.Datum:
    """The datum that convert_imageset makes of a picture (H, W, BGR)."""
    import cv2

    if encode:
        data = cv2.imencode(f".{encode}", picture)[1].tobytes()
        return messages.Datum(data=data, label=label, encoded=True)
    height, width, channels = picture.shape
    data = picture.transpose(2, 0, 1).tobytes()
    return messages.Datum(
        channels=channels, height=height, width=width, data=data, label=label, encoded=False
    )

"""HDF5Data: rows of the datasets of HDF5 files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from camcaffe import files
from camcaffe.caffe.network import Layer
from camcaffe.caffe.training.sources.order import ROWS, Order, generator
from camcaffe.errors import CamcaffeError

_EXPECTED = "an HDF5 file with a dataset for each top"


class HDF5Source:
    """The batches of an HDF5Data layer; a `Source`.

    Each top is the dataset of its name, a row an item. The files are gone through one after the other, each
    kept in memory for as long; `shuffle` shuffles the files, and the rows within each.

    Args:
        layer: the layer.
        phase: has no effect, as in Caffe.
        seed: of the shuffles.

    Raises:
        CamcaffeError: a transform_param, which Caffe refuses here; the list or a file cannot be read; a
            dataset is missing, holds no numbers, or does not go with the others.
    """

    def __init__(self, layer: Layer, phase: str, seed: int):
        if layer.message.HasField("transform_param"):
            raise CamcaffeError(f"layer {layer.name!r}", "it has a transform_param", "none for HDF5Data")
        settings = layer.message.hdf5_data_param
        self.tops, self._batch_size = layer.tops, settings.batch_size
        self._seed, self._shuffle = seed, settings.shuffle
        self._files = _read_file_list(settings.source)
        shapes = [_read_datasets(path, self.tops, lambda dataset: dataset.shape) for path in self._files]
        self.shapes = tuple((self._batch_size, *shape[1:]) for shape in shapes[0])
        for path, found in zip(self._files, shapes):
            if [shape[1:] for shape in found] != [shape[1:] for shape in self.shapes]:
                wanted = f"rows as those of {self._files[0]}"
                raise CamcaffeError(path, f"datasets of shape {', '.join(map(str, found))}", wanted)
        self._counts = np.array([found[0][0] for found in shapes])
        self._order = Order(len(self._files), seed, settings.shuffle)
        self._pass = self._loaded = None

    def batch(self, index: int) -> list[np.ndarray]:
        """See `Source`."""
        values = [np.empty(shape, np.float32) for shape in self.shapes]
        for place in range(self._batch_size):
            rows, row = self._locate(index * self._batch_size + place)
            for top, dataset in zip(values, rows):
                top[place] = dataset[row]
        return values

    def _locate(self, number: int) -> tuple[list[np.ndarray], int]:
        """The datasets that hold the run's row of this number, and which of their rows it is."""
        of_pass, place = divmod(number, int(self._counts.sum()))
        if self._pass is None or self._pass[0] != of_pass:
            order = [self._order.item(of_pass * len(self._files) + i) for i in range(len(self._files))]
            self._pass = of_pass, order, np.cumsum(self._counts[order])
        _, order, ends = self._pass
        turn = int(np.searchsorted(ends, place, side="right"))
        file = order[turn]
        row = place - int(ends[turn]) + int(self._counts[file])
        if self._loaded is None or self._loaded[0] != (of_pass, file):
            self._loaded = (of_pass, file), self._load(file), self._shuffled_rows(of_pass, file)
        _, datasets, rows = self._loaded
        return datasets, row if rows is None else int(rows[row])

    def _load(self, file: int) -> list[np.ndarray]:
        if self._loaded is not None and self._loaded[0][1] == file:
            return self._loaded[1]
        self._loaded = None  # two files need not fit into memory
        return _read_datasets(self._files[file], self.tops, lambda dataset: dataset[()])

    def _shuffled_rows(self, of_pass: int, file: int) -> np.ndarray | None:
        if not self._shuffle:
            return None
        return generator(self._seed, ROWS, of_pass, file).permutation(self._counts[file])


def _read_file_list(path: str) -> list[str]:
    names = files.read_bytes(path, "a list of HDF5 files").split()
    if not names:
        raise CamcaffeError(path, "no name in it", "a list of HDF5 files")
    return [os.fsdecode(name) for name in names]


def _read_datasets(path: str, tops: tuple, read) -> list:
    """What `read` gives of each top's dataset."""
    import h5py

    if not Path(path).is_file():
        raise CamcaffeError(path, "no such file", _EXPECTED)
    try:
        with h5py.File(path, "r") as file:
            datasets = [_checked(path, top, file.get(top)) for top in tops]
            counts = [dataset.shape[0] for dataset in datasets]
            if len(set(counts)) > 1:
                found = ", ".join(f"{count} of {top!r}" for top, count in zip(tops, counts))
                raise CamcaffeError(path, f"rows: {found}", "as many of each")
            return [read(dataset) for dataset in datasets]
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        raise CamcaffeError(path, f"not readable ({error})", _EXPECTED) from error


def _checked(path: str, top: str, dataset):
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise CamcaffeError(path, f"no dataset {top!r}", _EXPECTED)
    if dataset.dtype.kind not in "fiu":
        raise CamcaffeError(path, f"dataset {top!r} is of type {dataset.dtype}", "numbers")
    if not dataset.shape or 0 in dataset.shape:
        raise CamcaffeError(path, f"dataset {top!r} has the shape {dataset.shape}", "at least one row")
    return dataset

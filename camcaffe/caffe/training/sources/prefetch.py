"""Batches read ahead of the network, in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from camcaffe.caffe.training.sources import Source

# Caffe's own default is 4.
_READY = 3


class Prefetch:
    """The batches of a net's data layers, one after the other, read ahead in a thread.

    A context manager; without `with`, `close()` ends the thread.

    Args:
        sources: the sources of the net's data layers. Nobody else may read from them meanwhile.
        start: the number of the first batch.
    """

    def __init__(self, sources: Sequence[Source], start: int = 0):
        self._batches = queue.Queue(_READY)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(list(sources), start), daemon=True)
        self._thread.start()

    def next(self) -> dict[str, np.ndarray]:
        """The next batch: top -> array.

        Raises:
            CamcaffeError: it cannot be read.
        """
        batch = self._batches.get()
        if isinstance(batch, BaseException):
            self._batches.put(batch)  # for whoever asks again
            raise batch
        return batch

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        while self._thread.is_alive():
            with suppress(queue.Empty):
                self._batches.get(timeout=0.05)

    def __enter__(self) -> Prefetch:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _read(self, sources: list, index: int) -> None:
        while not self._closed.is_set():
            try:
                batch = {}
                for source in sources:
                    batch.update(zip(source.tops, source.batch(index)))
            except BaseException as error:  # whatever it is, it belongs to the thread that waits
                self._batches.put(error)
                return
            self._batches.put(batch)
            index += 1

"""Threads before and behind the net, and results on their way into a run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

from camcaffe.run_store import ImageResult, RunStore

# A transaction waits for the disk, so results are stored when there are so many, or so old.
_MOST_WAITING, _SECONDS_WAITING = 100, 2.0


def overlapped(
    items: Iterable,
    read: Callable[[Any], Any],
    run: Callable[[Any], Any],
    explain: Callable[[Any], ImageResult],
    workers: int,
) -> Generator[ImageResult]:
    """explain(run(read(item))) of every item, in order: `run` in this thread, the others in a pool.

    What `read` returns as an ImageResult is a result already. At any time not more than a few items are held
    for each worker. When the caller stops early, what has begun is finished and dropped.

    Args:
        items: taken one by one, as there is room.
        read: first step, in the pool.
        run: second step.
        explain: third step, in the pool.
        workers: threads of the pool.
    """
    items, room = iter(items), workers + 1
    reading: deque[Future] = deque()
    explaining: deque[Future] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                while len(reading) < room and (item := next(items, explaining)) is not explaining:
                    reading.append(pool.submit(read, item))
                if not reading:
                    break
                found = reading.popleft().result()
                if isinstance(found, ImageResult):
                    explaining.append(Future())
                    explaining[-1].set_result(found)
                else:
                    explaining.append(pool.submit(explain, run(found)))
                while explaining and (explaining[0].done() or len(explaining) > room):
                    yield explaining.popleft().result()
            while explaining:
                yield explaining.popleft().result()
        finally:
            for future in (*reading, *explaining):
                future.cancel()


def record(run: RunStore, results: Generator[ImageResult], told: Callable[[ImageResult], Any]) -> None:
    """Store results as they come, a transaction a batch.

    However it ends, by an error or Ctrl-C too, what has come is stored.

    Args:
        run: the run.
        results: from `overlapped` or `spread`.
        told: called with each result as it comes.

    Raises:
        CamcaffeError: the run cannot be written, or what the results' steps raise.
    """
    batch, last = [], time.monotonic()
    try:
        with closing(results):
            for result in results:
                batch.append(result)
                told(result)
                if len(batch) >= _MOST_WAITING or time.monotonic() - last > _SECONDS_WAITING:
                    run.add(batch)
                    batch, last = [], time.monotonic()
    finally:
        run.add(batch)

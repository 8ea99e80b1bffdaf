"""The same work in other processes: one for each GPU of this machine, or the workers of a Dask cluster.

Images go out in chunks and results come back to this process, which alone writes the run. Each process loads
the net once, with the first chunk that it gets.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from typing import Any

from camcaffe.errors import CamcaffeError
from camcaffe.localize.images import StoredImage
from camcaffe.localize.localizer import Localizer, Settings
from camcaffe.localize.pipeline import overlapped
from camcaffe.run_store import ImageResult

# Images that go out at once: few are lost with a worker, and sending them costs little.
_CHUNK = 16
# Chunks for each process: it has the next one when it is done with one.
_AHEAD = 2
_SECONDS_TO_CONNECT = 20


def spread(
    executor: Executor,
    processes: Callable[[], int],
    images: Iterable[StoredImage],
    settings: Settings,
    identity: Mapping[str, Any],
    workers: int,
) -> Iterator[ImageResult]:
    """The results of all images, in the order in which the processes return them.

    Args:
        executor: runs functions in other processes, and elsewhere again where a process is lost.
        processes: how many processes there are now.
        images: what to work on.
        settings: what to do.
        identity: the run's, which each process must have too.
        workers: threads of each process beside the net's.

    Raises:
        CamcaffeError: what a process raises; a process has other files or versions.
    """
    images, pending = iter(images), set()
    try:
        while True:
            while len(pending) < _AHEAD * max(processes(), 1) and (chunk := list(islice(images, _CHUNK))):
                pending.add(executor.submit(localize_chunk, settings, dict(identity), chunk, workers))
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()
    finally:
        for future in pending:
            future.cancel()


def gpus(count: int) -> list[str]:
    """The names of the first GPUs of this machine.

    Raises:
        CamcaffeError: PyTorch is missing, or sees fewer.
    """
    from camcaffe.caffe import engines

    engines.choose("torch")
    import torch

    there = torch.cuda.device_count()
    if there < count:
        raise CamcaffeError("--gpus", f"{count}", f"at most {there}, which PyTorch sees here")
    return [f"cuda:{index}" for index in range(count)]


@contextmanager
def device_processes(devices: Sequence[str]) -> Iterator[tuple[Executor, Callable[[], int]]]:
    """A process of this machine for each device, e.g. "cuda:0" and "cuda:1"; for `spread`.

    Args:
        devices: a name for each process, as the engine takes them.

    Raises:
        CamcaffeError: in the block: a process ended by itself.
    """
    import multiprocessing

    # A process that has used a GPU cannot be forked.
    context = multiprocessing.get_context("spawn")
    names = context.SimpleQueue()
    for name in devices:
        names.put(name)
    pool = ProcessPoolExecutor(len(devices), context, _begin, (names,))
    try:
        yield pool, lambda: len(devices)
    except BrokenProcessPool as error:
        raise CamcaffeError(
            "--gpus", "a process ended by itself", "enough memory; --resume goes on"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def dask_cluster(address: str) -> Iterator[tuple[Executor, Callable[[], int]]]:
    """The workers of a Dask cluster, which may come and go; for `spread`.

    Args:
        address: the scheduler's, e.g. "tcp://10.0.0.1:8786".

    Raises:
        CamcaffeError: the package distributed is missing, no scheduler answers there, or it has no worker; in
            the block: the scheduler is lost, or a chunk of images has taken several workers with it.
    """
    try:
        from distributed import Client
        from distributed.scheduler import KilledWorker
    except ImportError as error:
        raise CamcaffeError(
            "--scheduler", "the package distributed is missing", 'pip install "camcaffe[cluster]"'
        ) from error
    # What goes wrong is raised; the package would tell it in a hundred lines as well.
    for name in logging.root.manager.loggerDict:
        if name.startswith("distributed"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = Client(address, timeout=_SECONDS_TO_CONNECT)
    except (OSError, ValueError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CamcaffeError(
            "--scheduler", f"{address} cannot be reached ({line})", "the address of a Dask scheduler"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_SECONDS_TO_CONNECT)
            yield client.get_executor(pure=False), lambda: len(client.nthreads())
        except (asyncio.TimeoutError, TimeoutError) as error:
            raise CamcaffeError("--scheduler", f"{address} has no worker", "workers") from error
        except KilledWorker as error:
            raise CamcaffeError("--scheduler", str(error), "workers with enough memory") from error
        except (CancelledError, OSError) as error:
            raise CamcaffeError("--scheduler", f"{address} is lost", "--resume once it is back") from error


# What a process keeps from chunk to chunk.
_lock = threading.Lock()
_device: str | None = None
_loaded: tuple[Settings, Localizer] | None = None


def localize_chunk(
    settings: Settings, identity: Mapping[str, Any], images: Sequence[StoredImage], workers: int
) -> list[ImageResult]:
    """The results of a few images; what the other processes run.

    Raises:
        CamcaffeError: this process's files or versions are not those of `identity`.
    """
    global _loaded
    # A Dask worker may have several threads; one chunk at a time has all its cores.
    with _lock:
        if _loaded is None or _loaded[0] != settings:
            _loaded = settings, Localizer(settings, _device)
        localizer = _loaded[1]
        for key, value in localizer.identity.items():
            if identity[key] != value:
                raise CamcaffeError(
                    f"worker on {socket.gethostname()}",
                    f"{key} {value!r}, where the run has {identity[key]!r}",
                    "the same files and versions everywhere",
                )
        return list(overlapped(images, localizer.read, localizer.run, localizer.explain, workers))


def _begin(devices) -> None:
    import signal

    global _device
    # Ctrl-C is for the process that writes the run; it ends the others in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _device = devices.get()

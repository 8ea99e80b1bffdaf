"""`camcaffe localize` on other processes: one a device, and those of a Dask cluster."""

import json
import multiprocessing
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from localize_runs import table

from camcaffe import CamcaffeError
from camcaffe.localize import Localizer, Settings, device_processes, find_images, overlapped, spread
from camcaffe.matlab import imwrite

RNG = np.random.default_rng(0)


@pytest.fixture
def semaphores():
    """Other processes need them; a root without /dev/shm has none."""
    try:
        multiprocessing.get_context("spawn").Lock()
    except OSError as error:
        pytest.skip(f"no semaphores here ({error})")


@pytest.fixture
def images(tmp_path):
    """Images for five chunks, one of which is none."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(70):
        imwrite(folder / f"{number:02d}.png", RNG.integers(0, 256, (40 + number, 60, 3), dtype=np.uint8))
    (folder / "13.png").write_text("<html>")
    return folder


def plain(results):
    return sorted(
        (one.name, one.failure, [(c.index, c.score, c.boxes.tolist()) for c in one.classes])
        for one in results
    )


@pytest.fixture
def localizer(small_net):
    return Localizer(Settings({**dict(argument[2:].split("=") for argument in small_net), "threads": 1}))


def test_processes_give_what_threads_give(localizer, images, semaphores):
    found = find_images(images)
    expected = plain(overlapped(found, localizer.read, localizer.run, localizer.explain, 2))
    with device_processes(["cpu", "cpu"]) as (executor, processes):
        assert processes() == 2
        results = spread(executor, processes, found, localizer.settings, localizer.identity, 1)
        assert plain(results) == expected
    assert len(expected) == 70


def test_a_process_with_other_files_is_refused(localizer, images, semaphores):
    identity = {**localizer.identity, "weights": "others"}
    with device_processes(["cpu"]) as (executor, processes):
        results = spread(executor, processes, find_images(images), localizer.settings, identity, 1)
        with pytest.raises(CamcaffeError, match=r"worker on .*: weights '.*', where the run has 'others'"):
            list(results)


def test_each_process_has_its_device(localizer, images, semaphores):
    with device_processes(["abacus"]) as (executor, processes):
        results = spread(executor, processes, find_images(images), localizer.settings, localizer.identity, 1)
        with pytest.raises(CamcaffeError, match="abacus"):
            list(results)


def test_a_process_that_dies_is_one_line(localizer, images, semaphores):
    found, settings, identity = find_images(images), localizer.settings, localizer.identity
    with pytest.raises(CamcaffeError, match="--gpus: a process ended by itself"):  # noqa: SIM117
        with device_processes(["cpu"]) as (executor, processes):
            executor.submit(os._exit, 1)
            list(spread(executor, processes, found, settings, identity, 1))


@pytest.mark.torch
@pytest.mark.cuda
@pytest.mark.parametrize("method", ["cam", "backprop"])
def test_a_process_for_each_gpu(camcaffe, small_net, images, tmp_path, semaphores, method):
    import torch

    count = torch.cuda.device_count()
    arguments = ["localize", *small_net, "--engine=torch", "--images", images, f"--method={method}"]
    rows = []
    for name, more in {"cpu": [], "gpu": ["--gpus", count]}.items():
        result = camcaffe(*arguments, "--run", tmp_path / f"{name}.sqlite", *more)
        assert result.exit_code == 1
        assert ": 69 images, 1 failed" in result.output
        rows.append(table(tmp_path / f"{name}.sqlite"))
    found = [[row[:2] + row[3:5] for row in one] for one in rows]
    assert found[0] == found[1]
    again = camcaffe(*arguments, "--run", tmp_path / "gpu.sqlite", "--gpus", count, "--resume")
    assert ": 69 images, 1 failed" in again.output
    mixed = camcaffe(*arguments, "--run", tmp_path / "gpu.sqlite", "--resume")
    assert 'the run was made with device "cuda", not "cpu"' in mixed.output


@pytest.mark.torch
def test_gpus_that_are_not_there(camcaffe, small_net, images, tmp_path):
    arguments = ["localize", *small_net, "--images", images, "--run", tmp_path / "run.sqlite", "--gpus", 99]
    result = camcaffe(*arguments)
    assert result.exit_code == 2
    assert "Error: --gpus: 99; expected at most " in result.output
    assert not (tmp_path / "run.sqlite").exists()
    for more, message in {
        ("--engine", "onnx"): "Error: --gpus needs the engine torch.",
        ("--scheduler", "tcp://127.0.0.1:1"): "Error: --gpus and --scheduler are two ways; one is enough.",
    }.items():
        assert message in camcaffe(*arguments, *more).output


@pytest.mark.distributed
def test_a_scheduler_that_is_not_there(camcaffe, small_net, images, tmp_path, monkeypatch):
    from camcaffe.localize import processes

    monkeypatch.setattr(processes, "_SECONDS_TO_CONNECT", 1)
    arguments = ["localize", *small_net, "--images", images, "--run", tmp_path / "run.sqlite"]
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        result = camcaffe(*arguments, "--scheduler", address)
        assert result.exit_code == 2
        assert f"Error: --scheduler: {address} cannot be reached (" in result.output
        assert not (tmp_path / "run.sqlite").exists()


@pytest.mark.distributed
def test_a_scheduler_without_workers(cluster, camcaffe, small_net, images, tmp_path, monkeypatch):
    from camcaffe.localize import processes

    monkeypatch.setattr(processes, "_SECONDS_TO_CONNECT", 2)
    arguments = ["localize", *small_net, "--images", images, "--run", tmp_path / "run.sqlite"]
    result = camcaffe(*arguments, "--scheduler", cluster.address)
    assert result.exit_code == 2
    assert result.output == f"Error: --scheduler: {cluster.address} has no worker; expected workers\n"


class Cluster:
    """A Dask scheduler and its workers, processes of this machine on the loopback interface."""

    def __init__(self, folder):
        self._file, self._folder, self.processes = folder / "scheduler.json", folder, []
        self._start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        deadline = time.monotonic() + 60
        while not self._file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.address = json.loads(self._file.read_text())["address"]

    def add_worker(self):
        return self._start(
            *("distributed.cli.dask_worker", "--host", "127.0.0.1", "--no-nanny", "--no-dashboard"),
            *("--nthreads", "1", "--local-directory", str(self._folder)),
        )

    def _start(self, module, *arguments):
        command = [sys.executable, "-m", module, "--scheduler-file", str(self._file), *arguments]
        with (self._folder / "cluster.log").open("a") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        return self.processes[-1]

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = Cluster(folder)
    yield cluster
    cluster.stop()


def opened_by_a_reader(fifo, client):
    """The pipe, open for writing, as soon as somebody reads from it."""
    deadline = time.monotonic() + 60
    while True:
        assert client.poll() is None, client.communicate()
        assert time.monotonic() < deadline
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.02)


@pytest.fixture
def stuck(cluster, small_net, images, tmp_path):
    """The command at work on a cluster of one worker, which waits for the bytes of an image.

    Returns:
        The worker, the client, and what lets the image be.
    """
    worker, fifo, run = cluster.add_worker(), images / "40.png", tmp_path / "run.sqlite"
    fifo.rename(tmp_path / "40.png")
    os.mkfifo(fifo)
    command = [*program(small_net, images), "--run", run, "--scheduler", cluster.address]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    writer = opened_by_a_reader(fifo, client)

    def let_go():
        (tmp_path / "40.png").replace(fifo)
        os.close(writer)

    yield worker, client, let_go
    client.kill()
    client.communicate()


def program(small_net, images):
    return [sys.executable, "-m", "camcaffe", "localize", *small_net, f"--images={images}", "--threads=1"]


@pytest.mark.distributed
def test_a_dask_worker_that_is_killed(cluster, small_net, images, stuck, tmp_path):
    worker, client, let_go = stuck
    worker.kill()
    let_go()
    cluster.add_worker()
    output, error = client.communicate(timeout=120)
    whole, run = tmp_path / "whole.sqlite", tmp_path / "run.sqlite"
    assert client.returncode == 1, error
    assert output == f"{run}: 69 images, 1 failed\n"
    command = [*program(small_net, images), "--run", whole]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1, done.stderr
    assert table(run) == table(whole)
    assert len(table(run)) == 69 * 5 + 1


@pytest.mark.distributed
def test_a_dask_scheduler_that_is_killed(cluster, stuck, tmp_path):
    _, client, let_go = stuck
    cluster.processes[0].kill()
    let_go()
    error = client.communicate(timeout=120)[1]
    assert client.returncode == 2, error
    assert f"Error: --scheduler: {cluster.address} is lost; expected --resume once it is back" in error
    assert "Traceback" not in error

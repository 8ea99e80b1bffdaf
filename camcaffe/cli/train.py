"""`camcaffe train`: Caffe's own `caffe train`, on PyTorch."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import click

from camcaffe.errors import CamcaffeError


@click.command()
@click.option("--solver", required=True, type=click.Path(), metavar="PROTOTXT", help="The solver's settings.")
@click.option(
    "--weights", metavar="FILE[,FILE]", help="Start from the layers of these caffemodels, by their names."
)
@click.option("--snapshot", type=click.Path(), metavar="SOLVERSTATE", help="Go on from a snapshot.")
@click.option(
    "--gpu",
    is_flag=False,
    flag_value="0",
    metavar="[ID]",
    help="Train on this GPU. By default as solver_mode says, where PyTorch has a GPU, or else on the CPU.",
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads. By default all there are.")
@click.option("--log", type=click.Path(), metavar="FILE", help="Write the log into a file, too.")
def command(solver, weights, snapshot, gpu, threads, log):
    """Train a net as `caffe train` does: the same settings, order, log lines and files.

    \b
    Writes, as the solver's settings say:
      PREFIX_iter_N.caffemodel    the weights after N iterations
      PREFIX_iter_N.solverstate   what --snapshot goes on from: to the bit as if it had never stopped
      PREFIX_curves.png           loss and scores

    Ctrl-C stops after a last snapshot, and SIGHUP writes one. Relative names start at the working folder; if
    the solver's net is not there but beside the solver's file, then at that file's folder.

    \b
    Examples:
      camcaffe train --solver solver.prototxt --weights squeezenet_v1.0.caffemodel
      camcaffe train --solver solver.prototxt --snapshot snapshot_iter_5000.solverstate
    """
    # Read once, when PyTorch is loaded: threads that wait for each other then sleep, and leave the processor
    # to whoever reads the data, and to whatever else runs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from camcaffe.caffe.training.log import Log, to_stderr
    from camcaffe.caffe.training.settings import read_settings
    from camcaffe.caffe.training.signals import SignalRequests
    from camcaffe.caffe.training.solver import Solver

    if weights and snapshot:
        raise CamcaffeError("--weights", "given beside --snapshot", "one of them")
    settings = read_settings(solver)
    if weights:
        names = tuple(name.strip() for name in weights.split(","))
        if not all(names):
            raise CamcaffeError("--weights", f"{weights!r}", "names of caffemodels with commas between them")
        settings = replace(settings, weights=names)
    lines = _lines_so_far(log) if snapshot else []
    with ExitStack() as stack:
        writers = [to_stderr, lines.append]
        if log is not None:
            writers.append(stack.enter_context(_log_writer(log, "a" if snapshot else "w")))
        told = Log(*writers)
        device = _device(gpu, settings.solver)
        used = "Use CPU." if device == "cpu" else f"Using GPUs {device.partition(':')[2]}"
        told.info("caffe.cpp:197", used)
        told.info("solver.cpp:45", f"Initializing solver from parameters: \n{str(settings.solver).rstrip()}")
        requests = stack.enter_context(SignalRequests())
        bar = _Bar()
        run = Solver(
            settings, device=device, threads=threads, log=told, request=requests, progress=bar.update
        )
        stack.callback(run.close)
        if snapshot:
            told.info("caffe.cpp:235", f"Resuming from {snapshot}")
            run.restore(snapshot)
        told.info("caffe.cpp:239", "Starting Optimization")
        stack.callback(_draw, lines, f"{settings.prefix}_curves.png")
        stack.callback(bar.close)
        bar.open(run.iteration, settings.solver.max_iter)
        run.solve()
        told.info("caffe.cpp:250", "Optimization Done.")


class _Bar:
    """Iterations per second, the loss and the time left, where there is a terminal."""

    def __init__(self):
        self._bar = None

    def open(self, done: int, total: int) -> None:
        from tqdm import tqdm

        self._bar = tqdm(initial=done, total=total, unit="it", disable=not sys.stderr.isatty())

    def update(self, done: int, loss: float) -> None:
        self._bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _device(gpu: str | None, solver) -> str:
    from camcaffe.caffe.engines.torch import version

    if gpu is not None:
        if not gpu.isdigit():
            raise CamcaffeError("--gpu", f"{gpu!r}", "the number of one GPU")
        return f"cuda:{gpu}"
    if solver.solver_mode == solver.GPU and version() is not None:
        import torch

        if torch.cuda.is_available():
            return f"cuda:{solver.device_id}"
    return "cpu"


def _lines_so_far(log: str | None) -> list[str]:
    if log is None or not Path(log).is_file():
        return []
    return Path(log).read_text(encoding="utf-8", errors="replace").splitlines()


@contextmanager
def _log_writer(log: str, mode: str) -> Iterator[Callable[[str], None]]:
    """A function that writes a line into the log; the disk may be full at any of them, and at the end."""
    try:
        with Path(log).open(mode, encoding="utf-8", buffering=1) as file:
            yield lambda line: print(line, file=file)
    except OSError as error:
        raise CamcaffeError(log, f"cannot be written: {error.strerror.lower()}") from error


def _draw(lines: list[str], path: str) -> None:
    from camcaffe.caffe.training.curves import draw_curves, read_curves

    curves = read_curves(lines)
    if not curves.loss:
        return
    try:
        draw_curves(curves, path)
    except ImportError:
        click.echo(f"{path}: not drawn, as Matplotlib cannot be imported; pip install matplotlib", err=True)
    except CamcaffeError as error:
        # A line only: it must not take the place of the error that may have ended the run.
        click.echo(f"{error}", err=True)
    else:
        click.echo(f"{path}: loss and scores", err=True)

"""`caffe train`: Caffe's Solver around a net on PyTorch, step for step."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from camcaffe import files
from camcaffe.caffe.caffemodel import write_caffemodel
from camcaffe.caffe.training.log import Log, number
from camcaffe.caffe.training.net import Outputs
from camcaffe.caffe.training.phase_net import PhaseNet, assign
from camcaffe.caffe.training.policies import current_step, learning_rate
from camcaffe.caffe.training.settings import Settings
from camcaffe.caffe.training.solver_state import SolverState, read_solver_state, write_solver_state
from camcaffe.caffe.training.updates import Updates, clip_gradients, learnable_parameters
from camcaffe.caffe.weights import Weights
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike

STOP, SNAPSHOT = "stop", "snapshot"


def _nothing(*_) -> None:
    return None


class Solver:
    """Trains a net as its solver's settings say, in the order in which Caffe does things.

    Data, dropout and everything else that is drawn at random are functions of `random_seed` (0 where the
    settings have none) and of the iteration: a run that is taken up again goes on as if it had never stopped.

    Args:
        settings: from `read_settings`.
        device: where PyTorch runs.
        threads: CPU threads; None: all.
        log: where Caffe's lines go; None: nowhere.
        request: asked after each iteration and each test batch; STOP ends the run, SNAPSHOT writes one.
        progress: called after each iteration with the number done and the smoothed loss.

    Attributes:
        iteration: how often the weights have been updated.
        snapshots: the states written so far.

    Raises:
        CamcaffeError: the nets, the data or the snapshots' folder cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        device: str = "cpu",
        threads: int | None = None,
        log: Log | None = None,
        request: Callable[[], str | None] = _nothing,
        progress: Callable[[int, float], None] = _nothing,
    ):
        self.settings, self.iteration, self.snapshots = settings, 0, []
        self._solver, self._log = settings.solver, (log or Log()).info
        self._request, self._progress = request, progress
        self._is_stopped, self._current_step = False, 0
        self._check_folder()
        seed = max(self._solver.random_seed, 0)
        options = {"device": device, "seed": seed, "threads": threads}
        self._log("solver.cpp:102", f"Creating training net from {settings.train_origin}")
        self._train = PhaseNet(settings.train, {}, **options)
        self._tests = []
        for index, (network, origin) in enumerate(zip(settings.tests, settings.test_origins)):
            self._log("solver.cpp:190", f"Creating test net (#{index}) specified by {origin}")
            self._tests.append(PhaseNet(network, self._train.parameters, **options))
        self._learnables = learnable_parameters(settings.train, self._train.parameters)
        self._updates = Updates(self._solver, self._learnables)
        for caffemodel in settings.weights:
            self.copy_from(caffemodel)
        self._log("solver.cpp:57", "Solver scaffolding done.")

    @property
    def weights(self) -> Weights:
        """Layer name -> its parameters, as they are now."""
        return self._train.weights()

    def copy_from(self, caffemodel: PathLike) -> None:
        """Take the weights of those layers that a caffemodel has, by name; the others stay as they are.

        Raises:
            CamcaffeError: the file cannot be read, has no layer of the net, or shapes that do not fit.
        """
        self._log("solver.cpp:72", f"Finetuning from {os.fspath(caffemodel)}")
        for name in self._train.take(caffemodel):
            self._log("net.cpp:744", f"Layer {name} is not in {os.fspath(caffemodel)}")
        for test in self._tests:
            if test.has_own:
                test.take(caffemodel)

    def restore(self, path: PathLike) -> None:
        """Go on from a snapshot's state; its weights are looked for as it says, then beside it.

        Raises:
            CamcaffeError: a file is missing or damaged, or is of another net or type of solver.
        """
        state = read_solver_state(path)
        shapes = [tuple(one.shape) for one in self._updates.history]
        if [array.shape for array in state.history] != shapes:
            found = f"a history of {len(state.history)} blobs that do not fit"
            expected = f"the {len(shapes)} of {self._solver.type} on {self.settings.train.source}"
            raise CamcaffeError(path, found, expected)
        caffemodel = self._learned_net(path, state.learned_net)
        missing = self._train.take(caffemodel)
        if missing:
            found = f"no weights for layer {', '.join(missing)} of {self.settings.train.source}"
            raise CamcaffeError(caffemodel, found, "a snapshot of this net")
        for tensor, array in zip(self._updates.history, state.history):
            assign(tensor, array)
        self.iteration, self._current_step = state.iteration, state.current_step

    def solve(self) -> None:
        """Train up to `max_iter`, with a snapshot and a test at the end; or until a stop is requested.

        Raises:
            CamcaffeError: the data cannot be read; the loss or a weight is no longer a number.
        """
        solver = self._solver
        self._log("solver.cpp:289", f"Solving {self.settings.train.name}")
        self._log("solver.cpp:290", f"Learning Rate Policy: {solver.lr_policy}")
        try:
            loss = self.step(max(0, solver.max_iter - self.iteration))
            if solver.snapshot_after_train and not (
                solver.snapshot and self.iteration % solver.snapshot == 0
            ):
                self.snapshot()
            if self._is_stopped:
                self._log("solver.cpp:316", "Optimization stopped early.")
                return
            if solver.display and self.iteration % solver.display == 0:
                loss.add(self._forward(self.iteration * solver.iter_size)[1])
                self._log("solver.cpp:327", f"Iteration {self.iteration}, loss = {number(loss.smoothed)}")
            if solver.test_interval and self.iteration % solver.test_interval == 0:
                self.test_all()
            self._log("solver.cpp:332", "Optimization Done.")
        finally:
            self.close()

    def step(self, count: int) -> SmoothedLoss:
        """Train for so many iterations, with the tests, snapshots and lines of log that fall due.

        Returns:
            The loss, averaged over the last `average_loss` of these iterations.

        Raises:
            CamcaffeError: as `solve`.
        """
        solver, last = self._solver, self.iteration + count
        loss = SmoothedLoss(solver.average_loss)
        shown, since = self.iteration, time.monotonic()
        while self.iteration < last:
            if self._is_test_due():
                self.test_all()
                if self._is_stopped:
                    break
            outputs, value = self._accumulate_gradients()
            loss.add(value)
            if solver.display and self.iteration % solver.display == 0:
                now = time.monotonic()
                self._display(loss.smoothed, outputs, self.iteration - shown, now - since)
                shown, since = self.iteration, now
            self._apply_update()
            self._progress(self.iteration, float(loss.smoothed))
            request = self._request()
            if request == SNAPSHOT or (solver.snapshot and self.iteration % solver.snapshot == 0):
                self.snapshot()
            if request == STOP:
                self._is_stopped = True
                break
        return loss

    def test_all(self) -> None:
        """Run every test net over its `test_iter` batches and log the means of its outputs."""
        for index in range(len(self._tests)):
            if not self._is_stopped:
                self._test(index)

    def snapshot(self) -> None:
        """Write PREFIX_iter_N.caffemodel and, when that is whole, PREFIX_iter_N.solverstate.

        Raises:
            CamcaffeError: a weight is not a number; a file cannot be written.
        """
        weights = self.weights
        for layer, arrays in weights.items():
            if not all(np.isfinite(array).all() for array in arrays):
                raise self._diverged(f"the weights of layer {layer!r} are not finite")
        is_hdf5 = self._solver.snapshot_format == self._solver.HDF5
        kind, end = ("HDF5 file", ".h5") if is_hdf5 else ("binary proto file", "")
        stem = f"{self.settings.prefix}_iter_{self.iteration}"
        caffemodel, state = f"{stem}.caffemodel{end}", f"{stem}.solverstate{end}"
        self._log("solver.cpp:474" if is_hdf5 else "solver.cpp:464", f"Snapshotting to {kind} {caffemodel}")
        write_caffemodel(caffemodel, self.settings.train, weights)
        text = f"Snapshotting solver state to {kind} {state}"
        self._log("sgd_solver.cpp:296" if is_hdf5 else "sgd_solver.cpp:284", text)
        history = [tensor.cpu().numpy() for tensor in self._updates.history]
        write_solver_state(state, SolverState(self.iteration, caffemodel, self._current_step, history))
        self.snapshots.append(state)

    def close(self) -> None:
        """Stop reading ahead."""
        for phase in (self._train, *self._tests):
            phase.close()

    def _check_folder(self) -> None:
        # Not at the first snapshot, after hours.
        probe = Path(f"{self.settings.prefix}_iter_0.tempfile")
        files.make_folder(probe.parent)
        files.write_bytes(probe, b"")
        probe.unlink()

    def _learned_net(self, state: PathLike, name: str) -> str:
        if not name:
            raise CamcaffeError(state, "it names no caffemodel", "a snapshot with its learned_net")
        beside = Path(state).parent / Path(name).name
        return os.fspath(beside) if not Path(name).exists() and beside.exists() else name

    def _forward(self, index: int) -> tuple[Outputs, np.float32]:
        outputs = self._train.forward(index)
        return outputs, np.float32(outputs.loss.item())

    def _accumulate_gradients(self) -> tuple[Outputs, np.float32]:
        size, loss = self._solver.iter_size, np.float32(0)
        for index in range(self.iteration * size, (self.iteration + 1) * size):
            outputs, value = self._forward(index)
            if not np.isfinite(value):
                raise self._diverged(f"the loss is {value:g}")
            self._train.backward(outputs)
            loss += value
        return outputs, loss / np.float32(size)

    def _diverged(self, found: str) -> CamcaffeError:
        kept = f"; the last snapshot is {self.snapshots[-1]}" if self.snapshots else ""
        return CamcaffeError(
            self.settings.source,
            f"{found} in iteration {self.iteration}{kept}",
            "finite numbers: try a lower base_lr",
        )

    def _apply_update(self) -> None:
        solver = self._solver
        before = self._current_step
        self._current_step = current_step(solver, self.iteration, before)
        if solver.lr_policy == "multistep" and self._current_step > before:
            text = f"MultiStep Status: Iteration {self.iteration}, step = {self._current_step}"
            self._log("sgd_solver.cpp:53", text)
        rate = learning_rate(solver, self.iteration, self._current_step)
        if solver.display and self.iteration % solver.display == 0:
            self._log("sgd_solver.cpp:112", f"Iteration {self.iteration}, lr = {number(rate)}")
        clipped = clip_gradients(solver, self._learnables)
        if clipped is not None:
            norm, factor = map(number, clipped)
            excess = f"L2 norm {norm} > {number(solver.clip_gradients)}"
            text = f"Gradient clipping: scaling down gradients ({excess}) by scale factor {factor}"
            self._log("sgd_solver.cpp:99", text)
        self._updates.apply(rate, self.iteration)
        self.iteration += 1

    def _display(self, loss: np.float32, outputs: Outputs, count: int, seconds: float) -> None:
        speed = f"{number(count / (seconds or 1))} iter/s, {number(seconds)}s/{self._solver.display} iters"
        self._log("solver.cpp:239", f"Iteration {self.iteration} ({speed}), loss = {number(loss)}")
        lines = _output_lines(outputs.blobs, self._train.loss_weights)
        for index, line in enumerate(lines):
            self._log("solver.cpp:258", f"    Train net output #{index}: {line}")

    def _is_test_due(self) -> bool:
        interval, iteration = self._solver.test_interval, self.iteration
        return (
            bool(interval)
            and iteration % interval == 0
            and (iteration > 0 or self._solver.test_initialization)
        )

    def _tests_done(self) -> int:
        # Before this iteration: what tells where a test net goes on reading.
        passed = -(-self.iteration // self._solver.test_interval)
        return passed if self._solver.test_initialization else max(0, passed - 1)

    def _test(self, index: int) -> None:
        self._log("solver.cpp:347", f"Iteration {self.iteration}, Testing net (#{index})")
        phase, count = self._tests[index], self._solver.test_iter[index]
        loss, sums = np.float32(0), {}
        for batch in range(self._tests_done() * count, (self._tests_done() + 1) * count):
            request = self._request()
            if request == SNAPSHOT:
                self.snapshot()
            if request == STOP:
                self._is_stopped = True
                self._log("solver.cpp:392", "Test interrupted.")
                return
            outputs = phase.forward(batch)
            loss += np.float32(outputs.loss.item())
            for name, values in outputs.blobs.items():
                sums[name] = sums[name] + values if name in sums else values
        if self._solver.test_compute_loss:
            self._log("solver.cpp:397", f"Test loss: {number(loss / np.float32(count))}")
        means = {name: values / np.float32(count) for name, values in sums.items()}
        for output, line in enumerate(_output_lines(means, phase.loss_weights)):
            self._log("solver.cpp:414", f"    Test net output #{output}: {line}")


class SmoothedLoss:
    """The mean of the last `window` losses, kept up to date in float32 as Caffe does.

    Attributes:
        smoothed: the mean; 0 before the first loss.
    """

    def __init__(self, window: int):
        self.smoothed, self._window, self._losses, self._oldest = np.float32(0), window, [], 0

    def add(self, loss: np.float32) -> None:
        """Take one more loss into account."""
        if len(self._losses) < self._window:
            self._losses.append(loss)
            size = np.float32(len(self._losses))
            self.smoothed = (self.smoothed * (size - np.float32(1)) + loss) / size
        else:
            self.smoothed += (loss - self._losses[self._oldest]) / np.float32(self._window)
            self._losses[self._oldest] = loss
            self._oldest = (self._oldest + 1) % self._window


def _output_lines(blobs: Mapping[str, np.ndarray], loss_weights: Mapping[str, float]) -> list[str]:
    lines = []
    for name, values in blobs.items():
        weight = np.float32(loss_weights.get(name, 0))
        for value in np.ravel(values):
            counted = f" (* {number(weight)} = {number(weight * value)} loss)" if weight else ""
            lines.append(f"{name} = {number(value)}{counted}")
    return lines

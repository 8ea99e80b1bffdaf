import os
import re
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from training_files import NET, write_training

from camcaffe.caffe.caffemodel import read_caffemodel

pytestmark = pytest.mark.torch


@pytest.fixture
def train(camcaffe, tmp_path, monkeypatch):
    """train("max_iter: 5", "--log", "a.log") -> click's result, in this folder."""
    monkeypatch.chdir(tmp_path)

    def train(extra, *arguments, net=NET):
        write_training(tmp_path, extra, net)
        return camcaffe("train", "--solver", "solver.prototxt", "--threads", "1", *arguments)

    return train


def test_a_run_with_its_files(train, tmp_path):
    result = train("", "--log", "run.log")
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.glob("of_*")} == {
        "of_curves.png",
        *(f"of_iter_{n}.{kind}" for n in (10, 20) for kind in ("caffemodel", "solverstate")),
    }
    log = (tmp_path / "run.log").read_text()
    assert re.search(r"^I\d{4} \S+ +\d+ caffe\.cpp:250\] Optimization Done\.$", log, re.MULTILINE)
    assert 'snapshot_prefix: "of"' in log
    assert "Use CPU." in log


def test_going_on_from_a_snapshot(train, tmp_path):
    train("", "--log", "run.log")
    whole = read_caffemodel(tmp_path / "of_iter_20.caffemodel")
    (tmp_path / "of_iter_20.caffemodel").unlink()
    result = train("", "--snapshot", "of_iter_10.solverstate", "--log", "run.log")
    assert result.exit_code == 0, result.output
    again = read_caffemodel(tmp_path / "of_iter_20.caffemodel")
    assert all(np.array_equal(a, b) for layer in whole for a, b in zip(whole[layer], again[layer]))
    assert (tmp_path / "run.log").read_text().count("Optimization Done.") == 4  # both runs', each twice


def test_weights_by_name_from_several_files(train, tmp_path):
    train("max_iter: 1")
    weights = "of_iter_1.caffemodel,of_iter_1.caffemodel"
    other = NET.replace('"fc"', '"other"')
    result = train("max_iter: 2", "--weights", weights, "--log", "run.log", net=other)
    assert result.exit_code == 0, result.output
    log = (tmp_path / "run.log").read_text()
    assert log.count("Finetuning from of_iter_1.caffemodel") == 2
    assert "Layer other is not in of_iter_1.caffemodel" in log


@pytest.mark.parametrize(
    ("extra", "arguments", "message"),
    [
        ("", ("--weights", "a", "--snapshot", "b"), "--weights: given beside --snapshot"),
        ("", ("--snapshot", "missing.solverstate"), "missing.solverstate: no such file"),
        ("", ("--weights", "missing.caffemodel"), "missing.caffemodel: no such file"),
        ('type: "AdaDelta"', (), "solver.prototxt: type: 'AdaDelta'"),
        ("base_lr: 1e30", (), "expected finite numbers: try a lower base_lr"),
        ("", ("--gpu", "one"), "--gpu: 'one'; expected the number of one GPU"),
        ("", ("--log", "missing/run.log"), "missing/run.log: cannot be written"),
        ("", ("--log", "/dev/full"), "/dev/full: cannot be written: no space left on device"),
        ("", ("--weights", "a,"), "--weights: 'a,'; expected names of caffemodels with commas between them"),
    ],
)
def test_bad_input_is_told_in_one_line(extra, arguments, message, train):
    result = train(extra, *arguments)
    assert result.exit_code == 2
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert message in line


def test_a_gpu_that_is_not_there(train):
    result = train("", "--gpu", "97")
    assert result.exit_code == 2
    assert "'cuda:97' cannot be used" in result.output


@pytest.mark.parametrize("mode", ["CPU", "GPU"])
def test_without_pytorch(mode, train, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    result = train(f"solver_mode: {mode}")
    assert result.exit_code == 2
    assert 'training: PyTorch cannot be imported; expected pip install "camcaffe[train]"' in result.output


def test_without_matplotlib(train, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = train("max_iter: 1")
    assert result.exit_code == 0
    assert "of_curves.png: not drawn, as Matplotlib cannot be imported" in result.output
    assert not (tmp_path / "of_curves.png").exists()


def test_a_snapshot_that_cannot_be_written(camcaffe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_training(tmp_path, "max_iter: 1")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))
    try:
        result = camcaffe("train", "--solver", "solver.prototxt", "--threads", "1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.exit_code == 2
    assert "\nof_curves.png: cannot be written: file too large\n" in result.output
    assert result.output.endswith("\nError: of_iter_1.caffemodel: cannot be written: file too large\n")
    assert not list(tmp_path.glob("*of_*"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 0)])
def test_signals_stop_after_a_last_snapshot(number, status, tmp_path):
    write_training(tmp_path, "max_iter: 1000000 snapshot: 0")
    process = start(tmp_path)
    wait_for(process, "Iteration 10 ")
    process.send_signal(signal.SIGHUP)
    wait_for(process, "Snapshotting solver state")
    process.send_signal(number)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == status, rest
    assert "Optimization stopped early." in rest
    assert len(list(tmp_path.glob("of_iter_*.solverstate"))) == 2
    assert (tmp_path / "of_curves.png").exists()


def test_a_second_ctrl_c_interrupts_at_once():
    from camcaffe.caffe.training.signals import SignalRequests

    before = signal.getsignal(signal.SIGINT)
    with SignalRequests() as requests:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        assert requests() == "stop"
        assert requests() is None
    assert signal.getsignal(signal.SIGINT) is before


def test_a_kill_leaves_whole_snapshots(tmp_path):
    from camcaffe.caffe.training.solver_state import read_solver_state

    write_training(tmp_path, "max_iter: 1000000 snapshot: 1 display: 0 test_interval: 1000000")
    process = start(tmp_path)
    wait_for(process, "iter_5.solverstate")
    process.kill()
    process.communicate()
    states = list(tmp_path.glob("of_iter_*.solverstate"))
    assert len(states) >= 4
    for path in states:
        assert len(read_caffemodel(tmp_path / read_solver_state(path).learned_net)) == 3


def start(folder):
    return subprocess.Popen(
        [sys.executable, "-m", "camcaffe", "train", "--solver", "solver.prototxt", "--threads", "1"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def wait_for(process, text):
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"it ended before {text!r}")

"""`camcaffe train` against BVLC Caffe's `caffe train`: the same weights, lines and snapshots."""

import re
from dataclasses import replace

import numpy as np
import pytest
from training_cases import Case

pytestmark = [pytest.mark.caffe_root, pytest.mark.torch]

NUMBERS = re.compile(r"(?<![#\w])-?\d+\.?\d*(?:e[-+]\d+)?")


@pytest.fixture(params=range(10))
def case(request, real_caffe, monkeypatch):
    """A case, written into the folder in which both programs work, with weights to start from."""
    case = Case(request.param)
    monkeypatch.chdir(real_caffe.folder)
    case.write(real_caffe.folder)
    for name in ("ours", "theirs", "ours_on_theirs", "theirs_on_ours"):
        (real_caffe.folder / name).mkdir()
        (real_caffe.folder / f"{name}.prototxt").write_text(case.solver(f"{name}/of"))
    return case


def test_ten_nets_train_as_in_caffe(case, real_caffe):
    lines = train_ours("ours", write_start=True)
    log = real_caffe.run("caffe", "train", "--solver", "theirs.prototxt", "--weights", "start.caffemodel")
    for iteration in (25, 50):
        compare(f"ours/of_iter_{iteration}.caffemodel", f"theirs/of_iter_{iteration}.caffemodel")
    compare_logs(lines, log)
    assert_learned("start.caffemodel", "ours/of_iter_50.caffemodel")

    # Each goes on from the other's snapshot.
    state = "ours/of_iter_25.solverstate"
    real_caffe.run("caffe", "train", "--solver", "theirs_on_ours.prototxt", "--snapshot", state)
    compare("ours/of_iter_50.caffemodel", "theirs_on_ours/of_iter_50.caffemodel")
    train_ours("ours_on_theirs", snapshot="theirs/of_iter_25.solverstate")
    compare("ours_on_theirs/of_iter_50.caffemodel", "theirs/of_iter_50.caffemodel")
    compare_states("ours/of_iter_50.solverstate", "theirs/of_iter_50.solverstate")


def train_ours(name, write_start=False, snapshot=None):
    from camcaffe.caffe.caffemodel import write_caffemodel
    from camcaffe.caffe.training.log import Log
    from camcaffe.caffe.training.settings import read_settings
    from camcaffe.caffe.training.solver import Solver

    settings, lines = read_settings(f"{name}.prototxt"), []
    run = Solver(settings, threads=1, log=Log(lines.append))
    if write_start:
        write_caffemodel("start.caffemodel", settings.train, run.weights)
        run.copy_from("start.caffemodel")
    if snapshot:
        run.restore(snapshot)
    run.solve()
    return lines


def compare(ours, theirs):
    from camcaffe.caffe.caffemodel import read_caffemodel

    ours, theirs = read_caffemodel(ours), read_caffemodel(theirs)
    assert list(ours) == list(theirs)
    for layer, blobs in theirs.items():
        assert [blob.shape for blob in ours[layer]] == [blob.shape for blob in blobs]
        for index, (one, other) in enumerate(zip(ours[layer], blobs)):
            assert difference(one, other) < 1e-4, (layer, index)


def assert_learned(start, end):
    from camcaffe.caffe.caffemodel import read_caffemodel

    start, end = read_caffemodel(start), read_caffemodel(end)
    moved = [difference(end[layer][0], blobs[0]) > 0.01 for layer, blobs in start.items()]
    assert sum(moved) > len(moved) / 2


def compare_states(ours, theirs):
    from camcaffe.caffe.training.solver_state import read_solver_state

    ours, theirs = read_solver_state(ours), read_solver_state(theirs)
    assert replace(ours, history=[], learned_net="") == replace(theirs, history=[], learned_net="")
    assert [one.shape for one in ours.history] == [other.shape for other in theirs.history]
    for one, other in zip(ours.history, theirs.history):
        assert difference(one, other) < 1e-3  # a difference of gradients, which cancels out


def difference(one, other):
    return np.abs(one - other).max() / max(np.abs(other).max(), 1e-30)


def compare_logs(ours, theirs):
    ours, theirs = told(ours), told(theirs.splitlines())
    assert [NUMBERS.sub("N", line) for line in ours] == [NUMBERS.sub("N", line) for line in theirs]
    for line, other in zip(ours, theirs):
        numbers = [[float(text) for text in NUMBERS.findall(text)] for text in (line, other)]
        assert numbers[0] == pytest.approx(numbers[1], rel=5e-5, abs=1e-6), (line, other)


def told(lines):
    """What a log says of iterations, without when and how fast."""
    kept = [line.partition("] ")[2] for line in lines if re.match(r"I\d{4} .* (sgd_)?solver\.cpp:", line)]
    kept = [re.sub(r" \(\S+ iter/s, \S+s/", " (N iter/s, Ns/", line) for line in kept]
    return [
        line.replace("theirs/", "ours/")
        for line in kept
        if not line.startswith(("Initializing", "Creating", "Finetuning", "Layer", "Solver scaffolding"))
    ]


def test_hdf5_snapshots_go_both_ways(real_caffe, monkeypatch):
    case = Case(2)
    monkeypatch.chdir(real_caffe.folder)
    case.write(real_caffe.folder)
    for name in ("ours", "theirs", "ours_on_theirs", "theirs_on_ours"):
        (real_caffe.folder / name).mkdir()
        text = case.solver(f"{name}/of") + "snapshot_format: HDF5"
        (real_caffe.folder / f"{name}.prototxt").write_text(text)
    train_ours("ours", write_start=True)
    real_caffe.run("caffe", "train", "--solver", "theirs.prototxt", "--weights", "start.caffemodel")
    state = "ours/of_iter_25.solverstate.h5"
    real_caffe.run("caffe", "train", "--solver", "theirs_on_ours.prototxt", "--snapshot", state)
    train_ours("ours_on_theirs", snapshot="theirs/of_iter_25.solverstate.h5")
    for name in ("theirs", "ours_on_theirs", "theirs_on_ours"):
        compare("ours/of_iter_50.caffemodel.h5", f"{name}/of_iter_50.caffemodel.h5")
    compare_states("ours_on_theirs/of_iter_50.solverstate.h5", "theirs/of_iter_50.solverstate.h5")


POLICY_NET = """
layer { name: "one" type: "DummyData" top: "one"
        dummy_data_param { shape { dim: 1 dim: 1 } data_filler { type: "constant" value: 1 } } }
layer { name: "fc" type: "InnerProduct" bottom: "one" top: "fc" inner_product_param { num_output: 1
        bias_term: false weight_filler { type: "constant" value: 0.5 } } }
layer { name: "sum" type: "Reduction" bottom: "fc" top: "loss" loss_weight: 1 }
"""


@pytest.mark.parametrize(
    "policy",
    [
        'lr_policy: "fixed"',
        'lr_policy: "step" gamma: 0.97 stepsize: 7',
        'lr_policy: "exp" gamma: 0.97',
        'lr_policy: "inv" gamma: 0.013 power: 0.75',
        'lr_policy: "multistep" gamma: 0.97 stepvalue: 5 stepvalue: 5 stepvalue: 6 stepvalue: 20',
        'lr_policy: "poly" power: 0.75',
        'lr_policy: "sigmoid" gamma: 0.13 stepsize: 30',
        'lr_policy: "sigmoid" gamma: 13 stepsize: 30',
    ],
)
def test_learning_rates_are_caffes_to_the_bit(policy, real_caffe):
    from google.protobuf import text_format

    from camcaffe.caffe import messages
    from camcaffe.caffe.training.policies import current_step, learning_rate
    from camcaffe.caffe.training.solver_state import read_solver_state

    text = f"base_lr: 0.0137 max_iter: 60 {policy}"
    files = 'net: "net.prototxt" snapshot: 1 snapshot_prefix: "rate" solver_mode: CPU momentum: 0'
    (real_caffe.folder / "net.prototxt").write_text(POLICY_NET)
    (real_caffe.folder / "solver.prototxt").write_text(f"{text} {files}")
    real_caffe.run("caffe", "train", "--solver", "solver.prototxt")
    solver = text_format.Parse(text, messages.SolverParameter())
    steps = 0
    for iteration in range(60):
        steps = current_step(solver, iteration, steps)
        state = read_solver_state(real_caffe.folder / f"rate_iter_{iteration + 1}.solverstate")
        # The gradient is 1 and there is no momentum: the history is the learning rate.
        assert state.history[0].item() == learning_rate(solver, iteration, steps)
        if "step" in policy:
            assert state.current_step == steps

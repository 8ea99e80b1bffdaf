import re

import h5py
import numpy as np
import pytest
from training_files import NET, write_training

from camcaffe.caffe.caffemodel import read_caffemodel, write_caffemodel
from camcaffe.errors import CamcaffeError

pytestmark = pytest.mark.torch


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A Solver of the small net in this folder: make("max_iter: 5") -> (solver, its lines)."""
    from camcaffe.caffe.training.log import Log
    from camcaffe.caffe.training.settings import read_settings
    from camcaffe.caffe.training.solver import Solver

    monkeypatch.chdir(tmp_path)

    def make(extra="", net=NET, **options):
        lines = []
        settings = read_settings(write_training(tmp_path, extra, net))
        run = Solver(
            settings, threads=1, log=Log(lambda line: lines.append(line.partition("] ")[2])), **options
        )
        return run, lines

    return make


def same(one, other):
    assert list(one) == list(other)
    return all(np.array_equal(a, b) for layer in one for a, b in zip(one[layer], other[layer]))


@pytest.mark.parametrize(
    "extra",
    [
        "random_seed: 3",
        'type: "Adam" base_lr: 0.01 iter_size: 2 snapshot_format: HDF5',
        'type: "Nesterov" lr_policy: "multistep" gamma: 0.5 stepvalue: 5 stepvalue: 12 weight_decay: 0.01',
    ],
)
def test_a_run_taken_up_again_ends_as_if_it_had_never_stopped(extra, make):
    run, lines = make(extra)
    run.solve()
    again, lines_again = make(extra)
    again.restore(run.snapshots[0])
    assert again.iteration == 10
    again.solve()
    assert same(run.weights, again.weights)
    end = ".h5" if "HDF5" in extra else ""
    assert run.snapshots == [f"of_iter_{n}.solverstate{end}" for n in (10, 20)]

    def after(lines):
        tests = [index for index, line in enumerate(lines) if line == "Iteration 10, Testing net (#0)"]
        return [re.sub(r"\(.* iter/s.* iters\)", "", line) for line in lines[tests[-1] :]]

    assert after(lines) == after(lines_again)
    assert len(after(lines)) > 10


def test_seeds_count(make):
    def weights(extra):
        run, _ = make(f"max_iter: 3 snapshot_after_train: false {extra}")
        run.solve()
        return run.weights

    assert same(weights("random_seed: 4"), weights("random_seed: 4"))
    assert not same(weights("random_seed: 4"), weights("random_seed: 5"))
    assert same(weights(""), weights("random_seed: 0"))


def test_the_order_of_things(make):
    run, lines = make("max_iter: 6 display: 3 test_interval: 3 snapshot: 4")
    run.solve()
    kinds = [re.sub(r"(loss|lr|accuracy) = .*|\(\S+ iter/s.*iters\)", r"\1", line) for line in lines]
    begin = kinds.index("Solving small")
    test = ["    Test net output #0: accuracy", "    Test net output #1: loss"]

    def trained(n):
        return [f"Iteration {n} , loss", "    Train net output #0: loss", f"Iteration {n}, lr"]

    def snapshot(n):
        return [
            f"Snapshotting to binary proto file of_iter_{n}.caffemodel",
            f"Snapshotting solver state to binary proto file of_iter_{n}.solverstate",
        ]

    assert kinds[begin:] == [
        "Solving small",
        "Learning Rate Policy: fixed",
        *["Iteration 0, Testing net (#0)", *test, *trained(0)],
        *["Iteration 3, Testing net (#0)", *test, *trained(3)],
        *snapshot(4),
        *snapshot(6),
        "Iteration 6, loss",
        "Iteration 6, Testing net (#0)",
        *test,
        "Optimization Done.",
    ]


def test_what_settings_leave_out(make):
    run, lines = make("test_initialization: false snapshot_after_train: false snapshot: 0 max_iter: 4")
    run.solve()
    assert not any("Testing" in line or "Snapshot" in line for line in lines)
    run, lines = make("test_compute_loss: true max_iter: 10 test_iter: 1 test_iter: 3")
    run.solve()
    assert sum(line.startswith("Test loss: ") for line in lines) == 4
    assert lines.count("Iteration 10, Testing net (#1)") == 1


def test_the_loss_falls(make):
    run, lines = make("max_iter: 200 display: 0 test_interval: 200 test_iter: 4 snapshot: 0 base_lr: 0.02")
    run.solve()
    losses = [float(line.split(" = ")[1].split()[0]) for line in lines if "output #1: loss" in line]
    assert losses[-1] < 0.5 * losses[0]


def test_losses_are_averaged_in_a_window():
    from camcaffe.caffe.training.solver import SmoothedLoss

    losses = np.random.default_rng(0).random(12).astype(np.float32)
    smoothed = SmoothedLoss(5)
    for count, loss in enumerate(losses, 1):
        smoothed.add(loss)
        assert smoothed.smoothed == pytest.approx(losses[max(0, count - 5) : count].mean(), rel=1e-5)
    assert isinstance(smoothed.smoothed, np.float32)


def test_a_loss_that_is_no_number_stops_the_run(make):
    run, _ = make("base_lr: 1e30 snapshot: 1 test_interval: 100")
    with pytest.raises(CamcaffeError, match=r"in iteration \d+.*try a lower base_lr") as caught:
        run.solve()
    assert "inf" in str(caught.value) or "nan" in str(caught.value) or "not finite" in str(caught.value)
    for path in run.snapshots:  # what was kept is whole and finite
        make()[0].restore(path)


def test_weights_that_are_no_numbers_are_not_written(make, tmp_path):
    steep = NET.replace("inner_product_param", "param { lr_mult: 1e5 } inner_product_param")
    run, _ = make("snapshot: 1 base_lr: 3e38", steep)
    with pytest.raises(CamcaffeError, match="the weights of layer 'fc' are not finite in iteration 1"):
        run.solve()
    assert not list(tmp_path.glob("of_iter_*"))


def test_requests(make):
    asked = iter([None, None, "snapshot", None, "stop"])
    run, lines = make("test_initialization: false", request=lambda: next(asked))
    run.solve()
    assert run.iteration == 5
    assert run.snapshots == ["of_iter_3.solverstate", "of_iter_5.solverstate"]
    assert lines[-1] == "Optimization stopped early."
    run, lines = make("", request=lambda: "stop")
    run.solve()
    assert (run.iteration, lines[-1]) == (0, "Optimization stopped early.")
    assert "Test interrupted." in lines


def test_weights_by_layer(make, tmp_path):
    run, lines = make()
    before = run.weights
    write_caffemodel("part.caffemodel", run.settings.train, {"fc": [b + 1 for b in before["fc"]]})
    run.copy_from("part.caffemodel")
    assert np.array_equal(run.weights["fc"][0], before["fc"][0] + 1)
    assert np.array_equal(run.weights["conv"][0], before["conv"][0])
    assert "Finetuning from part.caffemodel" in lines
    assert "Layer conv is not in part.caffemodel" in lines
    (tmp_path / "wrong.caffemodel").unlink(missing_ok=True)
    write_caffemodel("wrong.caffemodel", run.settings.train, {"fc": [np.zeros((9, 6)), before["fc"][1]]})
    with pytest.raises(CamcaffeError, match=r"wrong.caffemodel: layer 'fc': weight blob 0 of shape \(9, 6\)"):
        run.copy_from("wrong.caffemodel")
    assert read_caffemodel("part.caffemodel").keys() == {"fc"}


def test_solvers_that_name_their_weights(make):
    run, _ = make()
    write_caffemodel("a.caffemodel", run.settings.train, {"fc": [b * 0 + 7 for b in run.weights["fc"]]})
    run, _ = make('weights: "a.caffemodel"')
    assert (run.weights["fc"][0] == 7).all()


def test_snapshots_of_another_net(make, tmp_path):
    run, _ = make("max_iter: 2")
    run.solve()
    other = NET.replace("num_output: 6", "num_output: 7")
    with pytest.raises(CamcaffeError, match=r"of_iter_2.solverstate: a history of 7 blobs that do not fit"):
        make("", other)[0].restore("of_iter_2.solverstate")
    with pytest.raises(CamcaffeError, match=r"expected the 14 of Adam"):
        make('type: "Adam"')[0].restore("of_iter_2.solverstate")
    renamed = NET.replace('name: "fc"', 'name: "fc2"')
    with pytest.raises(CamcaffeError, match=r"of_iter_2.caffemodel: no weights for layer fc2"):
        make("", renamed)[0].restore("of_iter_2.solverstate")
    (tmp_path / "moved").mkdir()
    for name in ("of_iter_2.solverstate", "of_iter_2.caffemodel"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    again, _ = make()
    again.restore("moved/of_iter_2.solverstate")  # its weights are found beside it
    assert same(again.weights, run.weights)
    (tmp_path / "moved" / "of_iter_2.caffemodel").unlink()
    with pytest.raises(CamcaffeError, match=r"of_iter_2.caffemodel: no such file"):
        again.restore("moved/of_iter_2.solverstate")


def test_folders_of_snapshots_are_checked_before_the_run(make, tmp_path):
    make('snapshot_prefix: "new/deep/of" max_iter: 1')
    assert (tmp_path / "new" / "deep").is_dir()
    assert not list((tmp_path / "new" / "deep").iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(CamcaffeError, match="cannot be made"):
        make('snapshot_prefix: "file/of"')


def test_shared_parameters_train_as_one(make):
    twice = NET.replace(
        'layer { name: "gap"',
        """layer { name: "mix1" type: "Convolution" bottom: "norm" top: "mix1" param { name: "mix" }
             convolution_param { num_output: 6 kernel_size: 1 bias_term: false
             weight_filler { type: "xavier" } } }
           layer { name: "mix2" type: "Convolution" bottom: "mix1" top: "mix2" param { name: "mix" }
             convolution_param { num_output: 6 kernel_size: 1 bias_term: false } }
           layer { name: "gap" """,
    ).replace('bottom: "norm" top: "gap"', 'bottom: "mix2" top: "gap"')
    run, _ = make("max_iter: 6 snapshot: 3", twice)
    begin = run.weights["mix1"][0]
    run.solve()
    assert np.array_equal(run.weights["mix1"][0], run.weights["mix2"][0])
    assert not np.array_equal(run.weights["mix1"][0], begin)
    again, _ = make("max_iter: 6 snapshot: 3", twice)
    again.restore("of_iter_3.solverstate")
    again.solve()
    assert same(again.weights, run.weights)


def test_test_nets_keep_layers_of_their_own(make):
    own = NET + (
        'layer { name: "own" type: "InnerProduct" bottom: "fc" top: "own" include { phase: TEST }'
        ' inner_product_param { num_output: 2 weight_filler { type: "constant" value: 1 } } }'
    )
    run, lines = make("max_iter: 1", own)
    run.test_all()
    assert sum("own = " in line for line in lines) == 6
    assert "own" not in run.weights
    run.close()


def test_nets_with_inputs_that_nothing_fills(make):
    deploy = NET.replace('name: "small"', 'name: "small" input: "x" input_shape { dim: 1 dim: 2 }')
    with pytest.raises(CamcaffeError, match="input 'x', which nothing fills; expected data layers"):
        make("", deploy)


def test_errors_of_the_data_reach_the_caller(make, tmp_path):
    run, _ = make()
    with h5py.File(tmp_path / "train.h5", "r+") as file:
        file["label"][...] = 5
    with pytest.raises(CamcaffeError, match="label"):
        run.solve()


def test_snapshots_are_whole_or_absent(make, tmp_path, monkeypatch):
    from camcaffe.caffe.training import solver

    run, _ = make("max_iter: 2 snapshot: 1")

    def fails(path, state):
        raise CamcaffeError(path, "no space left on device")

    monkeypatch.setattr(solver, "write_solver_state", fails)
    with pytest.raises(CamcaffeError, match=r"of_iter_1.solverstate: no space"):
        run.solve()
    assert not run.snapshots
    assert [path.name for path in tmp_path.glob("of_*")] == ["of_iter_1.caffemodel"]

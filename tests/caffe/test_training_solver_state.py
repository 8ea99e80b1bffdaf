import h5py
import numpy as np
import pytest

from camcaffe.caffe.training.solver_state import SolverState, read_solver_state, write_solver_state
from camcaffe.errors import CamcaffeError

STATE = SolverState(
    25,
    "folder/net_iter_25.caffemodel",
    3,
    [np.arange(6, dtype=np.float32).reshape(2, 1, 3), np.ones(4, "f4")],
)


@pytest.mark.parametrize("name", ["a.solverstate", "a.solverstate.h5"])
def test_states_come_back_as_they_were(name, tmp_path):
    write_solver_state(tmp_path / name, STATE)
    back = read_solver_state(tmp_path / name)
    assert (back.iteration, back.learned_net, back.current_step) == (25, STATE.learned_net, 3)
    assert [array.shape for array in back.history] == [(2, 1, 3), (4,)]
    assert all((one == other).all() for one, other in zip(back.history, STATE.history))
    assert all(array.dtype == np.float32 for array in back.history)


def test_hdf5_is_laid_out_as_caffe_does(tmp_path):
    write_solver_state(tmp_path / "a.h5", STATE)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["iter"].shape == file["current_step"].shape == (1,)
        assert file["iter"].dtype == file["current_step"].dtype == np.int32
        assert file["learned_net"].dtype == f"S{len(STATE.learned_net) + 1}"
        assert list(file["history"]) == ["0", "1"]


@pytest.mark.parametrize("name", ["a.solverstate", "a.solverstate.h5"])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_files_that_are_cut_short(name, part, tmp_path):
    write_solver_state(tmp_path / name, STATE)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(part * len(data))])
    with pytest.raises(CamcaffeError, match=name):
        read_solver_state(tmp_path / name)


def test_other_files(tmp_path):
    with pytest.raises(CamcaffeError, match=r"missing.solverstate"):
        read_solver_state(tmp_path / "missing.solverstate")
    (tmp_path / "text").write_text("net: 'a'")
    with pytest.raises(CamcaffeError, match="expected a solverstate"):
        read_solver_state(tmp_path / "text")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = 1
    with pytest.raises(CamcaffeError, match="a damaged HDF5 file"):
        read_solver_state(tmp_path / "other.h5")


def test_histories_that_are_no_numbers(tmp_path):
    write_solver_state(tmp_path / "a", SolverState(1, "", 0, [np.array([np.nan], "f4")]))
    with pytest.raises(CamcaffeError, match="history 0 has NaN or infinite values"):
        read_solver_state(tmp_path / "a")

"""A solver's state in files: Caffe's binary protobuf (`.solverstate`) and HDF5 (`.solverstate.h5`)."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import DecodeError, EncodeError

from camcaffe import files
from camcaffe.caffe import messages
from camcaffe.caffe.caffemodel import HDF5_SIGNATURE, blob_array, dataset_array, raw_messages
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike

_EXPECTED = "a solverstate"


@dataclass(frozen=True)
class SolverState:
    """What a solver needs, besides the weights, to go on.

    Attributes:
        iteration: how many iterations have been done.
        learned_net: the caffemodel with the weights; empty where the file names none.
        current_step: how many steps of the learning rate policies `step` and `multistep` lie behind.
        history: the solver's memory, float32, in the order of Caffe's `learnable_params`.
    """

    iteration: int
    learned_net: str
    current_step: int
    history: list[np.ndarray]


def read_solver_state(path: PathLike) -> SolverState:
    """Read a state, binary or HDF5 (told by its content).

    Raises:
        CamcaffeError: the file is missing, cut short or not a solver's state.
    """
    data = files.read_bytes(path, _EXPECTED)
    if data.startswith(HDF5_SIGNATURE):
        return _read_hdf5(path, len(data))
    try:
        message = messages.parse(raw_messages()["SolverState"], data)
    except DecodeError as error:
        raise _damaged(path, data) from error
    if not message.HasField("iter"):
        raise _damaged(path, data)
    source = f"{os.fspath(path)}: history"
    history = [blob_array(f"{source} {index}", blob) for index, blob in enumerate(message.history)]
    return _checked(path, SolverState(message.iter, message.learned_net, message.current_step, history))


def write_solver_state(path: PathLike, state: SolverState) -> None:
    """Write a state as Caffe does: binary, or HDF5 where the name ends in `.h5`; whole or not at all.

    Raises:
        CamcaffeError: the file cannot be written; a binary state exceeds protobuf's 2 GB.
    """
    if os.fspath(path).endswith(".h5"):
        _write_hdf5(path, state)
        return
    message = raw_messages()["SolverState"](
        iter=state.iteration, learned_net=state.learned_net, current_step=state.current_step
    )
    for array in state.history:
        blob = message.history.add()
        blob.shape.dim.extend(array.shape)
        blob.data.append(np.ascontiguousarray(array, "<f4").tobytes())
    try:
        data = message.SerializeToString()
    except (EncodeError, ValueError) as error:
        raise CamcaffeError(
            path, f"the state does not fit a binary file ({error})", "snapshot_format: HDF5"
        ) from error
    files.write_bytes(path, data)


def _damaged(path: PathLike, data: bytes) -> CamcaffeError:
    return CamcaffeError(path, f"its {len(data):,} bytes are cut short, damaged or something else", _EXPECTED)


def _checked(path: PathLike, state: SolverState) -> SolverState:
    if state.iteration < 0 or state.current_step < 0:
        raise CamcaffeError(path, f"iteration {state.iteration}, step {state.current_step}", "0 or more")
    for index, array in enumerate(state.history):
        if not np.isfinite(array).all():
            raise CamcaffeError(path, f"history {index} has NaN or infinite values", "numbers")
    return state


def _read_hdf5(path: PathLike, size: int) -> SolverState:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            iteration, step = (int(np.ravel(file[name][()])[0]) for name in ("iter", "current_step"))
            net = file["learned_net"][()] if "learned_net" in file else b""
            group = file["history"]
            history = [
                dataset_array(path, f"history/{index}", group[str(index)], size)
                for index in range(len(group))
            ]
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise CamcaffeError(path, f"a damaged HDF5 file ({error})", _EXPECTED) from error
    name = net.decode("utf-8", "surrogateescape") if isinstance(net, bytes) else str(net)
    return _checked(path, SolverState(iteration, name, step, history))


def _write_hdf5(path: PathLike, state: SolverState) -> None:
    import h5py

    with files.replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file["iter"] = np.array([state.iteration], np.int32)
        # Caffe reads the string with the zero at its end.
        name = os.fsencode(state.learned_net)
        file["learned_net"] = np.array(name, f"S{len(name) + 1}")
        file["current_step"] = np.array([state.current_step], np.int32)
        history = file.create_group("history")
        for index, array in enumerate(state.history):
            history.create_dataset(str(index), data=np.asarray(array, np.float32))

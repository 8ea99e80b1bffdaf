"""A solver's settings and its nets, checked before anything runs."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from camcaffe.caffe import messages
from camcaffe.caffe.network import Network, network_of
from camcaffe.caffe.prototxt import read_prototxt, read_solver
from camcaffe.caffe.training.policies import POLICIES
from camcaffe.caffe.training.updates import TYPES
from camcaffe.caffe.upgrade import upgrade_net
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike

# lr_policy -> the settings that it cannot do without.
_POLICY_NEEDS = {
    "fixed": (),
    "step": ("gamma", "stepsize"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "multistep": ("gamma", "stepvalue"),
    "poly": ("power",),
    "sigmoid": ("gamma", "stepsize"),
}
_AT_LEAST = {
    "max_iter": 1, "iter_size": 1, "average_loss": 1, "display": 0, "test_interval": 0, "snapshot": 0,
    "stepsize": 1, "weight_decay": 0, "delta": 0,
}  # fmt: skip
_NUMBERS = ("base_lr", "gamma", "power", "momentum", "momentum2", "weight_decay", "delta", "clip_gradients")
_TRAIN_NETS = ("net", "net_param", "train_net", "train_net_param")

# The files that data layers read: settings message -> its fields.
_FILES = {
    "data_param": ("source",),
    "hdf5_data_param": ("source",),
    "image_data_param": ("source", "root_folder"),
    "transform_param": ("mean_file",),
}


@dataclass(frozen=True)
class Settings:
    """What a run needs to know.

    Attributes:
        solver: the settings, upgraded and checked.
        source: the solver's file, for errors.
        train: the net in phase TRAIN.
        tests: the nets in phase TEST.
        train_origin: where the train net comes from, in the words of Caffe's log.
        test_origins: where each test net comes from.
        prefix: what the names of snapshots begin with.
        weights: the caffemodels to start from.
    """

    solver: messages.SolverParameter
    source: str
    train: Network
    tests: tuple[Network, ...]
    train_origin: str
    test_origins: tuple[str, ...]
    prefix: str
    weights: tuple[str, ...]


def read_settings(path: PathLike) -> Settings:
    """Read a solver's prototxt and its nets.

    Relative names start at the working folder, as in Caffe. Where the net is not found there, but beside the
    solver's file, snapshots go beside that too, as does the search for all else that is not found.

    Args:
        path: the solver's prototxt.

    Raises:
        CamcaffeError: a file cannot be read; a setting is missing, unknown or does not fit the others.
    """
    solver = read_solver(path)
    _check(solver, path)
    folder = _base(solver, Path(path).parent)
    net, origin = _train_net(solver, path, folder)
    tests = _test_nets(solver, path, folder)
    return Settings(
        solver,
        os.fspath(path),
        _network(net, origin, path, "TRAIN", solver.train_state, folder),
        tuple(
            _network(net, origin, path, "TEST", state, folder)
            for (net, origin), state in zip(tests, _test_states(solver, path, len(tests)))
        ),
        origin,
        tuple(origin for _, origin in tests),
        _prefix(solver, path, folder),
        tuple(locate(name.strip(), folder) for names in solver.weights for name in names.split(",")),
    )


def locate(name: str, folder: PathLike) -> str:
    """A file's name as it is where that exists from the working folder, else in `folder`, if it is there."""
    beside = Path(folder, name)
    return os.fspath(beside) if not Path(name).exists() and beside.exists() else name


def _check(solver: messages.SolverParameter, source: PathLike) -> None:
    def refuse(found: str, expected: str = ""):
        raise CamcaffeError(source, found, expected)

    if solver.type not in TYPES:
        refuse(f"type: {solver.type!r}", " or ".join(TYPES))
    if solver.lr_policy not in POLICIES:
        refuse(f"lr_policy: {solver.lr_policy!r}", ", ".join(POLICIES))
    for name in ("max_iter", "base_lr", *_POLICY_NEEDS[solver.lr_policy]):
        if not (solver.stepvalue if name == "stepvalue" else solver.HasField(name)):
            refuse(f"{name} is missing", f"it, for the lr_policy {solver.lr_policy!r}")
    for name in _NUMBERS:
        if not math.isfinite(getattr(solver, name)):
            refuse(f"{name}: {getattr(solver, name)}", "a number")
    for name, least in _AT_LEAST.items():
        if solver.HasField(name) and getattr(solver, name) < least:
            refuse(f"{name}: {getattr(solver, name):g}", f"{least} or more")
    if solver.gamma < 0:
        refuse(f"gamma: {solver.gamma:g}", "0 or more")
    if solver.regularization_type not in ("L1", "L2"):
        refuse(f"regularization_type: {solver.regularization_type!r}", "L1 or L2")
    if solver.type == "Adam" and not (0 <= solver.momentum < 1 and 0 <= solver.momentum2 < 1):
        refuse(f"momentum: {solver.momentum:g} and momentum2: {solver.momentum2:g}", "0 or more, below 1")
    for name in ("snapshot_diff", "debug_info"):
        if getattr(solver, name):
            refuse(f"{name}: true, which is not done here", f"{name}: false")
    given = [name for name in _TRAIN_NETS if solver.HasField(name)]
    if len(given) != 1:
        refuse(f"{' and '.join(given) or 'no net'} to train", f"one of {', '.join(_TRAIN_NETS)}")
    _check_tests(solver, refuse)


def _check_tests(solver: messages.SolverParameter, refuse) -> None:
    count, own = len(solver.test_iter), len(solver.test_net) + len(solver.test_net_param)
    has_net = solver.HasField("net") or solver.HasField("net_param")
    if count < own or (count > own and not has_net):
        refuse(f"{count} test_iter for {own} test nets", "test_iter once a test net")
    if count and not solver.test_interval:
        refuse("test_iter without test_interval", "test_interval: 1 or more")
    if any(number < 1 for number in solver.test_iter):
        refuse(f"test_iter: {min(solver.test_iter)}", "1 or more")


def _base(solver: messages.SolverParameter, folder: Path) -> Path:
    for name in (solver.net, solver.train_net):
        if name and not Path(name).exists() and Path(folder, name).exists():
            return folder
    return Path()


def _train_net(solver: messages.SolverParameter, source: PathLike, folder: Path) -> tuple:
    for name in ("train_net_param", "net_param"):
        if solver.HasField(name):
            return _upgraded(getattr(solver, name), source), name
    name = "train_net" if solver.HasField("train_net") else "net"
    file = locate(getattr(solver, name), folder)
    return read_prototxt(file), f"{name} file: {file}"


def _test_nets(solver: messages.SolverParameter, source: PathLike, folder: Path) -> list[tuple]:
    nets = [(_upgraded(net, source), "test_net_param") for net in solver.test_net_param]
    for name in solver.test_net:
        file = locate(name, folder)
        nets.append((read_prototxt(file), f"test_net file: {file}"))
    rest = len(solver.test_iter) - len(nets)
    return nets + [_train_net(solver, source, folder)] * rest


def _test_states(solver: messages.SolverParameter, source: PathLike, count: int) -> Sequence:
    if solver.test_state and len(solver.test_state) != count:
        found = f"{len(solver.test_state)} test_state for {count} test nets"
        raise CamcaffeError(source, found, "none, or one a test net")
    return solver.test_state or [messages.NetState()] * count


def _upgraded(net: messages.NetParameter, source: PathLike) -> messages.NetParameter:
    upgrade_net(net, source)
    return net


def _network(
    net: messages.NetParameter,
    origin: str,
    source: PathLike,
    phase: str,
    state: messages.NetState,
    folder: Path,
) -> Network:
    # The net's own state goes before the phase that it is made for, the solver's before both.
    for own in (net.state, state):
        if own.HasField("phase"):
            phase = ("TRAIN", "TEST")[own.phase]
    level = state.level if state.HasField("level") else net.state.level
    copy = messages.NetParameter()
    copy.CopyFrom(net)
    for layer in copy.layer:
        for name, fields in _FILES.items():
            options = getattr(layer, name)
            for field in fields:
                if options.HasField(field):
                    setattr(options, field, _located(getattr(options, field), folder))
    _, _, file = origin.partition(": ")
    return network_of(copy, file or source, phase, level, state.stage)


def _located(name: str, folder: Path) -> str:
    # A root_folder is put in front of names as it is: its slash at the end stays.
    return locate(name, folder) + (
        "/" if name.endswith("/") and not locate(name, folder).endswith("/") else ""
    )


def _prefix(solver: messages.SolverParameter, source: PathLike, folder: Path) -> str:
    # As Caffe completes it: the solver's own name where there is none, or where it is a folder.
    if not solver.HasField("snapshot_prefix"):
        return os.fspath(Path(source).with_suffix(""))
    prefix = Path(folder, solver.snapshot_prefix)
    return os.fspath(prefix / Path(source).stem if prefix.is_dir() else prefix)

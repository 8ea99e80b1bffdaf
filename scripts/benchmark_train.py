"""How many iterations a second `camcaffe train` does, beside real Caffe on the same solver and data.

    python scripts/benchmark_train.py [--caffe-root ROOT] [--solver SOLVER] [--iterations N] [--rounds N]

By default both train the net of `scripts/train_digits.py` on its scenes. With --solver, the folder that it is
in is copied, and the names in it should be relative to it. With --caffe-root (as made by
scripts/pycaffe_debian11.sh; it takes root's rights) real Caffe trains too, on the kernels that its OpenBLAS
picks for this processor, in turns with ours. Each one's fastest round counts, so that what else the machine
does weighs little. The rate is that between the first and the last display in the log.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from camcaffe.caffe.engines import available_cpus
from camcaffe.caffe.prototxt import net_to_text, read_solver
from camcaffe.digits import write_database
from camcaffe.models.digits import write_training

SCENES = 512
TESTING = ("test_iter", "test_interval", "test_state", "test_net", "test_net_param")
SHOWN = re.compile(r"^I(\d{4} \d\d:\d\d:\d\d\.\d{6}) .*\] Iteration (\d+).*, loss = ", re.MULTILINE)


def write_digits(folder: Path) -> Path:
    """Write the digits' net, some of its scenes and its solver into a folder."""
    write_training(folder)
    for split, name in (("train", "digits_train_lmdb"), ("test", "digits_val_lmdb")):
        write_database(folder / name, SCENES, split)
    return folder / "solver.prototxt"


def write_shortened(solver: Path, iterations: int) -> Path:
    """Write, beside a solver, the same solver for so many iterations, without tests and snapshots."""
    settings = read_solver(solver)
    settings.max_iter, settings.display = iterations, max(1, iterations // 10)
    settings.snapshot, settings.snapshot_after_train = 0, False
    settings.solver_mode = settings.CPU
    for name in TESTING:
        settings.ClearField(name)
    path = solver.with_name("benchmark_solver.prototxt")
    path.write_text(net_to_text(settings))
    return path


def rate(log: str) -> float:
    """Iterations a second between the first and the last display of a log."""
    shown = [
        (datetime.strptime(f"2000{when}", "%Y%m%d %H:%M:%S.%f"), int(i)) for when, i in SHOWN.findall(log)
    ]
    if len(shown) < 2:
        raise SystemExit(log)
    (begin, first), (end, last) = shown[0], shown[-1]
    return (last - first) / (end - begin).total_seconds()


def train(command: list, folder: Path) -> float:
    """The rate of a command that trains."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(available_cpus())}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stdout)
    return rate(done.stdout)


def main() -> None:
    """Train, in turns, and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--caffe-root", type=Path)
    parser.add_argument("--solver", type=Path)
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    root = arguments.caffe_root
    with tempfile.TemporaryDirectory(dir=root / "tmp" if root else None) as made:
        folder = Path(made)
        if arguments.solver:
            shutil.copytree(arguments.solver.parent, folder, dirs_exist_ok=True)
            solver = folder / arguments.solver.name
        else:
            solver = write_digits(folder)
        name = write_shortened(solver, arguments.iterations).name
        commands = {"camcaffe": [sys.executable, "-m", "camcaffe", "train", "--solver", name]}
        if root:
            script = f'cd "/{folder.relative_to(root)}" && exec caffe train --solver {name}'
            commands["caffe"] = ["chroot", str(root), "sh", "-c", script]
        rates = {who: [] for who in commands}
        for _ in range(arguments.rounds):
            for who, command in commands.items():
                rates[who].append(train(command, folder))
    machine = platform.processor() or platform.machine()
    print(
        f"{machine}, {available_cpus()} CPUs, {arguments.iterations} iterations, best of {arguments.rounds}"
    )
    best = {who: max(found) for who, found in rates.items()}
    for who, found in best.items():
        print(f"{who:10}{found:8.2f} iterations/s")
    if root:
        print(f"camcaffe / caffe: {best['camcaffe'] / best['caffe']:.2f}")


if __name__ == "__main__":
    main()

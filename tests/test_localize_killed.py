"""`camcaffe localize` stopped from outside, and resumed."""

import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from localize_runs import table

from camcaffe.matlab import imwrite

RNG = np.random.default_rng(0)


@pytest.fixture
def many(tmp_path):
    """Forty small images."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        imwrite(folder / f"{number:02d}.png", RNG.integers(0, 256, (40 + number, 60, 3), dtype=np.uint8))
    (folder / "13.png").write_text("<html>")
    return folder


def program(small_net, images, run, *more):
    return [sys.executable, "-m", "camcaffe", "localize", *small_net,
            *map(str, ["--images", images, "--run", run, "--threads", 1, *more])]  # fmt: skip


# The whole command, its results stored one by one, each a little late: there is time to be killed.
SLOWLY = """
import sys, time
from camcaffe import run_store
from camcaffe.cli import main
from camcaffe.localize import pipeline

pipeline._MOST_WAITING = 3
add = run_store.RunStore.add
def late(self, batch):
    time.sleep(0.01)
    add(self, batch)
    print("stored", flush=True)
run_store.RunStore.add = late
main(sys.argv[1:])
"""


def killed(command, choice):
    """Start the command again and again, killed at a random moment each time, until it ends by itself.

    Returns:
        How often it was killed.
    """
    kills = 0
    while True:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        batches = choice.randrange(1, 5)
        if all(process.stdout.readline() == "stored\n" for _ in range(batches)):
            time.sleep(choice.uniform(0, 0.03))
            process.kill()
        error = process.communicate(timeout=60)[1]
        if process.returncode != -signal.SIGKILL:
            assert process.returncode == 1, error
            return kills
        kills += 1


def check_kills(small_net, many, tmp_path, kills):
    """Run after run, each killed several times, until there were so many kills: all end alike."""
    whole = tmp_path / "whole.sqlite"
    done = subprocess.run(program(small_net, many, whole), capture_output=True, check=False, timeout=120)
    assert done.returncode == 1, done.stderr
    expected = table(whole)
    assert len(expected) == 39 * 5 + 1
    choice, seen, number = random.Random(kills), 0, 0
    while seen < kills:
        number += 1
        run = tmp_path / f"{number}.sqlite"
        slowly = program(small_net, many, run, "--resume", "--workers", number)
        seen += killed([sys.executable, "-c", SLOWLY, *slowly[3:]], choice)
        assert table(run) == expected


def test_killed_at_random_moments_and_resumed(small_net, many, tmp_path):
    check_kills(small_net, many, tmp_path, 3)


@pytest.mark.slow
def test_killed_at_twenty_random_moments_and_resumed(small_net, many, tmp_path):
    check_kills(small_net, many, tmp_path, 20)


def test_ctrl_c_leaves_one_line_and_a_run_that_goes_on(small_net, many, tmp_path):
    run = tmp_path / "run.sqlite"
    command = [sys.executable, "-c", SLOWLY, *program(small_net, many, run)[3:]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "stored\n"
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error == ""
    last = output.splitlines()[-1]
    stored = len({row[0] for row in table(run)})
    assert last == f"Interrupted: {stored} of 40 images are in {run}; --resume goes on."
    assert 3 <= stored < 40
    done = subprocess.run(
        program(small_net, many, run, "--resume"), capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 1, done.stderr
    assert len(table(run)) == 39 * 5 + 1


def test_a_full_disk_is_one_line_and_the_run_goes_on(small_net, many, tmp_path):
    run = tmp_path / "run.sqlite"
    # The kernel lets no file of the process grow beyond the limit.
    full = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
    command = [sys.executable, "-c", full + SLOWLY, *program(small_net, many, run)[3:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {run}: cannot be used: ")
    assert done.stderr.count("\n") == 1
    again = program(small_net, many, run, "--resume")
    assert subprocess.run(again, capture_output=True, check=False, timeout=60).returncode == 1
    whole = tmp_path / "whole.sqlite"
    subprocess.run(program(small_net, many, whole), capture_output=True, check=False, timeout=60)
    assert table(run) == table(whole)

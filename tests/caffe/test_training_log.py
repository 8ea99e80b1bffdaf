import re

import numpy as np
import pytest

from camcaffe.caffe.training.log import Log, number

# What Caffe's tools/extra/parse_log.py and extract_seconds.py look for.
ITERATION = re.compile(r"Iteration (\d+)")
TRAIN_OUTPUT = re.compile(r"Train net output #(\d+): (\S+) = ([\.\deE+-]+)")
TEST_OUTPUT = re.compile(r"Test net output #(\d+): (\S+) = ([\.\deE+-]+)")
LEARNING_RATE = re.compile(r"lr = ([-+]?[0-9]*\.?[0-9]+([eE]?[-+]?[0-9]+)?)")


def test_lines_are_glogs():
    lines = []
    log = Log(lines.append, lines.append)
    log.info("solver.cpp:239", "Iteration 0, loss = 2.3")
    assert lines[0] == lines[1]
    assert re.fullmatch(
        r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ solver\.cpp:239\] Iteration 0, loss = 2\.3", lines[0]
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (np.float32(0.1), "0.1"),
        (1, "1"),
        (123456.7, "123457"),
        (1234567.0, "1.23457e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (np.float32(2.3025851), "2.30259"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_are_a_c_streams(value, text):
    assert number(value) == text


@pytest.mark.torch
def test_caffes_own_scripts_read_the_log(tmp_path, monkeypatch):
    from training_files import write_training

    from camcaffe.caffe.training.settings import read_settings
    from camcaffe.caffe.training.solver import Solver

    lines = []
    monkeypatch.chdir(tmp_path)
    Solver(read_settings(write_training(tmp_path)), threads=1, log=Log(lines.append)).solve()
    # As parse_log.py goes through a log: nothing before the first iteration, then what each line has.
    assert any(re.search(r"\] Solving ", line) for line in lines)
    iteration, train, test, rates = -1, {}, {}, {}
    for line in lines:
        if ITERATION.search(line):
            iteration = int(ITERATION.search(line)[1])
        for pattern, found in ((TRAIN_OUTPUT, train), (TEST_OUTPUT, test)):
            if pattern.search(line):
                _, name, value = pattern.search(line).groups()
                found.setdefault(iteration, {})[name] = float(value)
        if LEARNING_RATE.search(line):
            rates[iteration] = float(LEARNING_RATE.search(line)[1])
    assert list(train) == [0, 5, 10, 15]
    assert all(set(row) == {"loss"} for row in train.values())
    assert list(test) == [0, 10, 20]
    assert all(set(row) == {"accuracy", "loss"} for row in test.values())
    assert rates == dict.fromkeys([0, 5, 10, 15], 0.1)
    # parse_log.sh cuts lines at their blanks: the eleventh is a test output's value.
    (line, *_) = [line for line in lines if "Test net output #0" in line]
    assert float(line.split()[10]) == test[0]["accuracy"]

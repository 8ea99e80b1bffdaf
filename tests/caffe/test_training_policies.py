import numpy as np
import pytest
from google.protobuf import text_format

from camcaffe.caffe import messages
from camcaffe.caffe.training.policies import POLICIES, current_step, learning_rate


def solver(text):
    return text_format.Parse(f"base_lr: 0.01 max_iter: 100 {text}", messages.SolverParameter())


# The formulas of Caffe's documentation.
FORMULAS = {
    "fixed": lambda i: 0.01,
    "step": lambda i: 0.01 * 0.5 ** (i // 10),
    "exp": lambda i: 0.01 * 0.5**i,
    "inv": lambda i: 0.01 * (1 + 0.5 * i) ** -0.75,
    "multistep": lambda i: 0.01 * 0.5 ** ((i >= 30) + (i >= 60)),
    "poly": lambda i: 0.01 * (1 - i / 100) ** 0.75,
    "sigmoid": lambda i: 0.01 / (1 + np.exp(-0.5 * (i - 10))),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_rates_follow_the_formulas(policy):
    settings = solver(
        f'lr_policy: "{policy}" gamma: 0.5 stepsize: 10 power: 0.75 stepvalue: 30 stepvalue: 60'
    )
    steps = 0
    for iteration in range(100):
        steps = current_step(settings, iteration, steps)
        rate = learning_rate(settings, iteration, steps)
        assert rate.dtype == np.float32
        assert rate == pytest.approx(FORMULAS[policy](iteration), rel=1e-6, abs=1e-30)


def test_float32_where_caffe_has_float32():
    settings = solver('lr_policy: "inv" gamma: 0.013 power: 0.75')
    base, gamma = float(np.float32(0.01)), float(np.float32(0.013))
    in_double = [np.float32(base * (1 + gamma * iteration) ** -0.75) for iteration in range(200)]
    rates = [learning_rate(settings, iteration) for iteration in range(200)]
    assert rates != in_double
    assert rates == pytest.approx(in_double, rel=3e-7)


def test_one_step_at_most_in_an_iteration():
    settings, steps, seen = solver('lr_policy: "multistep" gamma: 0.1 stepvalue: 2 stepvalue: 2'), 0, []
    for iteration in range(5):
        steps = current_step(settings, iteration, steps)
        seen.append(steps)
    assert seen == [0, 0, 1, 2, 2]


def test_rates_beyond_float32_are_infinite():
    assert learning_rate(solver('lr_policy: "exp" gamma: 1e30'), 20) == np.inf
    assert learning_rate(solver('lr_policy: "sigmoid" gamma: 90 stepsize: 50'), 0) == 0

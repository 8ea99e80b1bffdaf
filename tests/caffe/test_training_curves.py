import cv2
import numpy as np
import pytest

from camcaffe.caffe.training.curves import Curves, draw_curves, read_curves

LOG = """
I0817 16:38:12.123456  4703 solver.cpp:347] Iteration 0, Testing net (#0)
I0817 16:38:12.123456  4703 solver.cpp:414]     Test net output #0: accuracy = 0.1
I0817 16:38:12.123456  4703 solver.cpp:414]     Test net output #1: loss = 2.5 (* 1 = 2.5 loss)
I0817 16:38:12.123456  4703 solver.cpp:239] Iteration 0 (1.1e-29 iter/s, 0s/5 iters), loss = 2.25
I0817 16:38:12.123456  4703 solver.cpp:258]     Train net output #0: loss = 2 (* 1 = 2 loss)
I0817 16:38:12.123456  4703 sgd_solver.cpp:112] Iteration 0, lr = 0.01
I0817 16:38:12.123456  4703 solver.cpp:239] Iteration 5 (3 iter/s, 0s/5 iters), loss = 1.5e-05
I0817 16:38:12.123456  4703 solver.cpp:347] Iteration 5, Testing net (#1)
I0817 16:38:12.123456  4703 solver.cpp:414]     Test net output #0: accuracy = 0.75
I0817 16:38:12.123456  4703 solver.cpp:327] Iteration 10, loss = nan
"""


def test_curves_of_a_log():
    curves = read_curves(LOG.splitlines())
    assert curves.loss[:2] == [(0, 2.25), (5, 1.5e-05)]
    assert np.isnan(curves.loss[2][1])
    assert curves.losses == {"test loss": [(0, 2.5)]}  # the training's only output is the loss itself
    assert curves.scores == {"test accuracy": [(0, 0.1)], "test #1 accuracy": [(5, 0.75)]}


def test_of_what_was_trained_twice_the_second_time_counts():
    lines = [f"x] Iteration {i} (1 iter/s, 1s/5 iters), loss = {v}" for i, v in ((0, 3), (5, 2), (10, 1))]
    again = [line.replace("= ", "= 7") for line in lines[1:2]]
    assert read_curves(lines + again).loss == [(0, 3), (5, 72)]


def test_several_losses_are_told_apart():
    lines = ["x] Iteration 0, loss = 3"]
    lines += [f"x]     Train net output #{i}: loss{i} = 1 (* 0.3 = 0.3 loss)" for i in (1, 2)]
    assert read_curves(lines).losses == {"training loss1": [(0, 1)], "training loss2": [(0, 1)]}


@pytest.mark.parametrize("panels", [1, 2])
def test_pictures_have_the_curves(panels, tmp_path):
    curves = read_curves(LOG.splitlines()[:-1])
    if panels == 1:
        curves = Curves(curves.loss)
    draw_curves(curves, tmp_path / "curves.png")
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture.shape == (420, 600 * panels, 3)
    blue = np.array([0xB2, 0x72, 0x00])
    assert (np.abs(picture.astype(int) - blue).max(axis=2) < 8).sum() > 100

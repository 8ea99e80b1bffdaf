import itertools

import numpy as np
import pytest
from training_cases import Case, assert_equal_caffes

pytestmark = [pytest.mark.torch]

RANDOM = np.random.RandomState(7)


def scores_text(shape):
    dims = " ".join(f"dim: {size}" for size in shape)
    return f'layer {{ name: "scores" type: "Parameter" top: "x" parameter_param {{ shape {{ {dims} }} }} }}\n'


def loss_text(options="", tops='top: "loss"', bottom="x", name="loss"):
    return f'layer {{ name: "{name}" type: "SoftmaxWithLoss" bottom: "{bottom}" bottom: "label" {tops} {options} }}\n'


def loss_case(options="", shape=(6, 4), axis=1, labels=None, **given):
    if labels is None:
        labels = RANDOM.randint(0, shape[axis], (*shape[:axis], *shape[axis + 1 :]))
    return Case(scores_text(shape) + loss_text(options), {"label": np.float32(labels)}, **given)


MODES = [
    "",
    *(f"normalization: {mode}" for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE")),
    "normalize: true",
    "normalize: false",
    "normalize: false normalization: FULL",
]

LOSSES = [
    *(
        loss_case(
            f"loss_param {{ {mode} {ignore} }} softmax_param {{ axis: {axis} }}", shape, axis % len(shape)
        )
        for mode, ignore, (shape, axis) in itertools.product(
            MODES,
            ("", "ignore_label: 2"),
            (((6, 4), 1), ((2, 4, 3, 5), 1), ((2, 3, 4), -1), ((2, 3, 5, 2, 3), 2)),
        )
    ),
    loss_case("loss_weight: 0.3"),
    loss_case("loss_weight: 0"),
    loss_case(f"loss_param {{ ignore_label: 255 }}", labels=[0, 255, 1, 255, 3, 3]),
    loss_case(f"loss_param {{ ignore_label: -1 }}", labels=[-1] * 6),
    loss_case(f"loss_param {{ ignore_label: 0 normalization: NONE }}", labels=[0] * 6),
    loss_case(labels=[0.9, 1.1, 2.99, 3, 0, 0]),
    loss_case(shape=(2, 4, 3, 5), labels=RANDOM.randint(0, 4, (2, 1, 3, 5))),
    loss_case(arrays={"scores[0]": np.float32(RANDOM.randn(6, 4) * 100)}),
    loss_case(arrays={"scores[0]": np.zeros((6, 4), np.float32)}),
]


@pytest.mark.caffe_root
def test_losses_and_their_gradients_equal_caffes(real_caffe):
    assert_equal_caffes(real_caffe, LOSSES)

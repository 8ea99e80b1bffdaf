import itertools

import numpy as np
import pytest
from train_phase_cases import Case, assert_equal_caffes

pytestmark = [pytest.mark.torch]

RANDOM = np.random.RandomState(7)


def scores_text(shape):
    dims = " ".join(f"dim: {size}" for size in shape)
    return f'layer {{ name: "scores" type: "Parameter" top: "x" parameter_param {{ shape {{ {dims} }} }} }}\n'


def loss_text(options="", tops='top: "loss"', bottom="x", name="loss"):
    wires = f'bottom: "{bottom}" bottom: "label" {tops}'
    return f'layer {{ name: "{name}" type: "SoftmaxWithLoss" {wires} {options} }}\n'


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
    loss_case("loss_param { ignore_label: 255 }", labels=[0, 255, 1, 255, 3, 3]),
    loss_case("loss_param { ignore_label: -1 }", labels=[-1] * 6),
    loss_case("loss_param { ignore_label: 0 normalization: NONE }", labels=[0] * 6),
    loss_case(labels=[0.9, 1.1, 2.99, 3, 0, 0]),
    loss_case(shape=(2, 4, 3, 5), labels=RANDOM.randint(0, 4, (2, 1, 3, 5))),
    loss_case(arrays={"scores[0]": np.float32(RANDOM.randn(6, 4) * 100)}),
    loss_case(arrays={"scores[0]": np.zeros((6, 4), np.float32)}),
]


@pytest.mark.caffe_root
def test_losses_and_their_gradients_equal_caffes(real_caffe):
    assert_equal_caffes(real_caffe, LOSSES)


def accuracy_case(options="", shape=(6, 4), axis=1, labels=None, tops=2, scores=None):
    if labels is None:
        labels = RANDOM.randint(0, shape[axis], (*shape[:axis], *shape[axis + 1 :]))
    if scores is None:
        scores = RANDOM.randint(0, 4, shape)  # with ties
    names = " ".join(f'top: "{top}"' for top in ("accuracy", "by_class")[:tops])
    text = f'layer {{ name: "acc" type: "Accuracy" bottom: "x" bottom: "label" {names} {options} }}\n'
    return Case(text, {"x": np.float32(scores), "label": np.float32(labels)})


ACCURACIES = [
    *(
        accuracy_case(f"accuracy_param {{ top_k: {top_k} axis: {axis} {ignore} }}", shape, axis % len(shape))
        for top_k, ignore, (shape, axis) in itertools.product(
            (1, 2, 3),
            ("", "ignore_label: 1"),
            (((8, 4), 1), ((2, 4, 3, 5), 1), ((2, 3, 4), -1), ((2, 3, 5, 2, 3), 2)),
        )
    ),
    accuracy_case(tops=1),
    accuracy_case("accuracy_param { top_k: 4 }"),
    accuracy_case("accuracy_param { ignore_label: 2 }", labels=[2] * 6),
    accuracy_case(labels=[0.9, 1.1, 2.99, 3, 0, 0]),
    accuracy_case(labels=[0, 0, 1, 1, 3, 3]),
    accuracy_case(scores=np.full((6, 4), np.nan)),
    accuracy_case(shape=(2, 4, 3, 5), labels=RANDOM.randint(0, 4, (2, 1, 3, 5))),
]


@pytest.mark.caffe_root
def test_accuracies_equal_caffes(real_caffe):
    assert_equal_caffes(real_caffe, ACCURACIES)


def norm_case(options="", shape=(5, 3, 4, 6), passes=3, extra="", **given):
    text = (
        scores_text(shape)
        + 'layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" '
        + f"batch_norm_param {{ {options} }} {extra} }}\n"
        + 'layer { name: "square" type: "Power" bottom: "y" top: "z" power_param { power: 2 shift: 0.7 } }\n'
        + 'layer { name: "by" type: "Eltwise" bottom: "z" bottom: "factor" top: "w" '
        + "eltwise_param { operation: PROD } }\n"
        + 'layer { name: "sum" type: "Reduction" bottom: "w" top: "loss" loss_weight: 1 }\n'
    )
    arrays = {"bn[0]": RANDOM.randn(shape[1]), "bn[1]": RANDOM.rand(shape[1]) + 0.5, "bn[2]": [2.5], **given}
    return Case(text, {"factor": np.float32(RANDOM.rand(*shape) + 0.5)}, arrays, passes)


NORMS = [
    norm_case(),
    norm_case("moving_average_fraction: 0.9 eps: 0.01"),
    norm_case("use_global_stats: false"),
    norm_case("use_global_stats: true"),
    norm_case("use_global_stats: true", **{"bn[2]": [0]}),
    norm_case("", (7, 3)),
    norm_case("", (1, 3)),
    norm_case("moving_average_fraction: 0.7", (1, 3, 1, 1)),
    norm_case("", (4, 3, 5)),
    norm_case("", (4, 3, 2, 5, 3)),
    norm_case("", (5, 3, 4, 6), 2, "param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 }"),
    norm_case("", (5, 3, 4, 6), 2, "phase: TEST"),
    norm_case("", **{"scores[0]": RANDOM.randn(5, 3, 4, 6) * 3 + 5}),
    norm_case("", **{"scores[0]": np.full((5, 3, 4, 6), 2.5)}),
]


@pytest.mark.caffe_root
def test_batch_normalization_equals_caffes(real_caffe):
    assert_equal_caffes(real_caffe, NORMS, 2e-6)


def conv(name, bottom, options="", extra="", count=4):
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" {extra} '
        f"convolution_param {{ num_output: {count} kernel_size: 3 pad: 1 {options} }} }}\n"
    )


def fc(name, bottom, extra="", options="", count=5):
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" {extra} '
        f"inner_product_param {{ num_output: {count} {options} }} }}\n"
    )


def plain(kind, bottoms, tops, extra="", name=""):
    wires = "".join(f' bottom: "{blob}"' for blob in bottoms.split()) + "".join(
        f' top: "{blob}"' for blob in tops.split()
    )
    return f'layer {{ name: "{name or f"{kind} {bottoms} {tops}"}" type: "{kind}"{wires} {extra} }}\n'


def net_case(*layers, images=(6, 3, 8, 10), labels=(6,), passes=1):
    inputs = {
        "data": np.float32(RANDOM.randn(*images)),
        "label": np.float32(RANDOM.randint(0, 5, labels)),
    }
    return Case("".join(layers), inputs, passes=passes)


POOL = "pooling_param { pool: MAX kernel_size: 3 stride: 2 }"
FROZEN = "param { lr_mult: 0 } param { lr_mult: 0 }"
SHARED = 'param { name: "w" } param { name: "b" }'
SOFTMAX = loss_text(bottom="fc")
STEM = conv("conv", "data"), plain("ReLU", "conv", "conv"), plain("Pooling", "conv", "pool", POOL)

NETS = [
    net_case(*STEM, fc("fc", "pool"), SOFTMAX, plain("Accuracy", "fc label", "accuracy")),
    # A loss whose top has no name.
    net_case(*STEM, fc("fc", "pool"), loss_text(tops="", bottom="fc")),
    # Losses at several depths, with weights.
    net_case(
        *STEM,
        fc("early", "conv"),
        loss_text("loss_weight: 0.3", 'top: "a"', "early", "a"),
        fc("fc", "pool"),
        loss_text("loss_weight: 2", 'top: "b"', "fc", "b"),
        plain("Reduction", "early", "c", "loss_weight: -0.1"),
    ),
    # A blob of many values as loss, that another layer reads, too.
    net_case(*STEM, fc("fc", "pool", "loss_weight: 0.2"), SOFTMAX),
    # No gradient below the lowest layer that learns; one of two parameters learns.
    net_case(
        conv("low", "data", extra=FROZEN),
        plain("ReLU", "low", "low"),
        conv("conv", "low", extra="param { lr_mult: 0 } param { lr_mult: 2 }"),
        fc("fc", "conv", "param { lr_mult: 1 } param { lr_mult: 0 }"),
        SOFTMAX,
    ),
    # The gradient passes through layers that do not learn.
    net_case(conv("low", "data"), conv("conv", "low", extra=FROZEN), fc("fc", "conv", FROZEN), SOFTMAX),
    # Only the classifier learns; and nothing does.
    net_case(conv("conv", "data"), fc("fc", "conv", "propagate_down: false"), SOFTMAX),
    net_case(conv("conv", "data", extra=FROZEN), fc("fc", "conv", FROZEN), SOFTMAX),
    # One of two ways is cut off.
    net_case(
        *STEM,
        fc("left", "pool", "propagate_down: false"),
        fc("right", "pool"),
        plain("Eltwise", "left right", "fc", "propagate_down: true propagate_down: false"),
        SOFTMAX,
    ),
    # force_backward overrules propagate_down and lr_mult.
    net_case(
        "force_backward: true\n",
        conv("conv", "data", extra=FROZEN),
        fc("fc", "conv", "propagate_down: false"),
        SOFTMAX,
    ),
    # Shared parameters; also in another shape, and frozen at one of two places.
    net_case(
        conv("conv", "data", extra=SHARED, count=3),
        plain("ReLU", "conv", "conv"),
        conv("again", "conv", extra=SHARED, count=3),
        fc("fc", "again"),
        SOFTMAX,
    ),
    net_case(
        fc("first", "data", 'param { name: "w" }', count=6),
        fc("fc", "first", 'param { name: "v" lr_mult: 1 }', count=5),
        fc("second", "data", 'param { name: "w" share_mode: PERMISSIVE }', "transpose: true", 6),
        fc("other", "second", 'param { name: "v" lr_mult: 1 }', count=5),
        SOFTMAX,
        loss_text(tops='top: "other loss"', bottom="other", name="other loss"),
    ),
    net_case(
        conv("conv", "data", extra=SHARED, count=3),
        conv("again", "conv", extra='param { name: "w" lr_mult: 0 }', count=3),
        fc("fc", "again"),
        SOFTMAX,
    ),
    # Layers beside the loss.
    net_case(
        *STEM,
        fc("fc", "pool"),
        SOFTMAX,
        fc("idle", "conv"),
        plain("ArgMax", "fc", "best"),
        plain("Softmax", "fc", "prob"),
        conv("unheard", "pool"),
        plain("Silence", "unheard", ""),
        plain("Dropout", "idle", "dropped", "phase: TEST"),
    ),
    # Labels cut from a blob; BatchNorm and Scale in place; a second pass with the statistics of two.
    net_case(
        plain("Slice", "label", "label1 label2"),
        conv("conv", "data", "bias_term: false"),
        plain("BatchNorm", "conv", "conv"),
        plain("Scale", "conv", "conv", "scale_param { bias_term: true }"),
        plain("ReLU", "conv", "conv"),
        fc("fc", "conv"),
        fc("fc2", "conv"),
        plain("SoftmaxWithLoss", "fc label1", "loss1"),
        plain("SoftmaxWithLoss", "fc2 label2", "loss2"),
        labels=(6, 2),
        passes=2,
    ),
    # A score map, and labels for each of its places.
    net_case(
        *STEM,
        conv("fc", "conv", count=5),
        SOFTMAX,
        plain("Accuracy", "fc label", "accuracy"),
        labels=(6, 8, 10),
    ),
]


@pytest.mark.caffe_root
def test_gradients_flow_as_in_caffe(real_caffe):
    assert_equal_caffes(real_caffe, NETS, 2e-6)

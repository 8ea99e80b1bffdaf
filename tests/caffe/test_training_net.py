import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from train_phase_cases import Case, assert_equal_caffes

from camcaffe.caffe.training.net import TrainingNet, training_parameters
from camcaffe.errors import CamcaffeError

pytestmark = pytest.mark.torch


def random(seed):
    return np.random.RandomState(seed)


def scores_text(shape):
    dims = " ".join(f"dim: {size}" for size in shape)
    return f'layer {{ name: "scores" type: "Parameter" top: "x" parameter_param {{ shape {{ {dims} }} }} }}\n'


def loss_text(options="", tops='top: "loss"', bottom="x", name="loss"):
    wires = f'bottom: "{bottom}" bottom: "label" {tops}'
    return f'layer {{ name: "{name}" type: "SoftmaxWithLoss" {wires} {options} }}\n'


def loss_case(options="", shape=(6, 4), axis=1, labels=None, **given):
    if labels is None:
        labels = random(1).randint(0, shape[axis], (*shape[:axis], *shape[axis + 1 :]))
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
    loss_case(shape=(2, 4, 3, 5), labels=random(1).randint(0, 4, (2, 1, 3, 5))),
    loss_case(arrays={"scores[0]": np.float32(random(1).randn(6, 4) * 100)}),
    loss_case(arrays={"scores[0]": np.zeros((6, 4), np.float32)}),
]


@pytest.mark.caffe_root
def test_losses_and_their_gradients_equal_caffes(real_caffe):
    assert_equal_caffes(real_caffe, LOSSES)


def accuracy_case(options="", shape=(6, 4), axis=1, labels=None, tops=2, scores=None):
    if labels is None:
        labels = random(1).randint(0, shape[axis], (*shape[:axis], *shape[axis + 1 :]))
    if scores is None:
        scores = random(2).randint(0, 4, shape)  # with ties
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
    accuracy_case(shape=(2, 4, 3, 5), labels=random(1).randint(0, 4, (2, 1, 3, 5))),
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
    arrays = {
        "bn[0]": random(5).randn(shape[1]),
        "bn[1]": random(6).rand(shape[1]) + 0.5,
        "bn[2]": [2.5],
        **given,
    }
    return Case(text, {"factor": np.float32(random(4).rand(*shape) + 0.5)}, arrays, passes)


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
    norm_case("", **{"scores[0]": random(1).randn(5, 3, 4, 6) * 3 + 5}),
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
        "data": np.float32(random(3).randn(*images)),
        "label": np.float32(random(1).randint(0, 5, labels)),
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
    # Layers without parameters that are named as one with some.
    net_case(
        conv("conv", "data"),
        plain("ReLU", "conv", "conv", name="conv"),
        fc("fc", "conv"),
        plain("ReLU", "fc", "fc", name="conv"),
        SOFTMAX,
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


@pytest.mark.parametrize("names", [("relu", "conv"), ("re", "fc")])
def test_layers_without_parameters_may_be_named_as_another(names):
    def net(relu):
        layers = conv("conv", "data"), plain("ReLU", "conv", "conv", name=relu), fc("fc", "conv"), SOFTMAX
        return Case("".join(layers), NETS[0].inputs)

    (expected, parameters, outputs), (found, same, again) = (run(net(relu)) for relu in names)
    assert outputs.loss == again.loss
    assert expected.weights().keys() == found.weights().keys() == {"conv", "fc"}
    for key in parameters:
        assert parameters[key].grad.abs().sum() > 0
        np.testing.assert_array_equal(parameters[key].grad, same[key].grad)


def run(case, phase="TRAIN", step=0, **options):
    """(net, parameters, outputs) of one pass, gradients taken."""
    parameters = training_parameters(case.weights())
    net = TrainingNet(case.network(phase), {}, parameters, **options)
    outputs = net.forward(case.inputs, step)
    net.backward(outputs)
    return net, parameters, outputs


def test_loss_by_hand():
    case = loss_case(
        "loss_param { ignore_label: 9 } loss_weight: 2",
        (3, 2),
        labels=[0, 1, 9],
        arrays={"scores[0]": np.log(np.float32([[3, 1], [1, 4], [1, 1]]))},
    )
    net, parameters, outputs = run(case)
    assert outputs.blobs["loss"] == pytest.approx(-np.log(3 / 4 * 4 / 5) / 2)
    assert outputs.loss.item() == pytest.approx(2 * outputs.blobs["loss"])
    assert net.loss_weights == {"loss": 2}
    gradient = parameters["scores", 0].grad.numpy()
    assert np.allclose(gradient, [[-0.25, 0.25], [0.2, -0.2], [0, 0]])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ignore", ["", "ignore_label: 2"])
def test_gradient_of_the_loss_is_its_slope(mode, ignore):
    import torch

    from camcaffe.caffe.training.layers import softmax_with_loss

    case = loss_case(f"loss_param {{ {mode} {ignore} }}", (2, 4, 3, 2))
    layer = case.network().layers[1]
    scores = torch.tensor(np.random.RandomState(1).randn(2, 4, 3, 2), requires_grad=True)
    labels = torch.from_numpy(case.inputs["label"])
    assert torch.autograd.gradcheck(lambda x: softmax_with_loss(layer, [x, labels], [])[0], scores)


def test_gradient_of_batch_normalization_is_its_slope():
    import torch

    from camcaffe.caffe.training.layers import batch_norm

    layer = norm_case("eps: 0.1").network().layers[1]
    x = torch.tensor(np.random.RandomState(1).randn(4, 3, 2, 2), requires_grad=True)
    params = [torch.zeros(3, dtype=x.dtype), torch.zeros(3, dtype=x.dtype), torch.zeros(1, dtype=x.dtype)]
    assert torch.autograd.gradcheck(lambda x: batch_norm(layer, [x], params)[0], x)


def test_batch_normalization_by_hand():
    x = np.float32([[1, 10], [3, 10], [5, 40]])
    given = {"scores[0]": x, "bn[0]": [1, 2], "bn[1]": [3, 4], "bn[2]": [5]}
    case = norm_case("moving_average_fraction: 0.5 eps: 0", (3, 2), 1, **given)
    _, parameters, _ = run(case)
    means, variances, factor = (parameters["bn", index].tolist() for index in range(3))
    assert means == pytest.approx([0.5 + 3, 1 + 20])
    assert variances == pytest.approx([1.5 + 4, 2 + 300])
    assert factor == [3.5]
    # Statistics are read, and left alone, when testing.
    _, parameters, outputs = run(case, "TEST")
    assert [parameters["bn", index].tolist() for index in range(3)] == [[1, 2], [3, 4], [5]]
    y = (x - np.float32([1, 2]) / 5) / np.sqrt(np.float32([3, 4]) / 5)
    assert outputs.blobs["loss"] == pytest.approx(np.sum((y + 0.7) ** 2 * case.inputs["factor"]), rel=1e-5)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(st.data())
def test_accuracy_equals_a_slow_one(data):
    images, classes, places = (data.draw(st.integers(1, 4)) for _ in range(3))
    top_k = data.draw(st.integers(1, classes))
    ignored = data.draw(st.integers(0, classes))
    count = images * classes * places
    scores = data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    labels = data.draw(
        st.lists(st.integers(0, classes - 1), min_size=images * places, max_size=images * places)
    )
    scores = np.reshape(scores, (images, classes, places))
    labels = np.reshape(labels, (images, places))
    case = accuracy_case(
        f"accuracy_param {{ top_k: {top_k} ignore_label: {ignored} }}", labels=labels, scores=scores
    )
    hits, counts = np.zeros(classes), np.zeros(classes)
    for image, place in np.ndindex(images, places):
        label = labels[image, place]
        if label != ignored:
            counts[label] += 1
            own = scores[image, label, place]
            as_good = sum(score >= own for score in scores[image, :, place])
            hits[label] += as_good - 1 < top_k
    blobs = run(case)[2].blobs
    assert blobs["accuracy"] == pytest.approx(hits.sum() / max(1, counts.sum()))
    assert blobs["by_class"] == pytest.approx(hits / np.maximum(1, counts))


DROPOUT = Case(
    scores_text((40, 50))
    + plain("Dropout", "x", "y", "dropout_param { dropout_ratio: 0.2 }", "drop")
    + plain("Dropout", "x", "z", "", "half")
    + plain("Reduction", "y", "loss", "loss_weight: 1"),
    arrays={"scores[0]": np.ones((40, 50), np.float32)},
)


def test_dropout_drops_and_scales_up():
    _, parameters, outputs = run(DROPOUT)
    half, gradient = outputs.blobs["z"], parameters["scores", 0].grad.numpy()
    assert set(np.unique(half)) == {0, 2}
    assert 900 < np.count_nonzero(half) < 1100
    assert 1540 < np.count_nonzero(gradient) < 1660
    assert np.unique(gradient) == pytest.approx([0, 1.25])
    assert outputs.blobs["loss"] == pytest.approx(gradient.sum())
    assert (run(DROPOUT, "TEST")[2].blobs["z"] == 1).all()


def test_dropout_is_a_function_of_seed_step_and_layer():
    def dropped(case=DROPOUT, **options):
        return run(case, **options)[2].blobs["z"]

    first = dropped(step=3, seed=5)
    assert np.array_equal(first, dropped(step=3, seed=5))
    renamed = Case(DROPOUT.layers.replace('"half"', '"other"'), arrays=DROPOUT.arrays)
    for other in (dropped(step=4, seed=5), dropped(step=3, seed=6), dropped(renamed, step=3, seed=5)):
        assert 0.4 < np.mean(first == other) < 0.6


def test_losses_second_top_is_the_softmax():
    case = Case(scores_text((6, 4)) + loss_text(tops='top: "loss" top: "prob"'), loss_case().inputs)
    net, parameters, outputs = run(case)
    scores = parameters["scores", 0].detach().numpy()
    expected = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert np.allclose(outputs.blobs["prob"], expected, rtol=1e-5)
    assert net.loss_weights == {"loss": 1}


def test_gradients_add_up_over_passes():
    case = NETS[0]
    parameters = training_parameters(case.weights())
    net = TrainingNet(case.network(), {}, parameters)
    sums = []
    for step in range(2):
        net.backward(net.forward(case.inputs, step))
        sums.append({key: tensor.grad.clone() for key, tensor in parameters.items()})
    for key, once in sums[0].items():
        assert np.allclose(sums[1][key], 2 * once, rtol=1e-6)


def test_what_does_not_learn_has_no_gradient():
    _, parameters, _ = run(NETS[4])
    learned = {key for key, tensor in parameters.items() if tensor.grad is not None}
    assert learned == {("conv", 1), ("fc", 0)}


def test_a_test_net_works_on_the_train_nets_parameters():
    case = NETS[14]
    parameters = training_parameters(case.weights())
    train = TrainingNet(case.network(), {}, parameters)
    test = TrainingNet(case.network("TEST"), {}, parameters)
    before = test.forward(case.inputs, 0)
    assert not before.loss.requires_grad
    train.backward(train.forward(case.inputs, 0))
    after = test.forward(case.inputs, 0)
    assert before.loss.item() != after.loss.item()
    for name, arrays in test.weights().items():
        for mine, theirs in zip(arrays, train.weights()[name]):
            assert np.array_equal(mine, theirs)


def test_convolutions_of_large_batches_are_as_exact_as_caffes():
    # PyTorch has a coarser algorithm for 3 x 3 kernels and batches from 16 on.
    import torch

    case = net_case(conv("conv", "data", "bias_term: false"), images=(16, 8, 12, 10))
    _, parameters, outputs = run(case)
    data = torch.from_numpy(case.inputs["data"]).double()
    expected = torch.nn.functional.conv2d(data, parameters["conv", 0].detach().double(), padding=1).numpy()
    assert np.abs(outputs.blobs["conv"] - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([0, 1, 4, 0, 1, 9], "label 4 of image 2 of the batch; expected 0 to 3"),
        ([0, 1, 2, 3, 0, -1], "label -1 of image 5 of the batch"),
        ([0, np.nan, 2, 3, 0, -1], "label nan of image 1 of the batch"),
    ],
)
def test_labels_that_are_no_class(labels, found):
    with pytest.raises(CamcaffeError, match=rf"^layer 'loss' of type SoftmaxWithLoss: {found}"):
        run(loss_case(labels=labels))
    with pytest.raises(CamcaffeError, match=rf"^layer 'acc' of type Accuracy: {found}"):
        run(accuracy_case(labels=labels))


def test_the_image_of_a_wrong_label_in_a_map():
    labels = np.zeros((2, 3, 5))
    labels[1, 0, 2] = 7
    with pytest.raises(CamcaffeError, match="label 7 of image 1 of the batch"):
        run(loss_case(shape=(2, 4, 3, 5), labels=labels))


FC = fc("fc", "data")
LOSS_BY_X = plain("SoftmaxWithLoss", "fc x", "loss")
BY_FC = "the loss depends on learned parameters through bottom"


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        ([FC, loss_text("loss_weight: 1 loss_weight: 1", bottom="fc")],
         "layer 'loss' of type SoftmaxWithLoss: 2 loss_weight; expected none, or one for each of 1 tops"),
        ([fc("fc", "data", "propagate_down: true propagate_down: true"), SOFTMAX],
         "layer 'fc' of type InnerProduct: 2 propagate_down; expected none, or one for each of 1 bottoms"),
        ([plain("ReLU", "data", "x", "param { lr_mult: 1 }")], "of type ReLU: 1 param; expected at most 0"),
        ([plain("EuclideanLoss", "label label", "x")], "EuclideanLoss: no such layer can be trained"),
        ([plain("Dropout", "data", "x", "dropout_param { dropout_ratio: 1 }")], "dropout_ratio 1;"),
        ([plain("Pooling", "data", "x", "pooling_param { pool: STOCHASTIC kernel_size: 2 }")],
         "of type Pooling with pool: STOCHASTIC is beyond"),
        ([fc("fc", "data", "loss_weight: 1"), plain("ReLU", "fc", "fc")],
         "of type ReLU: it overwrites 'fc', which counts as loss"),
        ([FC, plain("ArgMax", "fc", "best", "loss_weight: 1")], f"of type ArgMax: {BY_FC} 'fc'"),
        ([FC, plain("Accuracy", "fc label", "a", "loss_weight: 1")], f"of type Accuracy: {BY_FC} 'fc'"),
        ([FC, plain("Scale", "label", "x", "scale_param { axis: 0 }"), LOSS_BY_X],
         f"of type SoftmaxWithLoss: {BY_FC} 'x'"),
        ([FC, plain("Slice", "label", "x y", "slice_param { axis: 0 }"), LOSS_BY_X],
         "of type SoftmaxWithLoss: bottoms of the shapes .*; expected a label for each of 6 scores a class"),
        ([FC, plain("Accuracy", "fc label", "a", "accuracy_param { top_k: 6 }")],
         "of type Accuracy: top_k 6 of 5 classes; expected 1 to 5"),
    ],
)  # fmt: skip
def test_nets_that_cannot_be_trained(layers, found):
    with pytest.raises(CamcaffeError, match=f"^net.prototxt: .*{found}"):
        run(net_case(*layers))


def test_parameters_and_batches_that_do_not_fit():
    case = NETS[0]
    parameters = training_parameters(case.weights())
    with pytest.raises(
        CamcaffeError, match=r"layer 'fc' of type InnerProduct: no parameter 1; expected one of"
    ):
        TrainingNet(case.network(), {}, {key: parameters[key] for key in parameters if key != ("fc", 1)})
    with pytest.raises(CamcaffeError, match=r"parameter 0 of the shape \(5,\); expected \(4, 3, 3, 3\)"):
        TrainingNet(case.network(), {}, {**parameters, ("conv", 0): parameters["fc", 1]})
    net = TrainingNet(case.network(), {}, parameters)
    with pytest.raises(
        CamcaffeError, match=r"the batch for net.prototxt: no blob 'label'; expected data, label"
    ):
        net.forward({"data": case.inputs["data"]}, 0)
    with pytest.raises(CamcaffeError, match=r"blob 'label' of the shape \(1, 6\); expected \(6,\)"):
        net.forward({**case.inputs, "label": case.inputs["label"][None]}, 0)
    with pytest.raises(CamcaffeError, match="device: 'abacus' cannot be used"):
        training_parameters(case.weights(), "abacus")


@pytest.mark.cuda
@pytest.mark.parametrize("case", [NETS[0], NETS[14], LOSSES[1], ACCURACIES[4]])
def test_a_gpu_gives_what_the_cpu_gives(case):
    found, expected = case.found("cuda"), case.found()
    for name, array in expected.items():
        assert np.abs(found[name] - array).max() <= 1e-5 * max(np.abs(array).max(), 1e-30), name

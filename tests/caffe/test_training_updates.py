import numpy as np
import pytest
from google.protobuf import text_format

from camcaffe.caffe import messages
from camcaffe.caffe.network import network_of
from camcaffe.caffe.training.updates import Learnable, Updates, clip_gradients, learnable_parameters
from camcaffe.errors import CamcaffeError

pytestmark = pytest.mark.torch


def settings(text):
    return text_format.Parse(text, messages.SolverParameter())


def learnable(values, gradient, lr_mult=1, decay_mult=1):
    import torch

    tensor = torch.tensor(values, dtype=torch.float32, requires_grad=True)
    tensor.grad = None if gradient is None else torch.tensor(gradient, dtype=torch.float32)
    return Learnable(("layer", 0), tensor, lr_mult, decay_mult)


def run(solver, rounds=4, lr_mult=2, decay_mult=0.5):
    """Our values after some updates, and the textbook's in float64."""
    rng = np.random.default_rng(3)
    start, gradients = rng.standard_normal((2, 3)), rng.standard_normal((rounds, 2, 3))
    one = learnable(start.tolist(), None, lr_mult, decay_mult)
    updates = Updates(solver, [one])
    oracle, memory = start.astype(np.float32).astype(float), [np.zeros((2, 3)), np.zeros((2, 3))]
    for iteration, gradient in enumerate(gradients):
        one.tensor.grad = one.tensor.new_tensor(gradient)
        updates.apply(np.float32(0.1), iteration)
        assert one.tensor.grad is None
        decay = solver.weight_decay * decay_mult
        penalty = np.sign(oracle) if solver.regularization_type == "L1" else oracle
        g = gradient / solver.iter_size + decay * penalty
        oracle = oracle - textbook(solver, g, memory, 0.1 * lr_mult, iteration + 1)
    return one.tensor.detach().numpy(), oracle, updates


def textbook(solver, g, memory, rate, t):
    momentum = solver.momentum
    if solver.type == "Adam":
        memory[0] = momentum * memory[0] + (1 - momentum) * g
        memory[1] = solver.momentum2 * memory[1] + (1 - solver.momentum2) * g * g
        correction = np.sqrt(1 - solver.momentum2**t) / (1 - momentum**t)
        return rate * correction * memory[0] / (np.sqrt(memory[1]) + solver.delta)
    before = memory[0]
    memory[0] = momentum * before + rate * g
    return (1 + momentum) * memory[0] - momentum * before if solver.type == "Nesterov" else memory[0]


@pytest.mark.parametrize("kind", ["SGD", "Nesterov", "Adam"])
@pytest.mark.parametrize("decay", ["", "weight_decay: 0.1", 'weight_decay: 0.1 regularization_type: "L1"'])
@pytest.mark.parametrize("iter_size", [1, 3])
def test_updates_are_the_textbooks(kind, decay, iter_size):
    solver = settings(f'type: "{kind}" momentum: 0.9 {decay} iter_size: {iter_size}')
    ours, oracle, updates = run(solver)
    assert np.abs(ours - oracle).max() < 2e-6
    assert len(updates.history) == (2 if kind == "Adam" else 1)


def test_a_gradient_that_is_not_there_is_zero():
    one = learnable([4.0], None)
    Updates(settings('type: "SGD" weight_decay: 0.5'), [one]).apply(np.float32(0.1), 0)
    assert one.tensor.item() == pytest.approx(4 - 0.1 * 0.5 * 4)


def test_what_is_frozen_stays():
    one = learnable([4.0], [3.0], lr_mult=0)
    Updates(settings('type: "Adam" weight_decay: 0.5'), [one]).apply(np.float32(0.1), 0)
    assert one.tensor.item() == 4


def test_clipping_scales_all_gradients_by_their_common_norm():
    pair = [learnable([1.0], [3.0]), learnable([[1.0]], [[4.0]]), learnable([1.0], None)]
    norm, factor = clip_gradients(settings("clip_gradients: 2.5 iter_size: 2"), pair)
    assert (norm, factor) == (5, 0.5)
    assert [one.tensor.grad.item() for one in pair[:2]] == [1.5, 2]
    assert clip_gradients(settings("clip_gradients: 2.5"), pair) is None
    assert clip_gradients(settings(""), pair) is None


def network(layers):
    text = f'input: "x" input_shape {{ dim: 1 dim: 2 }} {layers}'
    net = text_format.Parse(text, messages.NetParameter())
    from camcaffe.caffe.upgrade import upgrade_net

    upgrade_net(net, "net.prototxt")
    return network_of(net, "net.prototxt")


FC = 'layer {{ name: "{}" type: "InnerProduct" bottom: "x" top: "{}" {} }}'


def test_layers_that_share_count_once():
    import torch

    first = FC.format("a", "a", 'param { name: "w" decay_mult: 3 }')
    second = FC.format("b", "b", 'param { name: "w" lr_mult: 2 } param { lr_mult: 5 }')
    shared, a, b = torch.zeros(2, 2), torch.zeros(2), torch.zeros(2)
    parameters = {("a", 0): shared, ("a", 1): a, ("b", 0): shared, ("b", 1): b}
    found = learnable_parameters(network(first + second), parameters)
    assert [(one.owner, one.lr_mult, one.decay_mult) for one in found] == [
        (("a", 0), 2, 3),
        (("a", 1), 1, 1),
        (("b", 1), 5, 1),
    ]


def test_layers_that_share_must_agree():
    import torch

    both = FC.format("a", "a", 'param { name: "w" lr_mult: 1 }')
    both += FC.format("b", "b", 'param { name: "w" lr_mult: 2 }')
    shared = torch.zeros(2)
    with pytest.raises(
        CamcaffeError, match="'b' shares a parameter of layer 'a' with another lr_mult; expected lr_mult: 1"
    ):
        learnable_parameters(network(both), {("a", 0): shared, ("b", 0): shared})


def test_statistics_are_not_learned():
    import torch

    net = 'layer { name: "n" type: "BatchNorm" bottom: "x" top: "y" param { lr_mult: 1 } }'
    parameters = {("n", i): torch.zeros(1) for i in range(3)}
    with pytest.raises(CamcaffeError, match="'n' of type BatchNorm has lr_mult: 1"):
        learnable_parameters(network(net), parameters)
    net = 'layer { name: "n" type: "BatchNorm" bottom: "x" top: "y" }'
    assert [one.lr_mult for one in learnable_parameters(network(net), parameters)] == [0, 0, 0]


def test_more_param_than_parameters():
    import torch

    with pytest.raises(CamcaffeError, match="'a' has 2 param for 1 parameters"):
        learnable_parameters(network(FC.format("a", "a", "param { } param { }")), {("a", 0): torch.zeros(1)})

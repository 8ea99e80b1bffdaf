"""Layers that only training has, or that behave otherwise there, as functions of torch tensors.

They are called as the functions of `camcaffe.caffe.engines.torch_layers`, and give Caffe's gradients.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from camcaffe.caffe import messages
from camcaffe.caffe.engines.torch_layers import Tensors, normalized_by_batch
from camcaffe.caffe.network import Layer
from camcaffe.errors import CamcaffeError


def softmax_with_loss(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """The mean of -log(softmax) at the labels, as `loss_param` counts them; a second top: the softmax.

    Raises:
        CamcaffeError: a label is no class and is not ignored.
    """
    scores, labels = bottoms
    options = layer.message.loss_param
    axis = layer.message.softmax_param.axis % scores.dim()
    classes, kept = _classes(layer, labels, options, scores.shape[axis])
    classes = classes.reshape(*scores.shape[:axis], 1, *scores.shape[axis + 1 :])
    count = _count(options, scores.shape[:axis].numel(), classes.numel(), kept)
    if kept is not None:
        kept = kept.reshape(classes.shape)
    return list(_SoftmaxLoss.apply(scores, classes, kept, axis, count))[: len(layer.tops)]


class _SoftmaxLoss(torch.autograd.Function):
    # As Caffe has it: the logarithm ends at the smallest normal number, the gradient knows nothing of that,
    # and none comes from the second top.

    @staticmethod
    def forward(ctx, scores: Tensor, classes: Tensor, kept: Tensor | None, axis: int, count):
        probabilities = scores.softmax(axis)
        losses = probabilities.gather(axis, classes).clamp(min=torch.finfo(torch.float32).tiny).log()
        if kept is not None:
            losses = losses * kept
        ctx.save_for_backward(probabilities, classes, kept)
        ctx.axis, ctx.count = axis, count
        ctx.mark_non_differentiable(probabilities)
        return -losses.sum() / count, probabilities

    @staticmethod
    def backward(ctx, diff: Tensor, _):
        probabilities, classes, kept = ctx.saved_tensors
        gradient = probabilities.scatter_add(ctx.axis, classes, -torch.ones_like(classes, dtype=diff.dtype))
        if kept is not None:
            gradient *= kept
        return gradient * (diff / ctx.count), None, None, None, None


def accuracy(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """The share of labels among the best `top_k`, where an equal score counts as better; 2nd top: by class.

    Raises:
        CamcaffeError: a label is no class and is not ignored.
    """
    scores, labels = (bottom.detach() for bottom in bottoms)
    options = layer.message.accuracy_param
    axis = options.axis % scores.dim()
    classes, kept = _classes(layer, labels, options, scores.shape[axis])
    classes = classes.reshape(*scores.shape[:axis], 1, *scores.shape[axis + 1 :])
    better = (scores >= scores.gather(axis, classes)).sum(axis, keepdim=True) - 1
    classes, hits = classes.flatten(), (better < options.top_k).flatten()
    counts = torch.ones_like(hits) if kept is None else kept
    hits = (hits & counts).to(scores.dtype)
    counts = counts.to(scores.dtype)
    tops = [hits.sum() / counts.sum().clamp(min=1)]
    if len(layer.tops) == 2:
        by_class = [
            values.new_zeros(scores.shape[axis]).index_add_(0, classes, values) for values in (hits, counts)
        ]
        tops.append(by_class[0] / by_class[1].clamp(min=1))
    return tops


def dropout(layer: Layer, bottoms: Tensors, params: Tensors, generator: torch.Generator) -> list[Tensor]:
    """Each value kept with the probability 1 - `dropout_ratio` and scaled up, or zero."""
    (x,) = bottoms
    ratio = layer.message.dropout_param.dropout_ratio
    kept = torch.rand(x.shape, generator=generator, device=x.device) >= ratio
    return [x * (kept * (1 / (1 - ratio)))]


def batch_norm(layer: Layer, bottoms: Tensors, params: Tensors) -> list[Tensor]:
    """Normalization by the batch's own mean and variance, which Caffe's moving sums in `params` take up."""
    (x,) = bottoms
    options = layer.message.batch_norm_param
    top, mean, variance = normalized_by_batch(x, options.eps)
    count = x.numel() // x.shape[1]
    unbiased = variance * (count / (count - 1)) if count > 1 else variance
    with torch.no_grad():
        for total, value in zip(params, (mean, unbiased, 1.0)):
            total.mul_(options.moving_average_fraction).add_(value)
    return [top]


def _classes(layer: Layer, labels: Tensor, options, count: int) -> tuple[Tensor, Tensor | None]:
    # The labels as flat indices, 0 for ignored ones, and which are kept: None for all.
    classes, kept = labels.detach().flatten().long(), None
    if options.HasField("ignore_label"):
        kept = classes != options.ignore_label
        classes = classes * kept
    wrong = (classes < 0) | (classes >= count)
    if wrong.any():
        place = int(wrong.nonzero()[0])
        image = place // max(1, math.prod(labels.shape[1:]))
        found = f"label {labels.flatten()[place]:g} of image {image} of the batch"
        raise CamcaffeError(f"layer {layer.name!r} of type {layer.type}", found, f"0 to {count - 1}")
    return classes, kept


def _count(options: messages.LossParameter, images: int, labels: int, kept: Tensor | None) -> int | Tensor:
    # What the sum of the losses is divided by.
    mode = options.normalization
    if options.HasField("normalize") and not options.HasField("normalization"):
        mode = options.VALID if options.normalize else options.BATCH_SIZE
    if mode == options.VALID and kept is not None:
        return kept.sum().clamp(min=1)
    return {options.BATCH_SIZE: images, options.NONE: 1}.get(mode, labels)

"""The backprop baseline: what the gradient of a class's score by the image says about where the class is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from camcaffe.cam import rank_classes
from camcaffe.errors import CamcaffeError
from camcaffe.model import check_labels, crop_size
from camcaffe.ten_crop import add_ten_crop

if TYPE_CHECKING:
    from camcaffe.caffe.net import Net
    from camcaffe.caffe.network import Network


def score_blobs(network: Network) -> tuple[str, str]:
    """The blobs of a classification net that hold the class probabilities and the unnormalised scores.

    Returns:
        The net's output, which classes are ranked by, and the blob that its softmax reads, which the
        gradient is taken of. Without a softmax both are the output.

    Raises:
        CamcaffeError: the net has several outputs, and not just one of them is a softmax's.
    """
    softmax = {top: layer for layer in network.layers if layer.type == "Softmax" for top in layer.tops}
    outputs = [name for name in network.outputs if name in softmax] or network.outputs
    if len(outputs) != 1:
        raise CamcaffeError(
            network.source, f"outputs {', '.join(network.outputs)}", "one output: the scores of the classes"
        )
    output = outputs[0]
    return output, softmax[output].bottoms[0] if output in softmax else output


class Backprop:
    """A classification net that explains classes by gradients (Simonyan et al. 2014; the paper's "Backprop").

    The gradient is that of a class's score before the softmax, by the net's input.

    Args:
        net: the net, on an engine that has gradients; its one input takes ten crops.
        output: the blob that classes are ranked by: the mean over the crops.
        scores: the blob whose gradient is taken.
        mean: (3, 256, 256) float32 BGR mean image, or (3,) mean colour.
        labels: a label a class, in the order of the net's outputs.

    Raises:
        CamcaffeError: the net's input is no square of at most 256 pixels, or net and labels do not fit.
    """

    def __init__(self, net: Net, output: str, scores: str, mean: np.ndarray, labels: Sequence[str]):
        self.net, self.mean, self.labels = net, mean, tuple(labels)
        self.crop_size = crop_size(net)
        check_labels(net, output, self.labels)
        self._output, self._scores = output, scores
        self._layer = next(name for name, tops in reversed(net.top_names.items()) if scores in tops)

    def forward(self, crops: np.ndarray) -> np.ndarray:
        """The output of the net.

        Args:
            crops: (N, 3, size, size) float32 BGR, as `prepare_image` gives them.

        Returns:
            (N, classes) float32.
        """
        found = self.net.forward(**{self.net.inputs[0]: crops})
        return found[self._output].reshape(len(crops), -1)

    def gradients(self, crops: np.ndarray, classes: Sequence[int]) -> np.ndarray:
        """The gradients of the classes' scores by the crops.

        Args:
            crops: (N, 3, size, size) float32 BGR.
            classes: K class indices from 0.

        Returns:
            (N, K, 3, size, size) float32.
        """
        self.forward(crops)
        return self._backward(crops.shape, classes)

    def look(self, crops: np.ndarray, top: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The best classes of an image and their gradients.

        Args:
            crops: (10, 3, size, size) float32 BGR: the image's ten crops.
            top: how many classes; by default five, or all where there are fewer.

        Returns:
            (top,) int64 classes, best first, (top,) float32 scores, the mean of the crops' outputs, and
            (10, top, 3, size, size) float32 gradients.
        """
        scores = self.forward(crops).mean(axis=0)
        classes = rank_classes(scores, top)
        return classes, scores[classes], self._backward(crops.shape, classes)

    def _backward(self, shape: tuple, classes: Sequence[int]) -> np.ndarray:
        # A pass a class: a batch of all would take as long and as many times the memory.
        gradients = np.empty((shape[0], len(classes), *shape[1:]), np.float32)
        diff = self.net.blobs[self._scores].diff
        for place, index in enumerate(classes):
            diff[...] = 0
            diff.reshape(len(diff), -1)[:, index] = 1
            found = self.net.backward(start=self._layer)
            gradients[:, place] = found[self.net.inputs[0]]
        return gradients


def merge_gradients(gradients: np.ndarray) -> np.ndarray:
    """Ten crops' gradients put together as the class activation maps are.

    The original's `mergeTenCrop.m` on gradients: their absolute values, added over the three colours and over
    the ten crops, each in its place.

    Args:
        gradients: (10, K, 3, size, size) float32.

    Returns:
        (K, 256, 256) float32.
    """
    absolute = np.abs(gradients)
    # In this order: the original adds the three colours of a crop first.
    return add_ten_crop(absolute[:, :, 0] + absolute[:, :, 1] + absolute[:, :, 2])

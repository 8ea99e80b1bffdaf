"""An image in, class activation maps and boxes out: a net, its CAM head, its mean and its class list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from camcaffe.boxes import AUTHORS_THRESHOLDS, draw_boxes, dt_boxes
from camcaffe.cam import class_activation_maps, rank_classes
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike
from camcaffe.heatmap import heatmaps, overlay, side_by_side
from camcaffe.matlab import encode, im2uint8, imwrite, read_rgb
from camcaffe.ten_crop import IMAGE_SIZE, merge_ten_crop, prepare_image

if TYPE_CHECKING:
    from camcaffe.caffe.head import Head
    from camcaffe.caffe.net import Net


@dataclass(frozen=True)
class Result:
    """What a model sees in one image.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        classes: (K,) int64 indices from 0, best first.
        labels: the classes' labels.
        scores: (K,) float32 scores, the mean of the ten crops.
        maps: (K, 256, 256) float32 merged class activation maps.
        heatmaps: (K, H, W) uint8.
        boxes: for each class (n, 4) int xywh (x, y, width, height) in pixels from 0, as the authors' box
            program lists them: the first is the loose box, the second the tight one.
    """

    image: np.ndarray
    classes: np.ndarray
    labels: tuple[str, ...]
    scores: np.ndarray
    maps: np.ndarray
    heatmaps: np.ndarray
    boxes: tuple[np.ndarray, ...]

    def picture(self, boxes: bool = True) -> np.ndarray:
        """The image, then each class's overlay, side by side, with the loose box.

        Args:
            boxes: draw the boxes.

        Returns:
            (H, W + K * (8 + W), 3) uint8 RGB.
        """
        overlays = [im2uint8(overlay(self.image, one)) for one in self.heatmaps]
        if boxes:
            overlays = [draw_boxes(one, found[:1]) for one, found in zip(overlays, self.boxes)]
        return side_by_side([self.image, *overlays])

    def save(self, path: PathLike) -> None:
        """Write `picture()`; the suffix of the name tells the format."""
        imwrite(path, self.picture())


class Model:
    """A net ready to explain images: `model("img.jpg")` gives a `Result`.

    Args:
        net: the net; its one input takes ten crops.
        head: the net's CAM head, from `find_head`.
        mean: (3, 256, 256) float32 BGR mean image, or (3,) mean colour.
        labels: a label a class, in the order of the net's outputs.

    Raises:
        CamcaffeError: the net's input is no square of at most 256 pixels, or net and labels do not fit.
    """

    def __init__(self, net: Net, head: Head, mean: np.ndarray, labels: Sequence[str]):
        self.net, self.head, self.mean, self.labels = net, head, mean, tuple(labels)
        self._input = net.inputs[0]
        self.crop_size = crop_size(net)
        check_labels(net, head.scores, self.labels)
        classes = len(self.labels)
        # Class maps are weighed by one each: by themselves.
        self.weights = (
            np.eye(classes, dtype=np.float32)
            if head.classifier is None
            else net.params[head.classifier][0].data.reshape(classes, -1)
        )

    def __call__(
        self,
        image: PathLike | np.ndarray,
        top: int | None = None,
        classes: Sequence[int] | None = None,
        **reading,
    ) -> Result:
        """The class activation maps of one image.

        Args:
            image: a file, or (H, W, 3) uint8 RGB.
            top: map this many classes, the best; by default five, or all where there are fewer.
            classes: map these classes instead.
            **reading: how to read the file: keyword arguments of `read_rgb`.

        Raises:
            CamcaffeError: the image cannot be read, or a class does not exist.
        """
        pixels = image if isinstance(image, np.ndarray) else read_rgb(image, **reading)
        conv, scores = self.forward(prepare_image(pixels, self.mean, self.crop_size))
        return self.explain(pixels, conv, scores.mean(axis=0), top, classes)

    def forward(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Run the net.

        Args:
            crops: (N, 3, size, size) float32 BGR, as `prepare_image` gives them.

        Returns:
            The features (N, units, h, w) and the class scores (N, classes), float32.
        """
        found = self.net.forward(blobs=[self.head.cam_blob, self.head.scores], **{self._input: crops})
        return found[self.head.cam_blob], found[self.head.scores].reshape(len(crops), -1)

    def explain(
        self,
        image: np.ndarray,
        conv: np.ndarray,
        scores: np.ndarray,
        top: int | None = None,
        classes: Sequence[int] | None = None,
    ) -> Result:
        """Everything behind the net, for one image.

        Args:
            image: (H, W, 3) uint8 RGB.
            conv: (10, units, h, w) features of its ten crops.
            scores: (classes,) its class scores.
            top: map this many classes, the best; by default five, or all where there are fewer.
            classes: map these classes instead.
        """
        chosen = rank_classes(scores, top) if classes is None else self._known(classes)
        maps = self.merged_maps(conv, chosen)
        gray = heatmaps(maps, image.shape[:2])
        labels = tuple(self.labels[index] for index in chosen)
        boxes = tuple(dt_boxes(through_jpeg(one), AUTHORS_THRESHOLDS) for one in gray)
        return Result(image, chosen, labels, scores[chosen], maps, gray, boxes)

    def merged_maps(self, conv: np.ndarray, classes: Sequence[int]) -> np.ndarray:
        """The class activation maps of one image, its ten crops merged.

        Args:
            conv: (10, units, h, w) features of its ten crops.
            classes: K class indices from 0.

        Returns:
            (K, 256, 256) float32.
        """
        return merge_ten_crop(class_activation_maps(conv, self.weights[classes]), self.crop_size)

    def find_class(self, name: str) -> int:
        """The index of a class named by its index, its WNID or its whole label.

        Raises:
            CamcaffeError: no class, or more than one, is called so.
        """
        if name.isdigit():
            return int(self._known([int(name)])[0])
        found = [index for index, label in enumerate(self.labels) if name in (label, label.split(" ")[0])]
        if len(found) != 1:
            raise CamcaffeError(
                "class", f"{len(found) or 'no'} classes are called {name!r}", "an index, a WNID or a label"
            )
        return found[0]

    def _known(self, classes: Sequence[int]) -> np.ndarray:
        wrong = [index for index in classes if not 0 <= index < len(self.labels)]
        if wrong:
            raise CamcaffeError("class", f"{wrong[0]}", f"0 to {len(self.labels) - 1}")
        return np.asarray(classes, dtype=np.int64)


def crop_size(net: Net) -> int:
    """The size of the crops that a net takes: its input's height and width.

    Raises:
        CamcaffeError: the net has no single input of three colours and a square of at most 256 pixels.
    """
    name = net.inputs[0]
    shape = tuple(net.blobs[name].shape)
    if (
        len(net.inputs) != 1
        or len(shape) != 4
        or shape[1] != 3
        or shape[2] != shape[3]
        or shape[2] > IMAGE_SIZE
    ):
        raise CamcaffeError(
            "net", f"input {name} of shape {shape}", "one input, N x 3 x size x size, up to 256"
        )
    return shape[2]


def check_labels(net: Net, scores: str, labels: Sequence[str]) -> None:
    """Refuse labels that are not one for each class that the blob `scores` has.

    Raises:
        CamcaffeError: there are more or fewer.
    """
    classes = net.blobs[scores].shape[1]
    if classes != len(labels):
        raise CamcaffeError("labels", f"{len(labels)} for a net of {classes} classes", "one a class")


def through_jpeg(gray: np.ndarray) -> np.ndarray:
    """A heat map as the box program reads it: written as JPEG, quality 75, and read again, in memory.

    Args:
        gray: (H, W) uint8.
    """
    return gray_of_jpeg(encode(gray, ".jpg"))


def gray_of_jpeg(jpeg: bytes) -> np.ndarray:
    """The (H, W) uint8 gray picture in the bytes of a JPEG that `encode` made."""
    import cv2

    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)

"""Classification alone, of nets with or without a CAM head: with ten crops or with the centre crop."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from camcaffe.backprop import score_blobs
from camcaffe.caffe import engines
from camcaffe.caffe.mean import read_mean
from camcaffe.caffe.net import Net
from camcaffe.caffe.network import read_network
from camcaffe.cam import rank_classes
from camcaffe.errors import CamcaffeError
from camcaffe.loading import NetFiles
from camcaffe.localize import StoredImage, sha256
from camcaffe.localize.localizer import software
from camcaffe.matlab import read_rgb
from camcaffe.model import check_labels, crop_size
from camcaffe.run_store import ImageResult, RankedClass
from camcaffe.ten_crop import prepare_image

_TOP = 5
_CENTER = 4  # which of the ten crops
_NO_BOXES = np.zeros((0, 4), np.int64)


class Crops(NamedTuple):
    """An image ready for the net: (N, 3, size, size) float32 crops."""

    image: StoredImage
    crops: np.ndarray


class Scores(NamedTuple):
    """What the net made of an image: (classes,) float32, the mean over the crops."""

    image: StoredImage
    scores: np.ndarray


class Classifier:
    """A net that tells classes and no boxes; its three steps are for `camcaffe.localize.overlapped`.

    Args:
        name: a name from the registry.
        crops: 10, or 1 for the centre crop.
        **engine: keyword arguments of `Net`.

    Raises:
        CamcaffeError: unknown name, a file is missing or does not fit.
    """

    def __init__(self, name: str, crops: int, **engine):
        found = NetFiles.find(name)
        self._net = Net(found.prototxt, found.caffemodel, **engine)
        self._output, _ = score_blobs(read_network(found.prototxt))
        self._crop_size = crop_size(self._net)
        self._mean = read_mean(found.mean)
        self._crops = slice(None) if crops == 10 else slice(_CENTER, _CENTER + 1)
        self.labels = found.labels_of(self._net, self._output)
        check_labels(self._net, self._output, self.labels)
        self.identity: dict[str, Any] = {
            "method": "classification",
            "crops": crops,
            "prototxt": sha256(found.prototxt),
            "weights": sha256(found.caffemodel),
            "mean": sha256(found.mean),
            "engine": self._net.engine,
            "engine version": engines.load(self._net.engine).version(),
            "precision": engine.get("precision", "float32"),
            "device": str(engine.get("device", "cpu")).split(":")[0],
            **software(),
        }

    def read(self, image: StoredImage) -> Crops | ImageResult:
        """Read an image and cut its crops; the failure, where it cannot be read."""
        try:
            pixels = read_rgb(image.name, data=image.read())
        except CamcaffeError as error:
            return ImageResult(image.name, failure=str(error))
        return Crops(image, prepare_image(pixels, self._mean, self._crop_size)[self._crops])

    def run(self, crops: Crops) -> Scores:
        """Run the net."""
        found = self._net.forward(**{self._net.inputs[0]: crops.crops})[self._output]
        return Scores(crops.image, found.reshape(len(crops.crops), -1).mean(axis=0))

    def explain(self, scores: Scores) -> ImageResult:
        """The best classes, without boxes; a failure, where the scores are no numbers."""
        try:
            classes = rank_classes(scores.scores, _TOP)
        except CamcaffeError as error:
            return ImageResult(scores.image.name, failure=str(error))
        ranked = (RankedClass(index, float(scores.scores[index]), _NO_BOXES) for index in classes.tolist())
        return ImageResult(scores.image.name, tuple(ranked))

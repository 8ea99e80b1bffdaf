"""From an image's bytes to its classes and boxes: three steps, for a pipeline to overlap."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from camcaffe import files
from camcaffe._version import __version__
from camcaffe.backprop import Backprop, merge_gradients
from camcaffe.boxes import AUTHORS_THRESHOLDS, dt_boxes
from camcaffe.caffe import engines
from camcaffe.cam import TOP, rank_classes
from camcaffe.errors import CamcaffeError
from camcaffe.heatmap import heatmaps
from camcaffe.loading import NetFiles, load, load_backprop
from camcaffe.localize.images import StoredImage
from camcaffe.matlab import encode, read_rgb
from camcaffe.model import Model, gray_of_jpeg
from camcaffe.run_store import ImageResult, RankedClass
from camcaffe.ten_crop import prepare_image


@dataclass(frozen=True)
class Settings:
    """What a run does with every image: plain values, which another process can be sent.

    Attributes:
        net: keyword arguments of `load`, the name among them.
        method: "cam", or "backprop" for the baseline.
        top: how many classes an image gets; by default five, or all where there are fewer.
        heatmaps: the folder to write heat maps into, or None.
        reading: keyword arguments of `read_rgb`.
    """

    net: Mapping[str, Any]
    method: str = "cam"
    top: int | None = None
    heatmaps: str | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)


class Prepared(NamedTuple):
    """An image ready for the net: (height, width) of its heat maps, (10, 3, size, size) float32 crops."""

    image: StoredImage
    size: tuple[int, int]
    crops: np.ndarray


class Seen(NamedTuple):
    """What the net made of an image: arguments of the method's second function."""

    image: StoredImage
    size: tuple[int, int]
    found: tuple


class Localizer:
    """A net and what happens before and behind it.

    `read` and `explain` may run in any number of threads while `run` runs in one.

    Args:
        settings: what to do.
        device: run the net there; None: on the device of the settings, which the identity has in any case.

    Raises:
        CamcaffeError: as `load` and `load_backprop`; `top` is more than the net's classes.
    """

    def __init__(self, settings: Settings, device: str | None = None):
        self.settings = settings
        load_model, self._look, self._maps = _METHODS[settings.method]
        self._model = load_model(**{**settings.net, "device": device or settings.net.get("device", "cpu")})
        self.labels = self._model.labels
        self._top = min(TOP, len(self.labels)) if settings.top is None else settings.top
        if self._top > len(self.labels):
            raise CamcaffeError("top", f"{self._top}", f"at most {len(self.labels)}, the net's classes")
        self.identity = self._identity()

    def check(self) -> None:
        """Run the net on nothing, so that a net that cannot run is told before there is a run of it.

        Raises:
            CamcaffeError: the engine has no such device, lacks a layer, or has too little memory.
        """
        size = self._model.crop_size
        self._model.forward(np.zeros((1, 3, size, size), np.float32))

    def read(self, image: StoredImage) -> Prepared | ImageResult:
        """Read an image and cut its ten crops; the failure, where it cannot be read."""
        try:
            pixels = read_rgb(image.name, data=image.read(), **self.settings.reading)
        except CamcaffeError as error:
            return ImageResult(image.name, failure=str(error))
        crops = prepare_image(pixels, self._model.mean, self._model.crop_size)
        return Prepared(image, image.true_size or pixels.shape[:2], crops)

    def run(self, prepared: Prepared) -> Seen:
        """Run the net."""
        found = self._look(self._model, prepared.crops, self._top)
        return Seen(prepared.image, prepared.size, found)

    def explain(self, seen: Seen) -> ImageResult:
        """Maps, heat maps and boxes of what the net saw.

        Where the scores are no numbers, or the image is larger than a JPEG can be, the failure.
        """
        try:
            classes, scores, maps = self._maps(self._model, *seen.found)
            jpegs = [encode(gray, ".jpg") for gray in heatmaps(maps, seen.size)]
        except CamcaffeError as error:
            return ImageResult(seen.image.name, failure=str(error))
        if self.settings.heatmaps is not None:
            for rank, jpeg in enumerate(jpegs, 1):
                path = Path(self.settings.heatmaps) / f"top{rank}" / seen.image.heatmap
                files.make_folder(path.parent)
                files.write_bytes(path, jpeg)
        boxes = (dt_boxes(gray_of_jpeg(jpeg), AUTHORS_THRESHOLDS) for jpeg in jpegs)
        ranked = zip(classes.tolist(), scores.tolist(), boxes)
        return ImageResult(seen.image.name, tuple(RankedClass(*one) for one in ranked))

    def _identity(self) -> dict[str, Any]:
        net = self.settings.net
        names = ("name", "prototxt", "caffemodel", "mean", "labels")
        found = NetFiles.find(**{name: net.get(name) for name in names})
        mean = sha256(found.mean) if Path(found.mean).is_file() else str(found.mean)
        return {
            "method": self.settings.method,
            "top": self._top,
            "prototxt": sha256(found.prototxt),
            "weights": sha256(found.caffemodel),
            "mean": mean,
            "CAM blob": net.get("cam_blob"),
            "FC layer": net.get("fc"),
            "engine": self._model.net.engine,
            "engine version": engines.load(self._model.net.engine).version(),
            "precision": net.get("precision", "float32"),
            "device": str(net.get("device", "cpu")).split(":")[0],
            "EXIF rotation": self.settings.reading.get("exif_rotation", False),
            "heat maps": self.settings.heatmaps,
            **software(),
        }


def software() -> dict[str, Any]:
    """What of a run's identity does not depend on a net: thresholds and versions."""
    import cv2
    import PIL
    import scipy

    return {
        "thresholds": AUTHORS_THRESHOLDS,
        "camcaffe": __version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }


def sha256(path: files.PathLike) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        CamcaffeError: it cannot be read.
    """
    return hashlib.sha256(files.read_bytes(path)).hexdigest()


def _look_cam(model: Model, crops: np.ndarray, top: int) -> tuple:
    conv, scores = model.forward(crops)
    return conv, scores.mean(axis=0), top


def _maps_cam(model: Model, conv: np.ndarray, scores: np.ndarray, top: int) -> tuple:
    classes = rank_classes(scores, top)
    return classes, scores[classes], model.merged_maps(conv, classes)


def _look_backprop(model: Backprop, crops: np.ndarray, top: int) -> tuple:
    return model.look(crops, top)


def _maps_backprop(model: Backprop, classes: np.ndarray, scores: np.ndarray, gradients: np.ndarray) -> tuple:
    return classes, scores, merge_gradients(gradients)


# Method -> how its model is loaded, what asks the net, and what turns that into classes (best first), their
# scores and their (K, 256, 256) merged maps without the net.
_METHODS = {
    "cam": (load, _look_cam, _maps_cam),
    "backprop": (load_backprop, _look_backprop, _maps_backprop),
}

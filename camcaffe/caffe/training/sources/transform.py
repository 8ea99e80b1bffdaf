"""transform_param: crop, mean, scale and mirror, as Caffe's data_transformer.cpp applies them."""

from __future__ import annotations

import numpy as np

from camcaffe.caffe.mean import read_binaryproto
from camcaffe.caffe.network import Layer
from camcaffe.errors import CamcaffeError


class Transformer:
    """A data layer's transform_param in one phase.

    out = (pixel - mean) * scale in float32, in this order, then mirrored. A mean image is cropped where the
    pixels are. `mirror` draws in both phases, as in Caffe; crops are random in TRAIN only.

    Args:
        layer: the data layer.
        phase: "TRAIN" or "TEST".

    Raises:
        CamcaffeError: both mean_file and mean_value are given, or the mean cannot be read.
    """

    def __init__(self, layer: Layer, phase: str):
        settings = layer.message.transform_param
        self._layer = f"layer {layer.name!r}"
        self._crop, self._mirror = settings.crop_size, settings.mirror
        self._scale, self._train = np.float32(settings.scale), phase == "TRAIN"
        self._mean_file, self._mean = settings.mean_file, None
        if settings.HasField("mean_file"):
            if settings.mean_value:
                raise CamcaffeError(self._layer, "it has both mean_file and mean_value", "one of them")
            self._mean = _mean_image(settings.mean_file)
        elif settings.mean_value:
            self._mean = np.array(settings.mean_value, np.float32)[:, None, None]

    def shape(self, pixels: np.ndarray, source: str) -> tuple[int, int, int]:
        """The (channels, height, width) that these pixels are transformed to.

        Args:
            pixels: (C, H, W).
            source: where they are from, for errors.

        Raises:
            CamcaffeError: the crop is larger than they are, or the mean does not suit them.
        """
        channels, height, width = pixels.shape
        if min(height, width) < self._crop:
            found = f"{height} x {width} pixels, and {self._layer} crops {self._crop} x {self._crop}"
            raise CamcaffeError(source, found, "at least the crop's size")
        if self._mean is not None:
            self._check_mean(pixels.shape, source)
        return (channels, self._crop, self._crop) if self._crop else pixels.shape

    def __call__(self, pixels: np.ndarray, source: str, rng: np.random.Generator) -> np.ndarray:
        """The transformed pixels, (C, h, w) float32; arguments and errors as for `shape`.

        Args:
            pixels: (C, H, W), uint8 or float32.
            source: where they are from, for errors.
            rng: what mirror and crop are drawn from.
        """
        _, height, width = self.shape(pixels, source)
        flipped = self._mirror and rng.integers(2)
        spare_rows, spare_columns = pixels.shape[1] - height, pixels.shape[2] - width
        if self._train and self._crop:
            top, left = rng.integers(spare_rows + 1), rng.integers(spare_columns + 1)
        else:
            top, left = spare_rows // 2, spare_columns // 2
        window = np.s_[:, top : top + height, left : left + width]
        values = pixels[window].astype(np.float32)
        if self._mean is not None:
            values -= self._mean[window] if self._mean_file else self._mean
        values *= self._scale
        return values[:, :, ::-1] if flipped else values

    def _check_mean(self, shape: tuple, source: str) -> None:
        if self._mean_file:
            if self._mean.shape != shape:
                expected = f"the {sizes(shape)} of {source}"
                raise CamcaffeError(self._mean_file, f"a mean of {sizes(self._mean.shape)}", expected)
        elif len(self._mean) not in (1, shape[0]):
            expected = f"one, or {shape[0]}, a channel of {source} each"
            raise CamcaffeError(self._layer, f"{len(self._mean)} times mean_value", expected)


def _mean_image(path: str) -> np.ndarray:
    mean = read_binaryproto(path)
    if mean.ndim != 4:
        raise CamcaffeError(path, f"a mean of shape {mean.shape}", "(1, channels, rows, columns)")
    if not np.isfinite(mean).all():
        raise CamcaffeError(path, "the mean holds NaN or infinity", "numbers")
    return mean[0]


def sizes(shape: tuple) -> str:
    """A shape (C, H, W) in words."""
    return "{} channels x {} rows x {} columns".format(*shape)

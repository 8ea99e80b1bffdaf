"""What a net with a new head is fine-tuned from: deploy, train_val, solver, and the weights to start."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from camcaffe import files
from camcaffe.caffe.caffemodel import write_caffemodel
from camcaffe.caffe.mean import read_binaryproto
from camcaffe.caffe.messages import LayerParameter, SolverParameter
from camcaffe.caffe.network import Layer
from camcaffe.caffe.prototxt import net_to_text
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.caffe.training.sources import open_source
from camcaffe.caffe.training.sources.database import Datums
from camcaffe.caffe.training.sources.image_list import read_image_list
from camcaffe.caffe.weights import read_weights
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike
from camcaffe.labels import read_labels
from camcaffe.models.gapify import WEIGHING, Gapified
from camcaffe.models.layers import image_list, lmdb
from camcaffe.models.nets import CAM_SOLVER, MEAN_PIXEL

DEPLOY, TRAIN_VAL, SOLVER = "deploy.prototxt", "train_val.prototxt", "solver.prototxt"
START = "start.caffemodel"
# Snapshots are called so, with `_iter_1000.caffemodel` and its like behind it.
SNAPSHOT = "snapshot"
# Images in a batch of training and, at most, of validation: those of the published GoogLeNet-CAM.
BATCHES = (64, 50)


@dataclass(frozen=True)
class DataFolder:
    """Images and labels for training and validation, as `camcaffe dataset` puts them into a folder.

    Attributes:
        path: the folder, from the root.
        is_lmdb: it holds the LMDBs `train_lmdb` and `val_lmdb`; or else the lists `train.txt` and `val.txt`,
            whose names start at the folder.
        labels: its classes, from `labels.txt`.
        mean: its mean image `mean.binaryproto`, (channels, height, width); None where there is none.
        validation_images: how many.
    """

    path: Path
    is_lmdb: bool
    labels: tuple[str, ...]
    mean: tuple[int, ...] | None
    validation_images: int


def read_data_folder(path: PathLike) -> DataFolder:
    """Look at a folder that `camcaffe dataset` made.

    Raises:
        CamcaffeError: it lacks something, or a file in it cannot be read.
    """
    folder = Path(path).absolute()
    is_lmdb, is_list = (folder / "train_lmdb").is_dir(), (folder / "train.txt").is_file()
    if not (is_lmdb or is_list):
        raise CamcaffeError(
            path, "neither train_lmdb nor train.txt is in it", "what `camcaffe dataset` makes"
        )
    validation = folder / ("val_lmdb" if is_lmdb else "val.txt")
    if not validation.exists():
        expected = "pictures for validation, too: `camcaffe dataset` with --validation above 0"
        raise CamcaffeError(path, f"no {validation.name} is in it", expected)
    count = len(Datums(validation) if is_lmdb else read_image_list(validation))
    return DataFolder(
        folder,
        is_lmdb,
        read_labels(folder / "labels.txt"),
        _mean_shape(folder / "mean.binaryproto"),
        count,
    )


def data_layers(
    net: Gapified, data: DataFolder | None = None, batch: int | None = None
) -> list[LayerParameter]:
    """Layers that read a net's images and labels, cropped and mirrored as for the published GoogLeNet-CAM.

    Args:
        net: the net; a crop has its input's size (no crop where that is not square).
        data: where from; None: ILSVRC's LMDBs in the working folder, by BVLC's names.
        batch: images in a batch of training; None: 64.

    Raises:
        CamcaffeError: the data's images do not suit the net.
    """
    _, channels, height, width = net.input_shape
    transform = {"crop_size": height} if height == width else {}
    if data is not None and data.mean is not None:
        transform["mean_file"] = str(data.path / "mean.binaryproto")
    elif channels == 3:
        transform.update(MEAN_PIXEL)
    layers = []
    for phase, name in (("TRAIN", "train"), ("TEST", "val")):
        options = {"mirror": phase == "TRAIN", **transform}
        size = (batch or BATCHES[0]) if phase == "TRAIN" else _validation(data)[1]
        if data is None:
            layer = lmdb(phase, f"ilsvrc12_{name}_lmdb", size, **options)
        elif data.is_lmdb:
            layer = lmdb(phase, str(data.path / f"{name}_lmdb"), size, **options)
        else:
            stored = _stored_size(data, height, width)
            options["is_color"] = channels == 3
            names, root = str(data.path / f"{name}.txt"), f"{data.path}/"
            layer = image_list(phase, names, root, stored, size, **options)
        layer.top[:] = [net.image_blob, net.label_blob]
        layers.append(layer)
        if data is not None:
            _check(layer, phase, net)
    return layers


def solver_settings(
    data: DataFolder | None = None, base_lr: float | None = None, max_iter: int | None = None
) -> SolverParameter:
    """The published GoogLeNet-CAM's solver, for the files that `write_fine_tuning` writes.

    Args:
        data: tests cover its validation images.
        base_lr: another learning rate to begin with.
        max_iter: another number of iterations; steps come as much closer together, and there are about ten
            tests and snapshots at least.

    Raises:
        CamcaffeError: `base_lr` is no positive number.
    """
    settings = {**CAM_SOLVER, "test_iter": [_validation(data)[0]]}
    if base_lr is not None:
        if not 1e-38 < base_lr < 1e38:  # what a float of single precision holds
            raise CamcaffeError("learning rate", f"{base_lr}", "a positive number")
        settings["base_lr"] = base_lr
    if max_iter is not None:
        settings["stepsize"] = math.ceil(settings["stepsize"] * max_iter / settings["max_iter"])
        for key, times in (("display", 20), ("test_interval", 10), ("snapshot", 10)):
            settings[key] = min(settings[key], max(1, max_iter // times))
        settings["max_iter"] = max_iter
    # Without a GPU that Caffe was built for, GPU is an error; and `caffe train --gpu` stands above this.
    return SolverParameter(net=TRAIN_VAL, snapshot_prefix=SNAPSHOT, solver_mode="CPU", **settings)


def write_fine_tuning(
    folder: PathLike,
    net: Gapified,
    data: Sequence[LayerParameter],
    solver: SolverParameter,
    caffemodel: PathLike | None = None,
) -> list[str]:
    """Write what fine-tuning starts from into a folder, made where it does not exist.

    `deploy.prototxt`, `train_val.prototxt`, `solver.prototxt` and, from the parent's weights,
    `start.caffemodel`. That has the kept layers only: Caffe copies layers by name, and fills those that are
    not in the file, the new ones, as the prototxt says when training starts.

    Args:
        folder: where to.
        net: the net.
        data: layers that read its data while it is trained; none for those of its parent.
        solver: how it is trained.
        caffemodel: the parent's weights.

    Returns:
        Names of the kept layers that have weights but get none of the parent's.

    Raises:
        CamcaffeError: the weights do not fit, a file cannot be written, or would replace what it is made of.
            Nothing is written in the first case and the last.
    """
    texts = {
        DEPLOY: net_to_text(net.deploy),
        TRAIN_VAL: net_to_text(net.train_val(data)),
        SOLVER: net_to_text(solver),
    }
    shapes = infer_shapes(net.trunk)
    weights, missing = {}, [layer.name for layer, made in zip(net.trunk.layers, shapes.layers) if made.params]
    if caffemodel is not None:
        weights, missing = read_weights(net.trunk, shapes, caffemodel)
    target = Path(folder)
    for name in (*texts, START):
        for source in filter(None, (net.trunk.source, caffemodel)):
            if os.path.realpath(target / name) == os.path.realpath(source):
                raise CamcaffeError(source, f"{target / name} would take its place", "another folder")
    files.make_folder(target)
    if caffemodel is not None:
        write_caffemodel(target / START, net.trunk, weights)
    for name, text in texts.items():
        files.write_text(target / name, f"# {_description(net)}\n# Written by `camcaffe net gapify`.\n{text}")
    return missing


def filled_with_zeros(net: Gapified, names: Sequence[str]) -> list[str]:
    """Which of these kept layers Caffe fills with zeros, as the prototxt has no filler for their weights."""
    return [
        layer.name
        for layer in net.trunk.layers
        if layer.name in names
        and layer.type in WEIGHING
        and not getattr(layer.message, WEIGHING[layer.type]).HasField("weight_filler")
    ]


def _description(net: Gapified) -> str:
    _, height, width = net.map_shape
    name = " ".join(net.trunk.name.split()) or "A net"
    return f"{name} with a head for class activation mapping on {height}x{width} maps."


def _mean_shape(path: Path) -> tuple[int, ...] | None:
    if not path.is_file():
        return None
    shape = read_binaryproto(path).shape
    if len(shape) not in (3, 4) or shape[:-3] not in ((), (1,)) or 0 in shape:
        raise CamcaffeError(path, f"a mean of shape {shape}", "(1, channels, height, width)")
    return shape[-3:]


def _validation(data: DataFolder | None) -> tuple[int, int]:
    """Iterations and batch size of a test: every image once, and hardly any twice."""
    if data is None:
        return CAM_SOLVER["test_iter"][0], BATCHES[1]
    iterations = math.ceil(data.validation_images / BATCHES[1])
    return iterations, math.ceil(data.validation_images / iterations)


def _stored_size(data: DataFolder, height: int, width: int) -> tuple[int, int]:
    """Height and width that listed images are resized to: the mean's, or as 256 is to a crop of 224."""
    if data.mean is not None:
        return data.mean[1:]
    return (round(height * 8 / 7),) * 2 if height == width else (height, width)


def _check(message: LayerParameter, phase: str, net: Gapified) -> None:
    layer = Layer(message.name, message.type, tuple(message.bottom), tuple(message.top), message)
    shape = open_source(layer, phase).shapes[0][1:]
    if shape != net.input_shape[1:]:
        source = getattr(message, "data_param" if message.type == "Data" else "image_data_param").source
        found = f"its images reach the net as {' x '.join(map(str, shape))}"
        raise CamcaffeError(source, found, " x ".join(map(str, net.input_shape[1:])))

"""Weights and mean images, brought from where they are published."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from camcaffe import files
from camcaffe.caffe.caffemodel import read_caffemodel, write_caffemodel
from camcaffe.caffe.network import Network, read_network
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.caffe.surgery import convolution_to_inner_product, rename_layers
from camcaffe.caffe.weights import load_weights
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike
from camcaffe.models.fetch import TIMEOUT, fetch
from camcaffe.models.registry import DEMO, Model, Published, find_model
from camcaffe.models.store import ModelFiles, deploy_prototxt, find_file, home, model_files


def download(name: str, *, timeout: float = TIMEOUT, pause: float = 1.0) -> ModelFiles:
    """Bring a model's weights and mean image into the folder of downloads.

    Files that are there and good are left alone; one that is not good (cut short, or a web page under its
    name) is fetched anew. Where CAMCAFFE_MIRROR names addresses of folders, with blanks between them, all
    files are fetched from these, under the names they were published under, and from nowhere else.

    Args:
        name: the model.
        timeout: seconds without a byte after which a server is given up.
        pause: seconds before the first new attempt at a transfer that broke off; doubled each time.

    Raises:
        CamcaffeError: there is no such model, nobody published its weights, no address gave a good file, or
            a file cannot be written.
    """
    model = find_model(name)
    if model.shipped:
        return model_files(name)
    network = read_network(deploy_prototxt(name))

    def accept(path: Path) -> None:
        _accept(model, network, path)

    if not model.made_from:
        _bring(model.weights, accept, timeout, pause)
    elif _problem(model.weights, accept):
        _operate(model, network, download(model.made_from, timeout=timeout, pause=pause))
    _bring(model.mean, lambda path: _check_sum(path, model.mean.checksum), timeout, pause)
    return model_files(name)


def download_demo(folder: PathLike, *, timeout: float = TIMEOUT, pause: float = 1.0) -> Path:
    """Bring the authors' demo images, with their cached features and a heat map, into a folder.

    Args:
        folder: made where it does not exist; files in it that are good are left alone.
        timeout: as for `download`.
        pause: as for `download`.

    Raises:
        CamcaffeError: no address gave a good file, or a file cannot be written.
    """
    folder = files.make_folder(folder)
    for published in DEMO:
        target = folder / published.files[0]

        def accept(path: Path, checksum: str = published.checksum) -> None:
            _check_sum(path, checksum)

        if not target.is_file() or _refusal(target, accept):
            fetch(_addresses(published), target, accept, timeout=timeout, pause=pause)
    return folder


def _bring(published: Published, accept: Callable[[Path], None], timeout: float, pause: float) -> None:
    problem = _problem(published, accept)
    if problem and not published.addresses:
        raise problem
    if problem:
        fetch(_addresses(published), home() / published.files[0], accept, timeout=timeout, pause=pause)


def _problem(published: Published, accept: Callable[[Path], None]) -> CamcaffeError | None:
    """What is wrong with the file in the folder of downloads; None where it is there and good."""
    path = find_file(published.files)
    if path is None:
        found = f"the file is not in {home()}, and nobody published it"
        return CamcaffeError(published.files[0], found, "weights that you trained, by that name")
    return _refusal(path, accept)


def _refusal(path: Path, accept: Callable[[Path], None]) -> CamcaffeError | None:
    try:
        accept(path)
    except CamcaffeError as error:
        return error
    return None


def _addresses(published: Published) -> list[str]:
    """The addresses to try: the mirrors' where there are any, else the published ones."""
    folders = os.environ.get("CAMCAFFE_MIRROR", "").split()
    for folder in folders:
        if urlsplit(folder).scheme not in ("http", "https"):
            raise CamcaffeError(
                "CAMCAFFE_MIRROR", repr(folder), "an address that begins with http:// or https://"
            )
    mirrored = [f"{folder.rstrip('/')}/{file}" for folder in folders for file in published.files]
    return mirrored or list(published.addresses)


def _check_sum(path: Path, checksum: str) -> None:
    algorithm, wanted = checksum.split(":")
    digest = hashlib.new(algorithm, files.read_bytes(path)).hexdigest()
    if digest != wanted:
        raise CamcaffeError(path, f"the file's {algorithm} is {digest}", wanted)


def _accept(model: Model, network: Network, path: Path) -> None:
    """See that a caffemodel is the model's; give its layers the names that they have here."""
    if model.weights.checksum:
        _check_sum(path, model.weights.checksum)
        return
    published = read_caffemodel(path)
    weights = rename_layers(published, model.layer_names)
    if weights.keys() != published.keys():
        write_caffemodel(path, network, weights)
    shapes = infer_shapes(network)
    wanted = [layer.name for layer, shape in zip(network.layers, shapes.layers) if shape.params]
    lacking = [name for name in wanted if name not in weights]
    if lacking:
        raise CamcaffeError(
            path, f"it lacks the weights of layer {', '.join(lacking)}", f"those of {model.name}"
        )
    load_weights(network, shapes, path)


def _operate(model: Model, network: Network, source: ModelFiles) -> None:
    """Make a model's weights of another's, whose class maps come from a 1x1 convolution of the maps' name."""
    published = read_caffemodel(source.caffemodel)
    weights = convolution_to_inner_product(published, source.model.cam_blob, model.fc)
    target = home() / model.weights.files[0]
    write_caffemodel(target, network, weights)
    _accept(model, network, target)

"""Where a model's files lie on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from camcaffe import files
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike
from camcaffe.models.registry import Model, find_model


@dataclass(frozen=True)
class ModelFiles:
    """A model ready to run: its deploy prototxt, its caffemodel, and the mean image or colour to subtract."""

    model: Model
    prototxt: Path
    caffemodel: Path
    mean: PathLike


def home() -> Path:
    """The folder that downloads are kept in.

    It is $CAMCAFFE_HOME, or else camcaffe in $XDG_CACHE_HOME, or else ~/.cache/camcaffe.
    """
    if os.environ.get("CAMCAFFE_HOME"):
        return Path(os.environ["CAMCAFFE_HOME"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "camcaffe"


def find_file(names: Sequence[str]) -> Path | None:
    """The first of these names that there is in the folder of downloads, or None."""
    return next((home() / name for name in names if (home() / name).is_file()), None)


def find_weights(model: Model) -> Path | None:
    """A model's weights: in the package where it brings them, else in the folder of downloads, or None."""
    if model.shipped:
        return shipped_folder(model) / model.weights.files[0]
    return find_file(model.weights.files)


def shipped_folder(model: Model) -> Path:
    """The folder in the package with a shipped model's weights, its class list and sample images."""
    return Path(__file__).with_name(model.name)


def model_files(name: str) -> ModelFiles:
    """The files of a model by name; the prototxt is written where it is not there yet.

    Raises:
        CamcaffeError: there is no model of this name; its weights or its mean image are not on this machine
            (the line says what would bring them); the prototxt cannot be written.
    """
    model = find_model(name)
    caffemodel = find_weights(model)
    mean = model.mean if isinstance(model.mean, str) else find_file(model.mean.files)
    if caffemodel is None:
        found = f"its weights {model.weights.files[0]} are not in {home()}"
        if not (model.weights.addresses or model.made_from):
            raise CamcaffeError(
                name, f"{found}, and nobody published them", "weights that you trained, by that name"
            )
        raise CamcaffeError(name, found, f"after `camcaffe models download {name}`")
    if mean is None:
        found = f"the mean image {model.mean.files[0]} is not in {home()}"
        raise CamcaffeError(name, found, f"after `camcaffe models download {name}`")
    return ModelFiles(model, deploy_prototxt(name), caffemodel, mean)


def deploy_prototxt(name: str) -> Path:
    """The deploy prototxt of a model in the folder of downloads, written where it is missing or old.

    Raises:
        CamcaffeError: there is no model of this name, or the prototxt cannot be written.
    """
    # Here, not above: it loads protobuf, which who only asks for the folder need not have.
    from camcaffe.models.written import deploy_text

    text = deploy_text(name)
    path = files.make_folder(home()) / find_model(name).deploy
    if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
        files.write_text(path, text)
    return path

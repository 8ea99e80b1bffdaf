"""The files of the folder `models/`: prototxts from the networks' descriptions, and the class lists."""

from __future__ import annotations

import inspect
from pathlib import Path

from camcaffe import files
from camcaffe.caffe import messages
from camcaffe.caffe.prototxt import net_to_text
from camcaffe.files import PathLike
from camcaffe.models import alexnet, digits, googlenet, nin, squeezenet, vgg
from camcaffe.models.classes import CLASS_LISTS
from camcaffe.models.registry import find_model

# Model -> the function that describes it; what the function's docstring says heads the files.
DESCRIPTIONS = {
    "googlenetCAM": googlenet.googlenet_cam,
    "googlenetCAM_places205": googlenet.googlenet_cam_places205,
    "vgg16CAM": vgg.vgg16_cam,
    "alexnetplusCAM_imagenet": alexnet.alexnetplus_imagenet,
    "alexnetplusCAM_places205": alexnet.alexnetplus_places205,
    "squeezenetCAM": squeezenet.squeezenet_cam,
    "googlenetGMP": googlenet.googlenet_gmp,
    "caffeNetCAM": alexnet.caffenet_cam,
    "alexnetstarCAM": alexnet.alexnetstar_cam,
    "googlenet": googlenet.googlenet,
    "vgg16": vgg.vgg16,
    "alexnet": alexnet.alexnet,
    "caffenet": alexnet.caffenet,
    "nin": nin.nin,
    "squeezenet_v1.0": squeezenet.squeezenet,
    "digitsCAM": digits.digits_cam,
}


def deploy_text(name: str) -> str:
    """The deploy prototxt of a model.

    Raises:
        CamcaffeError: there is no model of this name.
    """
    describe = DESCRIPTIONS[find_model(name).name]
    return _text(describe, describe().deploy())


def all_texts() -> dict[str, str]:
    """All files of `models/`: file name -> text."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in CLASS_LISTS.values()}
    for name, describe in DESCRIPTIONS.items():
        network = describe()
        # The one solver that was published keeps its name.
        solver = "solver_imagenet_googlenetCAM" if name == "googlenetCAM" else f"solver_{name}"
        train_val = f"train_val_{name}.prototxt"
        settings = {"snapshot_prefix": f"{name}_train", "solver_mode": "GPU", **network.solver}
        texts[find_model(name).deploy] = _text(describe, network.deploy())
        texts[train_val] = _text(describe, network.train_val())
        texts[f"{solver}.prototxt"] = _text(describe, messages.SolverParameter(net=train_val, **settings))
    return texts


def write_models(folder: PathLike) -> list[Path]:
    """Write all files of `models/` into a folder, made where it does not exist.

    Returns:
        The files' paths, in order of their names.

    Raises:
        CamcaffeError: the folder cannot be made or written.
    """
    target = files.make_folder(folder)
    written = []
    for name, text in sorted(all_texts().items()):
        files.write_text(target / name, text)
        written.append(target / name)
    return written


def _text(describe, message) -> str:
    comment = "\n".join(f"# {line}".rstrip() for line in inspect.getdoc(describe).splitlines())
    return f"{comment}\n#\n# Written by `camcaffe models write`.\n{net_to_text(message)}"

"""The net that comes with the package: it finds handwritten digits in the scenes of `camcaffe.digits`."""

from __future__ import annotations

from camcaffe import files
from camcaffe.caffe import messages
from camcaffe.caffe.prototxt import net_to_text
from camcaffe.files import PathLike
from camcaffe.models.layers import (
    constant,
    convolution,
    gaussian,
    global_pooling,
    inner_product,
    msra,
    normalized,
    pooling,
    power,
    rectified,
)
from camcaffe.models.nets import Description, data_layers

SIZE, CLASSES = 224, 10
MEAN_PIXEL = {"mean_value": [128]}
# A pixel of a scan covers 10 to 21 pixels of a scene, so these lose little.
SQUARE = 8


def digits_cam(pool: str = "AVE") -> Description:
    """digitsCAM: handwritten digits in scenes of camcaffe.digits; made by scripts/train_digits.py.

    Means of 8 x 8 pixels, four convolutions with batch normalization, then CAM_conv -> GAP -> FC. A map has
    14 x 14 units.
    """
    # A digit covers a tenth of the map, so that means are about a tenth of maxima: their weights have to be
    # as much larger.
    spread, rate = (0.5, 10) if pool == "AVE" else (0.05, 1)
    layers = [
        pooling("squares", "data", "AVE", SQUARE, SQUARE),
        power("contrast", "squares", scale=1 / 64),
        *_convolution("conv1", "squares", 24),
        *_convolution("conv2", "conv1", 32),
        pooling("pool2", "conv2", "MAX", 2, 2),
        *_convolution("conv3", "pool2", 64),
        *_convolution("conv4", "conv3", 64),
        *_convolution("CAM_conv", "conv4", 64),
        global_pooling("CAM_pool", "CAM_conv", pool),
        inner_product(
            "CAM_fc", "CAM_pool", CLASSES, fill=(gaussian(spread), constant(0)), rates=((rate, 1), (rate, 0))
        ),
    ]
    solver = {
        "test_iter": [20],
        "test_interval": 1000,
        "test_initialization": False,
        "base_lr": 0.004,
        "lr_policy": "poly",
        "power": 1,
        "display": 50,
        "average_loss": 50,
        "max_iter": 4000,
        "momentum": 0.9,
        "momentum2": 0.999,
        "type": "Adam",
        "weight_decay": 0.0005,
        "snapshot": 0,
        "random_seed": 0,
        "solver_mode": "CPU",
    }
    data = data_layers(SIZE, MEAN_PIXEL, (32, 50), dataset="digits")
    return Description("digitsCAM", SIZE, layers, data, solver)


def write_training(
    folder: PathLike, *, pool: str = "AVE", iterations: int | None = None, seed: int = 0
) -> None:
    """Write solver.prototxt, train_val.prototxt and deploy.prototxt for training digitsCAM in a folder.

    The scenes are expected there too, as `camcaffe.digits.write_database` writes them: digits_train_lmdb and
    digits_val_lmdb.

    Args:
        folder: made where it does not exist.
        pool: "AVE" (GAP), or "MAX" (GMP).
        iterations: in place of the solver's own number.
        seed: of the weights to start with, the crops and the mirroring.

    Raises:
        CamcaffeError: the folder cannot be made or written.
    """
    description = digits_cam(pool)
    settings = {**description.solver, "random_seed": seed, "snapshot_prefix": "digitsCAM"}
    if iterations is not None:
        settings["max_iter"] = iterations
    solver = messages.SolverParameter(net="train_val.prototxt", **settings)
    target = files.make_folder(folder)
    for name, message in (
        ("deploy", description.deploy()),
        ("train_val", description.train_val()),
        ("solver", solver),
    ):
        files.write_text(target / f"{name}.prototxt", net_to_text(message))


def _convolution(name: str, bottom: str, channels: int) -> list[messages.LayerParameter]:
    conv = convolution(name, bottom, channels, 3, pad=1, bias=False, fill=(msra(),), rates=((1, 1),))
    *before, scale = normalized(name, conv)
    return [*before, *rectified(f"{name}_relu", scale)]

"""`camcaffe net gapify`: a net for class activation mapping from any classification net."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from camcaffe.cli.options import InputShape
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike

# As large as Caffe's fields allow.
_COUNT = click.IntRange(1, 2**31 - 1)


@click.command()
@click.argument("parent", metavar="PROTOTXT|NAME", type=click.Path())
@click.option("--cut-after", required=True, metavar="LAYER", help="The last layer to keep, with its ReLU.")
@click.option("--units", type=_COUNT, default=1024, show_default=True,
              help="Channels of the new convolution.")  # fmt: skip
@click.option("--pool", type=click.Choice(["ave", "max"]), default="ave", show_default=True,
              help="ave: GAP. max: GMP.")  # fmt: skip
@click.option("--classes", type=_COUNT, help="Default: as the data, or else as the net.")
@click.option("--group", type=_COUNT, default=2, show_default=True,
              help="Its groups: 2 as published, 1 as in the paper's text.")  # fmt: skip
@click.option("--weights", type=click.Path(), help="The net's weights: kept layers start from them.")
@click.option("-o", "--output", required=True, metavar="DIR", type=click.Path(), help="Where to write.")
@click.option("--data", metavar="DIR", type=click.Path(), help="Train on what `camcaffe dataset` made there.")
@click.option("--batch", type=_COUNT, help="Images in a batch of training.  [default: 64]")
@click.option("--base-lr", type=float, metavar="RATE", help="Learning rate.  [default: 0.001]")
@click.option("--max-iter", type=_COUNT, help="Iterations.  [default: 160000]")
@click.option("--input", "inputs", type=InputShape(), multiple=True,
              help="The shape of the images' blob, where the net tells none or another.")  # fmt: skip
def command(
    parent: str,
    cut_after: str,
    units: int,
    pool: str,
    classes: int | None,
    group: int,
    weights: str | None,
    output: str,
    data: str | None,
    batch: int | None,
    base_lr: float | None,
    max_iter: int | None,
    inputs: tuple,
) -> None:
    """Make a net for class activation mapping from any classification net.

    That net is PROTOTXT, for deployment or training and of any version, or the NAME of one that
    `camcaffe models list` has, which also brings the weights.

    The net is cut after a layer. Behind it come a 3x3 convolution, CAM_conv, pooling over the whole map,
    CAM_pool, and one fully connected layer, CAM_fc. DIR gets deploy.prototxt, train_val.prototxt,
    solver.prototxt and, with --weights, start.caffemodel, to fine-tune from: it holds the layers that are
    kept; CAM_conv and CAM_fc are filled when training starts.

    A training net keeps its data layers and the loss of its class scores; with --data, and for a deploy net,
    there are new ones. Without --data they read ILSVRC's LMDBs, ilsvrc12_train_lmdb and ilsvrc12_val_lmdb.
    The solver is that of the published GoogLeNet-CAM; --max-iter makes its schedule shorter as a whole.

    Names in solver.prototxt start at DIR: run `caffe train` there. `camcaffe train` also looks beside the
    solver. Folders given by --data are written from the root.

    \b
    Examples:
      camcaffe net gapify googlenet --cut-after inception_4e/output -o googlenetCAM
      camcaffe net gapify deploy_squeezenet_v1.0.prototxt --cut-after fire9/concat --units 512 \\
          --weights squeezenet_v1.0.caffemodel --data birds --max-iter 2000 --batch 16 -o birdsCAM
    """
    from camcaffe.models import fine_tuning
    from camcaffe.models.gapify import gapify

    prototxt, weights = _parent_files(parent, weights)
    folder = fine_tuning.read_data_folder(data) if data is not None else None
    if classes is None and folder is not None:
        classes = len(folder.labels)
    elif folder is not None and classes < len(folder.labels):
        raise CamcaffeError(data, f"it has {len(folder.labels)} classes", f"--classes {classes}, or no more")
    net = gapify(
        prototxt,
        cut_after,
        units,
        pool=pool.upper(),
        classes=classes,
        group=group,
        input_shapes=dict(inputs),
    )
    layers = []
    if folder is not None or not net.reads_data:
        layers = fine_tuning.data_layers(net, folder, batch)
    elif batch is not None:
        raise CamcaffeError("--batch", f"{prototxt} keeps its data layers", "--data, or a deploy net")
    solver = fine_tuning.solver_settings(folder, base_lr, max_iter)
    missing = fine_tuning.write_fine_tuning(output, net, layers, solver, weights)

    kept, size = len(net.trunk.layers), " x ".join(map(str, net.map_shape[1:]))
    pooling = {"ave": "GAP", "max": "GMP"}[pool]
    click.echo(f"{prototxt}: {kept} layers kept, up to {cut_after}; {len(net.dropped)} dropped")
    click.echo(f"head: {units} units, {pooling} of {size}, {net.classes} classes")
    if weights is not None and missing:
        click.echo(f"{weights}: nothing for {', '.join(missing)}, which Caffe will fill")
    zeros = fine_tuning.filled_with_zeros(net, missing)
    if zeros:
        click.echo(f"{prototxt}: no fillers for {', '.join(zeros)}: without weights they start from zeros")
    _tell_next(output, weights is not None)


def _parent_files(parent: str, weights: str | None) -> tuple[PathLike, PathLike | None]:
    """The parent's prototxt and weights, where it is the name of a network and no file has that name."""
    from camcaffe.models import MODELS, deploy_prototxt, model_files

    if parent not in MODELS or Path(parent).is_file():
        return parent, weights
    if weights is not None:
        return deploy_prototxt(parent), weights
    found = model_files(parent)
    return found.prototxt, found.caffemodel


def _tell_next(output: str, has_weights: bool) -> None:
    commands = []
    for folder in (Path(output), Path()):
        command = f"caffe train --solver {shlex.quote(str(folder / 'solver.prototxt'))}"
        if has_weights:
            command += f" --weights {shlex.quote(str(folder / 'start.caffemodel'))}"
        commands.append(command)
    click.echo(f"wrote {output}; to train it:")
    click.echo(f"  cam{commands[0]}")
    click.echo("or with BVLC Caffe, which looks for files in the working folder:")
    click.echo(f"  cd {shlex.quote(output)} && {commands[1]}")

"""Makes digitsCAM, the net that comes with the package: scenes, training, test; all from a seed.

    python scripts/train_digits.py [-o FOLDER] [--train 6000] [--test 1000] [--iterations 4000] [--seed 0]

FOLDER, the package's own by default, gets digitsCAM.caffemodel and three sample scenes. It takes PyTorch,
lmdb and scikit-learn (pip install "camcaffe[train]"), and 1.4 GB for a while.
"""

from __future__ import annotations

import functools
import sys
import tempfile
import time
from pathlib import Path

import click

from camcaffe import files
from camcaffe.cli import main as camcaffe

SHIPPED = Path(__file__).resolve().parent.parent / "camcaffe" / "models" / "digitsCAM"
# Numbers of the test scenes that are shipped as samples; the demo takes the first.
SAMPLES = (8, 40, 44)


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), default=SHIPPED, help="The folder.")
@click.option("--train", type=click.IntRange(min=1), default=6000, show_default=True, help="Training scenes.")
@click.option("--test", type=click.IntRange(min=1), default=1000, show_default=True, help="Test scenes.")
@click.option("--iterations", type=click.IntRange(min=1), help="In place of the solver's own number.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all chance.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads. By default all there are.")
def main(output: Path, train: int, test: int, iterations: int | None, seed: int, threads: int | None) -> None:
    """Compose scenes, train digitsCAM on them with `camcaffe train`, and measure it on test scenes."""
    from tqdm import tqdm

    from camcaffe.caffe.caffemodel import read_caffemodel, write_caffemodel
    from camcaffe.caffe.network import read_network
    from camcaffe.caffe.prototxt import read_solver
    from camcaffe.digits import CLASSES, compose, measure, write_database
    from camcaffe.loading import load
    from camcaffe.matlab import imwrite
    from camcaffe.models.digits import write_training

    progress = functools.partial(tqdm, unit="scene", disable=not sys.stderr.isatty())
    files.make_folder(output)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_training(folder, iterations=iterations, seed=seed)
        write_database(folder / "digits_train_lmdb", train, "train", seed, progress)
        write_database(folder / "digits_val_lmdb", test, "test", seed, progress)
        began = time.perf_counter()
        options = [] if threads is None else [f"--threads={threads}"]
        camcaffe(["train", f"--solver={folder / 'solver.prototxt'}", *options], standalone_mode=False)
        click.echo(f"trained in {time.perf_counter() - began:.0f} s")
        last = read_solver(folder / "solver.prototxt").max_iter
        caffemodel = folder / f"digitsCAM_iter_{last}.caffemodel"
        if not caffemodel.is_file():  # Ctrl-C ends the training early
            raise click.Abort
        errors = measure(load("digitsCAM", caffemodel=caffemodel), test, seed, progress)
        # The snapshot also holds what only training needs, the names of this machine's folders among it.
        network = read_network(folder / "deploy.prototxt")
        write_caffemodel(output / "digitsCAM.caffemodel", network, read_caffemodel(caffemodel))
    for index in SAMPLES:
        scene = compose(index, "test", seed)
        imwrite(output / f"scene{index}_{CLASSES[scene.label]}.png", scene.image)
    click.echo(f"{output / 'digitsCAM.caffemodel'}: {(output / 'digitsCAM.caffemodel').stat().st_size} bytes")
    click.echo(f"{test} test scenes: accuracy {100 * (1 - errors.classification):.1f} %; localization error")
    click.echo(f"  {100 * errors.largest_component:.1f} % by the largest component above 20 %")
    click.echo(f"  {100 * errors.loose:.1f} % by the loose box")


if __name__ == "__main__":
    main()

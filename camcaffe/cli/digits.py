"""`camcaffe digits`: scenes of handwritten digits, with their boxes."""

from __future__ import annotations

import sys

import click


@click.command()
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--train", type=click.IntRange(min=0), default=2000, show_default=True, help="Training scenes.")
@click.option("--test", type=click.IntRange(min=0), default=500, show_default=True, help="Test scenes.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Other scenes.")
def command(folder: str, train: int, test: int, seed: int) -> None:
    """Compose scenes of handwritten digits into FOLDER, with their true boxes: data to try everything on.

    The digits are scans that scikit-learn brings along. Each scene holds one of them, at a random place and
    size, among strokes cut from others; scans of training scenes are in no test scene. Of one seed the scenes
    are always the same.

    \b
    Writes:
      train/3/00007.png ...   256 x 256 pictures, a folder a class
      train_boxes.csv         image,label,xmin,ymin,xmax,ymax, as camcaffe evaluate --truth reads it
      test/..., test_boxes.csv

    \b
    Examples:
      camcaffe digits scenes
      camcaffe digits scenes --train 5000 --test 1000 --seed 1
    """
    import functools

    from tqdm import tqdm

    from camcaffe.digits import write_scenes

    progress = functools.partial(tqdm, unit="scene", disable=not sys.stderr.isatty())
    write_scenes(folder, train, test, seed, progress)
    click.echo(f"{folder}: {train} training and {test} test scenes")

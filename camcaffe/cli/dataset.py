"""`camcaffe dataset`: a folder of pictures as Caffe's training data."""

from __future__ import annotations

import functools
import sys

import click


@click.command()
@click.argument("folder", type=click.Path())
@click.option("-o", "--out", type=click.Path(), required=True, help="A new or an empty folder.")
@click.option(
    "--size",
    type=click.IntRange(1, 4096),
    default=256,
    show_default=True,
    help="Rows and columns of the pictures in the LMDBs, and of the mean.",
)
@click.option("--lmdb", is_flag=True, help="Write the pictures into LMDBs too.")
@click.option("--encode", type=click.Choice(["jpg", "png"]), help="Compressed in the LMDBs, not raw.")
@click.option(
    "--validation",
    type=click.FloatRange(min=0, max=1),
    default=0.1,
    show_default=True,
    help="Share of each class for validation, where the folder is not split yet.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Threads that decode pictures.  [default: one a CPU]"
)
def command(folder, out, size, lmdb, encode, validation, seed, workers) -> None:
    """Lists, class names, mean and LMDBs of the pictures in FOLDER, for Caffe's data layers.

    FOLDER has a sub-folder for each class, or train and val (or test) with those in them. OUT gets train.txt
    and val.txt (for ImageData with root_folder "OUT/"), labels.txt, mean.binaryproto and, with --lmdb,
    train_lmdb and val_lmdb, as Caffe's create_imagenet.sh, convert_imageset and compute_image_mean make them.
    Pictures that cannot be read are left out and told at the end, with exit status 1.

    \b
    Examples:
      camcaffe dataset photos -o data
      camcaffe dataset photos -o data --lmdb --encode jpg --validation 0.2
    """
    from tqdm import tqdm

    from camcaffe.caffe.engines import available_cpus
    from camcaffe.dataset import make_dataset

    if encode and not lmdb:
        raise click.UsageError("--encode goes with --lmdb.")
    made = make_dataset(
        folder,
        out,
        size=size,
        lmdb=lmdb,
        encode=encode or "",
        validation=validation,
        seed=seed,
        workers=workers or available_cpus(),
        progress=functools.partial(tqdm, unit="image", disable=not sys.stderr.isatty()),
    )
    click.echo(
        f"{out}: {made.train} training and {made.val} validation pictures of {len(made.labels)} classes"
    )
    for line in made.unreadable:
        click.echo(f"Error: {line}", err=True)
    if made.unreadable:
        sys.exit(1)

"""`camcaffe export`: the prediction file that the ILSVRC devkit and the evaluation server read."""

from __future__ import annotations

import click

from camcaffe.errors import CamcaffeError


@click.command()
@click.argument("source", metavar="RUN|PREDICTIONS")
@click.option(
    "--devkit",
    type=click.Path(),
    required=True,
    metavar="DIR|MAT|TXT",
    help="The devkit's folder, its meta_clsloc.mat, or LOC_synset_mapping.txt: the ids of the classes.",
)
@click.option(
    "--set",
    "boxes",
    type=click.Choice(["loose", "tight", "combined"]),
    default="combined",
    show_default=True,
    help="Which boxes of a RUN: each class's first, each class's second, or the paper's heuristic.",
)
@click.option(
    "--images",
    type=click.Path(),
    metavar="LIST",
    help="The images of the rows, in order. By default all images of the RUN, in order of their names.",
)
@click.option("-o", "--output", type=click.Path(), required=True, metavar="FILE", help="The file to write.")
def command(source, devkit, boxes, images, output):
    """Write guesses as the ILSVRC devkit and its evaluation server take them.

    One image a line, up to five guesses `id xmin ymin xmax ymax`, best first; the devkit's eval_clsloc.m and
    the server for the test set take the same rows. An image that a RUN could not read becomes `0 0 0 0 0`.
    """
    from camcaffe.ilsvrc.devkit import read_synsets
    from camcaffe.ilsvrc.lines import read_image_list
    from camcaffe.ilsvrc.predictions import read_predictions, write_predictions
    from camcaffe.run_store import is_run

    synsets = read_synsets(devkit)
    names = None if images is None else read_image_list(images)
    if is_run(source):
        predictions = _of_run(source, synsets, names, boxes)
    else:
        predictions = read_predictions(source, len(synsets))
        if names is not None and len(predictions) != len(names):
            raise CamcaffeError(
                source, f"{len(predictions)} rows", f"{len(names)}, one for each image of {images}"
            )
    write_predictions(output, predictions)
    click.echo(f"{output}: {len(predictions)} rows")


def _of_run(source, synsets, names, boxes):
    from camcaffe.ilsvrc.guesses import RunGuesses
    from camcaffe.ilsvrc.lines import image_key
    from camcaffe.run_store import RunStore

    with RunStore.read(source) as run:
        if names is None:
            names = sorted(map(image_key, run.names()))
        if not names:
            raise CamcaffeError(source, "no image", "a run that went through some")
        guesses = RunGuesses(run, synsets, names)
        predictions = guesses.collect(boxes)
        for note in guesses.notes():
            click.echo(note, err=True)
    return predictions

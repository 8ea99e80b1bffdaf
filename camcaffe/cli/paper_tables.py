"""The commands of scripts/table1_classification.py, table2_localization.py and table3_heuristic.py."""

from __future__ import annotations

import functools
import sys
from contextlib import contextmanager

import click

from camcaffe.cli import BadInput
from camcaffe.errors import CamcaffeError

_PATH = click.Path()
_OPTIONS = (
    click.argument("folder", type=_PATH, metavar="ILSVRC"),
    click.option("--images", type=_PATH, metavar="DIR|LIST|TAR", help="The validation images."),
    click.option("--devkit", type=_PATH, metavar="DIR", help="The devkit."),
    click.option("--boxes", type=_PATH, metavar="DIR|MAT|CSV", help="The true boxes."),
    click.option("--sizes", type=_PATH, metavar="CSV", help="True sizes of images stored at another size."),
    click.option(
        "--runs", type=_PATH, default="runs", show_default=True, metavar="DIR", help="Where runs are kept."
    ),
    click.option(
        "--model", "models", multiple=True, metavar="NAME", help="Only this network; may be given again."
    ),
    click.option("--csv", "csv_file", type=_PATH, metavar="FILE", help="Write the table as CSV."),
    click.option("--markdown", type=_PATH, metavar="FILE", help="Write the table as Markdown."),
    click.option("--engine", default="auto", show_default=True, help="As for camcaffe localize."),
    click.option("--threads", type=click.IntRange(min=1), help="CPU threads for the net."),
    click.option("--device", default="cpu", show_default=True, help="cpu, or cuda with the engine torch."),
    click.option(
        "--workers",
        type=click.IntRange(min=1),
        metavar="N",
        help="Threads that read images and find boxes while the net runs.  [default: one a CPU]",
    ),
)


class _Command(click.Command):
    """A command of its own that tells bad input in one line, as `camcaffe` does."""

    def invoke(self, ctx: click.Context):
        """Run it."""
        try:
            return super().invoke(ctx)
        except CamcaffeError as error:
            raise BadInput(str(error)) from error


def _command(function):
    for option in reversed(_OPTIONS):
        function = option(function)
    return click.command(cls=_Command)(function)


@_command
def table1(**options) -> None:
    """Table 1 of the paper: classification error, with ten crops and with the centre crop."""
    from camcaffe.paper_tables.tables import classification_table

    _make(classification_table, **options)


@_command
def table2(**options) -> None:
    """Table 2 of the paper: localization error on the validation set, one box a class."""
    from camcaffe.paper_tables.tables import localization_table

    _make(localization_table, **options)


@_command
@click.option(
    "--test-images",
    type=_PATH,
    metavar="DIR|LIST|TAR",
    help="The test set's images: write files for the evaluation server.",
)
@click.option("--test-sizes", type=_PATH, metavar="CSV", help="True sizes of theirs.")
@click.option("--predictions", type=_PATH, default="predictions", show_default=True, metavar="DIR",
              help="Where to write those files, NAME-test-combined.txt and NAME-test-loose.txt.")  # fmt: skip
def table3(test_images, test_sizes, predictions, **options) -> None:
    """Table 3 of the paper: five guesses with the heuristic, and with one loose box a class.

    The paper's figures are for the test set, whose truth only the evaluation server has: ours are for the
    validation set, and --test-images writes what to send to the server.
    """
    from camcaffe.ilsvrc.devkit import read_synsets
    from camcaffe.paper_tables.layout import find_layout
    from camcaffe.paper_tables.runs import Images, Unavailable
    from camcaffe.paper_tables.tables import heuristic_table, networks_with_maps

    runs = _make(heuristic_table, **options)
    if test_images is None:
        return
    layout = find_layout(*(options[name] for name in ("folder", "images", "devkit", "boxes")))
    synsets, images = read_synsets(layout.devkit), Images(test_images, test_sizes)
    for name in networks_with_maps(options["models"]):
        try:
            written = runs.export(name, images, synsets, ("combined", "loose"), predictions)
        except Unavailable as missing:
            click.echo(f"{name}: no predictions: {missing}", err=True)
            continue
        for path in written:
            click.echo(f"{path}: {len(images.all)} rows")


def _make(make, folder, images, devkit, boxes, sizes, runs, models, csv_file, markdown, workers, **engine):
    """Make a table, print it, write it; the runs that it was made of."""
    from camcaffe import files
    from camcaffe.caffe.engines import available_cpus
    from camcaffe.ilsvrc.truth import read_truth
    from camcaffe.models import find_model
    from camcaffe.paper_tables.layout import find_layout
    from camcaffe.paper_tables.runs import Images, Runs

    for name in models:
        find_model(name)
    layout = find_layout(folder, images, devkit, boxes)
    truth = read_truth(layout.devkit, layout.boxes)
    validation = Images(layout.images, sizes, truth)
    kept = Runs(runs, engine, workers or available_cpus(), _progress)

    @functools.cache
    def evaluate(name: str, method: str):
        found = kept.evaluate(name, method, validation, truth)
        for note in found.notes:
            click.echo(note, err=True)
        return found

    table = make(evaluate, models)
    click.echo(table.text())
    if csv_file is not None:
        files.write_text(csv_file, table.csv())
    if markdown is not None:
        files.write_text(markdown, table.markdown())
    return kept


@contextmanager
def _progress(title: str, total: int, todo: int):
    from tqdm import tqdm

    quiet = not sys.stderr.isatty()
    with tqdm(total=total, initial=total - todo, desc=title, unit="image", disable=quiet) as bar:
        yield lambda result: bar.update()

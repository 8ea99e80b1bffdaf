"""What is true of the images: the options that say it, and the reading of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from camcaffe.ilsvrc.truth import Truth

_PATH = click.Path()


def truth_options(order: str) -> Callable:
    """The three kinds of truth; keyword arguments of `read_chosen_truth`.

    Args:
        order: what the option for a list of the devkit's images is called.
    """
    options = (
        click.option(
            "--truth",
            "boxes_csv",
            type=_PATH,
            metavar="CSV",
            help="The truth of your own images: columns image,label,xmin,ymin,xmax,ymax, a line a box; the"
            " label is a line of the net's class list.",
        ),
        click.option(
            "--devkit",
            type=_PATH,
            metavar="DIR",
            help="ILSVRC: the devkit, or LOC_synset_mapping.txt's folder.",
        ),
        click.option(
            "--boxes",
            type=_PATH,
            metavar="DIR|MAT|CSV",
            help="ILSVRC's true boxes: XML files, the devkit's cache, or Kaggle's CSV.",
        ),
        click.option(
            order,
            "order",
            type=_PATH,
            metavar="LIST",
            help="Which image each line of the devkit's ground truth is about. By default they stand in order"
            " of their names.",
        ),
        click.option("--cub", type=_PATH, metavar="DIR", help="The folder CUB_200_2011."),
        click.option(
            "--split", type=click.Choice(["test", "train"]), default="test", show_default=True, help="CUB's."
        ),
    )

    def apply(command):
        for option in reversed(options):
            command = option(command)
        return command

    return apply


def read_chosen_truth(sources: Sequence[str], boxes_csv, devkit, boxes, order, cub, split) -> Truth:
    """The truth that the options name.

    Args:
        sources: what is judged; the labels of `boxes_csv` are classes of the first run among them.
        boxes_csv, devkit, boxes, order, cub, split: the options' values.

    Raises:
        click.UsageError: they name none, or more than one.
        CamcaffeError: as the reader says.
    """
    ways = {"--truth": boxes_csv, "--devkit and --boxes": devkit or boxes or order, "--cub": cub}
    named = [way for way, value in ways.items() if value is not None]
    if len(named) > 1:
        raise click.UsageError(f"{named[0]} and {named[1]} are two kinds of truth; one is enough.")
    if cub is not None:
        from camcaffe.ilsvrc.cub import read_cub

        return read_cub(cub, split)
    if boxes_csv is not None:
        from camcaffe.ilsvrc.boxes_csv import read_boxes_csv
        from camcaffe.run_store import RunStore, is_run

        run = next(filter(is_run, sources), None)
        if run is None:
            raise click.UsageError("--truth needs a RUN, whose classes its labels are.")
        with RunStore.read(run) as store:
            return read_boxes_csv(boxes_csv, store.labels, run)
    if devkit is None or boxes is None:
        raise click.UsageError("the truth is missing: --truth, or --devkit and --boxes, or --cub.")
    from camcaffe.ilsvrc.truth import read_truth

    return read_truth(devkit, boxes, order)

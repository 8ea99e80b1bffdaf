"""`camcaffe report`: one HTML page on a run."""

from __future__ import annotations

import functools
import sys

import click

from camcaffe.cli.options import net_options
from camcaffe.cli.truth import read_chosen_truth, truth_options

_PATH = click.Path()


@click.command()
@click.argument("run", type=_PATH, metavar="RUN")
@click.option("-o", "--output", type=_PATH, required=True, metavar="DIR", help="Write index.html there.")
@truth_options("--order")
@click.option("--images", type=_PATH, metavar="DIR|LIST|TAR", help="The run's images, to show some.")
@click.option(
    "--heatmaps",
    type=_PATH,
    metavar="DIR",
    help="Their heat maps, top1/NAME.jpg ... By default the run's net makes those it needs, where its"
    " weights are on this machine.",
)
@click.option(
    "--examples",
    type=click.IntRange(1, 1000),
    default=9,
    show_default=True,
    metavar="N",
    help="Show N images that were located, N with the right class alone, and N misses.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of their choice.")
@net_options
def command(run, output, images, heatmaps, examples, seed, **options) -> None:
    """A page on a RUN: error tables and plots, worst classes, hits and misses with their boxes.

    It is one HTML file with everything in it, which opens from disk. It needs matplotlib and Jinja2:
    pip install camcaffe[report]. The options of the net are for runs of nets that have no name.

    \b
    Examples:
      camcaffe report val.sqlite -o report --devkit ILSVRC2014_devkit --boxes val_bbox --images val
      camcaffe report my.sqlite -o report --truth boxes.csv --images my
    """
    from tqdm import tqdm

    from camcaffe.localize import find_images
    from camcaffe.report import write_report
    from camcaffe.run_store import RunStore

    names = "boxes_csv", "devkit", "boxes", "order", "cub", "split"
    truth = read_chosen_truth([run], **{name: options.pop(name) for name in names})
    progress = functools.partial(tqdm, unit="image", disable=not sys.stderr.isatty(), leave=False)
    with RunStore.read(run) as store:
        page = write_report(
            store,
            truth,
            output,
            None if images is None else find_images(images),
            heatmaps,
            {"name": options.pop("model"), **options},
            examples,
            seed,
            progress,
        )
    click.echo(page)

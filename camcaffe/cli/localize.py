"""`camcaffe localize`: classes and boxes of many images, in one file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import click

from camcaffe.cli.options import net_options, picture_options

# Failures that are printed; the run has all.
_MOST_TOLD = 10


@click.command()
@net_options
@click.option(
    "--images",
    type=click.Path(),
    metavar="DIR|LIST|TAR",
    help="A folder with all its subfolders, a list of files, or a .tar that is read as it is.",
)
@click.option(
    "--sizes",
    type=click.Path(),
    metavar="CSV",
    help="True sizes of images that are stored at another size: columns image,width,height.",
)
@click.option("--run", "path", type=click.Path(), required=True, help="The SQLite file of the results.")
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many classes.")
@click.option(
    "--method",
    type=click.Choice(["cam", "backprop"]),
    default="cam",
    show_default=True,
    help="backprop: the baseline, any classification net on the engine torch or pycaffe.",
)
@click.option("--heatmaps", type=click.Path(), metavar="DIR", help="Write the heat maps too.")
@click.option(
    "--from-heatmaps",
    type=click.Path(),
    metavar="DIR",
    help="Only find the boxes, in the heat maps that an earlier --heatmaps wrote: no net, no images.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads that read images and find boxes while the net runs.  [default: one a CPU]",
)
@click.option("--resume", is_flag=True, help="Go on with the run, where it exists already.")
@click.option("--retry-failed", is_flag=True, help="Go on, and try again the images that failed.")
@picture_options
def command(path, from_heatmaps, workers, resume, retry_failed, **options) -> None:
    """Classes and boxes of many images, into one SQLite file.

    The file has each image's top classes, their scores and all their boxes; `camcaffe evaluate` and
    `camcaffe export` read it. A run that was stopped, in whatever way, goes on with --resume and ends as if
    nothing had happened. Images that cannot be read are noted with the reason, and told at the end, with exit
    status 1.

    \b
    Examples:
      camcaffe localize --model googlenetCAM --images val --run val.sqlite
      camcaffe localize --model googlenetCAM --images val --run val.sqlite --resume
      camcaffe localize --model googlenet --method backprop --images val.tar --run backprop.sqlite
    """
    from camcaffe.caffe.engines import available_cpus
    from camcaffe.localize import write_predictions
    from camcaffe.run_store import RunStore

    workers = workers or available_cpus()
    heatmaps = options["heatmaps"]
    job = _of_heatmaps(from_heatmaps, workers, options) if from_heatmaps else _of_images(workers, **options)
    with RunStore.write(path, job.identity, job.labels, resume or retry_failed) as run:
        try:
            failed = _record(run, job, run.pending(job.names, retry_failed))
        except KeyboardInterrupt:
            there = sum(run.counts().values())
            click.echo(f"Interrupted: {there} of {len(job.names)} images are in {path}; --resume goes on.")
            sys.exit(130)
        if heatmaps is not None:
            write_predictions(heatmaps, run)
        counts = run.counts()
    click.echo(f"{path}: {counts['done']} images, {counts['failed']} failed")
    for line in failed[:_MOST_TOLD]:
        click.echo(f"Error: {line}", err=True)
    if len(failed) > _MOST_TOLD:
        click.echo(f"... and {len(failed) - _MOST_TOLD} more; the run has all reasons.", err=True)
    if counts["failed"]:
        sys.exit(1)


class _Job(NamedTuple):
    identity: dict
    labels: tuple
    names: list  # of all images
    results: Callable  # of those named


def _of_images(
    workers, model, images, sizes, method, top, heatmaps, exif_rotation, max_pixels, **net
) -> _Job:
    from camcaffe import files, localize

    if images is None:
        raise click.UsageError("--images is needed, or --from-heatmaps.")
    if method == "backprop":
        head = {name: net.pop(name) for name in ("cam_blob", "fc")}
        if any(head.values()):
            raise click.UsageError("--cam-blob and --fc have no meaning for --method backprop.")
    found = localize.find_images(images)
    if sizes is not None:
        found = localize.with_sizes(found, localize.read_sizes(sizes), sizes)
    if heatmaps is not None:
        localize.refuse_twins(found)
        heatmaps = str(files.make_folder(heatmaps).resolve())
    settings = localize.Settings(
        {"name": model, **net},
        method,
        top,
        heatmaps,
        {"exif_rotation": exif_rotation, "max_pixels": max_pixels},
    )
    localizer = localize.Localizer(settings)
    identity = {**localizer.identity, "sizes": sizes and localize.sha256(sizes)}
    by_name = {image.name: image for image in found}

    def results(names: list):
        wanted = (by_name[name] for name in names)
        return localize.overlapped(wanted, localizer.read, localizer.run, localizer.explain, workers)

    return _Job(identity, localizer.labels, list(by_name), results)


def _of_heatmaps(folder, workers, options) -> _Job:
    from camcaffe.localize import HeatmapFolder, overlapped

    for name in ("model", "prototxt", "images", "sizes", "heatmaps"):
        if options[name] is not None:
            raise click.UsageError(f"--from-heatmaps takes the place of --{name}.")
    found = HeatmapFolder(folder)
    return _Job(
        found.identity,
        found.labels,
        found.names,
        lambda names: overlapped(names, found.result, None, None, workers),
    )


def _record(run, job: _Job, names: list) -> list:
    """Store the results of these images; the failures, a line each."""
    from tqdm import tqdm

    from camcaffe.localize import record

    failed = []
    bar = tqdm(
        total=len(job.names),
        initial=len(job.names) - len(names),
        unit="image",
        disable=not sys.stderr.isatty(),
    )

    def told(result) -> None:
        bar.update()
        if result.failure is not None:
            failed.append(result.failure)

    with bar:
        record(run, job.results(names), told)
    return failed

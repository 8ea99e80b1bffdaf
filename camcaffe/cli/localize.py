"""`camcaffe localize`: classes and boxes of many images, in one file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

import click

from camcaffe.cli.options import net_options, picture_options, top_option

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
@top_option
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
@click.option(
    "--gpus", type=click.IntRange(min=1), metavar="N", help="A process for each of N GPUs; engine torch."
)
@click.option(
    "--scheduler", metavar="ADDRESS", help="Work on a Dask cluster whose workers see the same files."
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

    heatmaps = options["heatmaps"]
    with ExitStack() as stack:
        if from_heatmaps:
            job = _of_heatmaps(from_heatmaps, workers or available_cpus(), options)
        else:
            job = _of_images(stack, workers, **options)
        run = stack.enter_context(RunStore.write(path, job.identity, job.labels, resume or retry_failed))
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
    stack,
    workers,
    model,
    images,
    sizes,
    method,
    top,
    heatmaps,
    gpus,
    scheduler,
    exif_rotation,
    max_pixels,
    **net,
) -> _Job:
    from camcaffe import files, localize

    if images is None:
        raise click.UsageError("--images is needed, or --from-heatmaps.")
    if gpus and scheduler:
        raise click.UsageError("--gpus and --scheduler are two ways; one is enough.")
    if method == "backprop":
        head = {name: net.pop(name) for name in ("cam_blob", "fc")}
        if any(head.values()):
            raise click.UsageError("--cam-blob and --fc have no meaning for --method backprop.")
    if gpus:
        if net["engine"] not in ("auto", "torch"):
            raise click.UsageError("--gpus needs the engine torch.")
        net |= {"engine": "torch", "device": "cuda"}
    found = localize.find_images(images)
    if sizes is not None:
        found = localize.with_sizes(found, localize.read_sizes(sizes), sizes)
    if heatmaps is not None:
        localize.refuse_twins(found)
        heatmaps = str(files.make_folder(heatmaps).resolve())
    reading = {"exif_rotation": exif_rotation, "max_pixels": max_pixels}
    settings = localize.Settings({"name": model, **_absolute(net)}, method, top, heatmaps, reading)
    # The other processes run the net; this one only has to know its classes and what it is made of.
    localizer = localize.Localizer(settings, "cpu" if gpus or scheduler else None)
    by_name = {image.name: image for image in found}
    results = _ways(stack, localizer, workers, gpus, scheduler)
    return _Job(
        {**localizer.identity, "sizes": sizes and localize.sha256(sizes)},
        localizer.labels,
        list(by_name),
        lambda names: results(by_name[name] for name in names),
    )


def _ways(stack, localizer, workers, gpus, scheduler) -> Callable:
    """How images become results: in threads, in a process for each GPU, or on a cluster."""
    from camcaffe import localize
    from camcaffe.caffe.engines import available_cpus

    if not gpus and not scheduler:
        localizer.check()
        steps = localizer.read, localizer.run, localizer.explain
        return lambda images: localize.overlapped(images, *steps, workers or available_cpus())
    if gpus:
        devices = localize.gpus(gpus)
        way, threads = localize.device_processes(devices), max(available_cpus() // gpus, 1)
    else:
        way, threads = localize.dask_cluster(scheduler), 2
    executor, processes = stack.enter_context(way)
    settings, identity = localizer.settings, localizer.identity
    return lambda images: localize.spread(executor, processes, images, settings, identity, workers or threads)


def _absolute(net: dict) -> dict:
    """The net's files by names that mean the same in other processes."""
    from pathlib import Path

    names = [name for name in ("prototxt", "caffemodel", "mean", "labels") if net[name]]
    return {**net, **{name: str(Path(net[name]).absolute()) for name in names if Path(net[name]).is_file()}}


def _of_heatmaps(folder, workers, options) -> _Job:
    from camcaffe.localize import HeatmapFolder, overlapped

    for name in ("model", "prototxt", "images", "sizes", "heatmaps", "gpus", "scheduler"):
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

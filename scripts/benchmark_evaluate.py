"""Time and memory of `camcaffe evaluate` over a validation set of 50,000 images.

    python scripts/benchmark_evaluate.py [--mini FOLDER] [--images 50000]

The real XML files and predictions of a small devkit are repeated until there are enough. Each evaluation is a
process of its own, as a user would start it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

from camcaffe.boxes.convention import corners_to_xywh
from camcaffe.ilsvrc.devkit import Devkit, read_synsets
from camcaffe.ilsvrc.predictions import read_predictions
from camcaffe.run_store import ImageResult, RankedClass, RunStore

SETS = ("loose", "tight", "combined")


@click.command()
@click.option(
    "--mini",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(os.environ.get("CAMCAFFE_REFERENCE", "../shared/reference")) / "mini_ilsvrc",
    help="A folder with devkit/, val_bbox/ and reference/pred_*.txt.",
)
@click.option("--images", type=click.IntRange(min=1), default=50_000, show_default=True, help="How many.")
@click.option("--seconds", type=float, default=10, show_default=True, help="The limit of an evaluation.")
@click.option("--megabytes", type=float, default=1000, show_default=True, help="The limit of its memory.")
def main(mini: Path, images: int, seconds: float, megabytes: float) -> None:
    """Exit with status 1 if an evaluation takes more time or memory than it may."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        click.echo(f"writing {images} annotations and rows")
        _repeat(mini, root, images)
        truth = ["--devkit", str(root / "devkit"), "--boxes", str(root / "val_bbox")]
        files = [str(root / f"pred_{name}.txt") for name in SETS]
        within = True
        for title, sources, options in (
            ("one prediction file", files[:1], []),
            ("three prediction files", files, ["--csv", str(root / "errors.csv")]),
            (
                "three, intervals and classes",
                files,
                ["--bootstrap", "1000", "--per-class", str(root / "classes.csv")],
            ),
            ("a run", [str(root / "run.sqlite")], []),
        ):
            wall, cpu, memory = _measure([*sources, *truth, *options])
            within &= wall <= seconds and memory <= megabytes
            click.echo(f"{title:30} {wall:6.2f} s, {cpu:6.2f} s of them on the processor, {memory:5.0f} MB")
    if not within:
        raise click.ClickException(f"more than {seconds:g} s or {megabytes:g} MB")


def _repeat(mini: Path, root: Path, images: int) -> None:
    """Write a devkit, annotations, predictions and a run of `images` images, repeating those of `mini`."""
    kit = Devkit.find(mini / "devkit")
    data = root / "devkit" / "data"
    data.mkdir(parents=True)
    (root / "val_bbox").mkdir()
    for file in (kit.meta, kit.blacklist):
        shutil.copy(file, data)
    names = [f"ILSVRC2012_val_{number:08d}" for number in range(1, images + 1)]
    annotations = [file.read_bytes() for file in sorted((mini / "val_bbox").glob("*.xml"))]
    for name, annotation in zip(names, itertools.cycle(annotations)):
        (root / "val_bbox" / f"{name}.xml").write_bytes(annotation)
    copies = {mini / f"reference/pred_{name}.txt": root / f"pred_{name}.txt" for name in SETS}
    for source, target in {kit.ground_truth: data / kit.ground_truth.name, **copies}.items():
        rows = source.read_text(encoding="utf-8").splitlines(keepends=True)
        target.write_text("".join(itertools.islice(itertools.cycle(rows), images)), encoding="utf-8")

    synsets = read_synsets(kit.meta)
    loose, tight = (read_predictions(mini / f"reference/pred_{name}.txt", len(synsets)) for name in SETS[:2])
    # Eight more boxes a class behind the loose and the tight one, about as many as the box program finds.
    boxes = corners_to_xywh(np.stack([loose.boxes, *[tight.boxes] * 9], axis=2))
    results = [
        tuple(RankedClass(label - 1, 0.5, found) for label, found in zip(*image))
        for image in zip(loose.labels, boxes)
    ]
    with RunStore.write(root / "run.sqlite", {}, synsets.wnids) as run:
        run.add(
            ImageResult(f"{name}.JPEG", classes) for name, classes in zip(names, itertools.cycle(results))
        )


def _measure(arguments: list) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and the largest resident memory, in MB, of one evaluation."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "camcaffe", "evaluate", *arguments], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException(f"camcaffe evaluate ended with status {process.returncode}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6  # Linux counts in KiB


if __name__ == "__main__":
    main()

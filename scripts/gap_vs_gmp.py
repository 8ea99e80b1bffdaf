"""The paper's two comparisons on data that anyone has: GAP against GMP, and CAM against backprop.

    python scripts/gap_vs_gmp.py [--seeds 3] [--iterations 2000] [--output gap_vs_gmp]

The digits net is trained by `camcaffe train` on the same scenes with global average pooling and with global
maximum pooling, from several seeds. Test scenes are judged by the best class: is it right, and does its box
overlap the true one with an IoU of 0.5? Boxes come from class activation maps and from backprop, by the
authors' program (the loose box) and by the rule in the paper's text (20 % of the maximum, largest component).
What is finished is not done again: the same command goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from camcaffe import files
from camcaffe.caffe.engines import available_cpus
from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.evaluation import IOU

POOLS = {"AVE": "GAP", "MAX": "GMP"}
COLORS = {"AVE": "#0072b2", "MAX": "#d55e00"}
MAPS = ("CAM", "backprop")
RULES = ("loose box", "20 % rule")
RESAMPLES = 2000


class Rates(NamedTuple):
    """Error rates of one measure.

    Attributes:
        seeds: pool -> (S,) rate of each training.
        interval: pool -> (low, high), 95 %.
        difference: (low, high) of the rate of GMP less that of GAP, 95 %.
    """

    seeds: Mapping[str, np.ndarray]
    interval: Mapping[str, np.ndarray]
    difference: np.ndarray


def write_scenes(output: Path, training: int) -> None:
    """Write the LMDBs that all trainings read, where they are not there yet."""
    from tqdm import tqdm

    from camcaffe.digits import write_database

    for name, split, count in (("train", "train", training), ("val", "test", -(-training // 6))):
        path = files.make_folder(output) / f"digits_{name}_lmdb"
        if not path.exists():
            # From another seed than the scenes that are judged.
            write_database(
                path, count, split, seed=1, progress=lambda all: tqdm(all, unit="scene", disable=None)
            )


def run(output: Path, pool: str, seed: int, iterations: int, scenes: int) -> dict[str, np.ndarray]:
    """Train and judge one net, in a folder of its own: measure -> (N,) bool, what it gets wrong.

    Raises:
        CamcaffeError: the training failed.
    """
    from camcaffe.models.digits import write_training

    folder = output / f"{POOLS[pool]}-{seed}"
    weights, judged = (
        folder / f"digitsCAM_iter_{iterations}.caffemodel",
        folder / f"wrong_{iterations}_{scenes}.npz",
    )
    if not weights.is_file():
        write_training(folder, pool=pool, iterations=iterations, seed=seed)
        for name in ("digits_train_lmdb", "digits_val_lmdb"):
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(Path("..") / name)
        command = [sys.executable, "-m", "camcaffe", "train", "--threads", "1"]
        command += ["--solver", str(folder / "solver.prototxt"), "--log", str(folder / "train.log")]
        done = subprocess.run(
            command,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CamcaffeError(folder, f"the training failed: {done.stderr.splitlines()[-1]}")
    if not judged.is_file():
        wrong = judge(folder / "deploy.prototxt", weights, scenes)
        with files.replacing(judged) as temporary:
            np.savez(temporary, **wrong)
    return dict(np.load(judged))


def judge(prototxt: Path, weights: Path, scenes: int) -> dict[str, np.ndarray]:
    """Which test scenes a trained net gets wrong: measure -> (N,) bool."""
    from camcaffe.backprop import merge_gradients
    from camcaffe.boxes import xywh_to_corners
    from camcaffe.digits import compose
    from camcaffe.heatmap import heatmaps
    from camcaffe.ilsvrc import overlap
    from camcaffe.loading import load, load_backprop
    from camcaffe.models import MODELS
    from camcaffe.ten_crop import prepare_image

    files_of_net = {"prototxt": prototxt, "caffemodel": weights, "mean": MODELS["digitsCAM"].mean}
    net = {**files_of_net, "engine": "torch", "threads": 1}
    model, backprop = load(**net), load_backprop(**net)
    class_wrong = np.empty(scenes, bool)
    # Maps of the best class and of the true one.
    overlaps = np.empty((scenes, len(MAPS), 2, len(RULES)))
    for index in range(scenes):
        scene = compose(index, "test")
        crops = prepare_image(scene.image, model.mean, model.crop_size)
        conv, scores = model.forward(crops)
        guess = int(scores.mean(axis=0).argmax())
        class_wrong[index] = guess != scene.label
        classes = list(dict.fromkeys([guess, scene.label]))
        maps = [model.merged_maps(conv, classes), merge_gradients(backprop.gradients(crops, classes))]
        true = xywh_to_corners(scene.box) - (0, 0, 1, 1)  # the last pixels count as inside
        for kind, merged in enumerate(maps):
            for rank, gray in enumerate(heatmaps(merged, scene.mask.shape)):
                overlaps[index, kind, rank:] = overlap(xywh_to_corners(_boxes(gray)), true)
    wrong = {"classification": class_wrong}
    for title, rank, other in (("localization", 0, class_wrong), ("box of the true class", 1, False)):
        for place in np.ndindex(len(MAPS), len(RULES)):
            name = f"{title}, {MAPS[place[0]]}, {RULES[place[1]]}"
            wrong[name] = other | (overlaps[:, place[0], rank, place[1]] < IOU)
    return wrong


def _boxes(heatmap: np.ndarray) -> np.ndarray:
    """The box of a heat map by each of the rules, xywh; the whole picture where there is none."""
    from camcaffe.boxes import AUTHORS_THRESHOLDS, dt_boxes, largest_component_box
    from camcaffe.model import through_jpeg

    gray = through_jpeg(heatmap)
    height, width = gray.shape
    boxes = np.array([[0, 0, width, height]] * len(RULES))
    boxes[0] = next(iter(dt_boxes(gray, AUTHORS_THRESHOLDS)), boxes[0])
    if gray.any():  # a map without evidence for its class is black
        boxes[1] = largest_component_box(gray)
    return boxes


def summarize(wrong: Mapping[str, Sequence[np.ndarray]], seed: int = 0) -> Rates:
    """The error rates of one measure, with intervals from trainings and scenes drawn with replacement.

    Args:
        wrong: pool -> for each training (N,) bool; the same scenes everywhere.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    seeds = {pool: np.mean(of_pool, axis=1) for pool, of_pool in wrong.items()}
    images = len(wrong["AVE"][0])
    counts = rng.multinomial(images, np.full(images, 1 / images), RESAMPLES)
    draws = {}
    for pool, of_pool in wrong.items():
        rates = counts @ np.array(of_pool).T / images
        chosen = rng.integers(len(of_pool), size=rates.shape)
        draws[pool] = np.take_along_axis(rates, chosen, axis=1).mean(axis=1)
    ends = [0.025, 0.975]
    interval = {pool: np.quantile(of_pool, ends) for pool, of_pool in draws.items()}
    return Rates(seeds, interval, np.quantile(draws["MAX"] - draws["AVE"], ends))


def markdown(rows: Mapping[str, Rates]) -> str:
    """The table, in per cent."""
    lines = ["| error, % | GAP | GMP | GMP - GAP |", "| --- | --- | --- | --- |"]
    for name, row in rows.items():
        cells = [_cell(row.seeds[pool].mean(), row.interval[pool]) for pool in POOLS]
        difference = row.seeds["MAX"].mean() - row.seeds["AVE"].mean()
        lines.append(f"| {name} | {' | '.join(cells)} | {_cell(difference, row.difference)} |")
    return "".join(f"{line}\n" for line in lines)


def _cell(rate: float, ends: np.ndarray) -> str:
    return f"{100 * rate:.1f} ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})"


def plot(rows: Mapping[str, Rates], path: Path) -> None:
    """A line a measure: a large mark with its interval a pool, a small one a training."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.6), constrained_layout=True)
    axes = figure.add_subplot()
    for pool, shift in (("AVE", -0.16), ("MAX", 0.16)):
        for line, row in enumerate(rows.values()):
            rates, ends = 100 * row.seeds[pool], 100 * row.interval[pool]
            label = POOLS[pool] if line == 0 else None
            axes.plot(ends, [line + shift] * 2, color=COLORS[pool], linewidth=2)
            axes.plot(rates.mean(), line + shift, "o", color=COLORS[pool], markersize=7, label=label)
            axes.plot(rates, [line + shift] * len(rates), "|", color=COLORS[pool], markersize=9)
    axes.set_yticks(range(len(rows)))
    axes.set_yticklabels(rows)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("Error (% of test scenes); mean and 95 % interval, a tick a training")
    axes.grid(axis="x", color="#d9dce0", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncol=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


@click.command()
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Trainings a pool.")
@click.option("--iterations", type=click.IntRange(min=1), default=2000, show_default=True, help="Of each.")
@click.option("--training", type=click.IntRange(min=1), default=6000, show_default=True, help="Its scenes.")
@click.option("--scenes", type=click.IntRange(min=1), default=1000, show_default=True, help="To judge by.")
@click.option(
    "--jobs", type=click.IntRange(min=1), help="Trainings at a time, a core each. [default: as CPUs]"
)
@click.option("--output", type=click.Path(path_type=Path), default="gap_vs_gmp", show_default=True)
def main(seeds: int, iterations: int, training: int, scenes: int, jobs: int | None, output: Path) -> None:
    """Train, judge and compare; OUTPUT gets the trainings, the table and a plot."""
    from tqdm import tqdm

    write_scenes(output, training)
    found = {}
    with ThreadPoolExecutor(jobs or available_cpus()) as executor:
        runs = {
            executor.submit(run, output, pool, seed, iterations, scenes): (pool, seed)
            for seed in range(seeds)
            for pool in POOLS
        }
        try:
            for done in tqdm(as_completed(runs), total=len(runs), unit="training", disable=None):
                found[runs[done]] = done.result()
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise
    rows = {
        name: summarize({pool: [found[pool, seed][name] for seed in range(seeds)] for pool in POOLS})
        for name in found["AVE", 0]
    }
    files.write_text(output / "gap_vs_gmp.md", markdown(rows))
    plot(rows, output / "gap_vs_gmp.png")
    click.echo(markdown(rows), nl=False)


if __name__ == "__main__":
    main()

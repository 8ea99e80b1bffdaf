"""From a folder of photographs to heat maps of a net that was fine-tuned on them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from camcaffe.ilsvrc import read_truth
from camcaffe.matlab import read_gray
from camcaffe.models import class_labels

# Caffe's indices of the classes that are birds, and of those that are dogs.
GROUPS = {"bird": {*range(7, 25), *range(80, 101), *range(127, 147)}, "dog": set(range(151, 269))}


@pytest.fixture
def photographs(reference, tmp_path) -> Path:
    """Six birds and six dogs to train on, four of each to validate with."""
    mini = reference / "mini_ilsvrc"
    truth = read_truth(mini / "devkit", mini / "val_bbox")
    ids = truth.synsets.ids_of_labels(class_labels("imagenet"), "imagenet")
    index_of = {number: index for index, number in enumerate(ids)}
    for group, indices in GROUPS.items():
        names = [name for name, number in zip(truth.names, truth.labels) if index_of[number] in indices]
        for split, chosen in (("train", names[:6]), ("val", names[6:10])):
            folder = tmp_path / "photographs" / split / group
            folder.mkdir(parents=True)
            for name in chosen:
                shutil.copy(mini / "images" / f"{name}.JPEG", folder)
    return tmp_path / "photographs"


@pytest.mark.torch
def test_squeezenet_learns_birds_and_dogs(camcaffe, photographs, reference, tmp_path):
    from camcaffe.caffe.training.curves import read_curves

    def run(*arguments):
        result = camcaffe(*arguments)
        assert result.exit_code == 0, result.output
        return result.output

    caffe, data, net = reference / "caffe", tmp_path / "data", tmp_path / "net"
    run("dataset", photographs, "-o", data)
    run("net", "gapify", caffe / "deploy_squeezenet_v1.0.prototxt", "--cut-after", "fire9/concat",
        "--weights", caffe / "squeezenet_v1.0.caffemodel", "--data", data, "--units", 64, "--batch", 6,
        "--base-lr", 3e-4, "--max-iter", 15, "-o", net)  # fmt: skip
    solver = net / "solver.prototxt"
    # Fifteen iterations are too few to step the learning rate, test and take snapshots in between.
    text, changes = re.subn(r"(stepsize|test_interval|snapshot): \d+", r"\1: 15", solver.read_text())
    assert changes == 3
    solver.write_text(text)
    run("train", "--solver", solver, "--weights", net / "start.caffemodel", "--log", tmp_path / "train.log")

    curves = read_curves((tmp_path / "train.log").read_text().splitlines())
    loss = np.array([value for _, value in curves.loss])
    assert len(loss) == 16
    assert loss[-3:].mean() < 0.5 * loss[:3].mean()
    (_, before), (iteration, after) = curves.losses["test loss"]
    assert iteration == 15
    assert after < 0.75 * before
    assert curves.scores["test accuracy"][-1][1] > 0.5

    trained = ["--prototxt", net / "deploy.prototxt", "--caffemodel", net / "snapshot_iter_15.caffemodel"]
    trained += ["--mean", data / "mean.binaryproto", "--labels", data / "labels.txt"]
    images = sorted((photographs / "val" / "dog").iterdir())
    run("heatmap", *images, *trained, "--boxes", "--out", tmp_path / "heatmaps")
    found = json.loads((tmp_path / "heatmaps" / "results.json").read_text())["images"]
    best = [classes[0] for classes in found.values()]
    assert sum(one["label"] == "dog" for one in best) >= 3
    assert all(one["boxes"] for one in best)
    assert read_gray(tmp_path / "heatmaps" / "top1" / f"{images[0].stem}.jpg").shape == (227, 227)

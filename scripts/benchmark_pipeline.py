"""Images a second of camcaffe localize, and where the time goes, on one core and on two.

    python scripts/benchmark_pipeline.py [--caffe-root ROOT] [--images DIR] [--prototxt P --caffemodel C]

By default GoogLeNet-CAM with seeded random weights goes through made-up pictures of 500 x 375 pixels. Each
line of the table is CPU time an image, of one thread; "net" is CPU time of all its threads, and so is what
"outside" is held against. "alone" is the net by itself, "pipeline" the whole, both in images a second: what
the pipeline loses shows there. With --caffe-root (as made by scripts/pycaffe_debian11.sh; it takes root's
rights) real Caffe runs the same crops.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

STAGES = ("decode", "crops", "maps", "heat maps", "JPEG", "boxes", "write")
SIZE = (375, 500)

# Real Caffe's process has nothing but Caffe and NumPy to go by.
CAFFE = """
import json, sys, time
import caffe
import numpy as np
folder, count = sys.argv[1], int(sys.argv[2])
net = caffe.Net(folder + "/net.prototxt", folder + "/net.caffemodel", caffe.TEST)
crops = np.load(folder + "/crops.npy")
net.forward(data=crops[0])
start = time.perf_counter()
for index in range(count):
    net.forward(data=crops[index % len(crops)])
print(json.dumps((time.perf_counter() - start) / count))
"""


def make_inputs(folder: Path, arguments: argparse.Namespace) -> None:
    """Put net, images and, for real Caffe, crops into the folder."""
    import numpy as np

    from camcaffe.caffe.caffemodel import write_caffemodel
    from camcaffe.caffe.network import read_network
    from camcaffe.caffe.shapes import infer_shapes
    from camcaffe.caffe.weights import fill_weights
    from camcaffe.localize import find_images
    from camcaffe.matlab import imresize, imwrite, read_rgb
    from camcaffe.models import deploy_prototxt
    from camcaffe.ten_crop import prepare_image

    shutil.copy(arguments.prototxt or deploy_prototxt("googlenetCAM"), folder / "net.prototxt")
    network = read_network(folder / "net.prototxt")
    if arguments.caffemodel:
        shutil.copy(arguments.caffemodel, folder / "net.caffemodel")
    else:
        rng, weights = np.random.default_rng(0), fill_weights(network, infer_shapes(network))
        for arrays in weights.values():
            arrays[0][...] = np.sqrt(2 / arrays[0][0].size) * rng.standard_normal(arrays[0].shape, np.float32)
        write_caffemodel(folder / "net.caffemodel", network, weights)
    (folder / "images").mkdir()
    if arguments.images:
        for image in find_images(arguments.images)[: arguments.count]:
            (folder / "images" / Path(image.name).name).write_bytes(image.read())
    else:
        for number in range(arguments.count):
            rng = np.random.default_rng(number)
            smooth = imresize(rng.random((30, 40, 3)), SIZE) + rng.normal(scale=0.03, size=(*SIZE, 3))
            imwrite(folder / "images" / f"{number:04d}.jpg", smooth, 90)
    (size,) = {shape[2] for shape in network.inputs.values()}
    mean = np.float32([104, 117, 123])
    images = [read_rgb(path) for path in sorted((folder / "images").iterdir())[:4]]
    np.save(folder / "crops.npy", np.stack([prepare_image(image, mean, size) for image in images]))


def measure(folder: Path) -> dict:
    """On the CPUs that this process has: the stages, the net alone, and the pipeline."""
    import itertools

    from camcaffe.caffe.engines import available_cpus
    from camcaffe.localize import Localizer, Settings, find_images, overlapped, record
    from camcaffe.run_store import RunStore

    net = {
        "prototxt": folder / "net.prototxt",
        "caffemodel": folder / "net.caffemodel",
        "mean": "104,117,123",
    }
    localizer = Localizer(Settings({name: str(value) for name, value in net.items()}))
    images = find_images(folder / "images")
    prepared = [localizer.read(image) for image in images[:4]]
    localizer.run(prepared[0])

    def net_alone() -> tuple:
        wall, cpu = time.perf_counter(), time.process_time()
        for one in itertools.islice(itertools.cycle(prepared), len(images)):
            localizer.run(one)
        return (time.perf_counter() - wall) / len(images), (time.process_time() - cpu) / len(images)

    outside = []

    def timed(step):
        def run(item):
            begun = time.thread_time()
            result = step(item)
            outside.append(time.thread_time() - begun)
            return result

        return run

    def pipeline() -> float:
        (folder / "run.sqlite").unlink(missing_ok=True)
        steps = timed(localizer.read), localizer.run, timed(localizer.explain)
        wall = time.perf_counter()
        with RunStore.write(folder / "run.sqlite", {}, localizer.labels) as run:
            run.add = timed(run.add)
            record(run, overlapped(images, *steps, available_cpus()), lambda result: None)
        return (time.perf_counter() - wall) / len(images)

    stages = stage_times(localizer, images[:8], folder)
    # In turns, so that what else the machine does weighs on both.
    rounds = []
    for _ in range(3):
        outside.clear()
        alone, net_cpu = net_alone()
        rounds.append((alone, net_cpu, pipeline(), sum(outside) / len(images)))
    alone, net_cpu, whole, beside = (min(column) for column in zip(*rounds))
    return {"stages": stages, "alone": alone, "net": net_cpu, "pipeline": whole, "outside": beside}


def stage_times(localizer, images: list, folder: Path) -> dict:
    """CPU seconds an image of each stage, one after the other in this thread."""
    import numpy as np

    from camcaffe.boxes import AUTHORS_THRESHOLDS, dt_boxes
    from camcaffe.cam import rank_classes
    from camcaffe.heatmap import heatmaps
    from camcaffe.matlab import read_rgb
    from camcaffe.model import through_jpeg
    from camcaffe.run_store import ImageResult, RankedClass, RunStore
    from camcaffe.ten_crop import prepare_image

    model, times = localizer._model, defaultdict(list)

    def timed(stage, function, *arguments):
        begun = time.thread_time()
        result = function(*arguments)
        times[stage].append(time.thread_time() - begun)
        return result

    (folder / "stages.sqlite").unlink(missing_ok=True)
    with RunStore.write(folder / "stages.sqlite", {}, localizer.labels) as run:
        for _, image in [(turn, image) for turn in range(3) for image in images]:
            pixels = timed("decode", lambda image=image: read_rgb(image.name, data=image.read()))
            crops = timed("crops", prepare_image, pixels, model.mean, model.crop_size)
            conv, scores = model.forward(crops)
            classes = rank_classes(scores.mean(axis=0))
            maps = timed("maps", model.merged_maps, conv, classes)
            gray = timed("heat maps", heatmaps, maps, pixels.shape[:2])
            jpegs = timed("JPEG", lambda gray=gray: [through_jpeg(one) for one in gray])
            boxes = timed("boxes", lambda maps=jpegs: [dt_boxes(one, AUTHORS_THRESHOLDS) for one in maps])
            ranked = [RankedClass(int(index), 0.0, found) for index, found in zip(classes, boxes)]
            timed("write", run.add, [ImageResult(image.name, tuple(ranked))])
    # The second half, when all is in place; half of the measurements are as good or better.
    return {stage: float(np.median(times[stage][len(images) :])) for stage in STAGES}


def caffe_seconds(root: Path, folder: Path, cpus: int, count: int) -> float:
    """Seconds an image of real Caffe's net in the Debian root."""
    inside = Path("/") / folder.relative_to(root)
    command = ["chroot", str(root), "python3", "-c", CAFFE, str(inside), str(count)]
    done = _on(cpus, command, OPENBLAS_NUM_THREADS=str(cpus), GLOG_minloglevel="2")
    return json.loads(done)


def _on(cpus: int, command: list, **environment: str) -> str:
    """Run a command on the first few of this process's CPUs; what it prints."""
    chosen = sorted(os.sched_getaffinity(0))[:cpus]
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, chosen),
    )
    return done.stdout.splitlines()[-1]


def report(found: dict, cpus: int, caffe: float | None) -> None:
    """Print one table."""
    print(f"\n{cpus} CPU{'s' if cpus > 1 else ''}")
    for stage, seconds in found["stages"].items():
        print(f"  {stage:10} {1000 * seconds:7.1f} ms")
    print(f"  {'net':10} {1000 * found['net']:7.1f} ms")
    share = found["outside"] / found["net"]
    print(f"  {'outside':10} {1000 * found['outside']:7.1f} ms while the net runs: {share:.1%} of the net's")
    alone, whole = 1 / found["alone"], 1 / found["pipeline"]
    print(f"  alone {alone:.2f} images/s, pipeline {whole:.2f} images/s: {1 - whole / alone:.1%} less")
    if caffe:
        print(
            f"  real Caffe's net alone {1 / caffe:.2f} images/s: {caffe:.3f} s an image,"
            f" {caffe / found['pipeline']:.1f} times the pipeline's {found['pipeline']:.3f} s"
        )


def main() -> None:
    """Measure on one CPU, then on two."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prototxt", type=Path, help="default: GoogLeNet-CAM")
    parser.add_argument("--caffemodel", type=Path, help="default: seeded random weights")
    parser.add_argument("--images", type=Path, metavar="DIR|LIST|TAR", help="default: made-up ones")
    parser.add_argument("--count", type=int, default=30, help="how many images")
    parser.add_argument("--cpus", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--caffe-root", type=Path, metavar="ROOT", help="a Debian 11 root with real Caffe")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # what the program tells itself
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    root = arguments.caffe_root
    with tempfile.TemporaryDirectory(dir=root / "tmp" if root else None) as made:
        folder = Path(made)
        make_inputs(folder, arguments)
        for cpus in arguments.cpus:
            found = json.loads(_on(cpus, [sys.executable, __file__, "--measure", str(folder)]))
            caffe = caffe_seconds(root, folder, cpus, min(arguments.count, 10)) if root else None
            report(found, cpus, caffe)


if __name__ == "__main__":
    main()

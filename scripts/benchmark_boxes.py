"""How long one 500 x 375 image takes behind the net: heat maps of five classes, and the boxes of one.

    python scripts/benchmark_boxes.py [HEATMAP ...]

Without files, heat maps are made: smooth, with a few peaks, as class activation maps are. Beside our
time stands that of the same steps with SciPy's exact distance transform; both must give the same boxes.
Above them: what five classes' heat maps take, from random features of GoogLeNet-CAM's shape to JPEG.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import scipy
from scipy.ndimage import distance_transform_edt

from camcaffe.boxes import AUTHORS_THRESHOLDS, dt_boxes
from camcaffe.boxes.contours import contour_boxes
from camcaffe.boxes.dt_box import clipped, merged, ranked
from camcaffe.cam import class_activation_maps
from camcaffe.heatmap import heatmaps
from camcaffe.matlab import encode, read_gray
from camcaffe.ten_crop import merge_ten_crop

HEIGHT, WIDTH, MAPS, REPEATS = 375, 500, 40, 5


def made_heat_maps(count: int) -> list:
    """Smooth (HEIGHT, WIDTH) uint8 maps with a few peaks, the same at every call."""
    random = np.random.default_rng(0)
    maps = []
    for _ in range(count):
        coarse = np.maximum(random.normal(size=(6, 7)), 0).astype(np.float32)
        smooth = np.maximum(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), 0)
        maps.append(np.uint8(np.rint(255 * smooth / smooth.max())))
    return maps


def boxes_with_scipy(gray: np.ndarray) -> np.ndarray:
    """`dt_boxes` with the distance transform of the whole mask, as SciPy computes it."""
    boxes = []
    for level in AUTHORS_THRESHOLDS:
        mask = gray > level
        if mask.any() and not mask.all():
            distance = distance_transform_edt(mask)
            mask = np.floor(distance * (255.0 / distance.max()) + 0.5) > 10
        boxes.append(contour_boxes(mask.astype(np.uint8)))
    return merged(ranked(clipped(np.concatenate(boxes), gray.shape)))


def boxes_of_ours(gray: np.ndarray) -> np.ndarray:
    """`dt_boxes` as the authors' scripts call it."""
    return dt_boxes(gray, AUTHORS_THRESHOLDS)


def milliseconds(boxes_of: Callable, maps: Sequence[np.ndarray]) -> np.ndarray:
    """For each map, the best of several runs."""
    times = np.empty((REPEATS, len(maps)))
    for repeat in range(REPEATS):
        for index, gray in enumerate(maps):
            start = time.perf_counter()
            boxes_of(gray)
            times[repeat, index] = 1e3 * (time.perf_counter() - start)
    return times.min(axis=0)


def heat_map_stages() -> dict:
    """Milliseconds of each stage from features to JPEG, all five classes of an image together."""
    random = np.random.default_rng(0)
    conv = np.maximum(random.normal(size=(10, 1024, 14, 14)), 0).astype(np.float32)
    weights = random.normal(size=(5, 1024)).astype(np.float32)
    maps = class_activation_maps(conv, weights)
    merged_maps = merge_ten_crop(maps, 224)
    gray = heatmaps(merged_maps, (HEIGHT, WIDTH))
    stages = {
        "class activation maps": lambda _: class_activation_maps(conv, weights),
        "merge": lambda _: merge_ten_crop(maps, 224),
        "resize, 8 bits": lambda _: heatmaps(merged_maps, (HEIGHT, WIDTH)),
        "JPEG": lambda _: [encode(one, ".jpg") for one in gray],
    }
    return {name: milliseconds(stage, [None] * 5) for name, stage in stages.items()}


def machine() -> str:
    """The processor and the versions that the times depend on."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        processor = names[0].partition(":")[2].strip() if names else processor
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}, OpenCV {cv2.__version__}"
    return f"{processor}; {versions}, SciPy {scipy.__version__}; one thread"


def main() -> None:
    """Print the machine and the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("heatmaps", nargs="*", metavar="HEATMAP", help="gray pictures of any size")
    paths = parser.parse_args().heatmaps
    cv2.setNumThreads(1)
    maps = [read_gray(path) for path in paths] or made_heat_maps(MAPS)
    for index, gray in enumerate(maps):
        if not np.array_equal(boxes_of_ours(gray), boxes_with_scipy(gray)):
            sys.exit(f"heat map {index}: the boxes with SciPy's distance transform differ")
    print(machine())
    stages = heat_map_stages()
    print(f"heat maps of five classes of one {WIDTH} x {HEIGHT} image, ms:")
    print(f"{'':28}{'median':>10}{'slowest':>10}")
    for name, times in {**stages, "together": sum(stages.values())}.items():
        print(f"{name:28}{np.median(times):10.2f}{times.max():10.2f}")
    sizes = sorted({f"{gray.shape[1]} x {gray.shape[0]}" for gray in maps})
    print(
        f"{len(maps)} heat maps of {', '.join(sizes[:3])}{' ...' if len(sizes) > 3 else ''} pixels, ms a map:"
    )
    print(f"{'':28}{'median':>10}{'slowest':>10}")
    for name, function in (("dt_boxes", boxes_of_ours), ("with SciPy's transform", boxes_with_scipy)):
        times = milliseconds(function, maps)
        print(f"{name:28}{np.median(times):10.2f}{times.max():10.2f}")


if __name__ == "__main__":
    main()

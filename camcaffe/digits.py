"""Scenes of one handwritten digit each, with its true box: data to train and to measure on, offline.

The digits are the 1,797 scans of 8 x 8 pixels that scikit-learn brings along (`load_digits`: the test part of
the Optical Recognition of Handwritten Digits by E. Alpaydin and C. Kaynak, UCI, 1998). Every third of them is
a test scan: a scene holds scans of its own split only, in its clutter too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from camcaffe import files
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike

if TYPE_CHECKING:
    from camcaffe.model import Model

SIZE = 256
SPLITS = ("train", "test")
CLASSES = tuple("0123456789")

# A scan has 8 x 8 pixels, and blank ones around it here, so that its interpolation ends in nothing.
_SCAN, _MARGIN = 8, 3
# Heights of scans as digits, in pixels of the scene.
_HEIGHTS = (88, 160)
# Pixels, about, that a digit keeps from the border: the crops that nets are trained on cut off up to 32.
_BORDER = 16
# Strokes are pieces of scans that are drawn so much larger than the digit, of a radius in pixels of a scan.
_MOST_STROKES, _SIZES, _PIECES = 8, (0.8, 1.25), (1.5, 2.6)
# Radians that the digit, and that strokes, are turned by, in either direction.
_DIGIT_TURN, _STROKE_TURN = 0.2, 0.5
# Luminance of the background, and by how much ink is brighter at least; 1 is white.
_DARKNESS, _CONTRAST = (0.1, 0.4), 0.3
_LUMA = (0.299, 0.587, 0.114)
# Values of a scan, interpolated, where ink begins and where it hides what is behind it.
_FAINT, _FULL = 0.2, 0.7


@dataclass(frozen=True)
class Scene:
    """A picture of one digit among strokes of others.

    Attributes:
        image: (256, 256, 3) uint8 RGB.
        label: the digit.
        box: (4,) int64 xywh, around `mask`.
        mask: (256, 256) bool, the digit's ink: pixels that it covers by half at least.
        scan: which of scikit-learn's scans the digit is.
        strokes: which scans the strokes are cut from, one for each stroke.
    """

    image: np.ndarray
    label: int
    box: np.ndarray
    mask: np.ndarray
    scan: int
    strokes: tuple[int, ...]


@dataclass(frozen=True)
class Errors:
    """A model's error rates on test scenes, 0 to 1, by its best class.

    Attributes:
        classification: the class is wrong.
        largest_component: the class is wrong, or the box around the largest component above 20 % of the map
            overlaps the true one with an IoU below 0.5.
        loose: the same of the authors' loose box.
    """

    classification: float
    largest_component: float
    loose: float


def compose(index: int, split: str = "train", seed: int = 0) -> Scene:
    """A scene, which depends on nothing but these numbers.

    The digit lies whole within the picture, on top of up to eight strokes: round pieces of other scans, as
    thick as its own strokes. All are turned a little and brighter than the background.

    Args:
        index: which scene, from 0.
        split: "train" or "test".
        seed: other scenes of the same scans.

    Raises:
        CamcaffeError: a negative number, another split, or scikit-learn is missing.
    """
    if split not in SPLITS:
        raise CamcaffeError("split", repr(split), " or ".join(SPLITS))
    if index < 0 or seed < 0:
        raise CamcaffeError("scene", f"index {index}, seed {seed}", "numbers from 0")
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    scans, labels = _scans()
    own = np.flatnonzero((np.arange(len(scans)) % 3 == 0) == (split == "test"))

    image, light = _background(rng)
    label = int(rng.integers(len(CLASSES)))
    scan = int(rng.choice(own[labels[own] == label]))
    height = rng.uniform(*_HEIGHTS)
    strokes = rng.choice(own, rng.integers(_MOST_STROKES + 1))
    for stroke in strokes:
        centre, middle, radius = rng.uniform(0, SIZE, 2), _on_ink(rng, scans[stroke]), rng.uniform(*_PIECES)
        turn, size = rng.uniform(-_STROKE_TURN, _STROKE_TURN), height * rng.uniform(*_SIZES)
        piece = _cover(scans[stroke], size, turn, centre, middle, radius)
        _paint(image, *piece, _color(rng, light))
    room = height / 2 + _BORDER
    middle = np.full(2, _MARGIN + (_SCAN - 1) / 2)
    turn, centre = rng.uniform(-_DIGIT_TURN, _DIGIT_TURN), rng.uniform(room, SIZE - room, 2)
    digit = _cover(scans[scan], height, turn, centre, middle)
    _paint(image, *digit, _color(rng, light))

    mask = np.zeros((SIZE, SIZE), bool)
    mask[digit[0]] = digit[1] >= 0.5
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = np.array([columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1])
    pixels = np.rint(image * 255).astype(np.uint8)
    return Scene(pixels, label, box, mask, scan, tuple(strokes.tolist()))


def write_scenes(
    folder: PathLike,
    train: int,
    test: int,
    seed: int = 0,
    progress: Callable[[list], Iterable] = iter,
) -> None:
    """Write scenes as pictures in a folder a class, and their boxes as CSV files.

    ::

        train/3/00007.png     scene 7 of the training split, which shows a 3
        train_boxes.csv       image,label,xmin,ymin,xmax,ymax, a line a scene; both ends inclusive
        test/...              the same of the test split
        test_boxes.csv

    Args:
        folder: a new or an empty folder.
        train: how many training scenes.
        test: how many test scenes.
        seed: as for `compose`.
        progress: wraps the list of scenes while they are composed, as tqdm does.

    Raises:
        CamcaffeError: the folder has something in it or cannot be written; scikit-learn is missing.
    """
    from camcaffe.matlab import imwrite

    target = files.make_folder(folder)
    if any(target.iterdir()):
        raise CamcaffeError(folder, "there is something in it", "a new or an empty folder")
    lines = {split: ["image,label,xmin,ymin,xmax,ymax"] for split in SPLITS}
    wanted = [(split, index) for split, count in zip(SPLITS, (train, test)) for index in range(count)]
    for split, index in progress(wanted):
        scene = compose(index, split, seed)
        name = f"{CLASSES[scene.label]}/{index:05d}.png"
        imwrite(files.make_folder(target / split / CLASSES[scene.label]) / Path(name).name, scene.image)
        x, y, width, height = scene.box.tolist()
        lines[split].append(f"{name},{CLASSES[scene.label]},{x},{y},{x + width - 1},{y + height - 1}")
    for split, of_split in lines.items():
        if len(of_split) > 1:
            files.write_text(target / f"{split}_boxes.csv", "\n".join(of_split) + "\n")


def write_database(
    path: PathLike,
    count: int,
    split: str,
    seed: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> None:
    """Write scenes into an LMDB for Caffe's Data layers: raw pixels, 256 x 256.

    Args:
        path: a folder, made here.
        count: how many: those from 0.
        split: as for `compose`.
        seed: as for `compose`.
        progress: wraps the scenes' numbers while they are composed, as tqdm does.

    Raises:
        CamcaffeError: the folder exists already or cannot be written; a module is missing.
    """
    from camcaffe.caffe import messages
    from camcaffe.caffe.training.sources.database import new_database

    with new_database(path) as put:
        for index in progress(range(count)):
            scene = compose(index, split, seed)
            blue_first = scene.image[:, :, ::-1].transpose(2, 0, 1)
            shape = {"channels": 3, "height": SIZE, "width": SIZE}
            put(f"{index:08d}", messages.Datum(data=blue_first.tobytes(), label=scene.label, **shape))


def measure(
    model: Model, count: int, seed: int = 0, progress: Callable[[Iterable], Iterable] = iter
) -> Errors:
    """A model's error rates on the first test scenes, through the ten crops as for any image.

    Args:
        model: a net of ten classes, 0 to 9.
        count: how many scenes.
        seed: as for `compose`.
        progress: wraps the scenes' numbers, as tqdm does.
    """
    from camcaffe.boxes import largest_component_box, xywh_to_corners
    from camcaffe.ilsvrc import overlap
    from camcaffe.ilsvrc.evaluation import IOU

    wrong = np.empty((count, 3), bool)
    for index in progress(range(count)):
        scene = compose(index, "test", seed)
        result = model(scene.image, top=1)
        found = np.array([[0, 0, SIZE, SIZE]] * 2)
        if result.heatmaps[0].any():  # a map without evidence for its class is black
            found[:] = largest_component_box(result.heatmaps[0]), result.boxes[0][0]
        boxes = xywh_to_corners(found)
        true = xywh_to_corners(scene.box) - (0, 0, 1, 1)  # both ends inclusive, as in the annotations
        wrong[index, 0] = result.classes[0] != scene.label
        wrong[index, 1:] = wrong[index, 0] | (overlap(boxes, true) < IOU)
    return Errors(*wrong.mean(axis=0).tolist())


@functools.lru_cache(maxsize=1)
def _scans() -> tuple[np.ndarray, np.ndarray]:
    """(1797, 14, 14) coefficients of the scans' cubic splines, and (1797,) labels."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise CamcaffeError(
            "digits", "scikit-learn cannot be imported", "pip install scikit-learn"
        ) from error
    from scipy import ndimage

    digits = load_digits()
    ink = np.pad(digits.images / digits.images.max(), [(0, 0), (_MARGIN, _MARGIN), (_MARGIN, _MARGIN)])
    return np.stack([ndimage.spline_filter(one) for one in ink]), digits.target


def _background(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """(256, 256, 3) float64 RGB, two dark colours in soft blotches; and their luminance, about."""
    from camcaffe.matlab import imresize

    light = rng.uniform(*_DARKNESS)
    tints = rng.uniform(-1, 1, (2, 3))
    one, other = np.clip(light + 0.2 * (tints - tints.mean(axis=1, keepdims=True)), 0, 1)
    mix = np.clip(imresize(rng.uniform(0, 1, (4, 4)), (SIZE, SIZE)), 0, 1)[:, :, None]
    return one * mix + other * (1 - mix), light


def _color(rng: np.random.Generator, light: float) -> np.ndarray:
    while True:
        color = rng.uniform(0, 1, 3)
        if color @ _LUMA > light + _CONTRAST:
            return color


def _on_ink(rng: np.random.Generator, scan: np.ndarray) -> np.ndarray:
    """A place in a scan where there is ink."""
    inked = np.argwhere(scan > 0.5)
    return inked[rng.integers(len(inked))] + rng.uniform(-0.5, 0.5, 2)


def _cover(
    scan: np.ndarray,
    height: float,
    turn: float,
    centre: np.ndarray,
    middle: np.ndarray,
    radius: float | None = None,
) -> tuple[tuple, np.ndarray]:
    """How much of each pixel of the scene a scan's ink covers.

    Args:
        scan: its spline's coefficients.
        height: of the whole digit, in pixels of the scene.
        turn: in radians.
        centre: (row, column) in the scene of ...
        middle: ... this place (row, column) of the scan.
        radius: cut out the piece so far around that place, in pixels of the scan.

    Returns:
        The rows and columns of the scene that it lies in, as slices, and (h, w) float64 in 0..1 for these.
    """
    from scipy import ndimage

    scale = _SCAN / height
    reach = int(np.ceil((_SCAN / 2 + _MARGIN - 1 if radius is None else radius + 0.5) / scale))
    low = np.clip(np.floor(centre) - reach, 0, SIZE).astype(int)
    high = np.clip(np.floor(centre) + reach, 0, SIZE).astype(int)
    turned = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    start = middle + turned @ (low - centre)
    ink = ndimage.affine_transform(scan, turned, start, tuple(high - low), prefilter=False)
    alpha = np.clip((ink - _FAINT) / (_FULL - _FAINT), 0, 1)
    if radius is not None:
        rows, columns = np.ogrid[low[0] : high[0], low[1] : high[1]]
        away = np.hypot(rows - centre[0], columns - centre[1])
        alpha *= np.clip(0.5 + radius / scale - away, 0, 1)
    return (slice(low[0], high[0]), slice(low[1], high[1])), alpha


def _paint(image: np.ndarray, window: tuple, alpha: np.ndarray, color: np.ndarray) -> None:
    image[window] += alpha[:, :, None] * (color - image[window])

"""The images that a report shows, each with its heat map, its boxes and its guesses."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

from camcaffe.boxes import xywh_to_corners
from camcaffe.boxes.loose_tight import loose_tight
from camcaffe.heatmap import overlay
from camcaffe.ilsvrc.synsets import Synsets
from camcaffe.localize import StoredImage
from camcaffe.matlab import encode, imresize, read_rgb
from camcaffe.report.heatmaps import HeatmapReader
from camcaffe.report.judgement import Judgement
from camcaffe.run_store import ImageResult

# The longer side of a picture in the page, in pixels, and its JPEG quality.
_SIDE, _QUALITY = 480, 80


@dataclass(frozen=True)
class DrawnBox:
    """A box to draw over the image: its kind (true, loose or tight), and where it lies, in pixels."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Guess:
    """One of an image's ranked classes: what it is called, its score, whether it is the image's class."""

    name: str
    score: float
    right: bool


@dataclass(frozen=True)
class Card:
    """One image of the page.

    Attributes:
        name: of the image.
        width, height: of the image, in pixels.
        picture: the image, as a data URI.
        heatmap: the heat map over it, as a data URI; None where there is none.
        boxes: what to draw over both.
        true_class: what the image shows.
        shown: the guess that heat map and boxes are of.
        rank: its rank, from 1.
        iou: "loose" and "tight" -> overlap with the true box that it fits best; None where the class of
            the image was not found.
        guesses: all of them, best first.
    """

    name: str
    width: int
    height: int
    picture: str
    heatmap: str | None
    boxes: list[DrawnBox]
    true_class: str
    shown: Guess
    rank: int
    iou: dict[str, float] | None
    guesses: list[Guess]


def make_card(
    judgement: Judgement,
    place: int,
    stored: StoredImage,
    result: ImageResult,
    ids: np.ndarray,
    heatmaps: HeatmapReader | None,
    exif_rotation: bool = False,
) -> Card:
    """Put together what the page shows of an image.

    Shown is the guess that has the image's class, or the first where none has it.

    Args:
        judgement: the run held against the truth.
        place: the image's position in the truth.
        stored: the image.
        result: what the run found in it: at least one class.
        ids: the id of each of the net's classes.
        heatmaps: finds its heat map; None where there are none.
        exif_rotation: how the run read it.

    Raises:
        CamcaffeError: the image or the heat map cannot be read.
    """
    truth = judgement.truth
    label = int(truth.labels[place])
    pixels = read_rgb(stored.name, data=stored.read(), exif_rotation=exif_rotation)
    height, width = stored.true_size or pixels.shape[:2]
    small = imresize(pixels, _fitting(height, width))
    rank = max(1, int(judgement.ranks[place]))
    heatmap = None if heatmaps is None else heatmaps(stored, rank)
    guesses = [
        Guess(class_name(truth.synsets, ids[one.index]), one.score, bool(ids[one.index] == label))
        for one in result.classes
    ]
    known = judgement.ranks[place] > 0
    return Card(
        name=stored.name,
        width=width,
        height=height,
        picture=_jpeg(small),
        heatmap=None if heatmap is None else _jpeg(overlay(small, imresize(heatmap, small.shape[:2]))),
        boxes=_boxes(truth.boxes_of(place), result.classes[rank - 1].boxes),
        true_class=class_name(truth.synsets, label),
        shown=guesses[rank - 1],
        rank=rank,
        iou={name: float(found[place]) for name, found in judgement.iou.items()} if known else None,
        guesses=guesses,
    )


def class_name(synsets: Synsets, label: int) -> str:
    """What a class is called: the first of its synonyms, or its WordNet id where there are none."""
    return synsets.words[label - 1].split(",")[0] or synsets.wnids[label - 1]


def data_uri(data: bytes, kind: str) -> str:
    """A file as an address that holds it, for a page that stands alone."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _boxes(true_corners: np.ndarray, found: np.ndarray) -> list[DrawnBox]:
    drawn = [("true", corners) for corners in true_corners]
    if len(found):
        sets = loose_tight([found])
        drawn += [("tight", xywh_to_corners(sets.tight)[0]), ("loose", xywh_to_corners(sets.loose)[0])]
    # Corners are inclusive, as they are judged: a box ends behind its last pixel.
    return [
        DrawnBox(kind, float(x0), float(y0), float(x1 - x0 + 1), float(y1 - y0 + 1))
        for kind, (x0, y0, x1, y1) in drawn
    ]


def _fitting(height: int, width: int) -> tuple[int, int]:
    scale = min(1, _SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _jpeg(picture: np.ndarray) -> str:
    return data_uri(encode(picture, ".jpg", _QUALITY), "image/jpeg")

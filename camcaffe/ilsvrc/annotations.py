"""True boxes: the validation XML files, the devkit's cache of them, and Kaggle's CSV."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np

from camcaffe import files
from camcaffe.errors import CamcaffeError, at
from camcaffe.ilsvrc.lines import checked_corners, coordinate, image_key, read_lines
from camcaffe.ilsvrc.synsets import Synsets

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_XML = "an ILSVRC annotation"
_XML_LIMIT = 1 << 20
_SOLUTION = "Kaggle's LOC_val_solution.csv"


@dataclass(frozen=True)
class Annotations:
    """The boxes of N images, M in all.

    Attributes:
        names: the images' keys, in order; None where the file does not name them (the devkit's cache).
        owners: (M,) int64, the image each box belongs to.
        labels: (M,) int64, the id of each box's class.
        boxes: (M, 4) float64, corners (xmin, ymin, xmax, ymax), both inclusive.
        sizes: (N, 2) int64, width and height of the images; None where the file does not say.
        images: N.
        source: the folder or file.
    """

    names: list | None
    owners: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray
    sizes: np.ndarray | None
    images: int
    source: str


class _Collector:
    """Boxes as they come: flat lists of numbers, which Python's garbage collector need not walk through."""

    def __init__(self):
        self.owners, self.labels, self.corners, self.sizes = [], [], [], []

    def add(self, owner: int, label: int, corners: list) -> None:
        self.owners.append(owner)
        self.labels.append(label)
        self.corners.extend(corners)

    def annotations(self, names: list | None, images: int, source: files.PathLike) -> Annotations:
        return Annotations(
            names,
            np.array(self.owners, np.int64),
            np.array(self.labels, np.int64),
            np.array(self.corners, np.float64).reshape(-1, 4),
            np.array(self.sizes, np.int64).reshape(-1, 2) if self.sizes else None,
            images,
            str(source),
        )


def read_annotations(
    path: files.PathLike, synsets: Synsets, names: Sequence[str] | None = None
) -> Annotations:
    """True boxes in whichever form `path` holds them: a folder of XML files, a .mat cache or Kaggle's CSV.

    Args:
        path: the folder or file.
        synsets: the classes.
        names: the images wanted, by key, in order; all, in the order of their names, by default.

    Raises:
        CamcaffeError: something is missing or broken; the line says where.
    """
    if not Path(path).exists():
        raise CamcaffeError(path, "no such file or folder", f"XML files, a .mat cache or {_SOLUTION}")
    if Path(path).is_dir():
        return read_xml_folder(path, synsets, names)
    if Path(path).suffix == ".mat":
        return read_cache(path, synsets, names)
    return read_solution(path, synsets, names)


def read_xml_folder(
    folder: files.PathLike, synsets: Synsets, names: Sequence[str] | None = None
) -> Annotations:
    """The boxes of a folder with one XML file an image, e.g. ILSVRC2012_val_00000001.xml::

        <annotation>
          <size><width>500</width><height>375</height><depth>3</depth></size>
          <object>
            <name>n01751748</name>
            <bndbox><xmin>111</xmin><ymin>108</ymin><xmax>441</xmax><ymax>193</ymax></bndbox>
          </object>
        </annotation>

    Raises:
        CamcaffeError: the folder has no XML file or not the one of an image in `names`, or a file is
            broken, declares a document type, or names an unknown class.
    """
    if names is None:
        names = sorted(file.stem for file in Path(folder).glob("*.xml"))
        if not names:
            raise CamcaffeError(folder, "no XML file", "a folder of ILSVRC annotations")
    collector = _Collector()
    for image, name in enumerate(names):
        path = f"{folder}/{name}.xml"
        text = _xml_text(path)
        annotation = _parse(text, path)
        collector.sizes.extend(_size(annotation, path))
        for index, element in enumerate(annotation.iterfind("object")):
            try:
                label, corners = _object(element, synsets, path)
            except CamcaffeError as error:
                raise CamcaffeError(
                    at(path, _line_of_object(text, index)), error.found, error.expected
                ) from error
            collector.add(image, label, corners)
    return collector.annotations(list(names), len(names), folder)


def read_cache(path: files.PathLike, synsets: Synsets, names: Sequence[str] | None = None) -> Annotations:
    """The boxes that the devkit's eval_clsloc.m cached in a .mat file (cache_groundtruth.mat).

    A struct array `rec`, one entry an image in the order of the images' names, each a struct `objects`,
    itself an array with the fields `label` (an id) and `bbox` (xmin, ymin, xmax, ymax).

    Raises:
        CamcaffeError: the file is missing or something else, or holds another number of images than `names`.
    """
    from camcaffe.matlab import loadmat

    records = loadmat(path).get("rec")
    if records is None:
        raise CamcaffeError(path, "no variable 'rec'", "the devkit's cache of the ground truth")
    records = _structs(records, str(path))
    if names is not None and len(names) != len(records):
        raise CamcaffeError(path, f"{len(records)} images", f"{len(names)}, one for each image of the list")
    collector = _Collector()
    for image, record in enumerate(records):
        place = f"{path}, image {image + 1}"
        for entry in _structs(record.get("objects", ()), place):
            label, box = (np.ravel(entry.get(name, ())) for name in ("label", "bbox"))
            if label.size != 1 or not 1 <= label[0] <= len(synsets) or label[0] % 1:
                raise CamcaffeError(place, "an object without a label", f"an id from 1 to {len(synsets)}")
            if box.size != 4:
                raise CamcaffeError(place, "an object without a bbox", "xmin ymin xmax ymax")
            corners = [coordinate(str(value), place, name) for name, value in zip(_CORNERS, box)]
            collector.add(image, int(label[0]), checked_corners(corners, place))
    return collector.annotations(None if names is None else list(names), len(records), path)


def read_solution(path: files.PathLike, synsets: Synsets, names: Sequence[str] | None = None) -> Annotations:
    """The boxes of Kaggle's LOC_val_solution.csv, whose rows stand in no order::

        ImageId,PredictionString
        ILSVRC2012_val_00048981,n03995372 85 1 499 272
        ILSVRC2012_val_00037956,n03481172 131 0 499 254 n03481172 10 20 90 80

    Raises:
        CamcaffeError: the file is missing, a row is broken or names an unknown class, an image stands in
            it twice, or one of `names` is not in it.
    """
    lines = read_lines(path, _SOLUTION)
    if lines[0] != "ImageId,PredictionString":
        raise CamcaffeError(at(path, 1), "another header", "ImageId,PredictionString")
    found: dict[str, list] = {}
    for number, line in enumerate(lines[1:], 2):
        place = at(path, number)
        name, _, prediction = line.partition(",")
        words = prediction.split()
        if not words or len(words) % 5:
            raise CamcaffeError(
                place, "no boxes", "an image, a comma, and groups of: class xmin ymin xmax ymax"
            )
        key = image_key(name)
        if key in found:
            raise CamcaffeError(place, f"{key} again", "each image once")
        found[key] = []
        for first in range(0, len(words), 5):
            label = synsets.id_of(words[first], place)
            corners = [
                coordinate(word, place, name) for name, word in zip(_CORNERS, words[first + 1 : first + 5])
            ]
            found[key].append((label, checked_corners(corners, place)))
    names = sorted(found) if names is None else list(names)
    collector = _Collector()
    for image, name in enumerate(names):
        if name not in found:
            raise CamcaffeError(path, f"no row for image {name}", "a row for every image of the list")
        for label, corners in found[name]:
            collector.add(image, label, corners)
    return collector.annotations(names, len(names), path)


def _xml_text(path: str) -> str:
    try:
        # Not by way of a Path: of 50,000 small files its making would take as long as the reading.
        with open(path, "rb") as file:  # noqa: PTH123
            size = os.fstat(file.fileno()).st_size
            data = file.read() if size <= _XML_LIMIT else b""
    except OSError:
        size, data = 0, b""
    if size > _XML_LIMIT:
        raise CamcaffeError(path, f"{size} bytes", f"{_XML}, at most {_XML_LIMIT} bytes")
    if not data:
        files.read_bytes(path, _XML)  # says what is wrong
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CamcaffeError(path, "not UTF-8 text", _XML) from error
    # UTF-16 without a mark decodes as UTF-8 too, but old versions of expat would take it for UTF-16 again.
    if "\0" in text:
        raise CamcaffeError(path, "not UTF-8 text", _XML)
    # Entities, which can make a small file explode or read other files, need a document type.
    if "<!DOCTYPE" in text:
        raise CamcaffeError(path, "declares a document type", f"{_XML} without one")
    return text


def _parse(text: str, path: str) -> ElementTree.Element:
    try:
        annotation = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise CamcaffeError(at(path, error.position[0]), f"not well-formed XML ({error})", _XML) from error
    if annotation.tag != "annotation":
        raise CamcaffeError(at(path, 1), f"an element <{annotation.tag}>", f"{_XML}, <annotation>")
    return annotation


def _size(annotation: ElementTree.Element, path: str) -> tuple[float, float]:
    size = annotation.find("size")
    if size is None:
        raise CamcaffeError(path, "no size", "the image's width and height")
    width, height = (coordinate(size.findtext(side), path, side) for side in ("width", "height"))
    if min(width, height) < 1:
        raise CamcaffeError(path, f"a size of {width:g} x {height:g}", "the image's width and height")
    return width, height


def _object(element: ElementTree.Element, synsets: Synsets, path: str) -> tuple[int, list[float]]:
    label = synsets.id_of((element.findtext("name") or "").strip(), path)
    box = element.find("bndbox")
    if box is None:
        raise CamcaffeError(path, "an object without a bndbox", "xmin, ymin, xmax and ymax")
    corners = [coordinate(box.findtext(name), path, name) for name in _CORNERS]
    return label, checked_corners(corners, path)


def _line_of_object(text: str, index: int) -> int:
    # ElementTree keeps no line numbers, so only an error pays for a second, slower look.
    starts = []
    parser = expat.ParserCreate()

    def start(tag, _attributes):
        if tag == "object":
            starts.append(parser.CurrentLineNumber)

    parser.StartElementHandler = start
    parser.Parse(text, True)
    return starts[index]


def _structs(value, place: str) -> list:
    # A struct array of one entry comes as the struct itself, an empty one as an array without entries.
    entries = [value] if isinstance(value, dict) else list(np.ravel(np.asarray(value, dtype=object)))
    if not all(isinstance(entry, dict) for entry in entries):
        raise CamcaffeError(place, "something else than structs", "the devkit's cache of the ground truth")
    return entries

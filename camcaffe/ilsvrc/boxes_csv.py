"""The truth of one's own images: a CSV file with a line a box."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np

from camcaffe import files
from camcaffe.errors import CamcaffeError, at
from camcaffe.ilsvrc.lines import checked_corners, coordinate, read_lines
from camcaffe.ilsvrc.names import path_tails
from camcaffe.ilsvrc.synsets import Synsets
from camcaffe.ilsvrc.truth import Truth

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_COLUMNS = ("image", "label", *_CORNERS)
_EXPECTED = f"a CSV file with the columns {', '.join(_COLUMNS)}"


def read_boxes_csv(path: files.PathLike, labels: Sequence[str], source: str) -> Truth:
    """The truth of the images that a CSV file lists, in the order in which they come first.

    An image with several objects of its class has several lines::

        image,label,xmin,ymin,xmax,ymax
        cat/0001.jpg,cat,12,30,199,180
        dog/0001.jpg,dog,0,14,90,120
        dog/0001.jpg,dog,101,20,180,119

    `image` is a path that begins from any folder. `label` is a line of the class list, or its WordNet id
    alone. The corners are pixels of the image from 0, both ends inclusive.

    Args:
        path: the CSV file.
        labels: the class list of the net that is judged; a class's id is its line.
        source: what the class list is from, for the message.

    Raises:
        CamcaffeError: the file is missing, lacks a column, or has a line that is none, of an unknown class,
            or of another class than an earlier line on the image; the class list has a class twice.
    """
    synsets = Synsets.of_labels(labels, source)
    rows = csv.reader(io.StringIO("\n".join(read_lines(path, _EXPECTED))), skipinitialspace=True, strict=True)
    header, places, ids, owners, corners = None, {}, [], [], []
    try:
        for row in rows:
            place = at(path, rows.line_num)
            if header is None:
                header = [name.strip() for name in row]
                if len(set(header)) < len(header) or not set(_COLUMNS).issubset(header):
                    raise CamcaffeError(place, f"columns {','.join(header)[:80]!r}", _EXPECTED)
                continue
            if len(row) != len(header):
                raise CamcaffeError(place, f"{len(row)} values", f"{len(header)}, as the first line names")
            values = {name: value.strip() for name, value in zip(header, row)}
            if not values["image"]:
                raise CamcaffeError(place, "no image", "the path of an image")
            label = synsets.id_of(values["label"], place)
            image = places.setdefault(next(path_tails(values["image"])), len(places))
            if image == len(ids):
                ids.append(label)
            elif ids[image] != label:
                raise CamcaffeError(
                    place,
                    f"{values['image']} is a {values['label']}",
                    f"one class an image, {synsets.wnids[ids[image] - 1]} as before",
                )
            owners.append(image)
            corners.append(
                checked_corners([coordinate(values[name], place, name) for name in _CORNERS], place)
            )
    except csv.Error as error:
        raise CamcaffeError(at(path, rows.line_num), f"not readable ({error})", _EXPECTED) from error
    if not ids:
        raise CamcaffeError(path, "no box", "a line a box")
    order = np.argsort(owners, kind="stable")
    return Truth.of_images(
        synsets,
        list(places),
        np.array(ids, np.int64),
        np.array(owners, np.int64)[order],
        np.array(corners, np.float64)[order],
        str(path),
    )

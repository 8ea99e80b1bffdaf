"""Error tables of an evaluation: rows, CSV and text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from camcaffe.ilsvrc.evaluation import Errors, interval
from camcaffe.ilsvrc.predictions import GUESSES
from camcaffe.ilsvrc.truth import Truth

HEADER = ("boxes", "guesses", "blacklist", "cls_error", "loc_error")
INTERVAL_HEADER = ("cls_low", "cls_high", "loc_low", "loc_high")
CLASS_HEADER = (
    "boxes",
    "id",
    "wnid",
    "words",
    "images",
    "counted",
    "cls_error_1",
    "cls_error_5",
    "loc_error_1",
    "loc_error_5",
    "gt_known",
)


@dataclass(frozen=True)
class ErrorRow:
    """The errors of one set of boxes with the first k guesses.

    Attributes:
        boxes: the set: loose, tight, combined, or what a file is called.
        guesses: k.
        blacklist: whether localization skips the blacklisted images.
        classification, localization: error rates.
        classification_interval, localization_interval: their 95 % intervals, or None.
    """

    boxes: str
    guesses: int
    blacklist: bool
    classification: float
    localization: float
    classification_interval: tuple | None = None
    localization_interval: tuple | None = None


def error_rows(
    errors: Mapping[str, Errors], blacklists: tuple = (True, False), resamples: int = 0, seed: int = 0
) -> list[ErrorRow]:
    """The table of errors: for each treatment of the blacklist each set of boxes, k = 1 to 5.

    Args:
        errors: set of boxes -> what its evaluation found.
        blacklists: the treatments, in order: True skips the blacklisted images.
        resamples: bootstrap resamples for the 95 % intervals; 0 for none.
        seed: of the resamples.
    """
    return [
        row
        for blacklist in blacklists
        for name in errors
        for row in _rows(name, errors[name], blacklist, resamples, seed)
    ]


def _rows(name: str, errors: Errors, blacklist: bool, resamples: int, seed: int) -> Iterator[ErrorRow]:
    rates = errors.classification(), errors.localization(blacklist)
    intervals = [[None] * GUESSES] * 2
    if resamples:
        counts = len(errors.blacklisted), int(errors.counted(blacklist).sum())
        intervals = [map(tuple, interval(rate, count, resamples, seed)) for rate, count in zip(rates, counts)]
    for guesses, (cls, loc, *ends) in enumerate(zip(*rates, *intervals), 1):
        yield ErrorRow(name, guesses, blacklist, float(cls), float(loc), *ends)


def error_csv(rows: list[ErrorRow]) -> str:
    """The rows as CSV, e.g. `loose,1,yes,0.365000,0.545455`; four more columns where there are intervals."""
    with_intervals = bool(rows) and rows[0].localization_interval is not None
    table = [HEADER + (INTERVAL_HEADER if with_intervals else ())]
    for row in rows:
        numbers = [row.classification, row.localization]
        if with_intervals:
            numbers += [*row.classification_interval, *row.localization_interval]
        blacklist = "yes" if row.blacklist else "no"
        table.append([row.boxes, row.guesses, blacklist, *(f"{number:.6f}" for number in numbers)])
    return _csv(table)


def error_text(rows: list[ErrorRow]) -> str:
    """The rows as a table to read, in per cent; the treatments of the blacklist side by side."""
    blacklists = list(dict.fromkeys(row.blacklist for row in rows))
    titles = {True: "localization, blacklist skipped", False: "localization, all images"}
    table = [["boxes", "guesses", "classification", *(titles[blacklist] for blacklist in blacklists)]]
    by_key = {(row.boxes, row.guesses, row.blacklist): row for row in rows}
    for name, guesses in dict.fromkeys((row.boxes, row.guesses) for row in rows):
        treated = [by_key[name, guesses, blacklist] for blacklist in blacklists]
        cells = [_percent(treated[0].classification, treated[0].classification_interval)]
        cells += [_percent(row.localization, row.localization_interval) for row in treated]
        table.append([name if guesses == 1 else "", str(guesses), *cells])
    widths = [max(map(len, column)) for column in zip(*table)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
        for row in table
    ]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def gt_known_text(errors: Mapping[str, Errors], blacklist: bool = True) -> str:
    """A line on GT-known localization, in per cent, and another where it is but a lower bound."""
    unknown = [int((~found.known[found.counted(blacklist)]).sum()) for found in errors.values()]
    shares = ", ".join(
        f"{name} {'at least ' * bool(missed)}{100 * found.gt_known(blacklist):.2f}"
        for (name, found), missed in zip(errors.items(), unknown)
    )
    text = f"GT-known localization{', blacklist skipped' if blacklist else ''}: {shares}"
    if any(unknown):
        counts = " or ".join(map(str, sorted(set(filter(None, unknown)))))
        text += (
            f"\n  {counts} images have no guess of their true class and count as misses;"
            " a run with a higher --top has boxes of more classes"
        )
    return text


def class_csv(errors: Mapping[str, Errors], truth: Truth, blacklist: bool = True) -> str:
    """The errors of each class that has images, as CSV with the columns of `CLASS_HEADER`.

    `counted` are the class's images that localization counts; where there are none its cells are empty.
    """
    table = [CLASS_HEADER]
    for name, found in errors.items():
        counted = found.counted(blacklist)
        for label in np.unique(truth.labels):
            mine = truth.labels == label
            local = mine & counted
            rates = (
                *(found.class_wrong[mine, k - 1] for k in (1, GUESSES)),
                *(found.box_wrong[local, k - 1] for k in (1, GUESSES)),
                found.known_right[local],
            )
            row = [name, label, truth.synsets.wnids[label - 1], truth.synsets.words[label - 1]]
            row += [mine.sum(), local.sum(), *(f"{rate.mean():.6f}" if rate.size else "" for rate in rates)]
            table.append(row)
    return _csv(table)


def _percent(value: float, ends: tuple | None) -> str:
    return f"{100 * value:.2f}" + (
        "" if ends is None else " [{:.2f}, {:.2f}]".format(*(100 * end for end in ends))
    )


def _csv(table: Iterable) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    return text.getvalue()

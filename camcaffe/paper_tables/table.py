"""A table of the paper's errors and ours: as text, CSV and Markdown."""

from __future__ import annotations

import csv
import io
from typing import NamedTuple


class Row(NamedTuple):
    """A network's errors, in per cent.

    Attributes:
        name: what the paper calls it, or its own name where it is not in the paper.
        model: its name in the registry; "" where it has none.
        variant: which crops, or which boxes.
        paper: the paper's errors, one for each number of guesses of the table; None where it has none.
        ours: ours; None where there are none.
        note: why there are none.
    """

    name: str
    model: str
    variant: str
    paper: tuple[float | None, ...]
    ours: tuple[float | None, ...]
    note: str = ""

    def differences(self) -> list[float | None]:
        """Ours less the paper's, in percentage points."""
        return [
            None if paper is None or ours is None else ours - paper
            for paper, ours in zip(self.paper, self.ours)
        ]


class Table(NamedTuple):
    """Rows with a title.

    Attributes:
        title: what the errors are.
        variant: what the rows' variants are: "crops" or "boxes".
        guesses: for which numbers of guesses there are errors.
        rows: the rows.
    """

    title: str
    variant: str
    guesses: tuple[int, ...]
    rows: list[Row]

    def text(self) -> str:
        """The table in columns, then what is missing, a line each."""
        cells = [self._header(), *(_cells(row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells)]
        lines = [
            "  ".join(
                cell.ljust(width) if place < 3 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths))
            ).rstrip()
            for row in cells
        ]
        noted: dict[str, list[str]] = {}
        for row in self.rows:
            if row.note:
                noted.setdefault(row.note, []).append(row.name)
        notes = [f"  {', '.join(names)}: {note}" for note, names in noted.items()]
        return "\n".join([self.title, "", *lines, *(["", "Not run:", *notes] if notes else []), ""])

    def markdown(self) -> str:
        """The table in Markdown, with the notes in a last column where there are any."""
        noted = any(row.note for row in self.rows)
        header = self._header() + ["note"] * noted
        rules = [":---"] * 3 + ["---:"] * 3 * len(self.guesses) + [":---"] * noted
        rows = [_cells(row) + [row.note] * noted for row in self.rows]
        lines = (" | ".join(cell.replace("|", r"\|").replace("*", r"\*") for cell in row) for row in rows)
        table = [" | ".join(header), " | ".join(rules), *lines]
        return "\n".join([f"**{self.title}**", "", *(f"| {line} |" for line in table), ""])

    def csv(self) -> str:
        """The table as CSV: one row a network and variant; empty cells where there is no number."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns = [f"{what}_top{k}" for k in self.guesses for what in ("paper", "ours", "difference")]
        writer.writerow(["network", "model", self.variant, *columns, "note"])
        for row in self.rows:
            numbers = ["" if value is None else f"{value:.2f}" for value in _numbers(row)]
            writer.writerow([row.name, row.model, row.variant, *numbers, row.note])
        return text.getvalue()

    def _header(self) -> list[str]:
        columns = [(f"top-{k} paper", "ours", "difference") for k in self.guesses]
        return ["network", "model", self.variant, *(name for names in columns for name in names)]


def _numbers(row: Row) -> list[float | None]:
    return [value for triple in zip(row.paper, row.ours, row.differences()) for value in triple]


def _cells(row: Row) -> list[str]:
    cells = [row.name, row.model or "-", row.variant or "-"]
    for place, value in enumerate(_numbers(row)):
        form = "{:+.2f}" if place % 3 == 2 else "{:.2f}"
        cells.append("-" if value is None else form.format(value))
    return cells

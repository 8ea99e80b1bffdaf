"""The report's plots, as SVG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from camcaffe.ilsvrc.evaluation import IOU
from camcaffe.ilsvrc.predictions import GUESSES
from camcaffe.report.judgement import Judgement

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that the colour-blind can tell apart (Okabe and Ito); the page draws boxes in the same.
COLORS = {"loose": "#d55e00", "tight": "#0072b2", "combined": "#9a4f96", "true": "#009e73"}
_GRAY, _LIGHT = "#5a6068", "#d9dce0"
_STYLE = {
    "font.size": 11,
    "axes.edgecolor": _GRAY,
    "axes.labelcolor": "#22262a",
    "xtick.color": _GRAY,
    "ytick.color": _GRAY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "camcaffe",  # the same page gets the same bytes
}


def error_curves(judgement: Judgement) -> bytes:
    """Localization and classification error against the number of guesses.

    Returns:
        An SVG picture.
    """

    def draw(axes: Axes) -> None:
        guesses = np.arange(1, GUESSES + 1)
        marks = {"loose": "o", "tight": "s", "combined": "D"}
        for name, errors in judgement.errors.items():
            style = {"color": COLORS[name], "marker": marks[name], "markersize": 5, "linewidth": 2}
            axes.plot(guesses, 100 * errors.localization(), label=f"localization, {name}", **style)
        style = {"color": _GRAY, "marker": "^", "markersize": 5, "linewidth": 1.5, "linestyle": "--"}
        axes.plot(guesses, 100 * judgement.errors["loose"].classification(), label="classification", **style)
        axes.set_xticks(guesses)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("Number of guesses")
        axes.set_ylabel("Error (% of images)")
        axes.grid(axis="y", color=_LIGHT, linewidth=0.8)
        _legend(axes)

    return _svg(draw)


def iou_histogram(judgement: Judgement) -> bytes:
    """How well the loose and the tight boxes of the images' own classes fit.

    Returns:
        An SVG picture.
    """

    def draw(axes: Axes) -> None:
        bins = np.linspace(0, 1, 21)
        for name, overlaps in judgement.iou.items():
            known = overlaps[judgement.counted() & ~np.isnan(overlaps)]
            style = {"color": COLORS[name], "linewidth": 2}
            axes.hist(known, bins, histtype="step", label=f"{name} box", **style)
            axes.hist(known, bins, histtype="stepfilled", color=COLORS[name], alpha=0.12)
        axes.axvline(IOU, color=_GRAY, linewidth=1.2, linestyle=":")
        axes.annotate(
            "fits from here on",
            (IOU, 1),
            (6, -4),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="top",
            fontsize=10,
            color=_GRAY,
        )
        axes.set_xlim(0, 1)
        axes.set_xlabel("IoU with the true box that it fits best")
        axes.set_ylabel("Images")
        axes.grid(axis="y", color=_LIGHT, linewidth=0.8)
        _legend(axes)

    return _svg(draw)


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, ncol=2, loc="lower center", bbox_to_anchor=(0.5, 1))


def _svg(draw) -> bytes:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(6.2, 3.9), constrained_layout=True)
        draw(figure.add_subplot())
        picture = io.BytesIO()
        figure.savefig(picture, format="svg", metadata={"Date": None})
    return picture.getvalue()

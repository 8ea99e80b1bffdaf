"""Loss and accuracy against iterations, from the lines of a log: of `camcaffe train` or of Caffe itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from camcaffe import files
from camcaffe.files import PathLike

_NUMBER = r"([-+]?(?:nan|inf|[\d.]+(?:e[-+]?\d+)?))"
_LOSS = re.compile(rf"Iteration (\d+).*, loss = {_NUMBER}$")
_TESTING = re.compile(r"Iteration (\d+), Testing net \(#(\d+)\)")
_OUTPUT = re.compile(rf"(Train|Test) net output #\d+: (\S+) = {_NUMBER}( \(\* )?")
# Colours that the colour-blind can tell apart (Okabe and Ito).
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

Points = list[tuple[int, float]]


@dataclass
class Curves:
    """What a log tells of a run: each curve is a list of (iteration, value).

    Attributes:
        loss: the training loss as displayed, averaged over `average_loss` iterations.
        losses: "test loss" and the like -> outputs that count towards a loss; not the training's only one.
        scores: "test accuracy" and the like -> all other outputs.
    """

    loss: Points = field(default_factory=list)
    losses: dict[str, Points] = field(default_factory=dict)
    scores: dict[str, Points] = field(default_factory=dict)


def read_curves(lines: Iterable[str]) -> Curves:
    """The curves in a log; of a part that was trained twice, after a kill, the second time counts.

    Args:
        lines: the log's lines; lines that tell of no curve are passed over.
    """
    curves, iteration, phase = Curves(), 0, ""
    for line in lines:
        testing, loss, output = _TESTING.search(line), _LOSS.search(line.rstrip()), _OUTPUT.search(line)
        if testing:
            iteration, net = int(testing[1]), int(testing[2])
            phase = f"test #{net}" if net else "test"
        elif loss:
            iteration, phase = int(loss[1]), "training"
            _add(curves.loss, iteration, loss[2])
        elif output:
            kind, name, value, is_loss = output.groups()
            group = curves.losses if is_loss else curves.scores
            label = f"{phase if kind == 'Test' else 'training'} {name}"
            _add(group.setdefault(label, []), iteration, value)
    own = [label for label in curves.losses if label.startswith("training ")]
    if len(own) == 1:
        del curves.losses[own[0]]  # the loss itself, not averaged
    return curves


def draw_curves(curves: Curves, path: PathLike) -> None:
    """Draw the curves into a PNG: losses on the left, scores, if there are any, on the right.

    Raises:
        CamcaffeError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [("Loss", {"training loss": curves.loss, **curves.losses})]
    if curves.scores:
        panels.append(("Score", curves.scores))
    figure = Figure(figsize=(6 * len(panels), 4.2), constrained_layout=True)
    for axes, (name, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        for color, (label, points) in zip(_cycle(len(lines)), lines.items()):
            marker = "" if label.startswith("training") else "o"
            axes.plot(*zip(*points), color=color, marker=marker, markersize=4, linewidth=1.6, label=label)
        axes.set_xlabel("Iteration")
        axes.set_ylabel(name)
        axes.grid(color="#d9dce0", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    with files.replacing(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary)


def _add(points: Points, iteration: int, value: str) -> None:
    while points and points[-1][0] >= iteration:
        points.pop()
    points.append((iteration, float(value)))


def _cycle(count: int) -> list[str]:
    return [_COLORS[i % len(_COLORS)] for i in range(count)]

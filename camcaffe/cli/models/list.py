"""`camcaffe models list`."""

import click

from camcaffe.models import MODELS, Model, home
from camcaffe.models.store import find_weights


@click.command()
def command() -> None:
    """List the networks: name, name in the paper, input size, class list, CAM blob, FC layer, weights."""
    table()


def table() -> None:
    """Print the list of networks."""
    rows = [("NAME", "IN THE PAPER", "INPUT", "CLASSES", "CAM BLOB", "FC LAYER", "WEIGHTS")]
    for model in MODELS.values():
        size = f"{model.input_size}x{model.input_size}"
        head = (model.cam_blob or "-", model.fc or "-")
        rows.append((model.name, model.paper or "-", size, model.classes, *head, _weights(model)))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    click.echo(f"\nWeights and mean images are kept in {home()} (CAMCAFFE_HOME).")


def _weights(model: Model) -> str:
    if model.shipped:
        return "come with camcaffe"
    there = find_weights(model)
    if there is not None:
        return f"here: {there.name}"
    if model.weights.addresses or model.made_from:
        return "to download"
    return "not published"

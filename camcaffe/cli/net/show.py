"""`camcaffe net show`."""

from __future__ import annotations

import math

import click

from camcaffe.cli.options import InputShape


@click.command()
@click.argument("net", type=click.Path())
@click.argument("weights", type=click.Path(), required=False)
@click.option(
    "--input", "inputs", type=InputShape(), multiple=True, help="Another shape for an input; repeatable."
)
@click.option("--phase", type=click.Choice(["TEST", "TRAIN"]), default="TEST", show_default=True)
@click.option("--level", type=int, default=0, help="For layers with min_level or max_level rules.")
@click.option("--stage", "stages", multiple=True, help="For layers with stage rules; repeatable.")
def command(net: str, weights: str | None, inputs: tuple, phase: str, level: int, stages: tuple) -> None:
    """Layers, shapes, parameters and multiply-adds of NET, a prototxt of any version.

    With WEIGHTS, a caffemodel, it is also checked that they fit the net.
    """
    from camcaffe.caffe.network import read_network
    from camcaffe.caffe.shapes import infer_shapes, multiply_adds
    from camcaffe.caffe.weights import read_weights

    network = read_network(net, phase, level, stages)
    shapes = infer_shapes(network, dict(inputs))
    found, missing = read_weights(network, shapes, weights) if weights is not None else ({}, [])
    rows = [("layer", "type", "output", "weights", "parameters", "multiply-adds")]
    for name in network.inputs:
        rows.append((name, "(input)", _dims(shapes.blobs[name]), "", "", ""))
    totals = [0, 0]
    for layer, layer_shapes in zip(network.layers, shapes.layers):
        counts = sum(map(math.prod, layer_shapes.params)), multiply_adds(layer, layer_shapes)
        totals = [total + count for total, count in zip(totals, counts)]
        outputs, blobs = (", ".join(map(_dims, part)) for part in (layer_shapes.tops, layer_shapes.params))
        rows.append((layer.name, layer.type, outputs, blobs, *(f"{n:,}" if n else "" for n in counts)))
    click.echo("\n".join(_aligned(rows)))
    click.echo(
        f"\n{network.name or net}: {len(network.layers)} layers, {totals[0]:,} parameters,"
        f" {totals[1]:,} multiply-adds{_per_image(network, shapes, totals[1])}"
    )
    if weights is not None:
        count = sum(array.size for arrays in found.values() for array in arrays)
        click.echo(f"{weights}: {count:,} parameters fit")
        if missing:
            click.echo(f"{weights}: nothing for {', '.join(missing)}; Caffe would fill them")


def _per_image(network, shapes, total: int) -> str:
    """The share of one image, where all inputs have the same batch size."""
    batches = {shapes.blobs[name][0] for name in network.inputs if shapes.blobs[name]}
    batch = batches.pop() if len(batches) == 1 else 1
    return f" ({total // batch:,} for each of {batch})" if batch > 1 else ""


def _dims(shape: tuple) -> str:
    return "x".join(map(str, shape)) or "1"


def _aligned(rows: list) -> list:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, (0, 0, 0, 0, 1, 1))
        ).rstrip()
        for row in rows
    ]

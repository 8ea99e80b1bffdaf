"""`camcaffe net diff`."""

from __future__ import annotations

import click


@click.command()
@click.argument("first", type=click.Path())
@click.argument("second", type=click.Path())
@click.pass_context
def command(ctx: click.Context, first: str, second: str) -> None:
    """Compare two nets, prototxts or binary caffemodels, layer by layer.

    Both are brought to Caffe's present form first; nothing but formatting and version is passed over. Two
    caffemodels are compared with their weights, to the last bit. Exit status 0: no difference; 1: the
    differences are printed, FIRST | SECOND.
    """
    from camcaffe.caffe.caffemodel import read_net, weights_of
    from camcaffe.caffe.diff import net_differences

    nets = [read_net(path) for path in (first, second)]
    weights = [weights_of(net, path) for net, path in zip(nets, (first, second))]
    lines = net_differences(*nets, tuple(weights) if all(weights) else ({}, {}))
    for line in lines:
        click.echo(line)
    if lines:
        ctx.exit(1)
    click.echo("no difference")

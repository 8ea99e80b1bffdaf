"""`camcaffe net upgrade`."""

from __future__ import annotations

import click

from camcaffe import files


@click.command()
@click.argument("net", type=click.Path())
@click.argument("output", type=click.Path())
def command(net: str, output: str) -> None:
    """Write NET, of any version that Caffe reads, in Caffe's present form (V2) to OUTPUT.

    A prototxt becomes a prototxt, a binary caffemodel with its weights a binary caffemodel.
    """
    from camcaffe.caffe import messages
    from camcaffe.caffe.caffemodel import read_net, to_bytes
    from camcaffe.caffe.prototxt import net_to_text

    message = read_net(net)
    if isinstance(message, messages.NetParameter):
        files.write_text(output, net_to_text(message))
    else:
        files.write_bytes(output, to_bytes(message, output))
    click.echo(f"{output}: {len(message.layer)} layers")

"""`camcaffe net head`: where a net's class activation maps come from."""

from __future__ import annotations

import click


@click.command()
@click.argument("prototxt", type=click.Path())
@click.option("--cam-blob", metavar="BLOB", help="Take this blob's features; goes with --fc.")
@click.option("--fc", metavar="LAYER", help="Weigh them with this layer; goes with --cam-blob.")
def command(prototxt: str, cam_blob: str | None, fc: str | None) -> None:
    """The CAM head of PROTOTXT: its features, its pooling and its classifier, found from the graph.

    \b
    Examples:
      camcaffe net head deploy_googlenetCAM.prototxt
      camcaffe net head deploy_squeezenet_v1.0.prototxt --cam-blob fire9/concat --fc conv_final
    """
    from camcaffe.caffe.head import find_head
    from camcaffe.caffe.network import read_network
    from camcaffe.caffe.shapes import infer_shapes

    network = read_network(prototxt)
    shapes = infer_shapes(network)
    head = find_head(network, shapes, cam_blob, fc)
    shape = " x ".join(map(str, shapes.blobs[head.cam_blob][1:]))
    click.echo(f"head        {head.kind}")
    click.echo(f"CAM blob    {head.cam_blob} ({shape})")
    click.echo(f"classifier  {head.classifier or 'none: the blob holds the class maps themselves'}")
    click.echo(f"scores      {head.scores}")
    click.echo("found by    " + "\n            ".join(head.path))

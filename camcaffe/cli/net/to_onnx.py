"""`camcaffe net to-onnx`: a Caffe net for those who leave Caffe."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("prototxt", type=click.Path())
@click.argument("caffemodel", type=click.Path(), required=False)
@click.option("-o", "--output", required=True, metavar="FILE", type=click.Path(), help="The ONNX file.")
@click.option(
    "--blob",
    "blobs",
    multiple=True,
    metavar="NAME",
    help="An output; repeatable. Default: the net's outputs.",
)
def command(prototxt: str, caffemodel: str | None, output: str, blobs: tuple) -> None:
    """Write PROTOTXT, with the weights of CAFFEMODEL, as an ONNX model.

    The batch size stays open where the net allows it. Without a caffemodel the weights are as the
    prototxt's fillers say.

    \b
    Example:
      camcaffe net to-onnx deploy_googlenetCAM.prototxt googlenetCAM.caffemodel -o cam.onnx \\
          --blob prob --blob CAM_conv
    """
    from camcaffe.caffe.network import read_network
    from camcaffe.caffe.onnx_export import write_onnx
    from camcaffe.caffe.shapes import infer_shapes
    from camcaffe.caffe.weights import fill_weights, load_weights

    network = read_network(prototxt)
    shapes = infer_shapes(network)
    if caffemodel is None:
        weights = fill_weights(network, shapes)
    else:
        weights = load_weights(network, shapes, caffemodel)
    model = write_onnx(output, network, weights, blobs, caffemodel)
    for kind in ("input", "output"):
        for value in getattr(model.graph, kind):
            dims = [d.dim_param or str(d.dim_value) for d in value.type.tensor_type.shape.dim]
            click.echo(f"{kind:8}{value.name} ({' x '.join(dims)})")
    click.echo(f"wrote {output} ({Path(output).stat().st_size / 1e6:.1f} MB)")

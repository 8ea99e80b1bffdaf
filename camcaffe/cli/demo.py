"""`camcaffe demo`: the original's demo.m."""

from __future__ import annotations

import click

from camcaffe.cli.options import picture_options


@click.command()
@click.argument("image", type=click.Path())
@click.option(
    "--features",
    type=click.Path(),
    required=True,
    metavar="MAT",
    help="The image's features: activation_lastconv and scores of the ten crops.",
)
@click.option(
    "--weights",
    type=click.Path(),
    required=True,
    metavar="MAT",
    help="The classifier's weights: weights_LR, and categories if --labels is not given.",
)
@click.option("--labels", type=click.Path(), metavar="MAT|TXT", help="The class list.")
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many classes.")
@click.option(
    "--ranking",
    type=click.Choice(["original", "mean"]),
    default="original",
    show_default=True,
    help="original: as demo.m does, which ranks by the first crop alone where the scores are stored"
    " as 1 x 1 x classes x 10. mean: by the mean of the ten crops.",
)
@click.option(
    "--crop-size", type=click.IntRange(1, 256), default=224, show_default=True, help="The net's input size."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    default="result.jpg",
    show_default=True,
    help="The picture to write: .jpg as the original does, .png without loss.",
)
@picture_options
def command(
    image: str,
    features: str,
    weights: str,
    labels: str | None,
    top: int,
    ranking: str,
    crop_size: int,
    output: str,
    exif_rotation: bool,
    max_pixels: int,
) -> None:
    """Class activation maps of the top classes of IMAGE, side by side.

    Prints the classes and writes one picture: the image, then a heat map a class.

    \b
    Examples:
      camcaffe demo img2.jpg --features data_img2.mat --weights data_net.mat
      camcaffe demo img2.jpg --features data_img2.mat --weights data_net.mat --top 3 -o maps.png
    """
    from camcaffe.demo import run_demo
    from camcaffe.features import read_features, read_labels, read_weights
    from camcaffe.matlab import imwrite, read_rgb

    picture = read_rgb(image, exif_rotation=exif_rotation, max_pixels=max_pixels)
    cached = read_features(features)
    demo = run_demo(
        picture,
        cached.conv,
        cached.class_scores(ranking),
        read_weights(weights),
        read_labels(labels or weights),
        top,
        crop_size,
    )
    imwrite(output, demo.picture)
    click.echo(demo.caption)

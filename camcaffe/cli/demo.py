"""`camcaffe demo`: the original's demo.m."""

from __future__ import annotations

from pathlib import Path

import click

from camcaffe.cli.options import net_options, picture_options, top_option

# The net of those who name none.
SHIPPED = "digitsCAM"


@click.command()
@click.argument("image", required=False, type=click.Path())
@net_options
@click.option(
    "--features",
    type=click.Path(),
    metavar="MAT",
    help="Instead of a net: the image's features, activation_lastconv and scores of the ten crops.",
)
@click.option(
    "--weights",
    type=click.Path(),
    metavar="MAT",
    help="With --features: the classifier's weights, weights_LR, and categories if --labels is not given.",
)
@top_option
@click.option(
    "--ranking",
    type=click.Choice(["original", "mean"]),
    default="original",
    show_default=True,
    help="With --features. original: as demo.m does, which ranks by the first crop alone where the scores"
    " are stored as 1 x 1 x classes x 10. mean: by the mean of the ten crops.",
)
@click.option(
    "--crop-size",
    type=click.IntRange(1, 256),
    default=224,
    show_default=True,
    help="With --features: the net's input size.",
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
    image: str | None,
    model: str | None,
    labels: str | None,
    features: str | None,
    weights: str | None,
    top: int | None,
    ranking: str,
    crop_size: int,
    output: str,
    exif_rotation: bool,
    max_pixels: int,
    **net,
) -> None:
    """Class activation maps of the top classes of IMAGE, side by side.

    Prints the classes and writes one picture: the image, then a heat map a class. The features come from
    a net, or, with --features and --weights, from .mat files as the authors published them. Without either
    the net is digitsCAM, which comes with camcaffe and knows handwritten digits; so does an IMAGE for it.

    \b
    Examples:
      camcaffe demo
      camcaffe demo img2.jpg --model googlenetCAM
      camcaffe demo img2.jpg --features data_img2.mat --weights data_net.mat
      camcaffe demo img2.jpg --features data_img2.mat --weights data_net.mat --top 3 -o maps.png
    """
    from camcaffe.demo import demo_of_features, demo_of_model
    from camcaffe.matlab import imwrite, read_rgb

    if bool(features) != bool(weights) or (features and (model or net["prototxt"])):
        raise click.UsageError(
            "give a net (--model, or --prototxt and its files), or --features and --weights"
        )
    unnamed = not (features or model or net["prototxt"])
    if unnamed:
        model = SHIPPED
        click.echo(f"net: {SHIPPED}, which knows handwritten digits; --model names another")
    if image is None:
        image = _sample(model)
        click.echo(f"image: {image}")
    picture = read_rgb(image, exif_rotation=exif_rotation, max_pixels=max_pixels)
    if features:
        from camcaffe.features import read_features, read_weights
        from camcaffe.labels import read_labels

        cached = read_features(features)
        scores = cached.class_scores(ranking)
        classifier, names = read_weights(weights), read_labels(labels or weights)
        demo = demo_of_features(picture, cached.conv, scores, classifier, names, top, crop_size)
    else:
        from camcaffe.loading import load

        demo = demo_of_model(picture, load(model, labels=labels, **net), top)
    imwrite(output, demo.picture)
    click.echo(demo.caption)
    if unnamed:
        click.echo(f"{output}: the image, then where the net sees each of these classes")


def _sample(model: str | None) -> Path:
    """The image that comes with a shipped net."""
    from camcaffe.models import MODELS
    from camcaffe.models.store import shipped_folder

    if model not in MODELS or not MODELS[model].shipped:
        raise click.UsageError("give an IMAGE: none comes with this net")
    return min(shipped_folder(MODELS[model]).glob("*.png"))

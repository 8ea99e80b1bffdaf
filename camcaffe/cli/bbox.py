"""`camcaffe bbox`: the authors' box programs, and the picture of generate_bbox.m."""

from __future__ import annotations

import click
import numpy as np

from camcaffe.cli.options import picture_options
from camcaffe.errors import CamcaffeError


class _ThresholdsCommand(click.Command):
    """A command whose option --thresholds takes all the numbers that follow it."""

    def parse_args(self, ctx: click.Context, args: list) -> list:
        """Make one value of the numbers, since click's options take a fixed count."""
        if "--thresholds" in args:
            first = last = args.index("--thresholds") + 1
            while last < len(args) and _is_number(args[last]):
                last += 1
            if last > first:
                args[first:last] = [" ".join(args[first:last])]
        return super().parse_args(ctx, args)


@click.command(cls=_ThresholdsCommand)
@click.argument("heatmap", type=click.Path())
@click.option(
    "--thresholds",
    metavar="T T [T]",
    help="Gray levels: three for dt (default 20 100 110, as the authors' scripts pass; the program's own are"
    " 30 90 150), two for graph-cut (default 10 40).",
)
@click.option(
    "--method",
    type=click.Choice(["dt", "graph-cut", "largest-component"]),
    default="dt",
    show_default=True,
    help="dt: the authors' program dt_box. graph-cut: their program cut, which needs --image."
    " largest-component: the rule in the paper's text, above 20 % of the maximum.",
)
@click.option("--image", type=click.Path(), help="The picture that the heat map belongs to.")
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="TXT",
    help="Write the boxes to this file instead of printing them.",
)
@click.option(
    "--draw",
    type=click.Path(),
    metavar="PICTURE",
    help="Write the image with the boxes and the heat map beside it; without --image, boxes in the heat map.",
)
@picture_options
def command(
    heatmap: str,
    thresholds: str | None,
    method: str,
    image: str | None,
    output: str | None,
    draw: str | None,
    exif_rotation: bool,
    max_pixels: int,
) -> None:
    """Boxes of a gray HEATMAP, the most important first, as `x y w h ` in pixels from 0.

    \b
    Examples:
      camcaffe bbox heatmap_6.jpg
      camcaffe bbox heatmap_6.jpg --thresholds 30 90 150 -o boxes.txt
      camcaffe bbox heatmap_6.jpg --image sample_6.jpg --draw boxes.png
      camcaffe bbox heatmap_6.jpg --method graph-cut --image sample_6.jpg --thresholds 20 100
    """
    from camcaffe import files
    from camcaffe.boxes import bbox_picture
    from camcaffe.matlab import imwrite, read_gray, read_rgb

    gray = read_gray(heatmap, exif_rotation=exif_rotation, max_pixels=max_pixels)
    picture = None
    if image is not None:
        picture = read_rgb(image, exif_rotation=exif_rotation, max_pixels=max_pixels)
        if picture.shape[:2] != gray.shape:
            raise CamcaffeError(
                image, f"{_size(picture)} pixels", f"{_size(gray)}, the size of the heat map {heatmap}"
            )
    elif method == "graph-cut":
        raise CamcaffeError("--method graph-cut", "no --image", "the picture that the heat map belongs to")
    boxes = _boxes(gray, picture, method, _levels(thresholds))
    if draw is not None:
        imwrite(draw, bbox_picture(gray, boxes, picture))
    line = "".join(f"{number} " for number in boxes.ravel())
    if output is not None:
        files.write_text(output, line)
    else:
        click.echo(line)


def _boxes(gray: np.ndarray, picture: np.ndarray | None, method: str, given: tuple | None) -> np.ndarray:
    from camcaffe.boxes import dt_box, graph_cut
    from camcaffe.boxes.largest_component import largest_component_box

    if method == "dt":
        levels = dt_box.AUTHORS_THRESHOLDS if given is None else given
        _warn_if_replaced(levels, dt_box.accepted_thresholds(levels), "0 < t0 < t1 < t2 < 255")
        return dt_box.dt_boxes(gray, levels)
    if method == "graph-cut":
        levels = graph_cut.DEFAULT_THRESHOLDS if given is None else given
        _warn_if_replaced(levels, graph_cut.accepted_thresholds(levels), "0 <= t0 < t1 <= 255")
        return graph_cut.graph_cut_boxes(picture, gray, levels)
    if given is not None:
        raise CamcaffeError("--thresholds", "given with --method largest-component", "dt or graph-cut")
    return largest_component_box(gray)


def _levels(thresholds: str | None) -> tuple | None:
    if thresholds is None:
        return None
    try:
        return tuple(int(number) for number in thresholds.split())
    except ValueError as error:
        raise CamcaffeError("--thresholds", thresholds, "integers") from error


def _warn_if_replaced(given: tuple, accepted: tuple, rule: str) -> None:
    if accepted != given:
        used, refused = (" ".join(map(str, levels)) for levels in (accepted, given))
        click.echo(
            f"Warning: thresholds {refused} are not {rule}; as in the original, {used} are used", err=True
        )


def _is_number(argument: str) -> bool:
    try:
        float(argument)
    except ValueError:
        return False
    return True


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"

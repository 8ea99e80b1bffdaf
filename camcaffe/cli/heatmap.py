"""`camcaffe heatmap`: heat maps, overlays and boxes of many images."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from camcaffe.cli.options import net_options, picture_options, top_option
from camcaffe.errors import CamcaffeError


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(), metavar="IMAGE...")
@net_options
@top_option
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="N|WNID",
    help="Map this class instead of the top ones: its index from 0, or its WNID; repeatable.",
)
@click.option("--boxes", is_flag=True, help="Add each class's boxes, and draw the loose one.")
@click.option(
    "--out", type=click.Path(), default="heatmaps", show_default=True, help="The folder to write into."
)
@picture_options
def command(
    images: tuple,
    model: str | None,
    top: int | None,
    classes: tuple,
    boxes: bool,
    out: str,
    exif_rotation: bool,
    max_pixels: int,
    **net,
) -> None:
    """Heat maps of the top classes of each IMAGE, at its size.

    \b
    Writes into the folder:
      top1/NAME.jpg ...   gray heat maps, a folder a rank, as the original's scripts lay them out
      overlays/NAME.jpg   the image, then each class's heat map over it
      results.json        classes, scores and, with --boxes, boxes [x, y, w, h] in pixels from 0

    An image that cannot be read does not stop the others: it is told at the end, with exit status 1.

    \b
    Examples:
      camcaffe heatmap *.jpg --model squeezenetCAM --boxes
      camcaffe heatmap cat.jpg --model googlenetCAM --class n02123045 --class 282 --out cats
    """
    from tqdm import tqdm

    from camcaffe import files
    from camcaffe.loading import load
    from camcaffe.matlab import read_rgb

    _refuse_twins(images)
    loaded = load(model, **net)
    chosen = [loaded.find_class(name) for name in classes] or None
    folder = files.make_folder(out)
    found, failed = {}, {}
    for image in tqdm(images, unit="image", disable=not sys.stderr.isatty()):
        try:
            picture = read_rgb(image, exif_rotation=exif_rotation, max_pixels=max_pixels)
        except CamcaffeError as error:
            failed[image] = str(error)
            continue
        result = loaded(picture, top, chosen)
        _write_pictures(folder, Path(image).stem, result, boxes)
        found[image] = _summary(result, boxes)
    document = {
        "model": model or net["prototxt"],
        "engine": loaded.net.engine,
        "images": found,
        "failed": failed,
    }
    files.write_text(folder / "results.json", json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    click.echo(f"{len(found)} of {len(images)} images: {folder / 'results.json'}")
    for line in failed.values():
        click.echo(f"Error: {line}", err=True)
    if failed:
        sys.exit(1)


def _refuse_twins(images: tuple) -> None:
    stems = {}
    for image in images:
        twin = stems.setdefault(Path(image).stem, image)
        if twin is not image:
            raise CamcaffeError(image, f"its heat maps would replace those of {twin}", "names that differ")


def _write_pictures(folder: Path, stem: str, result, boxes: bool) -> None:
    from camcaffe import files
    from camcaffe.matlab import imwrite

    for rank, gray in enumerate(result.heatmaps, 1):
        imwrite(files.make_folder(folder / f"top{rank}") / f"{stem}.jpg", gray)
    imwrite(files.make_folder(folder / "overlays") / f"{stem}.jpg", result.picture(boxes))


def _summary(result, boxes: bool) -> list:
    rows = []
    for index, label, score, found in zip(result.classes, result.labels, result.scores, result.boxes):
        row = {"class": int(index), "label": label, "score": float(score)}
        rows.append({**row, "boxes": found.tolist()} if boxes else row)
    return rows

"""Options that several subcommands share."""

from __future__ import annotations

import re

import click

from camcaffe.matlab.pictures import MAX_PIXELS


def top_option(command):
    """`--top`: how many classes of an image; None for `rank_classes` to choose."""
    return click.option(
        "--top",
        type=click.IntRange(min=1),
        metavar="N",
        help="How many classes.  [default: 5, or all where there are fewer]",
    )(command)


class InputShape(click.ParamType):
    """`data=10,3,224,224` as ("data", (10, 3, 224, 224))."""

    name = "NAME=DIMS"

    def convert(self, value, param, ctx):
        """Split the text, or fail."""
        match = re.fullmatch(r"(.+)=(\d{1,9}(?:,\d{1,9})*)", value)
        if not match:
            self.fail(f"{value!r} is not like data=10,3,224,224", param, ctx)
        return match[1], tuple(map(int, match[2].split(",")))


def picture_options(command):
    """`--exif-rotation` and `--max-pixels`: how pictures are read; keyword arguments of `read_rgb`."""
    return _apply(
        command,
        click.option(
            "--exif-rotation", is_flag=True, help="Turn pictures as their EXIF tag says (MATLAB ignores it)."
        ),
        click.option(
            "--max-pixels",
            type=click.IntRange(min=1),
            default=MAX_PIXELS,
            show_default=True,
            help="Refuse larger pictures.",
        ),
    )


def net_options(command):
    """Which net to run and on what; `--model` and keyword arguments of `camcaffe.load`."""
    return _apply(
        command,
        click.option("--model", metavar="NAME", help="A network by name: see `camcaffe models list`."),
        click.option("--prototxt", type=click.Path(), help="A deploy net of any version."),
        click.option("--caffemodel", type=click.Path(), help="Its weights."),
        click.option(
            "--mean", metavar="FILE|B,G,R", help="Its mean: .mat, .binaryproto, .npy or three numbers."
        ),
        click.option("--labels", type=click.Path(), metavar="TXT|MAT", help="Its class list."),
        click.option("--cam-blob", metavar="BLOB", help="Its features, where its graph does not tell."),
        click.option("--fc", metavar="LAYER", help="The layer that weighs them; goes with --cam-blob."),
        click.option(
            "--engine",
            default="auto",
            show_default=True,
            help="pycaffe, onnx, openvino, opencv or torch: see `camcaffe doctor`. auto: $CAMCAFFE_ENGINE,"
            " or else pycaffe where it is there, or else onnx.",
        ),
        click.option("--threads", type=click.IntRange(min=1), help="CPU threads for the net."),
        click.option(
            "--precision",
            type=click.Choice(["float32", "bfloat16", "float16"]),
            default="float32",
            show_default=True,
            help="Only float32 is faithful to Caffe.",
        ),
        click.option(
            "--device", default="cpu", show_default=True, help="cpu, or cuda with the engine torch."
        ),
    )


def _apply(command, *options):
    for option in reversed(options):
        command = option(command)
    return command

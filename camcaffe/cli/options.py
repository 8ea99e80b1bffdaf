"""Options that several subcommands share."""

from __future__ import annotations

import click

from camcaffe.matlab.pictures import MAX_PIXELS


def picture_options(command):
    """`--exif-rotation` and `--max-pixels`: how pictures are read; keyword arguments of `read_rgb`."""
    command = click.option(
        "--max-pixels",
        type=click.IntRange(min=1),
        default=MAX_PIXELS,
        show_default=True,
        help="Refuse larger pictures.",
    )(command)
    return click.option(
        "--exif-rotation", is_flag=True, help="Turn pictures as their EXIF tag says (MATLAB ignores it)."
    )(command)

"""`camcaffe net`: look at Caffe nets and change them."""

from __future__ import annotations

import click

from camcaffe.cli import LazyGroup

COMMANDS = {
    "show": ("show", "Layers, shapes, parameters and multiply-adds of a net."),
    "upgrade": ("upgrade", "Write a net of any version in Caffe's present form."),
    "head": ("head", "Where a net's class activation maps come from."),
    "to-onnx": ("to_onnx", "Write a net as an ONNX model."),
    "gapify": ("gapify", "Make a net for class activation mapping from a classification net."),
    "diff": ("diff", "Compare two nets layer by layer."),
}


@click.group(cls=LazyGroup, package="camcaffe.cli.net", commands=COMMANDS)
def command() -> None:
    """Look at Caffe nets and change them."""

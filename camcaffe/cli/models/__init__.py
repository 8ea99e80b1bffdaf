"""The commands `camcaffe models`."""

import click

from camcaffe.cli import LazyGroup

COMMANDS = {
    "list": ("list", "The networks that are known by name."),
    "download": ("download", "Bring weights and mean images to this machine."),
    "write": ("write", "Write prototxts and class lists into a folder."),
}


@click.group(cls=LazyGroup, package="camcaffe.cli.models", commands=COMMANDS)
def command() -> None:
    """The networks: list them, bring their weights, write their prototxts."""

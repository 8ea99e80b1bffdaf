"""The command `camcaffe`: one module a subcommand, loaded only when it is called."""

from __future__ import annotations

import importlib

import click

from camcaffe._version import __version__
from camcaffe.errors import CamcaffeError

# Subcommand -> (module in this package, its line in `camcaffe --help`). The line stands here, so that
# the help of all need not load the code of any.
COMMANDS = {
    "demo": ("demo", "Class activation maps of one image, side by side."),
    "heatmap": ("heatmap", "Heat maps, overlays and boxes of many images."),
    "localize": ("localize", "Classes and boxes of many images, in one file that a kill leaves whole."),
    "bbox": ("bbox", "Boxes of a heat map."),
    "net": ("net", "Look at Caffe nets and change them."),
    "models": ("models", "The networks: list them, bring their weights, write their prototxts."),
    "digits": ("digits", "Scenes of handwritten digits with their boxes, to try everything on."),
    "dataset": ("dataset", "A folder of pictures as lists, LMDBs and mean for training."),
    "train": ("train", "Train a net as Caffe does."),
    "evaluate": ("evaluate", "Classification and localization errors, as the ILSVRC devkit computes them."),
    "report": ("report", "One HTML page on a run: tables, plots, hits and misses."),
    "export": ("export", "The prediction file for the devkit and the evaluation server."),
    "doctor": ("doctor", "What is installed, what is missing, and how to install it."),
}


class BadInput(click.ClickException):
    """A CamcaffeError on its way to the user: one line, exit status 2."""

    exit_code = 2


class LazyGroup(click.Group):
    """A click group whose commands are modules, imported when they are called."""

    def __init__(self, *args, package: str, commands: dict, **kwargs):
        super().__init__(*args, **kwargs)
        self._package, self._lazy = package, commands

    def list_commands(self, ctx: click.Context) -> list:
        """All subcommands, in the order of the table."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The subcommand, its module imported now."""
        if name not in self._lazy:
            return None
        return importlib.import_module(f"{self._package}.{self._lazy[name][0]}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of subcommands, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._lazy.items()])

    def invoke(self, ctx: click.Context):
        """Run the subcommand; turn what it says of its input into one line and exit status 2."""
        try:
            return super().invoke(ctx)
        except CamcaffeError as error:
            raise BadInput(str(error)) from error


@click.group(
    cls=LazyGroup,
    package="camcaffe.cli",
    commands=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="camcaffe")
def main() -> None:
    """Class Activation Mapping (Zhou et al., CVPR 2016) for Caffe networks."""

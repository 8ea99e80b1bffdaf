"""`camcaffe models download`."""

import sys

import click

from camcaffe.cli.models.list import table
from camcaffe.errors import CamcaffeError


@click.command()
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--list", "listing", is_flag=True, help="List the networks and which weights are here.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=30.0,
    show_default=True,
    help="Seconds without a byte after which a server is given up.",
)
def command(names: tuple, listing: bool, timeout: float) -> None:
    """Bring the weights of the networks NAME..., and the mean image, to this machine.

    A download that broke off is gone on with; every file is checked before it gets its name. Files are
    kept in $CAMCAFFE_HOME (~/.cache/camcaffe unless set). CAMCAFFE_MIRROR holds addresses to fetch from
    instead of the published ones.

    The name `demo` stands for the authors' demo images, their features and a heat map, which come into the
    folder demo, here.

    \b
    Examples:
      camcaffe models download squeezenetCAM googlenetCAM
      camcaffe models download demo
    """
    if listing:
        table()
        return
    if not names:
        raise click.UsageError("name at least one network, or ask for --list")
    from camcaffe.models import download

    failed = False
    for name in names:
        try:
            if name == "demo":
                brought = download.download_demo("demo", timeout=timeout)
            else:
                brought = download.download(name, timeout=timeout).caffemodel
            click.echo(f"{name}: {brought}")
        except CamcaffeError as error:
            click.echo(f"Error: {error}", err=True)
            failed = True
    if failed:
        sys.exit(2)

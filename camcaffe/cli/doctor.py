"""`camcaffe doctor`: what is installed, what is missing, and the command that would install it."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from collections.abc import Callable

import click

from camcaffe._version import __version__
from camcaffe.errors import CamcaffeError

# Module that every part of camcaffe may need -> the command that installs it.
LIBRARIES = {
    "numpy": "pip install numpy",
    "scipy": "pip install scipy",
    "cv2": "pip install opencv-python-headless",
    "h5py": "pip install h5py",
    "google.protobuf": "pip install protobuf",
    "PIL": "pip install Pillow",
}


@click.command("doctor")
def command() -> None:
    """Tell which engines can run nets here, and how to install the others.

    Ends with the engine that `auto` takes. The exit status is 0 whatever is missing.
    """
    click.echo(f"camcaffe {__version__}")
    click.echo(f"Python {platform.python_version()} ({sys.executable}), {platform.platform()}")
    click.echo("\nLibraries")
    for name, install in LIBRARIES.items():
        click.echo(
            f"  {name:16}{_version(lambda name=name: importlib.import_module(name).__version__, install)}"
        )
    click.echo("\nEngines")
    try:
        from camcaffe.caffe import engines
    except ImportError as error:
        click.echo(f"  none: {error}")
        return
    for name in engines.ENGINES:
        module = engines.load(name)
        ability = f"{len(module.LAYERS)} layer types" + ", gradients" * module.Engine.has_gradients
        click.echo(f"  {name:16}{_version(module.version, module.INSTALL, ability)}")
    click.echo(
        f"\nCPUs for this process: {engines.available_cpus()}, all of them used unless --threads says less"
    )
    click.echo(_choice(engines))


def _version(find: Callable[[], str | None], install: str, ability: str = "") -> str:
    try:
        version = find()
    except ModuleNotFoundError:
        version = None
    except Exception as error:  # a library made for another system may raise anything when it is loaded
        return f"cannot be loaded ({str(error).splitlines()[0]}); {install}"
    return f"{version:16}{ability}".rstrip() if version else f"missing; {install}"


def _choice(engines) -> str:
    wanted = os.environ.get("CAMCAFFE_ENGINE")
    try:
        name = engines.choose("auto").Engine.name
    except CamcaffeError as error:
        return f"The engine auto takes none: {error}"
    return f"The engine auto takes {name}" + (", as CAMCAFFE_ENGINE says" if wanted else "")

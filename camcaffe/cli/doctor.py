"""`camcaffe doctor`: what is installed, what is missing, and the command that would install it."""

from __future__ import annotations

import importlib.metadata
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
# Package that some commands need -> the extra that brings it, and what it is for.
OPTIONAL = {
    "matplotlib": ("report", "plots of runs and of training"),
    "jinja2": ("report", "the page of `camcaffe report`"),
    "lmdb": ("train", "Caffe's databases of images"),
    "scikit-learn": ("train", "the scans of handwritten digits"),
    "distributed": ("cluster", "`camcaffe localize --scheduler`"),
}


@click.command("doctor")
def command() -> None:
    """Tell which libraries and engines are here, and how to install the others.

    Ends with the engine that `auto` takes. The exit status is 0 whatever is missing.
    """
    click.echo(f"camcaffe {__version__}")
    click.echo(f"Python {platform.python_version()} ({sys.executable}), {platform.platform()}")
    click.echo("\nLibraries")
    for name, install in LIBRARIES.items():
        click.echo(
            f"  {name:16}{_version(lambda name=name: importlib.import_module(name).__version__, install)}"
        )
    click.echo("\nOptional libraries")
    for name, (extra, purpose) in OPTIONAL.items():
        install = f'pip install "camcaffe[{extra}]", for {purpose}'
        click.echo(f"  {name:16}{_version(lambda name=name: _installed_version(name), install, purpose)}")
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


def _installed_version(package: str) -> str | None:
    # Some of these take a second to load, which only their version is not worth.
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


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

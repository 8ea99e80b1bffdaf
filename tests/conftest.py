import os
from pathlib import Path

import pytest
from click.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder with the original programs' outputs; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("CAMCAFFE_REFERENCE", ROOT.parent / "shared" / "reference"))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder} (CAMCAFFE_REFERENCE names the folder)")
    return folder


@pytest.fixture
def camcaffe():
    """Run the command line in this process: camcaffe("bbox", "map.jpg") -> click's result."""
    from camcaffe.cli import main

    def run(*arguments, **options):
        return CliRunner().invoke(
            main, [str(argument) for argument in arguments], prog_name="camcaffe", **options
        )

    return run

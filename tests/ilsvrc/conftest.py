import pytest
from ilsvrc_files import write_benchmark


@pytest.fixture
def small(tmp_path):
    """The files of a small benchmark, to be changed at will."""
    return write_benchmark(tmp_path)


@pytest.fixture
def mini(reference):
    """The real devkit cut to 200 images."""
    return reference / "mini_ilsvrc"

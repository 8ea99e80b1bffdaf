import importlib.util
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _reads_caffe_nets() -> bool:
    import cv2

    return hasattr(cv2.dnn, "readNetFromCaffe")


def _has_gpu() -> bool:
    if not _installed("torch"):
        return False
    import torch

    return torch.cuda.is_available()


def _has_caffe_root() -> bool:
    root = os.environ.get("CAMCAFFE_DEBIAN_ROOT")
    return bool(root) and Path(root, "usr/bin/caffe").is_file() and os.geteuid() == 0


# Marker -> whether that optional library is here.
OPTIONAL = {
    "pycaffe": lambda: _installed("caffe.pycaffe"),
    "onnx": lambda: _installed("onnxruntime"),
    "lmdb": lambda: _installed("lmdb"),
    "torch": lambda: _installed("torch"),
    "openvino": lambda: _installed("openvino"),
    "cuda": _has_gpu,
    "opencv4": _reads_caffe_nets,
    "opencv5": lambda: not _reads_caffe_nets(),
    "distributed": lambda: _installed("distributed"),
    "docs": lambda: _installed("mkdocs"),
    "caffe_root": _has_caffe_root,
}


def pytest_collection_modifyitems(config, items):
    """Deselect the tests of optional libraries that are not here.

    Whoever asks for one of them, as in `pytest -m torch`, without having it, finds that no test is left,
    which pytest counts as a failure.
    """
    markers = {item: {marker.name for marker in item.iter_markers()} for item in items}
    missing = {name for name in set().union(*markers.values()) & OPTIONAL.keys() if not OPTIONAL[name]()}
    config.hook.pytest_deselected(items=[item for item in items if markers[item] & missing])
    items[:] = [item for item in items if not markers[item] & missing]


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


class RealCaffe:
    """BVLC Caffe in its Debian 11 root: commands see `folder` as their working folder.

    Attributes:
        folder: a new folder in the root, that the test may write to and read from.
    """

    def __init__(self, root: Path, folder: Path):
        self.folder, self._root = folder, root

    def run(self, *command, status: int = 0, blas: str = "Prescott") -> str:
        """Run a command such as `caffe train --solver s.prototxt`; gives what it printed and logged."""
        script = 'cd "$1" && shift && exec "$@"'
        inside = f"/{self.folder.relative_to(self._root)}"
        done = subprocess.run(
            ["chroot", self._root, "env", "-i", "PATH=/usr/bin:/bin", f"OPENBLAS_CORETYPE={blas}",
             "sh", "-c", script, "sh", inside, *map(str, command)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout
        return done.stdout


@pytest.fixture
def real_caffe():
    """BVLC Caffe in the root that CAMCAFFE_DEBIAN_ROOT names; for tests marked `caffe_root`."""
    root = Path(os.environ["CAMCAFFE_DEBIAN_ROOT"])
    with tempfile.TemporaryDirectory(dir=root / "tmp") as folder:
        yield RealCaffe(root, Path(folder))


@pytest.fixture
def squeezenet_home(reference, tmp_path, monkeypatch) -> Path:
    """A folder of downloads that holds the real squeezenetCAM and the mean image."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "squeezenetCAM.caffemodel").symlink_to(reference / "caffe" / "squeezenetCAM.caffemodel")
    (home / "ilsvrc_2012_mean.mat").symlink_to(reference / "cam_repo" / "ilsvrc_2012_mean.mat")
    monkeypatch.setenv("CAMCAFFE_HOME", str(home))
    return home


SMALL_NET = """
name: "small"
input: "data" input_shape { dim: 10 dim: 3 dim: 40 dim: 40 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 6 kernel_size: 5 stride: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "gap" type: "Pooling" bottom: "conv" top: "gap"
        pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "gap" top: "fc"
        inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


@pytest.fixture
def small_net(tmp_path) -> list:
    """Arguments that name a net of seven classes with seeded weights, for the command line."""
    from camcaffe.caffe.net import Net

    (tmp_path / "small.prototxt").write_text(SMALL_NET)
    Net(tmp_path / "small.prototxt", seed=3).save(tmp_path / "small.caffemodel")
    return [f"--prototxt={tmp_path / 'small.prototxt'}", f"--caffemodel={tmp_path / 'small.caffemodel'}",
            "--mean=104,117,123"]  # fmt: skip

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

HEAVY = ["cv2", "scipy", "h5py", "PIL", "google.protobuf", "onnx", "onnxruntime", "torch", "tqdm"]


@pytest.mark.parametrize(
    "code", ["import camcaffe", "import camcaffe.cli", "import camcaffe.matlab, camcaffe.boxes"]
)
def test_nothing_heavy_loads_before_it_is_used(code):
    script = f"import sys; {code}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True)
    assert loaded.stdout.split() == []


def test_python_m_camcaffe_is_the_command():
    shown = subprocess.run(
        [sys.executable, "-m", "camcaffe", "--help"], stdout=subprocess.PIPE, text=True, check=True
    )
    assert "camcaffe [OPTIONS] COMMAND" in shown.stdout
    assert "Class activation maps of one image" in shown.stdout


def test_every_subcommand_has_help(camcaffe):
    from camcaffe.cli import COMMANDS

    for name in COMMANDS:
        result = camcaffe(name, "--help")
        assert result.exit_code == 0, name
        assert f"camcaffe {name}" in result.output


def test_an_unknown_subcommand(camcaffe):
    result = camcaffe("paint")
    assert result.exit_code == 2
    assert "No such command" in result.output


def test_both_ways_to_real_caffe_install_the_same():
    script = (ROOT / "scripts" / "pycaffe_debian11.sh").read_text()
    (packages,) = re.findall(r'^packages="([^"]+)"$', script, re.MULTILINE)
    dockerfile = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    (installed,) = re.findall(r"--no-install-recommends ([^&]+)&&", dockerfile)
    assert installed.split() == packages.split()

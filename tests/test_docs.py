"""The site in docs/, and the commands of its guide, run in order in an empty folder."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from camcaffe.matlab import imread

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs" / "your_own_cnn.md"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def shell(tmp_path):
    """Run a script in a new folder, with `camcaffe` and `python` as where the package is installed."""
    programs, folder = tmp_path / "bin", tmp_path / "work"
    programs.mkdir()
    folder.mkdir()
    for name, arguments in (("camcaffe", "-m camcaffe "), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        (programs / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "CAMCAFFE_HOME": str(tmp_path / "home"),
    }

    def run(script):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder, env=environment, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\n{done.stdout}"
        return done.stdout

    run.folder = folder
    return run


@pytest.mark.torch
def test_the_guides_commands(shell):
    blocks = BLOCK.findall(GUIDE.read_text(encoding="utf-8"))
    assert len(blocks) == 9
    printed = ""
    for kind, text in blocks:
        printed += shell(text if kind == "sh" else f"python - <<'END'\n{text}END")
    folder = shell.folder

    # It has learned something, and says the same in all places.
    with (folder / "errors.csv").open(newline="") as file:
        errors = {(row["boxes"], row["guesses"]): row for row in csv.DictReader(file)}
    error = float(errors["loose", "1"]["cls_error"])
    assert error < 0.4
    assert f"{100 * error:.2f}" in printed
    assert "MaxBoxAcc" in printed
    assert "GT-known" in printed
    page = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert f"<b>{100 * error:.1f} %</b>" in page
    assert page.count("<article") > 3
    assert len(list((folder / "heatmaps" / "overlays").iterdir())) == len(
        list((folder / "scenes/test/3").iterdir())
    )
    assert imread(folder / "net" / "snapshot_curves.png").std() > 10
    # What the page names is there.
    for name in re.findall(r"`((?:net|data|heatmaps|report)/[\w./]+)`", GUIDE.read_text(encoding="utf-8")):
        assert (folder / name).exists(), name


def test_the_parents_that_the_guide_names():
    from camcaffe.models.gapify import gapify

    rows = re.findall(
        r"^\| (`.*) \| `(\S+)` \| (\d+) x (\d+) \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE
    )
    parents = [(name, row) for row in rows for name in re.findall(r"`(\S+)`", row[0])]
    assert len(parents) == 5
    for name, (_, layer, height, width) in parents:
        net = gapify(ROOT / "models" / f"deploy_{name}.prototxt", layer)
        assert net.map_shape[1:] == (int(height), int(width))


@pytest.mark.docs
def test_the_site_builds_without_a_warning(tmp_path):
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        tmp_path / "site",
    ]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    for page in ("index.html", "your_own_cnn/index.html", "many_images/index.html", "gap_vs_gmp/index.html"):
        assert "<h1" in (tmp_path / "site" / page).read_text(encoding="utf-8")

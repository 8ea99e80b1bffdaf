import ast
import importlib
import importlib.metadata
import re
from pathlib import Path

import numpy
import pytest

from camcaffe.caffe import engines
from camcaffe.caffe.engines import onnxruntime, opencv, pycaffe


def test_every_engine_has_its_version_or_the_command_that_installs_it(camcaffe):
    result = camcaffe("doctor")
    assert result.exit_code == 0
    for name in engines.ENGINES:
        module = engines.load(name)
        (line,) = re.findall(rf"^  {name} .*$", result.output, re.MULTILINE)
        if module.version():
            assert module.version() in line
            assert f"{len(module.LAYERS)} layer types" in line
            assert ("gradients" in line) == module.Engine.has_gradients
        else:
            assert f"missing; {module.INSTALL}" in line


def test_libraries_have_their_versions(camcaffe):
    output = camcaffe("doctor").output
    assert re.search(rf"^  numpy +{re.escape(numpy.__version__)}$", output, re.MULTILINE)
    assert re.search(
        rf"^  cv2 +{re.escape(importlib.import_module('cv2').__version__)}$", output, re.MULTILINE
    )
    assert f"CPUs for this process: {engines.available_cpus()}" in output


@pytest.mark.parametrize("is_there", [True, False])
def test_optional_libraries_name_the_extra_that_brings_them(camcaffe, monkeypatch, is_there):
    def version(package):
        if is_there:
            return "1.2.3"
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    output = camcaffe("doctor").output
    extras = {"matplotlib": "report", "jinja2": "report", "lmdb": "train", "scikit-learn": "train",
              "distributed": "cluster"}  # fmt: skip
    for package, extra in extras.items():
        (line,) = re.findall(rf"^  {package} +(.*)$", output, re.MULTILINE)
        assert line.startswith("1.2.3 " if is_there else f'missing; pip install "camcaffe[{extra}]", for ')


def test_the_extras_bring_the_optional_libraries():
    from camcaffe.cli.doctor import OPTIONAL

    tree = ast.parse((Path(__file__).resolve().parents[1] / "setup.py").read_text())
    extras = next(
        node for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "EXTRAS"
    )
    brought = ast.literal_eval(extras.value)
    for package, (extra, _) in OPTIONAL.items():
        assert any(line.startswith(f"{package}>=") for line in brought[extra]), package


@pytest.mark.parametrize(
    ("installed", "wanted", "last_line"),
    [
        ({"pycaffe", "onnx"}, "", "The engine auto takes pycaffe"),
        ({"onnx"}, "", "The engine auto takes onnx"),
        ({"onnx", "opencv"}, "opencv", "The engine auto takes opencv, as CAMCAFFE_ENGINE says"),
        (set(), "", r"The engine auto takes none: engine onnx: .*pip install onnx"),
        (
            {"onnx"},
            "fast",
            r"The engine auto takes none: engine: unknown name 'fast'; expected auto, pycaffe",
        ),
    ],
)
def test_the_last_line_is_what_auto_takes(camcaffe, monkeypatch, installed, wanted, last_line):
    for module in (pycaffe, onnxruntime, opencv):
        there = module.Engine.name in installed
        monkeypatch.setattr(module, "version", lambda there=there: "1.0" if there else None)
    monkeypatch.setenv("CAMCAFFE_ENGINE", wanted)
    result = camcaffe("doctor")
    assert result.exit_code == 0
    assert re.match(last_line, result.output.splitlines()[-1])


def test_a_library_that_breaks_when_it_is_loaded_is_no_traceback(camcaffe, monkeypatch):
    def version():
        raise OSError("libthing.so.1: wrong ELF class\nmore")

    monkeypatch.setattr(pycaffe, "version", version)
    monkeypatch.setenv("CAMCAFFE_ENGINE", "opencv")
    result = camcaffe("doctor")
    assert result.exit_code == 0
    assert re.search(
        r"^  pycaffe +cannot be loaded \(libthing.so.1: wrong ELF class\); ", result.output, re.MULTILINE
    )

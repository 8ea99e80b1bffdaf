import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from camcaffe.caffe.caffemodel import read_caffemodel
from camcaffe.caffe.network import read_network
from camcaffe.caffe.prototxt import read_prototxt, read_solver
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.digits import compose, measure
from camcaffe.loading import load
from camcaffe.matlab import imread
from camcaffe.models import MODELS, class_labels, model_files
from camcaffe.models.digits import digits_cam, write_training
from camcaffe.models.store import shipped_folder

ROOT = Path(__file__).resolve().parents[2]
# Classification error, localization error by the largest component and by the loose box; scenes 0 to 199.
RECORDED = (0.035, 0.1, 0.2)
FOLDER = shipped_folder(MODELS["digitsCAM"])


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("CAMCAFFE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_what_is_shipped():
    samples = sorted(path.name for path in FOLDER.glob("*.png"))
    assert len(samples) == 3
    found = {path.name for path in FOLDER.iterdir()}
    assert found == {"digitsCAM.caffemodel", "classes_digits.txt", *samples}
    assert (FOLDER / "digitsCAM.caffemodel").stat().st_size < 1_000_000
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_000_000
    assert class_labels("digits") == tuple("0123456789")


def test_the_top_level_folder_is_a_way_to_the_packages():
    link = ROOT / "models" / "digitsCAM"
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == ROOT / "camcaffe" / "models" / "digitsCAM"


def test_the_files_are_there_without_a_download(folder, camcaffe):
    found = model_files("digitsCAM")
    assert found.caffemodel == FOLDER / "digitsCAM.caffemodel"
    assert found.mean == "128,128,128"
    assert read_network(found.prototxt).name == "digitsCAM"
    listed = camcaffe("models", "list").output.splitlines()
    assert next(line for line in listed if line.startswith("digitsCAM ")).endswith("come with camcaffe")
    assert camcaffe("models", "download", "digitsCAM").output == f"digitsCAM: {found.caffemodel}\n"
    assert [path.name for path in folder.iterdir()] == ["deploy_digitsCAM.prototxt"]


def test_the_weights_are_the_nets(folder):
    weights = read_caffemodel(FOLDER / "digitsCAM.caffemodel")
    network = read_network(model_files("digitsCAM").prototxt)
    shapes = infer_shapes(network).layers
    wanted = {layer.name: list(shape.params) for layer, shape in zip(network.layers, shapes) if shape.params}
    assert {name: [blob.shape for blob in blobs] for name, blobs in weights.items()} == wanted
    assert all(np.isfinite(blob).all() for blobs in weights.values() for blob in blobs)


def test_the_samples_are_test_scenes():
    for path in FOLDER.glob("*.png"):
        number, label = path.stem.replace("scene", "").split("_")
        scene = compose(int(number), "test")
        assert scene.label == int(label)
        # The spline may round otherwise in another version of SciPy.
        assert np.abs(imread(path).astype(int) - scene.image).max() <= 1


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param("pycaffe", marks=pytest.mark.pycaffe),
        pytest.param("onnx", marks=pytest.mark.onnx),
        pytest.param("openvino", marks=pytest.mark.openvino),
        pytest.param("opencv", marks=pytest.mark.opencv4),
        pytest.param("torch", marks=pytest.mark.torch),
    ],
)
def test_every_engine_sees_what_the_samples_show(folder, engine):
    model = load("digitsCAM", engine=engine)
    for path in FOLDER.glob("*.png"):
        result = model(path, top=1)
        assert result.labels == (path.stem.partition("_")[2],)
        assert result.scores[0] > 0.5


@pytest.mark.onnx
def test_it_classifies_and_localizes_test_scenes(folder):
    errors = measure(load("digitsCAM", engine="onnx"), 200)
    assert errors.classification < 0.05
    # A scene may tip over where another version rounds otherwise.
    assert (errors.classification, errors.largest_component, errors.loose) == pytest.approx(
        RECORDED, abs=0.0051
    )


def test_the_training_files(tmp_path):
    write_training(tmp_path / "new", pool="MAX", iterations=7, seed=3)
    solver = read_solver(tmp_path / "new" / "solver.prototxt")
    assert (solver.max_iter, solver.random_seed, solver.net) == (7, 3, "train_val.prototxt")
    for name in ("train_val", "deploy"):
        layers = {layer.name: layer for layer in read_prototxt(tmp_path / "new" / f"{name}.prototxt").layer}
        assert layers["CAM_pool"].pooling_param.pool == layers["CAM_pool"].pooling_param.MAX
    write_training(tmp_path / "new")
    solver = read_solver(tmp_path / "new" / "solver.prototxt")
    assert (solver.max_iter, solver.random_seed) == (digits_cam().solver["max_iter"], 0)


@pytest.mark.torch
@pytest.mark.lmdb
def test_the_script_that_trained_it_does_so_again(tmp_path, monkeypatch, capsys):
    made = []
    for name in ("one", "two"):
        options = [f"--output={tmp_path / name}", "--train=40", "--test=10", "--iterations=3", "--threads=1"]
        monkeypatch.setattr(sys, "argv", ["train_digits.py", *options])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / "scripts" / "train_digits.py"), run_name="__main__")
        assert not end.value.code
        printed = capsys.readouterr().out
        assert "10 test scenes: accuracy " in printed
        assert "% by the largest component" in printed and "% by the loose box" in printed
        names = {path.name for path in (tmp_path / name).iterdir()}
        assert names == {path.name for path in FOLDER.iterdir() if path.suffix != ".txt"}
        made.append((tmp_path / name / "digitsCAM.caffemodel").read_bytes())
    assert made[0] == made[1]
    shapes = [
        {layer: [blob.shape for blob in blobs] for layer, blobs in read_caffemodel(path).items()}
        for path in (tmp_path / "one" / "digitsCAM.caffemodel", FOLDER / "digitsCAM.caffemodel")
    ]
    assert shapes[0] == shapes[1]

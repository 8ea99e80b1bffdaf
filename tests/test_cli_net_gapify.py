import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from camcaffe.caffe.caffemodel import read_caffemodel
from camcaffe.caffe.messages import BlobProto
from camcaffe.caffe.network import read_network
from camcaffe.caffe.prototxt import net_to_text, read_prototxt, read_solver
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.caffe.weights import read_weights
from camcaffe.models.fine_tuning import solver_settings

MODELS = Path(__file__).resolve().parents[1] / "models"
FILES = {"deploy.prototxt", "train_val.prototxt", "solver.prototxt", "start.caffemodel"}

PARENT = """
name: "parent"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 10 dim: 3 dim: 28 dim: 28 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 5 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
  convolution_param { num_output: 8 kernel_size: 3 } }
layer { name: "fc" type: "InnerProduct" bottom: "conv2" top: "fc" inner_product_param { num_output: 7 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


@pytest.fixture
def parent(tmp_path):
    from camcaffe.caffe.net import Net

    path = tmp_path / "parent.prototxt"
    path.write_text(PARENT)
    Net(path, seed=5).save(tmp_path / "parent.caffemodel")
    return path


@pytest.fixture
def images(tmp_path):
    """A folder as `camcaffe dataset` makes: 5 images for training, 53 for validation, and their mean."""
    folder = tmp_path / "own data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lists = {"train": 5, "val": 53}
    for name, count in lists.items():
        lines = []
        for i in range(count):
            cv2.imwrite(str(folder / f"{name} {i}.png"), rng.integers(0, 256, (40, 50, 3), np.uint8))
            lines.append(f"{name} {i}.png {i % 2}\n")
        (folder / f"{name}.txt").write_text("".join(lines))
    (folder / "labels.txt").write_text("cat\ndog\n")
    mean = BlobProto(data=np.full(3 * 32 * 36, 100.0), num=1, channels=3, height=32, width=36)
    (folder / "mean.binaryproto").write_bytes(mean.SerializeToString())
    return folder


def test_the_files_and_what_is_printed(camcaffe, parent, tmp_path):
    out = tmp_path / "out"
    weights = tmp_path / "parent.caffemodel"
    options = ["--cut-after", "conv1", "--units", "12", "--pool", "max", "--weights", weights, "-o", out]
    result = camcaffe("net", "gapify", parent, *options)
    assert result.output == (
        f"{parent}: 2 layers kept, up to conv1; 3 dropped\n"
        "head: 12 units, GMP of 12 x 12, 7 classes\n"
        f"wrote {out}; to train it:\n"
        f"  camcaffe train --solver {out}/solver.prototxt --weights {out}/start.caffemodel\n"
        "or with BVLC Caffe, which looks for files in the working folder:\n"
        f"  cd {out} && caffe train --solver solver.prototxt --weights start.caffemodel\n"
    )
    assert {path.name for path in out.iterdir()} == FILES
    for name in FILES - {"start.caffemodel"}:
        assert (
            (out / name).read_text().startswith("# parent with a head for class activation mapping on 12x12")
        )
    original, start = read_caffemodel(weights), read_caffemodel(out / "start.caffemodel")
    assert list(start) == ["conv1"]
    for a, b in zip(start["conv1"], original["conv1"]):
        assert a.shape == b.shape and np.array_equal(a.view(np.uint32), b.view(np.uint32))


def test_training_on_ilsvrc_unless_told_otherwise(camcaffe, parent, tmp_path):
    assert camcaffe("net", "gapify", parent, "--cut-after", "conv1", "-o", tmp_path / "out").exit_code == 0
    train, test = read_prototxt(tmp_path / "out" / "train_val.prototxt").layer[:2]
    published = read_prototxt(MODELS / "train_val_googlenetGMP.prototxt").layer[:2]
    for ours, theirs in zip((train, test), published):
        theirs.transform_param.crop_size = 28
        assert ours == theirs
    solver = read_solver(tmp_path / "out" / "solver.prototxt")
    published = read_solver(MODELS / "solver_googlenetGMP.prototxt")
    assert (solver.net, solver.snapshot_prefix, solver.solver_mode) == ("train_val.prototxt", "snapshot", 0)
    for name in ("net", "snapshot_prefix", "solver_mode"):
        setattr(published, name, getattr(solver, name))
    assert solver == published


def test_own_data(camcaffe, parent, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--data", images.name, "--batch", "3", "--base-lr", "0.02", "--max-iter", "1600"]
    result = camcaffe("net", "gapify", parent, "--cut-after", "conv1", *options, "-o", "out")
    assert "GAP of 12 x 12, 2 classes" in result.output
    train, test = read_prototxt("out/train_val.prototxt").layer[:2]
    for layer, name, batch in ((train, "train", 3), (test, "val", 27)):
        assert (layer.type, list(layer.top)) == ("ImageData", ["data", "label"])
        settings, transform = layer.image_data_param, layer.transform_param
        assert settings.source == str(images / f"{name}.txt")
        assert settings.root_folder == f"{images}/"
        assert (settings.new_height, settings.new_width, settings.batch_size) == (32, 36, batch)
        assert settings.shuffle == transform.mirror == (name == "train")
        assert transform.mean_file == str(images / "mean.binaryproto")
        assert (transform.crop_size, list(transform.mean_value)) == (28, [])
    solver = read_solver("out/solver.prototxt")
    assert list(solver.test_iter) == [2]  # of 27 images: 53, and one twice
    assert (solver.max_iter, solver.stepsize, solver.display) == (1600, 400, 20)
    assert (solver.test_interval, solver.snapshot) == (160, 160)
    assert solver.base_lr == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("iterations", "settings"),
    [(1, (1, 1, 1, 1)), (10, (3, 1, 1, 1)), (200, (50, 10, 20, 20)), (320000, (80000, 20, 3000, 10000))],
)
def test_shorter_and_longer_training(iterations, settings):
    solver = solver_settings(max_iter=iterations)
    assert (solver.stepsize, solver.display, solver.test_interval, solver.snapshot) == settings
    assert list(solver.test_iter) == [1000]


def test_a_parent_by_its_name(camcaffe, squeezenet_home, tmp_path):
    options = ["--cut-after", "fire9/concat", "-o", tmp_path / "out", "--units", 4]
    result = camcaffe("net", "gapify", "squeezenetCAM", *options)
    assert result.exit_code == 0, result.output
    assert len(read_caffemodel(tmp_path / "out" / "start.caffemodel")) == 25
    result = camcaffe("net", "gapify", "squeezenet_v1.0", *options)
    assert result.exit_code == 2 and "after `camcaffe models download squeezenet_v1.0`" in result.output
    weights = squeezenet_home / "squeezenetCAM.caffemodel"
    assert camcaffe("net", "gapify", "squeezenet_v1.0", *options, "--weights", weights).exit_code == 0
    result = camcaffe("net", "gapify", "resnet", *options)
    assert result.exit_code == 2 and "resnet: no such file" in result.output


def test_gray_images(camcaffe, parent, images, tmp_path):
    (images / "mean.binaryproto").unlink()
    options = ["--data", images, "--input", "data=1,1,28,28", "-o", tmp_path / "out"]
    assert camcaffe("net", "gapify", parent, "--cut-after", "conv1", *options).exit_code == 0
    layer = read_prototxt(tmp_path / "out" / "train_val.prototxt").layer[0]
    assert not layer.image_data_param.is_color and list(layer.transform_param.mean_value) == []


@pytest.mark.lmdb
def test_own_data_without_a_mean_and_in_an_lmdb(camcaffe, parent, images, tmp_path):
    import lmdb

    from camcaffe.caffe.messages import CLASSES

    (images / "mean.binaryproto").unlink()
    options = ["--cut-after", "conv1", "-o", tmp_path / "out", "--data", images]
    assert camcaffe("net", "gapify", parent, *options).exit_code == 0
    layer = read_prototxt(tmp_path / "out" / "train_val.prototxt").layer[0]
    assert (layer.image_data_param.new_height, layer.image_data_param.new_width) == (32, 32)
    assert list(layer.transform_param.mean_value) == [104, 117, 123]

    for name, count in (("train", 2), ("val", 50)):
        environment = lmdb.open(str(images / f"{name}_lmdb"))
        with environment.begin(write=True) as transaction:
            for i in range(count):
                datum = CLASSES["Datum"](
                    channels=3, height=30, width=31, data=bytes(3 * 30 * 31), label=i % 2
                )
                transaction.put(b"%08d" % i, datum.SerializeToString())
        environment.close()
    assert camcaffe("net", "gapify", parent, *options).exit_code == 0
    train, test = read_prototxt(tmp_path / "out" / "train_val.prototxt").layer[:2]
    assert (train.type, train.data_param.source) == ("Data", str(images / "train_lmdb"))
    assert (test.data_param.source, test.data_param.batch_size) == (str(images / "val_lmdb"), 50)
    assert list(read_solver(tmp_path / "out" / "solver.prototxt").test_iter) == [1]
    result = camcaffe("net", "gapify", parent, *options, "--input", "data=1,1,28,28")
    assert f"{images / 'train_lmdb'}: its images reach the net as 3 x 28 x 28; expected 1 x" in result.output


def test_data_for_an_input_that_is_not_square_is_not_cropped(camcaffe, parent, images, tmp_path):
    (images / "mean.binaryproto").unlink()
    options = ["--cut-after", "conv1", "-o", tmp_path / "out", "--input", "data=1,3,24,30"]
    assert camcaffe("net", "gapify", parent, *options, "--data", images).exit_code == 0
    train = read_prototxt(tmp_path / "out" / "train_val.prototxt").layer[0]
    assert not train.transform_param.HasField("crop_size")
    assert (train.image_data_param.new_height, train.image_data_param.new_width) == (24, 30)


def test_a_training_net_reads_its_own_data_or_ours(camcaffe, images, tmp_path):
    options = ["--cut-after", "conv5", "-o", tmp_path / "out"]
    assert camcaffe("net", "gapify", MODELS / "train_val_caffenet.prototxt", *options).exit_code == 0
    data = read_prototxt(tmp_path / "out" / "train_val.prototxt").layer[0]
    assert data == read_prototxt(MODELS / "train_val_caffenet.prototxt").layer[0]
    (images / "mean.binaryproto").unlink()
    options += ["--data", images]
    assert camcaffe("net", "gapify", MODELS / "train_val_caffenet.prototxt", *options).exit_code == 0
    net = read_prototxt(tmp_path / "out" / "train_val.prototxt")
    assert [layer.type for layer in net.layer[:3]] == ["ImageData", "ImageData", "Convolution"]
    assert net.layer[0].transform_param.crop_size == 227
    assert [layer.type for layer in net.layer if "label" in layer.bottom] == ["SoftmaxWithLoss", "Accuracy"]
    result = camcaffe("net", "gapify", MODELS / "train_val_caffenet.prototxt", *options[:4], "--batch", "2")
    assert result.exit_code == 2
    assert "--batch: " in result.output and "keeps its data layers; expected --data" in result.output


def test_what_the_weights_lack_is_told(camcaffe, parent, tmp_path):
    from camcaffe.caffe.caffemodel import write_caffemodel

    network = read_network(parent)
    found, _ = read_weights(network, infer_shapes(network), tmp_path / "parent.caffemodel")
    some = tmp_path / "some.caffemodel"
    del found["conv2"]
    write_caffemodel(some, network, found)
    options = ["--cut-after", "conv2", "-o", tmp_path / "out"]
    result = camcaffe("net", "gapify", parent, *options, "--weights", some)
    assert f"{some}: nothing for conv2, which Caffe will fill\n" in result.output
    assert f"{parent}: no fillers for conv2: without weights they start from zeros\n" in result.output
    result = camcaffe("net", "gapify", parent, "--cut-after", "conv1", "-o", tmp_path / "out")
    assert "no fillers" not in result.output
    assert "start" not in result.output.split("to train it")[1]


def refused(camcaffe, parent, tmp_path, *options):
    out = tmp_path / "out"
    result = camcaffe("net", "gapify", parent, "--cut-after", "conv1", "-o", out, *options)
    assert result.exit_code == 2 and len(result.output.splitlines()) == 1, result.output
    assert not out.exists()
    return result.output


def test_bad_input_writes_nothing(camcaffe, parent, images, tmp_path):
    other = tmp_path / "other.caffemodel"
    other.write_bytes((tmp_path / "parent.caffemodel").read_bytes()[:300])
    assert "cut short" in refused(camcaffe, parent, tmp_path, "--weights", other)
    assert "neither train_lmdb nor train.txt" in refused(camcaffe, parent, tmp_path, "--data", tmp_path)
    data = ["--data", images]
    assert "2 classes; expected --classes 1, or no more" in refused(
        camcaffe, parent, tmp_path, *data, "--classes", "1"
    )
    assert "crop" in refused(camcaffe, parent, tmp_path, *data, "--input", "data=1,3,34,34")
    for count in ("--units", "--classes", "--batch", "--max-iter", "--group"):
        result = camcaffe("net", "gapify", parent, "--cut-after", "conv1", "-o", "x", count, 2**31)
        assert result.exit_code == 2 and "is not in the" in result.output
    for rate in ("0", "nan", "inf", "1e300"):
        assert "learning rate: " in refused(camcaffe, parent, tmp_path, "--base-lr", rate)
    result = camcaffe("net", "gapify", parent, "--cut-after", "conv1", "-o", tmp_path / ("x" * 300))
    assert result.exit_code == 2 and "cannot be made: file name too long" in result.output
    (images / "val.txt").unlink()
    message = "no val.txt is in it; expected pictures for validation"
    assert message in refused(camcaffe, parent, tmp_path, *data)
    (images / "val.txt").write_text("a.png\n")
    assert "val.txt, line 1: " in refused(camcaffe, parent, tmp_path, *data)
    mean = BlobProto(data=[1.0, 2.0, 3.0], shape={"dim": [3]})
    (images / "mean.binaryproto").write_bytes(mean.SerializeToString())
    (images / "val.txt").write_text("val 0.png 0\n")
    assert "a mean of shape (3,); expected (1, channels" in refused(camcaffe, parent, tmp_path, *data)


def test_the_parent_is_not_overwritten(camcaffe, parent, tmp_path):
    deploy = tmp_path / "deploy.prototxt"
    parent.rename(deploy)
    result = camcaffe("net", "gapify", deploy, "--cut-after", "conv1", "-o", tmp_path)
    assert result.exit_code == 2 and "would take its place; expected another folder" in result.output
    assert deploy.read_text() == PARENT and not (tmp_path / "solver.prototxt").exists()


LOAD = """
import json, sys
import caffe, numpy
net = caffe.Net("deploy.prototxt", "start.caffemodel", caffe.TEST)
numpy.savez("loaded.npz", **{f"{name} {i}": blob.data for name, blobs in net.params.items()
                             for i, blob in enumerate(blobs)})
net.forward()
shapes = {name: list(blob.data.shape) for name, blob in net.blobs.items()}
solver = caffe.SGDSolver("solver.prototxt")
solver.net.copy_from("start.caffemodel")
shapes["train"] = [layer.type for layer in solver.net.layers]
json.dump(shapes, open("shapes.json", "w"))
"""


@pytest.mark.caffe_root
def test_real_caffe_loads_and_trains_what_is_written(camcaffe, reference, images, real_caffe):
    folder = real_caffe.folder
    weights = reference / "caffe" / "squeezenet_v1.0.caffemodel"
    (images / "mean.binaryproto").unlink()
    (images / "val.txt").write_text("".join((images / "val.txt").read_text().splitlines(True)[:4]))
    options = ["--cut-after", "fire9/concat", "--units", 16, "--weights", weights, "-o", folder]
    options += ["--data", images, "--batch", 2, "--max-iter", 2]
    parent = reference / "caffe" / "deploy_squeezenet_v1.0.prototxt"
    result = camcaffe("net", "gapify", parent, *options)
    assert result.exit_code == 0, result.output
    # In the root, the images lie elsewhere.
    inside = folder / "images"
    inside.mkdir()
    for path in images.iterdir():
        (inside / path.name.replace(" ", "_")).write_bytes(path.read_bytes())
    for name in ("train", "val"):
        lines = (images / f"{name}.txt").read_text().splitlines()
        (inside / f"{name}.txt").write_text("".join(line.replace(" ", "_", 1) + "\n" for line in lines))
    train_val = folder / "train_val.prototxt"
    train_val.write_text(train_val.read_text().replace(f"{images}/", "images/"))
    (folder / "load.py").write_text(LOAD)

    real_caffe.run("env", "GLOG_minloglevel=2", "OMP_NUM_THREADS=1", "python3", "load.py")
    loaded = np.load(folder / "loaded.npz")
    original = read_caffemodel(weights)
    kept = [key for key in loaded.files if not key.startswith("CAM_")]
    assert len(kept) == 50
    for key in kept:
        name, index = key.split()
        wanted = original[name][int(index)]
        assert np.array_equal(loaded[key].view(np.uint32), wanted.view(np.uint32))
    assert 0 < loaded["CAM_conv 0"].std() < 0.02 and (loaded["CAM_conv 1"] == 1).all()
    shapes = json.loads((folder / "shapes.json").read_text())
    assert shapes["CAM_conv"] == [1, 16, 13, 13] and shapes["CAM_pool"] == [1, 16, 1, 1]
    assert shapes["prob"] == [1, 2]
    assert shapes["train"][0] == "ImageData" and shapes["train"][-1] == "SoftmaxWithLoss"

    log = real_caffe.run(
        "env", "OMP_NUM_THREADS=1", "caffe", "train", "--solver", "solver.prototxt",
        "--weights", "start.caffemodel",
    )  # fmt: skip
    assert "Optimization Done." in log and "Test net output #0: accuracy = " in log
    assert (folder / "snapshot_iter_2.caffemodel").is_file()
    trained = read_caffemodel(folder / "snapshot_iter_2.caffemodel")
    assert not np.array_equal(trained["conv1"][0], original["conv1"][0])


LOAD_GOOGLENET = """
import hashlib, json
import caffe
net = caffe.Net("deploy.prototxt", "start.caffemodel", caffe.TEST)
found = {name: [hashlib.sha256(blob.data.tobytes()).hexdigest() for blob in blobs]
         for name, blobs in net.params.items()}
types = []
for phase in (caffe.TRAIN, caffe.TEST):
    net = caffe.Net("inputs.prototxt", "start.caffemodel", phase)
    types.append([layer.type for layer in net.layers])
json.dump([found, types], open("found.json", "w"))
"""


@pytest.mark.caffe_root
@pytest.mark.parametrize("parent", ["deploy_googlenet", "train_val_googlenet"])
def test_real_caffe_loads_googlenet_cam(camcaffe, real_caffe, tmp_path, parent):
    from camcaffe.caffe.net import Net

    folder = real_caffe.folder
    weights = tmp_path / "googlenet.caffemodel"
    Net(MODELS / "deploy_googlenet.prototxt", seed=1).save(weights)
    options = ["--cut-after", "inception_4e/output", "--weights", weights, "-o", folder]
    result = camcaffe("net", "gapify", MODELS / f"{parent}.prototxt", *options)
    assert result.exit_code == 0, result.output

    net = read_prototxt(folder / "train_val.prototxt")
    del net.layer[:2]  # the LMDBs; two images stand in for them
    net.input.extend(["data", "label"])
    net.input_shape.add(dim=[2, 3, 224, 224])
    net.input_shape.add(dim=[2])
    (folder / "inputs.prototxt").write_text(net_to_text(net))
    (folder / "load.py").write_text(LOAD_GOOGLENET)
    real_caffe.run("env", "GLOG_minloglevel=2", "OMP_NUM_THREADS=1", "python3", "load.py")
    found, (train, test) = json.loads((folder / "found.json").read_text())
    original = read_caffemodel(weights)
    assert found.keys() - original.keys() == {"CAM_conv", "CAM_fc"}
    for name in found.keys() & original.keys():
        assert found[name] == [hashlib.sha256(blob.tobytes()).hexdigest() for blob in original[name]]
    assert train.count("SoftmaxWithLoss") == test.count("SoftmaxWithLoss") == 1
    assert (train.count("Accuracy"), test.count("Accuracy")) == (0, 2)

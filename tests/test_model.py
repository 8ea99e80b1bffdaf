import csv
import json

import numpy as np
import pytest

import camcaffe
from camcaffe import CamcaffeError
from camcaffe.boxes import dt_boxes
from camcaffe.cam import class_activation_maps
from camcaffe.features import read_mean
from camcaffe.loading import load
from camcaffe.matlab import imread, read_rgb
from camcaffe.model import through_jpeg
from camcaffe.ten_crop import merge_ten_crop, prepare_image

IMAGE = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)


@pytest.fixture
def small(small_net):
    return load(**dict(argument[2:].split("=") for argument in small_net))


def test_three_lines_of_python(squeezenet_home, reference, tmp_path):
    model = camcaffe.load("squeezenetCAM")
    result = model(reference / "cam_repo" / "test.jpg")
    result.save(tmp_path / "out.png")
    assert result.labels[0] == "n03792782 mountain bike, all-terrain bike, off-roader"
    assert imread(tmp_path / "out.png").shape == (216, 380 + 5 * 388, 3)


def test_scores_are_real_caffes(squeezenet_home, reference):
    expected = np.load(reference / "caffe" / "squeezenetCAM_expected.npz")["prob"].mean(axis=0)
    result = camcaffe.load("squeezenetCAM")(reference / "cam_repo" / "test.jpg", top=10)
    np.testing.assert_array_equal(result.classes, np.argsort(-expected, kind="stable")[:10])
    np.testing.assert_allclose(result.scores, expected[result.classes], rtol=0, atol=1e-5)


def chain(reference, names):
    """(class, first two boxes) of the whole chain and of the original's, for images and ranks."""
    folder = reference / "mini_ilsvrc"
    with (folder / "image_sizes.csv").open() as lines:
        sizes = {row["image"]: (int(row["height"]), int(row["width"])) for row in csv.DictReader(lines)}
    expected = json.loads((folder / "reference" / "predictions.json").read_text())
    model = camcaffe.load("squeezenetCAM")
    ours, theirs = [], []
    for name in names(sorted(expected)):
        stored = read_rgb(folder / "images" / name)
        conv, scores = model.forward(prepare_image(stored, model.mean, model.crop_size))
        true_size = np.zeros((*sizes[name], 3), np.uint8)
        result = model.explain(true_size, conv, scores.mean(axis=0))
        ours += [(name, int(c), b[:2].tolist()) for c, b in zip(result.classes, result.boxes)]
        theirs += [(name, guess["caffe_class"], guess["dt_box"][:2]) for guess in expected[name]]
    return ours, theirs


def test_from_jpeg_to_boxes_as_the_original(squeezenet_home, reference):
    ours, theirs = chain(reference, lambda names: names[::25])
    assert len(ours) == 40
    assert ours == theirs


@pytest.mark.slow
def test_from_jpeg_to_boxes_as_the_original_on_all_images(squeezenet_home, reference):
    ours, theirs = chain(reference, lambda names: names)
    assert len(ours) == 1000
    assert ours == theirs


def test_a_result_is_what_its_parts_give(small):
    result = small(IMAGE, top=3)
    conv, scores = small.forward(prepare_image(IMAGE, small.mean, 40))
    np.testing.assert_array_equal(result.classes, np.argsort(-scores.mean(axis=0))[:3])
    weights = small.net.params["fc"][0].data
    maps = merge_ten_crop(class_activation_maps(conv, weights[result.classes]), 40)
    np.testing.assert_array_equal(result.maps, maps)
    assert result.heatmaps.shape == (3, 50, 70)
    for gray, boxes in zip(result.heatmaps, result.boxes):
        np.testing.assert_array_equal(boxes, dt_boxes(through_jpeg(gray), (20, 100, 110)))
    with pytest.raises(AttributeError):
        result.classes = None


def test_a_map_of_a_chosen_class(small):
    every = small(IMAGE, top=7)
    chosen = small(IMAGE, classes=[4, 2])
    assert chosen.labels == ("class 4", "class 2")
    rank = every.classes.tolist().index(2)
    np.testing.assert_array_equal(chosen.heatmaps[1], every.heatmaps[rank])
    with pytest.raises(CamcaffeError, match="class: 7; expected 0 to 6"):
        small(IMAGE, classes=[7])


def test_the_picture_shows_the_loose_boxes(small):
    result = small(IMAGE, top=2)
    assert result.picture().shape == (50, 70 + 2 * 78, 3)
    np.testing.assert_array_equal(result.picture(boxes=False)[:, :70], IMAGE)
    x, y = result.boxes[0][0][:2]
    assert result.picture()[y, 78 + x].tolist() == [255, 0, 0]


def test_classes_by_name(squeezenet_home):
    model = camcaffe.load("squeezenetCAM")
    assert model.find_class("282") == model.find_class("n02123159") == 282
    assert model.find_class("n02123159 tiger cat") == 282
    for name, message in {"1000": "1000; expected 0 to 999", "n0": "no classes are called 'n0'"}.items():
        with pytest.raises(CamcaffeError, match=message):
            model.find_class(name)


def test_class_maps_of_a_net_without_a_classifier(reference, tmp_path):
    files = {
        "prototxt": reference / "caffe" / "deploy_squeezenet_v1.0.prototxt",
        "caffemodel": reference / "caffe" / "squeezenet_v1.0.caffemodel",
        "mean": reference / "cam_repo" / "ilsvrc_2012_mean.mat",
    }
    model = load(**files)
    conv, _ = model.forward(prepare_image(IMAGE, read_mean(files["mean"]), 227))
    assert conv.shape[:2] == (10, 1000)
    np.testing.assert_array_equal(class_activation_maps(conv, model.weights[[7]])[:, 0], conv[:, 7])
    given = load(**files, cam_blob="fire9/concat", fc="conv_final")
    assert given.weights.shape == (1000, 512)
    assert given(IMAGE, top=1).classes == model(IMAGE, top=1).classes


def test_refusals(small_net, reference, tmp_path, monkeypatch):
    monkeypatch.setenv("CAMCAFFE_HOME", str(tmp_path / "nothing"))
    files = dict(argument[2:].split("=") for argument in small_net)
    with pytest.raises(CamcaffeError, match="model: no name, and not all of prototxt, caffemodel and mean"):
        load(prototxt=files["prototxt"])
    with pytest.raises(CamcaffeError, match="after `camcaffe models download squeezenetCAM`"):
        load("squeezenetCAM")
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    with pytest.raises(CamcaffeError, match="labels: 2 for a net of 7 classes"):
        load(**files, labels=tmp_path / "labels.txt")
    text = (tmp_path / "small.prototxt").read_text().replace("dim: 40 dim: 40", "dim: 40 dim: 44")
    (tmp_path / "small.prototxt").write_text(text)
    with pytest.raises(CamcaffeError, match=r"input data of shape \(10, 3, 40, 44\); expected one input"):
        load(**files)

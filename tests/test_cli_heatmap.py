import json

import numpy as np
import pytest

from camcaffe.loading import load
from camcaffe.matlab import imread, imwrite
from camcaffe.model import through_jpeg

RNG = np.random.default_rng(0)


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / "a.png", tmp_path / "b.jpg"]
    for path, shape in zip(paths, [(50, 70, 3), (64, 33, 3)]):
        imwrite(path, RNG.integers(0, 256, shape, dtype=np.uint8))
    return paths


def test_heat_maps_overlays_and_json(camcaffe, small_net, images, tmp_path):
    result = camcaffe("heatmap", *images, *small_net, "--top", 3, "--boxes", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert document["failed"] == {}
    model = load(**dict(argument[2:].split("=") for argument in small_net))
    for path in images:
        expected = model(path, top=3)
        rows = document["images"][str(path)]
        assert [row["class"] for row in rows] == expected.classes.tolist()
        assert [row["label"] for row in rows] == list(expected.labels)
        assert [row["boxes"] for row in rows] == [boxes.tolist() for boxes in expected.boxes]
        np.testing.assert_allclose([row["score"] for row in rows], expected.scores, rtol=1e-6)
        for rank in range(3):
            written = imread(tmp_path / "out" / f"top{rank + 1}" / f"{path.stem}.jpg")
            np.testing.assert_array_equal(written, through_jpeg(expected.heatmaps[rank]))
        height, width = expected.image.shape[:2]
        overlays = imread(tmp_path / "out" / "overlays" / f"{path.stem}.jpg")
        assert overlays.shape == (height, width + 3 * (8 + width), 3)


def test_chosen_classes(camcaffe, small_net, images, tmp_path):
    result = camcaffe("heatmap", images[0], *small_net, "--class", 5, "--class", 0, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["images"][str(images[0])]
    assert [row["class"] for row in rows] == [5, 0]
    assert all("boxes" not in row for row in rows)
    result = camcaffe("heatmap", images[0], *small_net, "--class", 7, "--out", tmp_path / "none")
    assert result.exit_code == 2
    assert "class: 7; expected 0 to 6" in result.output
    assert not (tmp_path / "none").exists()


def test_goes_on_past_unreadable_images_and_tells_them_at_the_end(camcaffe, small_net, images, tmp_path):
    (tmp_path / "page.jpg").write_text("<html>")
    paths = [tmp_path / "page.jpg", images[0], tmp_path / "gone.jpg"]
    result = camcaffe("heatmap", *paths, *small_net, "--out", tmp_path / "out")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0].startswith("1 of 3 images: ")
    assert lines[1].startswith(f"Error: {tmp_path / 'page.jpg'}: not a picture")
    assert lines[2].startswith(f"Error: {tmp_path / 'gone.jpg'}: no such file")
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(document["images"]) == [str(images[0])]
    assert list(document["failed"]) == [str(tmp_path / "page.jpg"), str(tmp_path / "gone.jpg")]


def test_two_images_of_one_name(camcaffe, small_net, images, tmp_path):
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / "a.jpg"
    imwrite(twin, RNG.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    result = camcaffe("heatmap", images[0], twin, *small_net, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert f"a.jpg: its heat maps would replace those of {images[0]}" in result.output
    assert not (tmp_path / "out").exists()


def test_demo_runs_a_net(camcaffe, small_net, images, tmp_path):
    result = camcaffe("demo", images[0], *small_net, "--top", 2, "-o", tmp_path / "result.png")
    assert result.exit_code == 0, result.output
    assert result.output.startswith(" --top1:class ")
    assert imread(tmp_path / "result.png").shape == (256, 256 + 2 * 264, 3)


def test_demo_takes_a_net_or_features(camcaffe, small_net, images):
    features, weights = ["--features", "a.mat"], ["--weights", "b.mat"]
    for arguments in ([*small_net, *features, *weights], features, weights):
        result = camcaffe("demo", images[0], *arguments)
        assert result.exit_code == 2
        assert (
            "give a net (--model, or --prototxt and its files), or --features and --weights" in result.output
        )


def test_the_demo_resizes_the_image_first_and_the_heat_maps_do_not(squeezenet_home, reference):
    from camcaffe.demo import demo_of_model
    from camcaffe.matlab import read_rgb

    model = load("squeezenetCAM")
    image = read_rgb(reference / "cam_repo" / "test.jpg")
    assert demo_of_model(image, model).scores[0] != pytest.approx(model(image).scores[0], abs=1e-4)

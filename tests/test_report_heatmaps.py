import json
from contextlib import ExitStack

import numpy as np
import pytest
from report_files import write_reference_run

from camcaffe.backprop import merge_gradients
from camcaffe.boxes import AUTHORS_THRESHOLDS, dt_boxes
from camcaffe.errors import CamcaffeError
from camcaffe.heatmap import heatmaps
from camcaffe.loading import load_backprop
from camcaffe.localize import StoredImage, sha256
from camcaffe.matlab import imwrite, read_gray, read_rgb
from camcaffe.model import through_jpeg
from camcaffe.report.heatmaps import folder_heatmaps, net_of_run, recomputed_heatmaps
from camcaffe.run_store import ImageResult, RankedClass, RunStore
from camcaffe.ten_crop import prepare_image

NAME = "ILSVRC2012_val_00001050.JPEG"  # stored at 227 x 227, but 500 x 379 in truth


@pytest.fixture
def recomputed(reference, squeezenet_home, tmp_path):
    """Open `recomputed_heatmaps` for one image of the original pipeline's run."""
    mini = reference / "mini_ilsvrc"

    with ExitStack() as stack:

        def recompute(identity=None, change=lambda result: result):
            write_reference_run(tmp_path / "run.sqlite", mini, identity, [NAME])
            run = stack.enter_context(RunStore.read(tmp_path / "run.sqlite"))
            result = change(next(run.results()))
            image = StoredImage(NAME, str(mini / "images"), true_size=(379, 500))
            maps = recomputed_heatmaps(run, {"name": "squeezenetCAM"}, [image], {NAME: result})
            return stack.enter_context(maps), image

        yield recompute


def test_a_folder_in_the_originals_layout(reference, tmp_path):
    folder = reference / "mini_ilsvrc" / "reference" / "heatmaps"
    read = folder_heatmaps(folder)
    image = StoredImage(NAME, "images")
    expected = read_gray(folder / "top2" / "ILSVRC2012_val_00001050.jpg")
    np.testing.assert_array_equal(read(image, 2), expected)
    assert read(image, 6) is None
    (tmp_path / "top1" / "cats").mkdir(parents=True)
    imwrite(tmp_path / "top1" / "cats" / "a.jpg", np.full((8, 9), 7, np.uint8))
    assert folder_heatmaps(tmp_path)(StoredImage("cats/a.png", "images"), 1).shape == (8, 9)


def test_a_folder_without_heat_maps(tmp_path):
    with pytest.raises(CamcaffeError, match="no folder top1 in it; expected heat maps as top1/NAME"):
        folder_heatmaps(tmp_path)


def test_the_net_is_found_by_its_weights(reference, squeezenet_home):
    weights = sha256(reference / "caffe" / "squeezenetCAM.caffemodel")
    assert net_of_run({"weights": weights}) == {"name": "squeezenetCAM"}
    identity = {"weights": weights, "CAM blob": "fire9/concat", "FC layer": "CAM_fc"}
    assert net_of_run(identity) == {"name": "squeezenetCAM", "cam_blob": "fire9/concat", "fc": "CAM_fc"}
    assert net_of_run({"weights": "0" * 64}) is None
    assert net_of_run({}) is None


def test_recomputed_heat_maps_have_the_boxes_of_the_original_pipeline(reference, recomputed):
    read, image = recomputed()
    predictions = reference / "mini_ilsvrc" / "reference" / "predictions.json"
    for rank, guess in enumerate(json.loads(predictions.read_text())[NAME], 1):
        heatmap = read(image, rank)
        assert heatmap.shape == image.true_size
        assert dt_boxes(heatmap, AUTHORS_THRESHOLDS)[:2].tolist() == guess["dt_box"][:2]


def test_no_heat_map_of_a_class_that_the_net_ranks_elsewhere(recomputed):
    def swapped(result: ImageResult) -> ImageResult:
        first, second, *others = result.classes
        return ImageResult(result.name, (second, first, *others))

    read, image = recomputed(change=swapped)
    assert read(image, 1) is None
    assert read(image, 2) is None
    assert read(image, 3) is not None


def test_other_weights_than_the_runs(recomputed):
    with pytest.raises(CamcaffeError, match=r"run\.sqlite: it was made with other weights than [0-9a-f]{12}"):
        recomputed({"weights": "0" * 64})


@pytest.mark.torch
def test_a_run_of_gradients_gets_gradients(reference, squeezenet_home, tmp_path):
    image = StoredImage(NAME, str(reference / "mini_ilsvrc" / "images"), true_size=(379, 500))
    model = load_backprop("squeezenetCAM")
    crops = prepare_image(read_rgb(NAME, data=image.read()), model.mean, model.crop_size)
    classes, _, gradients = model.look(crops, 1)
    expected = through_jpeg(heatmaps(merge_gradients(gradients), image.true_size)[0])

    with RunStore.write(tmp_path / "run.sqlite", {"method": "backprop"}, model.labels) as run:
        result = ImageResult(NAME, (RankedClass(int(classes[0]), 0.5, np.zeros((0, 4))),))
        net = {"name": "squeezenetCAM", "cam_blob": None, "fc": None}
        with recomputed_heatmaps(run, net, [image], {NAME: result}) as read:
            np.testing.assert_array_equal(read(image, 1), expected)

import csv
import json

import cv2
import numpy as np
import pytest

from camcaffe.boxes import dt_boxes
from camcaffe.cam import class_activation_maps, rank_classes
from camcaffe.features import read_features, read_weights
from camcaffe.heatmap import colorize, demo_picture, heatmaps, overlay
from camcaffe.matlab import encode, im2double, imresize, jet, mat2gray, read_rgb
from camcaffe.ten_crop import merge_ten_crop

RNG = np.random.default_rng(0)


def test_heatmaps_are_resized_divided_and_rounded():
    merged = RNG.random((3, 20, 30)).astype(np.float32)
    gray = heatmaps(merged, (41, 37))
    assert gray.shape == (3, 41, 37)
    assert gray.dtype == np.uint8
    for one, expected in zip(gray, merged):
        resized = imresize(expected, (41, 37))
        np.testing.assert_array_equal(one, np.clip(np.floor(resized / resized.max() * 255 + 0.5), 0, 255))


def test_a_map_of_zeros_is_black():
    assert not heatmaps(np.zeros((1, 8, 9), np.float32), (5, 6)).any()


def test_colours_span_the_maps_own_range():
    colours = colorize(np.array([[-5.0, 0.0], [1.0, 7.0]]))
    np.testing.assert_array_equal(colours[0, 0], jet(256)[0])
    np.testing.assert_array_equal(colours[1, 1], jet(256)[255])
    np.testing.assert_array_equal(colours[0, 1], jet(256)[106])  # 255 * 5 / 12 = 106.25


@pytest.mark.parametrize(("value", "index"), [(-1.0, 0), (0.2, 51), (40.0, 255)])
def test_a_constant_map_is_only_clamped(value, index):
    np.testing.assert_array_equal(colorize(np.full((2, 3), value))[1, 2], jet(256)[index])


def test_nan_takes_the_lowest_colour():
    np.testing.assert_array_equal(colorize(np.array([[np.nan, 1.0, 2.0]]))[0, 0], jet(256)[0])


def test_overlay_mixes_image_and_colours():
    image = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    heat = RNG.random((6, 9))
    np.testing.assert_allclose(overlay(image, heat), 0.2 * image / 255 + 0.7 * colorize(heat), rtol=1e-12)


def test_demo_picture_stands_side_by_side():
    image = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    maps = RNG.random((2, 6, 9))
    picture = demo_picture(image, maps)
    assert picture.shape == (6, 9 + 2 * (8 + 9), 3)
    np.testing.assert_array_equal(picture[:, :9], image)
    assert (picture[:, 9:17] == 255).all()
    assert (picture[:, 26:34] == 255).all()
    np.testing.assert_array_equal(picture[:, 34:], np.floor(overlay(image, maps[1]) * 255 + 0.5))


@pytest.mark.parametrize("index", [1, 2])
def test_demo_picture_equals_the_original(reference, index):
    """From the original's own maps every pixel; from ours, a colour may tip where it hangs on a last bit."""
    expected = np.load(reference / "demo" / f"img{index}_expected.npz")
    image = imresize(read_rgb(reference / "cam_repo" / f"img{index}.jpg"), (256, 256))
    theirs = np.moveaxis(expected["merged_maps"], 2, 0)
    np.testing.assert_array_equal(demo_picture(image, theirs), expected["result_rgb"])

    features = read_features(reference / "cam_repo" / f"data_img{index}.mat")
    weights = read_weights(reference / "cam_repo" / "data_net.mat")[expected["top5"] - 1]
    ours = merge_ten_crop(class_activation_maps(features.conv, weights), 224)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    differing = 0
    for rank, one in enumerate(ours):
        left = (rank + 1) * (256 + 8)
        shown = expected["result_rgb"][:, left : left + 256]
        tipped = (demo_picture(image, [one])[:, 264:] != shown).any(axis=2)
        differing += tipped.sum()
        unrounded = 255 * mat2gray(one)[tipped]
        lower = np.floor(unrounded)
        assert (np.abs(unrounded - lower - 0.5) < 1e-4).all()
        # The original took the colour on the other side of the edge.
        other = np.where(unrounded - lower >= 0.5, lower, lower + 1).astype(int)
        mixed = im2double(image)[tipped] * 0.2 + jet(256)[other] * 0.7
        np.testing.assert_array_equal(np.floor(mixed * 255 + 0.5), shown[tipped])
    assert differing <= 0.0001 * 5 * 256 * 256


FEATURES = [361, 1050, 1508, 1637, 2275, 2383]


@pytest.mark.parametrize("number", FEATURES)
def test_heatmaps_and_boxes_of_real_features_equal_the_original(reference, number):
    folder = reference / "mini_ilsvrc"
    name = f"ILSVRC2012_val_{number:08}"
    cached = np.load(folder / "reference" / "features" / f"{name}.npz")
    weights = np.load(folder / "reference" / "features" / "fc_weights.npz")["weights"]
    expected = json.loads((folder / "reference" / "predictions.json").read_text())[f"{name}.JPEG"]
    with (folder / "image_sizes.csv").open() as lines:
        sizes = {row["image"]: (int(row["height"]), int(row["width"])) for row in csv.DictReader(lines)}

    classes = rank_classes(cached["prob"].mean(axis=0))
    assert classes.tolist() == [guess["caffe_class"] for guess in expected]
    maps = merge_ten_crop(class_activation_maps(cached["features"], weights[classes]), 227)
    for rank, gray in enumerate(heatmaps(maps, sizes[f"{name}.JPEG"])):
        recorded = folder / "reference" / "heatmaps" / f"top{rank + 1}" / f"{name}.jpg"
        recorded = cv2.imread(str(recorded), cv2.IMREAD_GRAYSCALE)
        jpeg = cv2.imdecode(np.frombuffer(encode(gray, ".jpg"), np.uint8), cv2.IMREAD_GRAYSCALE)
        difference = np.abs(jpeg.astype(int) - recorded)
        assert difference.max() <= 4
        assert np.count_nonzero(difference) <= 0.0005 * difference.size
        assert dt_boxes(jpeg, (20, 100, 110)).tolist() == expected[rank]["dt_box"]

import numpy as np
import pytest

from camcaffe import CamcaffeError
from camcaffe.features import read_mean
from camcaffe.matlab import imresize, read_rgb
from camcaffe.ten_crop import Crop, merge_ten_crop, prepare_image, ten_crops

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (90, 140, 3), dtype=np.uint8)
MEAN = RNG.normal(110, 20, (3, 256, 256)).astype(np.float32)


def test_places_of_224():
    corners_and_centre = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
    expected = [Crop(x, y, mirrored) for mirrored in (False, True) for x, y in corners_and_centre]
    assert list(ten_crops(224)) == expected


def test_the_centre_of_227_is_at_15():
    # pycaffe's own oversampling puts it at 14.
    assert ten_crops(227)[4] == Crop(15, 15, False)


@pytest.mark.parametrize("size", [0, 257])
def test_refuses_crop_sizes(size):
    with pytest.raises(CamcaffeError, match=f"a crop size of {size}; expected 1 to 256"):
        ten_crops(size)


@pytest.mark.parametrize("size", [224, 227])
def test_prepare_image_crop_by_crop(size):
    whole = imresize(IMAGE[:, :, ::-1].astype(np.float32), (256, 256), "bilinear").transpose(2, 0, 1) - MEAN
    crops = prepare_image(IMAGE, MEAN, size)
    assert crops.shape == (10, 3, size, size)
    assert crops.dtype == np.float32
    np.testing.assert_array_equal(crops[0], whole[:, :size, :size])
    np.testing.assert_array_equal(crops[1], whole[:, -size:, :size])  # y moves first
    np.testing.assert_array_equal(crops[2], whole[:, :size, -size:])
    np.testing.assert_array_equal(crops[3], whole[:, -size:, -size:])
    np.testing.assert_array_equal(crops[5:], crops[:5, :, :, ::-1])


def test_prepare_image_takes_a_mean_colour():
    colour = np.array([104, 117, 123], np.float32)
    image = np.broadcast_to(colour[::-1], (90, 140, 3)).astype(np.uint8)
    np.testing.assert_allclose(prepare_image(image, colour, 224), 0, atol=1e-4)


def test_prepare_image_equals_the_original(reference):
    expected = np.load(reference / "demo" / "test_prepare_image.npz")["crops_whcn"].T
    mean = read_mean(reference / "cam_repo" / "ilsvrc_2012_mean.mat")
    crops = prepare_image(read_rgb(reference / "cam_repo" / "test.jpg"), mean, 224)
    np.testing.assert_allclose(crops[[0, 3, 4, 7]], expected, rtol=0, atol=1e-5)


def test_prepare_image_gives_real_caffe_its_input(reference):
    expected = np.load(reference / "caffe" / "squeezenetCAM_expected.npz")["input_crop4"]
    mean = read_mean(reference / "cam_repo" / "ilsvrc_2012_mean.mat")
    crops = prepare_image(read_rgb(reference / "cam_repo" / "test.jpg"), mean, 227)
    np.testing.assert_allclose(crops[4], expected, rtol=0, atol=1e-5)


def test_prepare_image_refuses_other_means():
    with pytest.raises(
        CamcaffeError, match=r"mean: an array of shape \(3, 227, 227\); expected \(3, 256, 256\)"
    ):
        prepare_image(IMAGE, MEAN[:, :227, :227], 224)


def canvases(maps, size):
    """mergeTenCrop.m to the letter: a canvas of zeros a crop, three channels, absolute values, sum."""
    merged = np.zeros((256, 256))
    for one, place in zip(maps, ten_crops(size)):
        canvas = np.zeros((256, 256, 3))
        large = imresize(one.astype(np.float64), (size, size))
        large = large[:, ::-1] if place.mirrored else large
        canvas[place.y : place.y + size, place.x : place.x + size] = large[:, :, None]
        merged += np.abs(canvas).sum(axis=2)
    return merged


@pytest.mark.parametrize(("size", "shape"), [(224, (14, 14)), (227, (13, 13)), (227, (11, 9))])
def test_merge_equals_the_literal_canvases(size, shape):
    maps = RNG.normal(size=(10, 2, *shape)).astype(np.float32)
    merged = merge_ten_crop(maps, size)
    assert merged.dtype == np.float32
    for index in range(2):
        np.testing.assert_allclose(merged[index], canvases(maps[:, index], size), rtol=1e-6)


def test_merge_of_maps_that_have_the_crops_size():
    maps = RNG.normal(size=(10, 1, 224, 224)).astype(np.float32)
    np.testing.assert_allclose(merge_ten_crop(maps)[0], canvases(maps[:, 0], 224), rtol=1e-6)


def test_the_border_is_darker_because_fewer_crops_cover_it():
    merged = merge_ten_crop(np.ones((10, 1, 14, 14), np.float32), 224)[0]
    # One corner crop and one mirrored corner crop reach a corner, all ten the centre; each counts thrice.
    np.testing.assert_allclose(merged[[0, 0, -1, 128], [0, -1, 0, 128]], [6, 6, 6, 30], rtol=1e-5)


def test_merge_equals_the_original_to_the_last_bit(reference):
    for index in (1, 2):
        expected = np.load(reference / "demo" / f"img{index}_expected.npz")
        merged = merge_ten_crop(expected["cam_maps"].T, 224)
        np.testing.assert_array_equal(np.moveaxis(merged, 0, 2), expected["merged_maps"])


def test_merge_refuses_other_shapes():
    with pytest.raises(CamcaffeError, match=r"maps of shape \(9, 1, 14, 14\); expected \(10, classes"):
        merge_ten_crop(np.zeros((9, 1, 14, 14)), 224)

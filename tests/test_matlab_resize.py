import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from camcaffe import CamcaffeError
from camcaffe.matlab import im2double, im2uint8, imresize, resize_weights


def literal_kernel(method, x):
    x = abs(x)
    if method == "bilinear":
        return max(1 - x, 0)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0


def literal_line(line, length, method, antialiasing):
    """One row or column, pixel by pixel and tap by tap, from MATLAB's definition."""
    width = {"bicubic": 4, "bilinear": 2}[method]
    scale = length / len(line)
    stretch = scale if antialiasing and scale < 1 else 1
    width /= stretch
    resized = []
    for x in range(1, length + 1):
        u = x / scale + 0.5 * (1 - 1 / scale)
        left = math.floor(u - width / 2)
        total = weights = 0.0
        for tap in range(left, left + math.ceil(width) + 2):
            weight = literal_kernel(method, stretch * (u - tap))
            place = (tap - 1) % (2 * len(line))
            place = place if place < len(line) else 2 * len(line) - 1 - place
            total += weight * float(line[place])
            weights += weight
        resized.append(total / weights)
    return resized


def literal_imresize(image, size, method, antialiasing):
    dtype = image.dtype
    resized = image.astype(np.float64)
    order = (0, 1) if size[0] / image.shape[0] <= size[1] / image.shape[1] else (1, 0)
    for axis in order:
        lines = np.moveaxis(resized, axis, -1)
        flat = [
            literal_line(line, size[axis], method, antialiasing)
            for line in lines.reshape(-1, lines.shape[-1])
        ]
        resized = np.moveaxis(np.array(flat).reshape(*lines.shape[:-1], size[axis]), -1, axis)
        if dtype == np.uint8:
            resized = np.floor(np.clip(resized, 0, 255) + 0.5)
    return resized.astype(dtype)


def near_half(image, size, method, antialiasing):
    """Pixels of an 8-bit result whose rounding hangs on the last bits of a double."""
    exact = literal_imresize(image.astype(np.float64), size, method, antialiasing)
    return np.abs(np.abs(exact - np.floor(exact)) - 0.5) < 1e-9


LENGTHS = st.integers(1, 9)
IMAGES = st.sampled_from([np.uint8, np.float32, np.float64]).flatmap(
    lambda dtype: arrays.arrays(
        dtype,
        st.tuples(LENGTHS, LENGTHS, st.integers(1, 2)),
        elements=(
            st.integers(0, 255)
            if dtype == np.uint8
            else st.integers(-4096, 4096).map(lambda value: value / 1024)
        ),
    )
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(IMAGES, st.tuples(LENGTHS, LENGTHS), st.sampled_from(["bicubic", "bilinear"]), st.booleans())
def test_equals_the_literal_definition(image, size, method, antialiasing):
    resized = imresize(image, size, method, antialiasing)
    literal = literal_imresize(image, size, method, antialiasing)
    assert resized.dtype == image.dtype
    assert resized.shape == (*size, image.shape[2])
    if image.dtype == np.uint8:
        # A tie after the first dimension may tip the second by one gray level.
        differs = resized != literal
        assert np.abs(resized.astype(int) - literal)[differs].max(initial=0) <= 1
        assert not differs.any() or one_pass_has_tie(image, size, method, antialiasing)
    else:
        # An ulp of single at the largest magnitude that the overshoot reaches.
        np.testing.assert_allclose(
            resized, literal, rtol=0, atol=1e-12 if image.dtype == np.float64 else 1e-6
        )


def one_pass_has_tie(image, size, method, antialiasing):
    passes = [(size[0], image.shape[1]), (image.shape[0], size[1]), size]
    return any(near_half(image, one, method, antialiasing).any() for one in passes)


@pytest.mark.parametrize("kind", ["uint8", "double"])
def test_equals_matlabs_pictures(reference, kind):
    folder = reference / "imresize"
    image = cv2.imread(str(folder / "lena_512x512.png"), cv2.IMREAD_UNCHANGED)
    expected = cv2.imread(str(folder / f"lena_123x234_{kind}.png"), cv2.IMREAD_UNCHANGED)
    if kind == "uint8":
        resized = imresize(image, (123, 234))
    else:
        resized = im2uint8(imresize(im2double(image), (123, 234)))
    np.testing.assert_array_equal(resized, expected)


def test_trailing_dimensions_are_resized_one_by_one():
    maps = np.random.default_rng(0).random((5, 7, 3, 4))
    resized = imresize(maps, (9, 6))
    for i, j in np.ndindex(3, 4):
        np.testing.assert_array_equal(resized[:, :, i, j], imresize(maps[:, :, i, j], (9, 6)))


def test_8_bit_images_are_rounded_after_each_dimension():
    image = np.array([[10, 200, 30], [0, 255, 90], [45, 5, 250], [7, 99, 61]], np.uint8)
    once = np.clip(np.floor(imresize(image.astype(float), (7, 11)) + 0.5), 0, 255)
    assert (imresize(image, (7, 11)) != once).any()


def test_the_dimension_that_shrinks_most_comes_first():
    image = np.random.default_rng(1).integers(0, 256, (12, 9), dtype=np.uint8)
    rows_first = imresize(imresize(image, (12, 3)), (10, 3))
    np.testing.assert_array_equal(imresize(image, (10, 3)), rows_first)
    assert (rows_first != imresize(imresize(image, (10, 9)), (10, 3))).any()


def test_floats_keep_their_overshoot():
    step = np.repeat([[0.0, 0.0, 1.0, 1.0]], 4, axis=0)
    resized = imresize(step, (4, 16))
    assert resized.min() < -0.01
    assert resized.max() > 1.01


def test_same_size_is_a_copy():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    resized = imresize(image, (3, 4))
    np.testing.assert_array_equal(resized, image)
    assert not np.shares_memory(resized, image)


def test_weights_sum_to_one():
    for method in ("bicubic", "bilinear"):
        sums = resize_weights(37, 11, method).sum(axis=1)
        np.testing.assert_allclose(sums, 1, rtol=1e-14)


@pytest.mark.parametrize(
    ("image", "size", "method", "message"),
    [
        (np.zeros((2, 3), np.int32), (4, 4), "bicubic", "int32; expected uint8, float32 or float64"),
        (np.zeros((0, 3)), (4, 4), "bicubic", r"shape \(0, 3\)"),
        (np.zeros(3), (4, 4), "bicubic", r"shape \(3,\)"),
        (np.zeros((2, 3)), (0, 4), "bicubic", r"size \(0, 4\)"),
        (np.zeros((2, 3)), (4, 4), "lanczos3", "'lanczos3'; expected 'bicubic' or 'bilinear'"),
    ],
)
def test_refuses(image, size, method, message):
    with pytest.raises(CamcaffeError, match=message):
        imresize(image, size, method)

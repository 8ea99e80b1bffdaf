import numpy as np
import pytest

from camcaffe import CamcaffeError
from camcaffe.matlab import (
    gray2ind,
    im2double,
    im2uint8,
    imresize,
    ind2rgb,
    jet,
    mat2gray,
    round_half_away,
)

U8, U16, F32, F64 = np.uint8, np.uint16, np.float32, np.float64


@pytest.mark.parametrize(
    ("function", "results"),
    [
        (im2double, {U8: F64, U16: F64, bool: F64, F32: F64, F64: F64}),
        (im2uint8, {U8: U8, U16: U8, bool: U8, F32: U8, F64: U8}),
        (mat2gray, {U8: F64, U16: F64, bool: F64, F32: F64, F64: F64, np.int32: F64}),
        (gray2ind, {F32: U8, F64: U8}),
        (lambda image: imresize(image, (2, 5)), {U8: U8, F32: F32, F64: F64}),
        (lambda image: ind2rgb(image, jet(8)), {U8: F64, U16: F64, np.int64: F64}),
    ],
    ids=["im2double", "im2uint8", "mat2gray", "gray2ind", "imresize", "ind2rgb"],
)
def test_dtype_contract(function, results):
    values = np.array([[0, 1, 1], [1, 0, 1]])
    assert {dtype: function(values.astype(dtype)).dtype.type for dtype in results} == results


@pytest.mark.parametrize("function", [im2double, im2uint8])
@pytest.mark.parametrize("dtype", [np.int16, np.complex128, object])
def test_refuses_other_dtypes(function, dtype):
    with pytest.raises(CamcaffeError, match="expected uint8, uint16, bool, float32 or float64"):
        function(np.zeros((2, 2), dtype))


def test_rounds_halves_away_from_zero():
    values = np.array([0.5, 1.5, 2.5, -0.5, -2.5, 0.49999999999999994, 1e300, np.inf])
    expected = [1, 2, 3, -1, -3, 0, 1e300, np.inf]
    np.testing.assert_array_equal(round_half_away(values), expected)
    assert np.isnan(round_half_away(np.nan))


def test_im2uint8_of_floats():
    values = np.array([-1.0, 0.0, 0.5 / 255, 1.5 / 255, 2.5 / 255, 1.0, 7.0, np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(im2uint8(values), [0, 0, 1, 2, 3, 255, 255, 0, 255, 0])
    np.testing.assert_array_equal(im2uint8(values.astype(np.float32)), [0, 0, 1, 2, 3, 255, 255, 0, 255, 0])


def test_im2uint8_of_16_bits_is_the_nearest_257th():
    values = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(im2uint8(values), np.floor(values / 257 + 0.5))


def test_im2double_and_back():
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(im2uint8(im2double(values)), values)


def test_mat2gray_scales_and_clamps():
    values = np.array([[2.0, 4.0], [6.0, np.nan]])
    np.testing.assert_allclose(mat2gray(values), [[0, 0.5], [1, np.nan]], rtol=1e-15)
    np.testing.assert_allclose(mat2gray(values, (4, 5)), [[0, 0], [1, np.nan]], rtol=1e-15)


@pytest.mark.parametrize(("value", "gray"), [(-3.0, 0.0), (0.25, 0.25), (9.0, 1.0)])
def test_mat2gray_only_clamps_a_constant_array(value, gray):
    np.testing.assert_array_equal(mat2gray(np.full((2, 3), value)), gray)


def test_mat2gray_of_nothing_but_nan():
    assert np.isnan(mat2gray(np.full((2, 3), np.nan))).all()


def test_gray2ind_rounds_clamps_and_takes_nan_to_zero():
    gray = np.array([0, 0.5 / 255, 1.5 / 255, 1, 3, -3, np.nan])
    np.testing.assert_array_equal(gray2ind(gray), [0, 1, 2, 255, 255, 0, 0])
    np.testing.assert_array_equal(gray2ind(np.array([0, 0.4, 0.6, 1.0]), 2), [0, 0, 1, 1])
    with pytest.raises(CamcaffeError, match="257 levels; expected 1 to 256"):
        gray2ind(gray, 257)


def test_ind2rgb_takes_the_last_color_beyond_the_map():
    colors = np.array([[0, 0, 0], [1, 0.5, 0]])
    np.testing.assert_array_equal(ind2rgb(np.array([[0, 1, 7]]), colors), [colors[[0, 1, 1]]])


def literal_jet(m):
    """jet.m's description, step by step, with MATLAB's indices from 1."""
    n = int(np.ceil(m / 4))
    u = [k / n for k in range(1, n + 1)] + [1] * (n - 1) + [k / n for k in range(n, 0, -1)]
    first = int(np.ceil(n / 2)) - (1 if m % 4 == 1 else 0) + 1
    colors = np.zeros((m, 3))
    for column, shift in ((0, n), (1, 0), (2, -n)):
        for k, value in enumerate(u):
            row = first + k + shift
            if 1 <= row <= m:
                colors[row - 1, column] = value
    return colors


@pytest.mark.parametrize("m", [1, 2, 3, 5, 8, 9, 64, 101, 255, 256])
def test_jet(m):
    np.testing.assert_array_equal(jet(m), literal_jet(m))


def test_jets_known_colors():
    colors = jet(256)
    np.testing.assert_array_equal(colors[0], [0, 0, 0.515625])
    np.testing.assert_array_equal(colors[-1], [0.5, 0, 0])
    np.testing.assert_array_equal(colors[127], [0.5, 1, 0.5])

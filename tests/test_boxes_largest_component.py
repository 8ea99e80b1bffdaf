import numpy as np
import pytest

from camcaffe import CamcaffeError
from camcaffe.boxes import largest_component_box


def blocks(dtype=np.float32):
    """A small peak of 10, and a wide block of 3 and one of 1.5 elsewhere."""
    cam = np.zeros((30, 50), dtype=dtype)
    cam[2:5, 3:7] = 10
    cam[10:20, 12:40] = 3
    cam[22:30, 0:50] = 1.5
    return cam


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint8])
def test_the_largest_not_the_highest(dtype):
    box = largest_component_box(blocks(dtype))
    assert box.tolist() == [12, 10, 28, 10]
    assert box.dtype == np.int64


def test_the_fraction():
    assert largest_component_box(blocks(), 0.1).tolist() == [0, 22, 50, 8]
    assert largest_component_box(blocks(), 0.5).tolist() == [3, 2, 4, 3]


def test_above_means_more_than():
    cam = np.zeros((9, 9))
    cam[1, 1] = 10
    cam[4:8, 4:8] = 2  # 20 % exactly
    assert largest_component_box(cam).tolist() == [1, 1, 1, 1]


def test_pixels_not_the_box_decide():
    cam = np.zeros((20, 20))
    cam[np.arange(12), np.arange(12)] = 1  # a diagonal: 12 pixels in a box of 144
    cam[15:19, 2:6] = 1
    assert largest_component_box(cam).tolist() == [2, 15, 4, 4]
    cam[15:19, 2:6] = 0
    assert largest_component_box(cam).tolist() == [0, 0, 12, 12]


def test_of_equal_components_the_topmost_then_leftmost():
    cam = np.zeros((20, 30))
    cam[10:12, 2:4] = cam[3:5, 20:22] = cam[3:5, 9:11] = 1
    assert largest_component_box(cam).tolist() == [9, 3, 2, 2]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (4, 6)])
def test_a_constant_map_is_one_component(shape):
    assert largest_component_box(np.full(shape, 0.3)).tolist() == [0, 0, shape[1], shape[0]]


@pytest.mark.parametrize(
    "cam",
    [np.zeros((4, 6)), np.full((4, 6), -1.0), np.full((4, 6), np.nan), np.array([[1.0, np.inf]])],
)
def test_nothing_positive_or_not_finite(cam):
    with pytest.raises(
        CamcaffeError, match=r"^map: a maximum of .*; expected finite numbers with a positive"
    ):
        largest_component_box(cam)


@pytest.mark.parametrize(
    "cam", [np.zeros((3, 4, 3)), np.zeros((0, 3)), np.zeros(3), np.zeros((3, 4), complex)]
)
def test_not_a_map(cam):
    with pytest.raises(
        CamcaffeError, match=r"^map: an array of dtype .* and shape .*; expected real numbers"
    ):
        largest_component_box(cam)


@pytest.mark.parametrize("fraction", [-0.1, 1, 20, float("nan")])
def test_not_a_fraction(fraction):
    with pytest.raises(CamcaffeError, match=r"^fraction: .*; expected 0 <= fraction < 1$"):
        largest_component_box(blocks(), fraction)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from camcaffe import CamcaffeError
from camcaffe.boxes import corners_to_xywh, xywh_to_corners


def test_corners_lie_one_past_the_last_pixel():
    corners = xywh_to_corners([[41, 145, 362, 202], [102, 188, 242, 126]])
    assert corners.tolist() == [[41, 145, 403, 347], [102, 188, 344, 314]]
    assert corners_to_xywh(corners).tolist() == [[41, 145, 362, 202], [102, 188, 242, 126]]


def test_one_box_and_none():
    assert xywh_to_corners([1, 2, 3, 4]).tolist() == [1, 2, 4, 6]
    assert corners_to_xywh(np.empty((0, 4), dtype=np.int64)).shape == (0, 4)


def test_negative_sizes_are_sorted_as_generate_bbox_does():
    assert xywh_to_corners([[5, 1, -2, 3], [0, 0, -1, -4]]).tolist() == [[3, 1, 5, 4], [-1, -4, 0, 0]]


@given(arrays(np.int64, (7, 4), elements=st.integers(0, 5000)))
def test_there_and_back(boxes):
    back = corners_to_xywh(xywh_to_corners(boxes))
    assert back.dtype == boxes.dtype
    assert (back == boxes).all()


@pytest.mark.parametrize("convert", [xywh_to_corners, corners_to_xywh])
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32, np.float64])
def test_dtype_is_kept(convert, dtype):
    assert convert(np.ones((2, 3, 4), dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("convert", [xywh_to_corners, corners_to_xywh])
@pytest.mark.parametrize("boxes", [[1, 2, 3], [[1, 2, 3, 4, 5]], 7, []])
def test_not_boxes(convert, boxes):
    with pytest.raises(CamcaffeError, match=r"^boxes: an array of shape .*; expected four numbers a box"):
        convert(boxes)

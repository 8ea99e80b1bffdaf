"""keep_inside beside the original's steps taken one by one over SciPy's exact distance transform."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from camcaffe.boxes.inside import keep_inside


def kept_literally(mask):
    if mask.all() or not mask.any():
        return mask
    distance = distance_transform_edt(mask)
    scaled = np.floor(distance * (255.0 / (distance.max() - distance.min())) + 0.5)
    return np.where(scaled > 10, 255, 0).astype(np.uint8)


def kept(mask):
    mask = mask.copy()
    keep_inside(mask)
    return mask


def rectangles(random, height, width):
    """Overlapping rectangles, some cut out of others: long straight edges, many equal distances."""
    mask = np.zeros((height, width), dtype=bool)
    for _ in range(random.integers(1, 6)):
        y, x = random.integers(0, height), random.integers(0, width)
        mask[y : y + random.integers(1, height + 1), x : x + random.integers(1, width + 1)] ^= True
    return mask


def discs(random, height, width):
    """Overlapping discs, some larger than the picture."""
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width), dtype=bool)
    for _ in range(random.integers(1, 6)):
        center_y, center_x = random.integers(0, height), random.integers(0, width)
        mask |= (y - center_y) ** 2 + (x - center_x) ** 2 < random.integers(1, height + 1) ** 2
    return mask


def holes(random, height, width):
    """Everything but a few pixels."""
    mask = np.ones((height, width), dtype=bool)
    for _ in range(random.integers(1, 5)):
        mask[random.integers(0, height), random.integers(0, width)] = False
    return mask


def noise(random, height, width):
    return random.random((height, width)) < random.choice([0.02, 0.5, 0.98, 0.999])


@pytest.mark.parametrize("shapes", [rectangles, discs, holes, noise])
@settings(derandomize=True, max_examples=120, deadline=None)
@given(st.integers(1, 200), st.integers(1, 260), st.integers(0, 2**32 - 1))
def test_equals_the_literal_steps(shapes, height, width, seed):
    mask = np.uint8(255) * shapes(np.random.default_rng(seed), height, width)
    np.testing.assert_array_equal(kept(mask), kept_literally(mask))


@pytest.mark.parametrize("shapes", [rectangles, discs, holes])
def test_equals_the_literal_steps_in_a_large_picture(shapes):
    mask = np.uint8(255) * shapes(np.random.default_rng(5), 1500, 2100)
    np.testing.assert_array_equal(kept(mask), kept_literally(mask))


@pytest.mark.parametrize("radius", [24, 25, 34, 35, 48, 49, 54, 55, 68, 69])
def test_where_the_limit_steps(radius):
    y, x = np.mgrid[:160, :190]
    mask = np.uint8(255) * ((y - 70) ** 2 + (x - 80) ** 2 < radius**2)
    np.testing.assert_array_equal(kept(mask), kept_literally(mask))


def test_a_strip_as_long_as_the_picture():
    mask = np.zeros((120, 900), dtype=np.uint8)
    mask[10:107] = 255
    np.testing.assert_array_equal(kept(mask), kept_literally(mask))


def test_thin_masks_are_kept_whole():
    mask = np.zeros((60, 80), dtype=np.uint8)
    mask[10:56, 10:56] = 255  # the largest distance is 23: 10.5 / 255 of it is less than one pixel
    assert (kept(mask) == mask).all()
    mask[10:60, 10:60] = 255  # 25 or more: one pixel is not enough
    assert not (kept(mask) == mask).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (30, 50)])
@pytest.mark.parametrize("value", [0, 255])
def test_all_or_nothing_stays(shape, value):
    assert (kept(np.full(shape, value, dtype=np.uint8)) == value).all()


def test_beyond_the_edge_there_is_no_outside():
    mask = np.full((200, 100), 255, dtype=np.uint8)
    mask[:3] = 0
    below = kept(mask)
    assert not below[3:8].any()
    assert below[20:].all()

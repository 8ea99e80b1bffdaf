import numpy as np

from camcaffe.boxes import bbox_picture, draw_boxes
from camcaffe.heatmap import colorize
from camcaffe.matlab import im2uint8


def test_the_outline_and_nothing_else():
    image = np.full((40, 60, 3), 7, dtype=np.uint8)
    image.flags.writeable = False
    drawn = draw_boxes(image, [[10, 5, 30, 20]], color=(1, 2, 3), width=1)
    expected = image.copy()
    expected[[5, 25], 10:41] = (1, 2, 3)
    expected[5:26, [10, 40]] = (1, 2, 3)
    np.testing.assert_array_equal(drawn, expected)


def test_no_boxes():
    image = np.full((4, 6, 3), 7, dtype=np.uint8)
    assert (draw_boxes(image, np.empty((0, 4), dtype=np.int64)) == image).all()


def test_image_with_boxes_beside_the_heat_map():
    gray = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60).astype(np.uint8)
    image = np.full((40, 60, 3), 200, dtype=np.uint8)
    boxes = [[10, 5, 30, 20], [15, 8, 10, 10]]
    picture = bbox_picture(gray, boxes, image)
    assert picture.shape == (40, 128, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[:, :60], draw_boxes(image, boxes))
    assert (picture[:, 60:68] == 255).all()
    np.testing.assert_array_equal(picture[:, 68:], im2uint8(colorize(gray)))
    assert picture[8, 15].tolist() == [255, 0, 0]


def test_the_heat_map_alone_has_the_boxes():
    gray = np.zeros((40, 60), dtype=np.uint8)
    gray[10, 10] = 255
    picture = bbox_picture(gray, [[10, 5, 30, 20]])
    assert picture.shape == (40, 60, 3)
    assert picture[5, 20].tolist() == [255, 255, 255]
    assert picture[0, 0].tolist() == im2uint8(colorize(gray))[0, 0].tolist()

import cv2
import numpy as np
import pytest

from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.max_box_accuracy import MaxBoxEvaluator
from camcaffe.ilsvrc.synsets import Synsets
from camcaffe.ilsvrc.truth import Truth

SYNSETS = Synsets(("a",), ("a",), "classes")


def make_truth(boxes, sizes=None) -> Truth:
    owners = np.repeat(np.arange(len(boxes)), [len(found) for found in boxes])
    return Truth.of_images(
        SYNSETS,
        [f"image{number}" for number in range(len(boxes))],
        np.ones(len(boxes), np.int64),
        owners,
        np.array([box for found in boxes for box in found], np.float64).reshape(-1, 4),
        "truth",
        sizes=None if sizes is None else np.array(sizes),
    )


def slow_iou(box, true_box) -> float:
    wide = max(0, min(box[2], true_box[2]) - max(box[0], true_box[0]) + 1)
    high = max(0, min(box[3], true_box[3]) - max(box[1], true_box[1]) + 1)
    areas = [(b[2] - b[0] + 1) * (b[3] - b[1] + 1) for b in (box, true_box)]
    return wide * high / (sum(areas) - wide * high)


def slow_max_box_accuracy(maps, true_boxes, thresholds):
    """V1 and V2's parts by their definition: every threshold, contour and box in turn."""
    single = np.zeros((len(maps), len(thresholds)))
    multiple = np.zeros((len(maps), len(thresholds)))
    for number, score_map in enumerate(maps):
        stretched = (score_map - score_map.min()) / max(score_map.max() - score_map.min(), 1e-300)
        pixels = (stretched * 255).astype(np.uint8)
        height, width = pixels.shape
        for place, threshold in enumerate(thresholds):
            mask = np.zeros_like(pixels)
            mask[pixels > int(threshold * pixels.max())] = 255
            contours, _ = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
            boxes = [[0, 0, 0, 0]]
            if contours:
                contours = sorted(
                    contours, key=cv2.contourArea, reverse=True
                )  # stable: the first of equals leads
                rectangles = [cv2.boundingRect(contour) for contour in contours]
                boxes = [[x, y, min(x + w, width - 1), min(y + h, height - 1)] for x, y, w, h in rectangles]
            overlaps = [max(slow_iou(box, true_box) for true_box in true_boxes[number]) for box in boxes]
            single[number, place] = overlaps[0]
            multiple[number, place] = max(overlaps)
    v1 = (single >= 0.5).mean(axis=0).max()
    return v1, [(multiple >= iou).mean(axis=0).max() for iou in (0.3, 0.5, 0.7)]


def random_maps(count, height, width):
    random = np.random.default_rng(7)
    maps = [
        cv2.GaussianBlur(random.random((height, width)), (0, 0), 3 + number % 3) for number in range(count)
    ]
    corners = np.sort(random.integers(0, [width, height], (count, 2, 2, 2)), axis=2)
    return maps, corners.reshape(count, 2, 4).tolist()


@pytest.mark.parametrize("interval", [0.001, 0.03])
def test_equals_the_definition(interval):
    maps, true_boxes = random_maps(12, 30, 44)
    thresholds = np.arange(0, 1, interval)
    evaluator = MaxBoxEvaluator(make_truth(true_boxes), thresholds)
    for image, score_map in enumerate(maps):
        evaluator.accumulate(image, evaluator.best_overlaps(image, score_map))
    found = evaluator.compute()
    v1, parts = slow_max_box_accuracy(maps, true_boxes, thresholds)
    assert 0 < v1 < 1
    assert len(set(parts)) == 3
    assert found.v1 == pytest.approx(v1)
    assert found.by_iou == pytest.approx(parts)
    assert found.v2 == pytest.approx(sum(parts) / 3)
    assert found.missing == 0


def test_the_largest_contour_alone_counts_in_v1():
    score_map = np.zeros((40, 60))
    score_map[2:38, 2:30] = 1  # large, and wrong
    score_map[10:20, 40:50] = 1  # small, and right
    evaluator = MaxBoxEvaluator(make_truth([[(40, 10, 50, 20)]]))
    largest, best = evaluator.best_overlaps(0, score_map)
    assert set(largest) == {-1}
    assert set(best) == {1}


def test_the_best_threshold_is_one_for_all_images():
    # The first map is right above 0.2 only, the second up to 0.6 only: 0.2 to 0.6 serves both.
    first, second = np.full((40, 60), 0.2), np.zeros((40, 60))
    first[0, 0], first[10:20, 30:50] = 0, 1
    second[10:20, 30:50], second[12:14, 32:34] = 0.6, 1
    truth = make_truth([[(30, 10, 50, 20)]] * 2)
    evaluator = MaxBoxEvaluator(truth, np.arange(0, 1, 0.01))
    for image, score_map in enumerate((first, second)):
        evaluator.accumulate(image, evaluator.best_overlaps(image, score_map))
    found = evaluator.compute()
    assert found.v1 == 1
    assert found.threshold == pytest.approx(0.2, abs=0.011)
    largest = [
        evaluator.best_overlaps(image, score_map)[0] for image, score_map in enumerate((first, second))
    ]
    assert (largest[0] >= 0.5).tolist() == [place >= 20 for place in range(100)]
    assert (largest[1] >= 0.5).tolist() == [place < 60 for place in range(100)]


def test_v2_takes_each_iou_at_its_own_threshold():
    score_map = np.zeros((40, 60))
    score_map[0:10, 0:40], score_map[0:10, 0:16] = 0.5, 1
    evaluator = MaxBoxEvaluator(make_truth([[(0, 0, 40, 10)], [(0, 0, 16, 10)]]))
    for image in range(2):
        evaluator.accumulate(image, evaluator.best_overlaps(image, score_map))
    found = evaluator.compute()
    # 16 of 40 columns: IoU 17 / 41 = 0.41, so that at 0.3 each threshold has both and above it but one.
    assert found.by_iou == (1, 0.5, 0.5)
    assert found.v2 == pytest.approx(2 / 3)


def test_a_box_ends_behind_its_contour_but_inside_the_picture():
    score_map = np.zeros((8, 12))
    score_map[2:4, 3:6] = 1
    score_map[6:8, 9:12] = 0.5
    truth = make_truth([[(3, 2, 6, 4)], [(9, 6, 11, 7)]])
    evaluator = MaxBoxEvaluator(truth, np.array([0.0, 0.9]))
    assert evaluator.best_overlaps(0, score_map)[1].tolist() == [1, 1]
    assert evaluator.best_overlaps(1, score_map)[1].tolist() == [1, -1]


def test_true_boxes_are_scaled_to_the_map():
    score_map = np.zeros((20, 30))
    score_map[5:10, 15:20] = 1
    truth = make_truth([[(152, 51, 209, 109)]], sizes=[(300, 200)])
    found = MaxBoxEvaluator(truth, np.array([0.5])).best_overlaps(0, score_map)
    # 15.2 5.1 20.9 10.9 is cut to 15 5 20 10.
    assert found[0].tolist() == [1]


def test_a_map_of_another_size_needs_sizes():
    evaluator = MaxBoxEvaluator(make_truth([[(152, 51, 209, 109)]]))
    with pytest.raises(
        CamcaffeError, match="score map of image0: 30 x 20 pixels; expected the size of the image"
    ):
        evaluator.best_overlaps(0, np.eye(20, 30))


def test_constant_map_is_a_box_of_one_pixel():
    evaluator = MaxBoxEvaluator(make_truth([[(0, 0, 0, 1)]]), np.array([0.0, 0.5]))
    for value in (0, 1, 0.25):
        largest, best = evaluator.best_overlaps(0, np.full((6, 9), value))
        assert largest.tolist() == best.tolist() == [0.5, 0.5]


def test_images_without_a_map_or_a_box_are_misses():
    score_map = np.zeros((8, 12))
    score_map[2:4, 3:6] = 1
    evaluator = MaxBoxEvaluator(make_truth([[(3, 2, 6, 4)], [(3, 2, 6, 4)], []]))
    evaluator.accumulate(0, evaluator.best_overlaps(0, score_map))
    evaluator.accumulate(2, evaluator.best_overlaps(2, score_map))
    found = evaluator.compute()
    assert found.v1 == found.v2 == pytest.approx(1 / 3)
    assert found.missing == 1
    with pytest.raises(CamcaffeError, match="truth: image2 was judged twice"):
        evaluator.accumulate(2, evaluator.best_overlaps(2, score_map))


@pytest.mark.parametrize(
    ("score_map", "message"),
    [
        (np.full((4, 5), np.nan), "NaN or infinity in it"),
        (np.zeros((4, 5, 3)), r"an array of shape \(4, 5, 3\) and type float64; expected numbers, \(H, W\)"),
        (np.zeros((0, 5)), r"an array of shape \(0, 5\)"),
        (np.array([["a"]]), r"an array of shape \(1, 1\) and type <U1"),
    ],
)
def test_what_is_no_map_is_refused(score_map, message):
    with pytest.raises(CamcaffeError, match=f"score map of image0: {message}"):
        MaxBoxEvaluator(make_truth([[(0, 0, 1, 1)]])).best_overlaps(0, score_map)

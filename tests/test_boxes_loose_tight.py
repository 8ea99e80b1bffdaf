import json

import numpy as np
import pytest

from camcaffe import CamcaffeError
from camcaffe.boxes import loose_tight, xywh_to_corners

FIRST = [[1, 1, 90, 80], [10, 10, 40, 30], [60, 60, 5, 5]]
SECOND = [[2, 2, 70, 60], [20, 20, 30, 20]]


def test_five_classes_combine_the_top_three():
    boxes = [[[rank, 0, 50, 40], [rank, 5, 20, 10], [rank, 9, 9, 9]] for rank in range(5)]
    guesses = loose_tight(boxes)
    assert guesses.loose.tolist() == [[rank, 0, 50, 40] for rank in range(5)]
    assert guesses.tight.tolist() == [[rank, 5, 20, 10] for rank in range(5)]
    assert guesses.combined_ranks.tolist() == [0, 0, 1, 1, 2]
    assert guesses.combined.tolist() == [
        [0, 0, 50, 40],
        [0, 5, 20, 10],
        [1, 0, 50, 40],
        [1, 5, 20, 10],
        [2, 0, 50, 40],
    ]
    assert (guesses.one_box, guesses.no_box) == (0, 0)


@pytest.mark.parametrize(("classes", "ranks"), [(1, [0]), (2, [0, 0]), (3, [0, 0, 1])])
def test_fewer_classes(classes, ranks):
    guesses = loose_tight([FIRST, SECOND, FIRST][:classes])
    assert guesses.combined_ranks.tolist() == ranks
    assert guesses.combined.tolist() == [FIRST[0], FIRST[1], SECOND[0]][:classes]


def test_a_single_box_is_both_and_counted():
    guesses = loose_tight([FIRST[:1], SECOND, np.array(FIRST[2:])])
    assert guesses.loose.tolist() == [FIRST[0], SECOND[0], FIRST[2]]
    assert guesses.tight.tolist() == [FIRST[0], SECOND[1], FIRST[2]]
    assert guesses.combined.tolist() == [FIRST[0], FIRST[0], SECOND[0]]
    assert (guesses.one_box, guesses.no_box) == (2, 0)


def test_no_box_takes_the_fallback_and_is_counted():
    guesses = loose_tight([FIRST, np.empty((0, 4), dtype=np.int64)], fallback=(0, 0, 500, 375))
    assert guesses.loose.tolist() == [FIRST[0], [0, 0, 500, 375]]
    assert guesses.tight.tolist() == [FIRST[1], [0, 0, 500, 375]]
    assert (guesses.one_box, guesses.no_box) == (0, 1)


def test_no_box_and_no_fallback():
    with pytest.raises(CamcaffeError, match=r"^boxes of class 2: none; expected a box, or a fallback$"):
        loose_tight([FIRST, []])


def test_no_class():
    with pytest.raises(CamcaffeError, match=r"^boxes: no class"):
        loose_tight([])


@pytest.mark.parametrize("boxes", [[1, 2, 3, 4], [[1, 2, 3]], [[[1, 2, 3, 4]]]])
def test_not_boxes(boxes):
    with pytest.raises(CamcaffeError, match=r"^boxes of class 1: an array of shape .*; expected \(n, 4\)$"):
        loose_tight([boxes])


def test_equals_the_original_predictions(reference):
    folder = reference / "mini_ilsvrc" / "reference"
    predictions = json.loads((folder / "predictions.json").read_text())
    rows = {
        name: np.loadtxt(folder / f"pred_{name}.txt").astype(np.int64).reshape(-1, 5, 5)
        for name in ("loose", "tight", "combined")
    }
    for index, classes in enumerate(predictions.values()):
        guesses = loose_tight([one["dt_box"] for one in classes])
        ids = rows["loose"][index, :, 0]
        for name, ranks in (("loose", range(5)), ("tight", range(5)), ("combined", guesses.combined_ranks)):
            assert rows[name][index, :, 1:].tolist() == xywh_to_corners(getattr(guesses, name)).tolist()
            assert rows[name][index, :, 0].tolist() == ids[list(ranks)].tolist()

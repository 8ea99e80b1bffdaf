import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.evaluation import ErrorEvaluator, evaluate, interval, overlap
from camcaffe.ilsvrc.predictions import Predictions, read_predictions
from camcaffe.ilsvrc.synsets import Synsets
from camcaffe.ilsvrc.truth import Truth, read_truth

CLASSES = 3
SYNSETS = Synsets(("a", "b", "c"), ("a", "b", "c"), "classes")


def make_truth(labels, boxes, blacklisted) -> Truth:
    """A truth from a list of boxes for each image."""
    owners = np.repeat(np.arange(len(labels)), [len(found) for found in boxes])
    return Truth.of_images(
        SYNSETS,
        [f"image{number}" for number in range(len(labels))],
        np.array(labels, np.int64),
        owners,
        np.array([box for found in boxes for box in found], np.float64).reshape(-1, 4),
        "truth",
        np.array(blacklisted, bool),
    )


def slow_errors(labels, boxes, blacklisted, guesses, most, skip):
    """Errors by the definition, guess by guess, in the words of the devkit's readme."""
    class_errors, box_errors, counted = 0, 0, 0
    for label, true_boxes, listed, row in zip(labels, boxes, blacklisted, guesses):
        class_errors += all(guess[0] != label for guess in row[:most])
        if listed and skip:
            continue
        counted += 1
        found = False
        for guess, *(x0, y0, x1, y1) in row[:most]:
            for tx0, ty0, tx1, ty1 in true_boxes:
                wide = min(x1, tx1) - max(x0, tx0) + 1
                high = min(y1, ty1) - max(y0, ty0) + 1
                if guess == label and wide > 0 and high > 0:
                    mine, its = (x1 - x0 + 1) * (y1 - y0 + 1), (tx1 - tx0 + 1) * (ty1 - ty0 + 1)
                    found |= 2 * wide * high >= mine + its - wide * high
        box_errors += not found
    return class_errors / len(labels), box_errors / counted


box = st.tuples(*[st.integers(0, 6)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)
guess = st.tuples(st.integers(1, CLASSES), box).map(lambda g: (g[0], *g[1]))
images = st.lists(
    st.tuples(
        st.integers(1, CLASSES),
        st.lists(box, max_size=3),
        st.booleans(),
        st.lists(guess, min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(images)
def test_errors_equal_the_definition(rows):
    labels, boxes, blacklisted, guesses = zip(*rows)
    truth = make_truth(labels, boxes, blacklisted)
    table = np.zeros((len(rows), max(map(len, guesses)), 5))
    for row, found in enumerate(guesses):
        table[row, : len(found)] = found
    errors = evaluate(truth, Predictions(table[..., 0].astype(np.int64), table[..., 1:]))
    for skip in (True, False):
        if skip and all(blacklisted):
            continue
        for most in range(1, 6):
            expected = slow_errors(labels, boxes, blacklisted, guesses, most, skip)
            found = errors.classification()[most - 1], errors.localization(skip)[most - 1]
            assert found == pytest.approx(expected, abs=1e-12)


def test_the_table_of_the_original_pipeline(mini):
    """The 30 rows that the devkit's own evaluation gave."""
    truth = read_truth(mini / "devkit", mini / "val_bbox")
    rows = (mini / "reference/expected_errors.csv").read_text().splitlines()[1:]
    assert len(rows) == 30
    errors = {
        name: evaluate(truth, read_predictions(mini / f"reference/pred_{name}.txt", 1000))
        for name in ("loose", "tight", "combined")
    }
    for row in rows:
        name, guesses, blacklist, cls_error, loc_error = row.split(",")
        found = errors[name]
        assert f"{found.classification()[int(guesses) - 1]:.6f}" == cls_error
        assert f"{found.localization(blacklist == 'yes')[int(guesses) - 1]:.6f}" == loc_error


def test_the_heuristic_beats_one_loose_box(mini):
    truth = read_truth(mini / "devkit", mini / "val_bbox")
    loose, combined = (
        evaluate(truth, read_predictions(mini / f"reference/pred_{name}.txt", 1000)).localization(False)[4]
        for name in ("loose", "combined")
    )
    assert (loose, combined) == (pytest.approx(0.39), pytest.approx(0.35))


def test_overlap_counts_inclusive_pixels():
    assert overlap([0, 0, 9, 9], [0, 0, 9, 9]) == 1
    assert overlap([0, 0, 9, 9], [0, 0, 9, 19]) == 0.5
    assert overlap([0, 0, 0, 0], [0, 0, 0, 0]) == 1
    # Columns 0..9 and 9..18 share one column; columns 0..9 and 10..19 touch and share none.
    assert overlap([0, 0, 9, 9], [9, 0, 18, 9]) == 10 / 190
    assert overlap([0, 0, 9, 9], [10, 0, 19, 9]) == -1
    assert overlap([0, 0, 9, 9], [20, 30, 29, 39]) == -1


def test_overlap_broadcasts():
    first = np.array([[0, 0, 9, 9], [0, 0, 4, 9], [50, 50, 60, 60]])
    found = overlap(first[:, None], first)
    assert found.shape == (3, 3)
    np.testing.assert_array_equal(found, [[1, 0.5, -1], [0.5, 1, -1], [-1, -1, 1]])


def test_exactly_half_is_right():
    truth = make_truth([1, 1], [[(0, 0, 9, 19)], [(0, 0, 9, 19)]], [False, False])
    boxes = np.array([[[0.0, 0, 9, 9]], [[0.0, 0, 9, 8]]])
    errors = evaluate(truth, Predictions(np.array([[1], [1]]), boxes))
    assert errors.box_wrong[:, 0].tolist() == [False, True]


def test_only_boxes_of_the_same_label_count():
    truth = make_truth([1], [[(0, 0, 9, 9)]], [False])
    labels = np.array([[2, 1]])
    boxes = np.array([[[0.0, 0, 9, 9], [50, 50, 59, 59]]])
    errors = evaluate(truth, Predictions(labels, boxes))
    assert errors.classification().tolist() == [1, 0, 0, 0, 0]
    assert errors.localization().tolist() == [1] * 5


def test_blacklist_concerns_localization_only():
    truth = make_truth([1, 1, 2], [[(0, 0, 9, 9)]] * 3, [False, True, False])
    predictions = Predictions(np.array([[1], [2], [2]]), np.tile(np.array([0.0, 0, 9, 9]), (3, 1, 1)))
    errors = evaluate(truth, predictions)
    assert errors.classification()[0] == pytest.approx(1 / 3)
    assert errors.localization()[0] == 0
    assert errors.localization(blacklist=False)[0] == pytest.approx(1 / 3)


def test_gt_known_takes_the_true_class_at_any_rank():
    truth = make_truth([1, 2, 3], [[(0, 0, 9, 9)]] * 3, [False] * 3)
    labels = np.array([[2, 3, 2, 3, 2, 3, 1], [2, 1, 1, 1, 1, 1, 1], [1, 2, 1, 2, 1, 2, 1]])
    boxes = np.tile(np.array([0.0, 0, 9, 9]), (3, 7, 1))
    boxes[1] += 100
    errors = evaluate(truth, Predictions(labels, boxes))
    assert errors.known.tolist() == [True, True, False]
    assert errors.gt_known() == pytest.approx(1 / 3)
    # Rank 7 helps GT-known localization, and not the errors of the first five guesses.
    assert errors.localization()[4] == 1


def test_batches_equal_the_whole(mini):
    truth = read_truth(mini / "devkit", mini / "val_bbox")
    predictions = read_predictions(mini / "reference/pred_combined.txt", 1000)
    whole = evaluate(truth, predictions)
    evaluator = ErrorEvaluator(truth)
    for rows in np.array_split(np.random.default_rng(0).permutation(200), 7):
        evaluator.accumulate(rows, Predictions(predictions.labels[rows], predictions.boxes[rows]))
    parts = evaluator.compute()
    for name in ("class_wrong", "box_wrong", "known", "known_right"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_every_image_once():
    truth = make_truth([1, 1, 2], [[(0, 0, 9, 9)]] * 3, [False] * 3)
    one = Predictions(np.array([[1]]), np.zeros((1, 1, 4)))
    two = Predictions(np.array([[1], [1]]), np.zeros((2, 1, 4)))
    evaluator = ErrorEvaluator(truth)
    evaluator.accumulate(np.array([2]), one)
    with pytest.raises(CamcaffeError, match="truth: no guesses for image0; expected guesses for every image"):
        evaluator.compute()
    for rows in ([2, 0], [1, 1]):
        with pytest.raises(CamcaffeError, match="truth: an image was judged twice"):
            evaluator.accumulate(np.array(rows), two)


@pytest.mark.parametrize("rows", [2, 4])
def test_as_many_rows_as_images(rows):
    truth = make_truth([1, 1, 2], [[(0, 0, 9, 9)]] * 3, [False] * 3)
    with pytest.raises(
        CamcaffeError, match=f"pred.txt: {rows} rows; expected 3, one for each image of truth"
    ):
        evaluate(truth, Predictions(np.ones((rows, 1), np.int64), np.zeros((rows, 1, 4))), "pred.txt")


def test_interval_equals_resampling_of_images():
    random = np.random.default_rng(3)
    wrong = random.random((400, 2)) < [0.3, 0.05]
    resampled = [wrong[random.integers(0, 400, 400)].mean(axis=0) for _ in range(20000)]
    slow = np.quantile(resampled, [0.025, 0.975], axis=0).T
    found = interval(wrong.mean(axis=0), 400, 20000, seed=1)
    assert found.shape == (2, 2)
    # One image is 0.0025: the two may differ by chance by little more.
    np.testing.assert_allclose(found, slow, atol=0.004)
    assert (found[:, 0] < wrong.mean(axis=0)).all()
    assert (found[:, 1] > wrong.mean(axis=0)).all()


def test_interval_follows_the_seed():
    error = np.array([0.4, 0.2])
    np.testing.assert_array_equal(interval(error, 200, 1000, seed=5), interval(error, 200, 1000, seed=5))
    assert (interval(error, 200, 1000, seed=5) != interval(error, 200, 1000, seed=6)).any()
    np.testing.assert_array_equal(interval(np.array([0.0, 1.0]), 200, 100), [[0, 0], [1, 1]])

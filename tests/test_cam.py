import numpy as np
import pytest

from camcaffe import CamcaffeError
from camcaffe.cam import class_activation_maps, rank_classes
from camcaffe.features import read_features, read_weights

RNG = np.random.default_rng(0)
FEATURES = RNG.random((4, 6, 5, 7)).astype(np.float32)
WEIGHTS = RNG.normal(size=(3, 6)).astype(np.float32)


def test_equals_the_sum_over_units():
    maps = class_activation_maps(FEATURES, WEIGHTS)
    assert maps.shape == (4, 3, 5, 7)
    assert maps.dtype == np.float32
    for n, c, y, x in np.ndindex(4, 3, 5, 7):
        expected = sum(float(WEIGHTS[c, k]) * float(FEATURES[n, k, y, x]) for k in range(6))
        assert maps[n, c, y, x] == pytest.approx(expected, abs=1e-5)


def test_one_crop_or_many():
    np.testing.assert_array_equal(
        class_activation_maps(FEATURES[2], WEIGHTS), class_activation_maps(FEATURES, WEIGHTS)[2]
    )


def test_a_maps_mean_is_the_class_score_without_its_bias():
    scores = FEATURES.mean(axis=(2, 3)) @ WEIGHTS.T
    np.testing.assert_allclose(class_activation_maps(FEATURES, WEIGHTS).mean(axis=(2, 3)), scores, rtol=1e-5)


def test_a_real_nets_maps_average_to_its_scores(reference):
    folder = reference / "mini_ilsvrc" / "reference" / "features"
    cached = np.load(folder / "ILSVRC2012_val_00000361.npz")
    maps = class_activation_maps(cached["features"], np.load(folder / "fc_weights.npz")["weights"])
    scores = maps.mean(axis=(2, 3), dtype=np.float64)
    # squeezenetCAM's bias is part of the scores; softmax over the classes undoes no more than a shift,
    # so that the differences between two crops' log-probabilities are those of the scores.
    log = np.log(cached["prob"].astype(np.float64))
    top = np.argsort(-cached["prob"].mean(axis=0))[:5]
    between_crops = (scores[0] - scores[1])[top]
    expected = (log[0] - log[1])[top]
    np.testing.assert_allclose(between_crops - between_crops[0], expected - expected[0], atol=2e-4)


@pytest.mark.parametrize("index", [1, 2])
def test_equals_the_original(reference, index):
    expected = np.load(reference / "demo" / f"img{index}_expected.npz")
    features = read_features(reference / "cam_repo" / f"data_img{index}.mat")
    weights = read_weights(reference / "cam_repo" / "data_net.mat")[expected["top5"] - 1]
    maps = class_activation_maps(features.conv, weights)
    largest = np.abs(expected["cam_maps"]).max()
    np.testing.assert_allclose(maps.T, expected["cam_maps"], rtol=0, atol=1e-6 * largest)


@pytest.mark.parametrize(
    ("features", "weights"),
    [(FEATURES, WEIGHTS.T), (FEATURES[0, 0], WEIGHTS), (FEATURES, WEIGHTS[0])],
)
def test_refuses_shapes_that_do_not_fit(features, weights):
    with pytest.raises(CamcaffeError, match=r"expected \(crops, units, height, width\)"):
        class_activation_maps(features, weights)


def test_ranking_is_stable():
    np.testing.assert_array_equal(rank_classes(np.array([1.0, 3.0, 2.0, 3.0, 3.0]), 4), [1, 3, 4, 2])


def test_five_classes_or_all():
    scores = np.arange(9.0)
    np.testing.assert_array_equal(rank_classes(scores), [8, 7, 6, 5, 4])
    np.testing.assert_array_equal(rank_classes(scores[:2]), [1, 0])


def test_ranking_refuses():
    with pytest.raises(CamcaffeError, match=r"scores that are not numbers \(NaN\)"):
        rank_classes(np.array([1.0, np.nan]), 1)
    for top in (0, 3):
        with pytest.raises(CamcaffeError, match=f"the top {top} of 2 classes; expected 1 to 2"):
            rank_classes(np.array([1.0, 2.0]), top)

import numpy as np
import pytest
import scipy.io

from camcaffe import CamcaffeError
from camcaffe.features import read_features, read_mean, read_weights

RNG = np.random.default_rng(0)
CONV = RNG.random((10, 6, 5, 7)).astype(np.float32)
SCORES = RNG.random((10, 4)).astype(np.float32)
WEIGHTS = RNG.random((4, 6)).astype(np.float32)


@pytest.fixture
def save(tmp_path):
    def write(**variables):
        scipy.io.savemat(tmp_path / "data.mat", variables)
        return tmp_path / "data.mat"

    return write


def test_matlabs_axes_are_reversed(save):
    features = read_features(save(activation_lastconv=CONV.T, scores=SCORES.T))
    np.testing.assert_array_equal(features.conv, CONV)
    np.testing.assert_array_equal(features.scores, SCORES)
    np.testing.assert_array_equal(read_weights(save(weights_LR=WEIGHTS.T)), WEIGHTS)
    mean = RNG.random((3, 256, 256)).astype(np.float32)
    np.testing.assert_array_equal(read_mean(save(mean_data=mean.T)), mean)


def test_scores_in_four_dimensions_are_ranked_by_the_first_crop(save):
    quirk = read_features(save(activation_lastconv=CONV.T, scores=SCORES.T[None, None]))
    plain = read_features(save(activation_lastconv=CONV.T, scores=SCORES.T))
    np.testing.assert_array_equal(quirk.scores, plain.scores)
    np.testing.assert_array_equal(quirk.class_scores(), SCORES[0])
    np.testing.assert_array_equal(plain.class_scores(), SCORES.mean(axis=0))
    np.testing.assert_array_equal(quirk.class_scores("mean"), plain.class_scores("mean"))


def test_the_quirk_shows_in_the_authors_data(reference):
    expected = np.load(reference / "demo" / "img1_expected.npz")
    features = read_features(reference / "cam_repo" / "data_img1.mat")
    top = np.argsort(-features.class_scores(), kind="stable")[:5]
    np.testing.assert_array_equal(top, expected["top5"] - 1)
    np.testing.assert_array_equal(features.class_scores()[top], expected["top5_score"])
    assert np.argsort(-features.class_scores("mean"))[2] != top[2]


@pytest.mark.parametrize(
    ("read", "variables", "message"),
    [
        (read_features, {"scores": SCORES.T}, r"no variable 'activation_lastconv' \(it holds: scores\)"),
        (read_features, {"activation_lastconv": CONV[:9].T, "scores": SCORES.T}, "expected width x height"),
        (read_features, {"activation_lastconv": CONV.T, "scores": SCORES}, r"scores of shape \(10, 4\)"),
        (read_features, {"activation_lastconv": CONV.T * np.nan, "scores": SCORES.T}, "holds NaN"),
        (read_weights, {"weights_LR": "text"}, "weights_LR is not an array of numbers"),
        (read_weights, {"weights_LR": CONV}, "expected units x classes"),
        (read_mean, {"mean_data": CONV}, "expected 256 x 256 x 3"),
    ],
)
def test_refuses(save, read, variables, message):
    with pytest.raises(CamcaffeError, match=rf"data\.mat: .*{message}"):
        read(save(**variables))

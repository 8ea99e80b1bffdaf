import numpy as np
import pytest
from data_layers import data_layers, pictures, write_mean
from hypothesis import given, settings
from hypothesis import strategies as st

from camcaffe import CamcaffeError
from camcaffe.caffe import messages
from camcaffe.caffe.training.sources.transform import Transformer

PIXELS = pictures(1, 9, 13)[0].transpose(2, 0, 1)


def transformer(transform, phase="TEST"):
    text = f'layer {{ name: "data" type: "Data" top: "data" transform_param {{ {transform} }} }}'
    return Transformer(data_layers(text, phase)[0], phase)


def apply(transform, phase="TEST", pixels=PIXELS, seed=0):
    return transformer(transform, phase)(pixels, "a.jpg", np.random.default_rng(seed))


def by_definition(pixels, mean, scale, crop, top, left, flipped):
    """data_transformer.cpp, value by value."""
    out = np.empty((len(pixels), crop, crop), np.float32)
    for c in range(len(pixels)):
        for h in range(crop):
            for w in range(crop):
                value = np.float32(pixels[c, top + h, left + w]) - mean[c, top + h, left + w]
                out[c, h, crop - 1 - w if flipped else w] = value * np.float32(scale)
    return out


def test_nothing_set():
    out = apply("")
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, PIXELS)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@given(seed=st.integers(0, 2**32), crop=st.integers(1, 9), mirror=st.booleans())
@settings(max_examples=25, derandomize=True, deadline=None)
def test_one_of_the_windows(tmp_path_factory, phase, seed, crop, mirror):
    mean = np.random.default_rng(1).normal(110, 30, PIXELS.shape).astype(np.float32)
    path = tmp_path_factory.mktemp("mean") / "mean.binaryproto"
    write_mean(path, mean)
    options = f'crop_size: {crop} mean_file: "{path}" scale: 0.3 mirror: {str(mirror).lower()}'
    out = apply(options, phase, seed=seed)
    places = [((9 - crop) // 2, (13 - crop) // 2)]
    if phase == "TRAIN":
        places = [(top, left) for top in range(9 - crop + 1) for left in range(13 - crop + 1)]
    found = [
        (place, flipped)
        for place in places
        for flipped in {False, mirror}
        if np.array_equal(out, by_definition(PIXELS, mean, 0.3, crop, *place, flipped))
    ]
    assert found
    np.testing.assert_array_equal(out, apply(options, phase, seed=seed))


def test_every_window_and_both_sides_come():
    pixels = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    transform, rng = transformer("crop_size: 2 mirror: true", "TRAIN"), np.random.default_rng(0)
    counts = {}
    for _ in range(1200):
        out = transform(pixels, "a.jpg", rng)
        counts[tuple(out.ravel())] = counts.get(tuple(out.ravel()), 0) + 1
    assert len(counts) == 2 * 2 * 3
    assert min(counts.values()) > 60  # 100 each


def test_mirrors_in_the_test_phase_too():
    transform, rng = transformer("mirror: true"), np.random.default_rng(0)
    flipped = [np.array_equal(transform(PIXELS, "a.jpg", rng), PIXELS[:, :, ::-1]) for _ in range(100)]
    assert 30 < sum(flipped) < 70


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        ("crop_size: 10", r"^a.jpg: 9 x 13 pixels, and layer 'data' crops 10 x 10; expected at least"),
        ("mean_value: 1 mean_value: 2", r"^layer 'data': 2 times mean_value; expected one, or 3, a channel"),
        ("mean_value: 1 mean_file: 'mean.binaryproto'", "^layer 'data': it has both mean_file and"),
        ("mean_file: 'mean.binaryproto'", r"mean.binaryproto: a mean of 3 channels x 8 rows x 13 columns; "
         "expected the 3 channels x 9 rows x 13 columns of a.jpg"),
        ("mean_file: 'missing'", "^missing: no such file"),
        ("mean_file: 'nan'", "^nan: the mean holds NaN"),
        ("mean_file: 'flat'", r"^flat: a mean of shape \(3,\); expected \(1, channels"),
    ],
)  # fmt: skip
def test_refuses(tmp_path, monkeypatch, transform, message):
    monkeypatch.chdir(tmp_path)
    write_mean(tmp_path / "mean.binaryproto", np.zeros((3, 8, 13), np.float32))
    write_mean(tmp_path / "nan", np.full((3, 9, 13), np.nan, np.float32))
    flat = messages.BlobProto(data=[1, 2, 3])
    flat.shape.dim.append(3)
    (tmp_path / "flat").write_bytes(flat.SerializeToString())
    with pytest.raises(CamcaffeError, match=message):
        apply(transform)

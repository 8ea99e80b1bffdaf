import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.predictions import Predictions, read_predictions, write_predictions


@pytest.mark.parametrize("name", ["loose", "tight", "combined"])
def test_real_files_come_back_as_they_were(mini, tmp_path, name):
    source = mini / "reference" / f"pred_{name}.txt"
    predictions = read_predictions(source, 1000)
    assert predictions.labels.shape == (200, 5)
    assert predictions.boxes.shape == (200, 5, 4)
    write_predictions(tmp_path / "copy.txt", predictions)
    assert (tmp_path / "copy.txt").read_bytes() == source.read_bytes()


def test_rows_of_different_lengths(tmp_path):
    path = tmp_path / "pred.txt"
    path.write_text("  3 1 2 3.5 4\t4 0 0 9 9\r\n1 5 5 5 5\n0 0 0 0 0\n2 1 1 2 2 0 0 0 0 0 4 1 1 2 2\n")
    predictions = read_predictions(path, 4)
    assert predictions.labels.tolist() == [[3, 4, 0], [1, 0, 0], [0, 0, 0], [2, 0, 4]]
    assert predictions.boxes[0].tolist() == [[1, 2, 3.5, 4], [0, 0, 9, 9], [0, 0, 0, 0]]
    write_predictions(path, predictions)
    assert path.read_text() == (
        "3 1 2 3.5 4 4 0 0 9 9\n1 5 5 5 5\n0 0 0 0 0\n2 1 1 2 2 0 0 0 0 0 4 1 1 2 2\n"
    )


def test_guesses_beyond_five_are_ignored(tmp_path):
    path = tmp_path / "pred.txt"
    path.write_text(" ".join(f"{label} 1 2 3 4" for label in range(1, 8)) + "\n2 1 2 3 4\n")
    predictions = read_predictions(path, 7)
    assert predictions.labels.tolist() == [[1, 2, 3, 4, 5], [2, 0, 0, 0, 0]]
    labels = np.arange(1, 15).reshape(2, 7)
    write_predictions(path, Predictions(labels, np.tile(np.array([1.0, 2, 3, 4]), (2, 7, 1))))
    rows = [line.split() for line in path.read_text().splitlines()]
    assert [len(row) for row in rows] == [25, 25]
    assert rows[1][::5] == ["8", "9", "10", "11", "12"]


corner = st.floats(-1e6, 1e6, allow_nan=False, width=32)


@settings(max_examples=50, derandomize=True, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 1000), corner, corner, corner, corner), min_size=1, max_size=5),
        min_size=1,
        max_size=6,
    )
)
def test_what_is_written_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("round") / "pred.txt"
    labels = np.zeros((len(rows), 5), np.int64)
    boxes = np.zeros((len(rows), 5, 4))
    for row, guesses in enumerate(rows):
        for place, (label, x0, y0, x1, y1) in enumerate(guesses):
            labels[row, place] = label
            boxes[row, place] = [min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)]
    write_predictions(path, Predictions(labels, boxes))
    found = read_predictions(path, 1000)
    most = found.labels.shape[1]
    np.testing.assert_array_equal(found.labels, labels[:, :most])
    np.testing.assert_array_equal(found.boxes, boxes[:, :most])
    assert not labels[:, most:].any()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 1 2 3", "line 3: 4 numbers; expected a multiple of five"),
        ("", "line 3: 0 numbers"),
        ("2 1 2 3 cat", "line 3: value [15] is 'cat'; expected a number of pixels"),
        ("ÿØÿà" + "J" * 100, "line 3: value [15] is 'ÿØÿàJ{33}...'; expected a number of pixels"),
        ("2 1 2 3 nan", "line 3: guess 1 is 2 1 2 3 nan: not all are numbers of pixels; expected finite"),
        ("1 0 0 1 1 nan 1 2 3 4", "line 3: guess 2 is nan 1 2 3 4: not all"),
        ("2 1 2 inf 4", "line 3: guess 1 is 2 1 2 inf 4: not all"),
        ("2 1 2 1e300 4", r"line 3: guess 1 is 2 1 2 1e\+300 4: not all"),
        ("5 1 2 3 4", "line 3: guess 1 is 5 1 2 3 4: no such id; expected a whole number from 1 to 4"),
        ("-1 1 2 3 4", "line 3: guess 1 is -1 1 2 3 4: no such id"),
        ("1.5 1 2 3 4", r"line 3: guess 1 is 1\.5 1 2 3 4: no such id"),
        ("0 1 2 3 4", "line 3: guess 1 is 0 1 2 3 4: no such id"),
        (
            "2 0 0 9 9 3 50 20 40 79",
            "line 3: guess 2 is 3 50 20 40 79: corners out of order; expected xmin ymin",
        ),
        ("2 1 9 3 4", "line 3: guess 1 is 2 1 9 3 4: corners out of order"),
        ("2 1 2 3 1.2.3", r"line 3: value [15] is '1\.2\.3'; expected a number of pixels"),
        ("2 1 2 3 nan_", "line 3: value [15] is 'nan_'; expected a number of pixels"),
        ("2 1 2 3 1_0", "line 3: value [15] is '1_0'; expected a number of pixels"),
    ],
)
def test_a_broken_row_names_file_and_line(tmp_path, line, message):
    path = tmp_path / "pred.txt"
    path.write_text(f"1 0 0 5 5\n2 0 0 5 5 3 1 1 4 4\n{line}\n3 0 0 5 5\n", encoding="utf-8")
    with pytest.raises(CamcaffeError, match=f"pred.txt, {message}"):
        read_predictions(path, 4)


def test_what_is_no_text_is_refused(tmp_path):
    path = tmp_path / "pred.txt"
    path.write_bytes(b"1 0 0 5 5\n\x89PNG\xff\n")
    with pytest.raises(CamcaffeError, match=r"pred\.txt, line 2: not UTF-8 text"):
        read_predictions(path, 4)
    path.write_bytes(b"")
    with pytest.raises(CamcaffeError, match=r"pred\.txt: the file is empty; expected rows of guesses"):
        read_predictions(path, 4)

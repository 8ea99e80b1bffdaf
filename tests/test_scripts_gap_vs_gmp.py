import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from camcaffe.matlab import imread

SCRIPT = str(Path(__file__).resolve().parent.parent / "scripts" / "gap_vs_gmp.py")


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(SCRIPT)


def test_one_training_has_the_binomials_interval(script):
    wrong = np.arange(400) < 80
    found = script["summarize"]({"AVE": [wrong], "MAX": [~wrong]})
    assert found.seeds["AVE"].tolist() == [0.2]
    # Of a share p of n: p +- 1.96 sqrt(p (1 - p) / n).
    np.testing.assert_allclose(found.interval["AVE"], [0.2 - 0.0392, 0.2 + 0.0392], atol=0.005)
    np.testing.assert_allclose(found.interval["MAX"], [0.8 - 0.0392, 0.8 + 0.0392], atol=0.005)
    # The same scenes are drawn for both: what one has more, the other has less.
    np.testing.assert_allclose(found.difference, [0.6 - 0.0784, 0.6 + 0.0784], atol=0.01)


def test_equal_trainings_do_not_differ(script):
    wrong = np.random.default_rng(0).random((3, 200)) < 0.3
    found = script["summarize"]({"AVE": [wrong[0]] * 3, "MAX": [wrong[0]] * 3})
    assert found.difference.tolist() == [0, 0]
    assert found.interval["AVE"].tolist() == found.interval["MAX"].tolist()


def test_trainings_that_differ_widen_the_interval(script):
    rng = np.random.default_rng(0)
    alike = [rng.random(1000) < 0.3 for _ in range(3)]
    spread = [rng.random(1000) < rate for rate in (0.1, 0.3, 0.5)]
    found = script["summarize"]({"AVE": alike, "MAX": spread})
    widths = {pool: np.diff(ends)[0] for pool, ends in found.interval.items()}
    assert widths["MAX"] > 3 * widths["AVE"]
    assert found.interval["MAX"][0] < 0.15
    assert found.interval["MAX"][1] > 0.45


def test_a_black_map_gets_the_whole_picture(script):
    assert script["_boxes"](np.zeros((40, 60), np.uint8)).tolist() == [[0, 0, 60, 40]] * 2


@pytest.mark.torch
def test_trains_judges_and_goes_on(script, monkeypatch, capsys, tmp_path):
    from camcaffe.digits import compose
    from camcaffe.ilsvrc import overlap
    from camcaffe.loading import load

    def run():
        options = ["--seeds", 1, "--iterations", 2, "--training", 40, "--scenes", 3, "--jobs", 2]
        monkeypatch.setattr(sys, "argv", [SCRIPT, *map(str, options), "--output", str(tmp_path / "out")])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(SCRIPT, run_name="__main__")
        assert end.value.code == 0
        return capsys.readouterr().out

    printed = run()
    assert printed == (tmp_path / "out" / "gap_vs_gmp.md").read_text()
    assert len(printed.splitlines()) == 2 + 9
    assert imread(tmp_path / "out" / "gap_vs_gmp.png").std() > 10

    # As `Model` sees the scenes.
    folder = tmp_path / "out" / "GMP-0"
    wrong = np.load(folder / "wrong_2_3.npz")
    net = {"prototxt": folder / "deploy.prototxt", "caffemodel": folder / "digitsCAM_iter_2.caffemodel"}
    model = load(**net, mean="128,128,128", engine="torch")
    for index in range(3):
        scene = compose(index, "test")
        best, true = model(scene.image, top=1), model(scene.image, classes=[scene.label])
        assert wrong["classification"][index] == (best.classes[0] != scene.label)
        (x, y, width, height), (left, top, across, down) = true.boxes[0][0], scene.box
        fit = overlap([x, y, x + width, y + height], [left, top, left + across - 1, top + down - 1])
        assert wrong["box of the true class, CAM, loose box"][index] == (fit < 0.5)

    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/*")}
    judged = tmp_path / "out" / "GAP-0" / "wrong_2_3.npz"
    judged.unlink()
    assert run() == printed
    changed = {path for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert changed == {judged}


@pytest.mark.torch
def test_a_training_that_fails_is_named(script, tmp_path):
    from camcaffe.errors import CamcaffeError

    with pytest.raises(CamcaffeError, match=r"GAP-0: the training failed: .*digits_train_lmdb"):
        script["run"](tmp_path, "AVE", 0, 2, 3)

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from camcaffe.digits import compose
from camcaffe.matlab import imread, imwrite

ROOT = Path(__file__).resolve().parent.parent
RNG = np.random.default_rng(0)
CAPTIONS = {
    1: " --top1:n07930864 cup --top2:n07920052 espresso --top3:n04263257 soup bowl"
    " --top4:n07932039 eggnog --top5:n02823750 beer glass\n",
    2: " --top1:n03877845 palace --top2:n03220513 dome --top3:n03788195 mosque"
    " --top4:n04486054 triumphal arch --top5:n03028079 church, church building\n",
}


@pytest.fixture
def small(tmp_path):
    """An image with features of a small net of seven classes."""
    imwrite(tmp_path / "image.png", RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    conv = RNG.random((10, 6, 14, 14)).astype(np.float32)
    scores = RNG.random((10, 7)).astype(np.float32)
    scipy.io.savemat(tmp_path / "features.mat", {"activation_lastconv": conv.T, "scores": scores.T})
    labels = np.array([[f"class {index}"] for index in range(7)], dtype=object)
    weights = RNG.normal(size=(6, 7)).astype(np.float32)
    scipy.io.savemat(tmp_path / "net.mat", {"weights_LR": weights, "categories": labels})
    return tmp_path


def arguments(folder, *more):
    return ["demo", folder / "image.png",
            "--features", folder / "features.mat", "--weights", folder / "net.mat",
            "-o", folder / "result.png", *more]  # fmt: skip


@pytest.mark.parametrize("index", [1, 2])
def test_the_authors_demo(camcaffe, reference, tmp_path, index):
    repo = reference / "cam_repo"
    result = camcaffe("demo", repo / f"img{index}.jpg", "--features", repo / f"data_img{index}.mat",
                      "--weights", repo / "data_net.mat", "--labels", repo / "categories1000.mat",
                      "-o", tmp_path / "result.png")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.output == CAPTIONS[index]
    expected = np.load(reference / "demo" / f"img{index}_expected.npz")["result_rgb"]
    assert np.count_nonzero(imread(tmp_path / "result.png") != expected) <= 0.0001 * expected.size


def test_the_sane_ranking(camcaffe, reference, tmp_path):
    repo = reference / "cam_repo"
    result = camcaffe("demo", repo / "img1.jpg", "--features", repo / "data_img1.mat",
                      "--weights", repo / "data_net.mat", "--ranking", "mean",
                      "-o", tmp_path / "result.jpg")  # fmt: skip
    assert result.output.startswith(" --top1:n07930864 cup --top2:n07920052 espresso --top3:n07932039 eggnog")


def test_top_and_labels(camcaffe, small):
    (small / "labels.txt").write_text("".join(f"label {index}\n" for index in range(7)))
    result = camcaffe(*arguments(small, "--top", 2, "--labels", small / "labels.txt"))
    assert result.exit_code == 0, result.output
    assert result.output.count("label ") == 2
    assert imread(small / "result.png").shape == (256, 256 + 2 * 264, 3)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("image.png", b"", "image.png: the file is empty; expected a JPEG"),
        ("image.png", b"<html>", "image.png: not a picture"),
        ("features.mat", b"<html>", "features.mat: not readable"),
        ("net.mat", None, "net.mat: no such file"),
    ],
)
def test_bad_files_get_one_line(camcaffe, small, name, content, message):
    (small / name).unlink()
    if content is not None:
        (small / name).write_bytes(content)
    result = camcaffe(*arguments(small))
    assert result.exit_code == 2
    assert message in result.output
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    assert not (small / "result.png").exists()


def test_data_that_do_not_fit_each_other(camcaffe, small):
    (small / "labels.txt").write_text("one\ntwo\n")
    result = camcaffe(*arguments(small, "--labels", small / "labels.txt"))
    assert result.exit_code == 2
    assert "7 scores, 7 rows of weights, 2 labels; expected as many of each" in result.output
    result = camcaffe(*arguments(small, "--top", 8))
    assert result.exit_code == 2
    assert "the top 8 of 7 classes" in result.output


def test_a_name_that_is_no_picture(camcaffe, small):
    result = camcaffe(*arguments(small, "-o", small / "result.xyz"))
    assert result.exit_code == 2
    assert "result.xyz: a name ending in '.xyz'; expected .jpg" in result.output


def test_a_full_disk_leaves_nothing_behind(small):
    before = sorted(small.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "camcaffe", *map(str, arguments(small))],
        stderr=subprocess.PIPE, text=True, check=False,
        # The kernel lets no file of the process grow beyond 1,000 bytes.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == f"Error: {small / 'result.png'}: cannot be written: file too large\n"
    assert sorted(small.iterdir()) == before


def test_help_shows_examples(camcaffe):
    result = camcaffe("demo", "--help")
    assert "camcaffe demo img2.jpg --features data_img2.mat --weights data_net.mat\n" in result.output


@pytest.mark.onnx
def test_the_shipped_net_on_the_shipped_scene(camcaffe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAMCAFFE_HOME", str(tmp_path / "home"))
    result = camcaffe("demo")
    assert result.exit_code == 0, result.output
    net, image, caption, picture = result.output.splitlines()
    assert net == "net: digitsCAM, which knows handwritten digits; --model names another"
    assert image.startswith("image: ") and Path(image[7:]).parent.name == "digitsCAM"
    assert caption == " --top1:0 --top2:6 --top3:3 --top4:9 --top5:8"
    assert picture == "result.jpg: the image, then where the net sees each of these classes"
    shown = imread("result.jpg")
    assert shown.shape == (256, 256 + 5 * 264, 3)
    digit = imread(image[7:])
    assert np.abs(shown[:, :256].astype(float) - digit).mean() < 5  # JPEG
    # The best class's map is hot on the digit: red there, blue elsewhere.
    scene = compose(int(Path(image[7:]).stem.partition("_")[0][5:]), "test")
    best = shown[:, 264 : 264 + 256].astype(float)
    redness = best[..., 0] - best[..., 2]
    assert redness[scene.mask].mean() > 50 > -50 > redness[~scene.mask].mean()


@pytest.mark.onnx
def test_an_image_without_a_net_is_for_the_shipped_one(camcaffe, tmp_path, monkeypatch):
    monkeypatch.setenv("CAMCAFFE_HOME", str(tmp_path / "home"))
    scene = compose(8, "test")
    imwrite(tmp_path / "two.png", scene.image)
    result = camcaffe("demo", tmp_path / "two.png", "--top", 1, "-o", tmp_path / "maps.png")
    assert result.output == (
        "net: digitsCAM, which knows handwritten digits; --model names another\n"
        " --top1:2\n"
        f"{tmp_path / 'maps.png'}: the image, then where the net sees each of these classes\n"
    )
    assert imread(tmp_path / "maps.png").shape == (256, 520, 3)


@pytest.mark.onnx
def test_the_demo_loads_neither_pytorch_nor_scikit_learn(tmp_path):
    script = "import sys; from camcaffe.cli import main; main(['demo'], standalone_mode=False)"
    script += "; print(*[name for name in ('torch', 'sklearn', 'lmdb') if name in sys.modules])"
    shown = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True,
        env={**os.environ, "CAMCAFFE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert shown.stdout.splitlines()[-1] == ""
    assert (tmp_path / "result.jpg").is_file()


def test_no_image_for_a_net_that_brings_none(camcaffe):
    result = camcaffe("demo", "--model", "squeezenetCAM")
    assert result.exit_code == 2
    assert "give an IMAGE: none comes with this net" in result.output

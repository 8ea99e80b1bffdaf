import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from localize_runs import table

from camcaffe.caffe.net import Net
from camcaffe.loading import load
from camcaffe.localize import Localizer, Settings, find_images
from camcaffe.matlab import imread, imwrite, loadmat
from camcaffe.model import through_jpeg

RNG = np.random.default_rng(0)


@pytest.fixture
def images(tmp_path):
    """Five images of different sizes in two folders, and a page that is none."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(["a.jpg", "b.png", "sub/c.JPEG", "d.jpg", "e.png"]):
        picture = RNG.integers(0, 256, (50 + 7 * number, 80 - 9 * number, 3), dtype=np.uint8)
        imwrite(folder / name, picture)
    (folder / "page.jpg").write_text("<html>")
    return folder


@pytest.fixture
def localize(camcaffe, small_net, tmp_path):
    def run(images, name="run.sqlite", *more):
        return camcaffe("localize", *small_net, "--images", images, "--run", tmp_path / name, *more)

    return run


def test_classes_scores_and_boxes_are_the_models(localize, images, small_net, tmp_path):
    result = localize(images, "run.sqlite", "--top", 3)
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"{tmp_path / 'run.sqlite'}: 5 images, 1 failed",
        "Error: page.jpg: not a picture that can be read;"
        " expected a JPEG, PNG, BMP, TIFF, GIF or WebP picture",
    ]
    rows = table(tmp_path / "run.sqlite")
    assert list(dict.fromkeys(row[0] for row in rows)) == [
        *("a.jpg", "b.png", "d.jpg", "e.png", "page.jpg", "sub/c.JPEG"),
    ]
    model = load(**dict(argument[2:].split("=") for argument in small_net))
    for name in ("a.jpg", "sub/c.JPEG", "e.png"):
        expected = model(images / name, top=3)
        found = [row for row in rows if row[0] == name]
        assert [row[3:5] for row in found] == list(enumerate(expected.classes.tolist()))
        assert [row[5] for row in found] == expected.scores.tolist()
        assert [json.loads(row[6]) for row in found] == [b.tolist() for b in expected.boxes]
    failed = next(row for row in rows if row[0] == "page.jpg")
    assert failed[1:4] == ("failed", result.output.splitlines()[1][len("Error: ") :], None)


def test_the_identity_tells_what_the_run_was_made_with(localize, images, tmp_path):
    from camcaffe.run_store import RunStore

    localize(images)
    with RunStore.read(tmp_path / "run.sqlite") as run:
        identity, labels = run.identity, run.labels
    assert identity["weights"] == hashlib.sha256((tmp_path / "small.caffemodel").read_bytes()).hexdigest()
    assert identity["thresholds"] == [20, 100, 110]
    assert identity["engine"] in ("onnx", "pycaffe")
    assert identity["method"] == "cam"
    assert identity["numpy"] == np.__version__
    assert labels == [f"class {index}" for index in range(7)]


@pytest.mark.parametrize("workers", [1, 5])
def test_folder_list_and_archive_give_the_same_with_any_number_of_workers(
    localize, images, tmp_path, workers
):
    localize(images)
    names = [image.name for image in find_images(images)]
    (images / "list.txt").write_text("".join(f"{name} 7\n" for name in reversed(names)))
    with tarfile.open(tmp_path / "images.tar", "w") as archive:
        for name in names:
            archive.add(images / name, name)
    for source in (images / "list.txt", tmp_path / "images.tar"):
        result = localize(source, f"{source.stem}.sqlite", "--workers", workers)
        assert result.exit_code == 1, result.output
        assert table(tmp_path / f"{source.stem}.sqlite") == table(tmp_path / "run.sqlite")


def test_true_sizes(localize, images, small_net, tmp_path):
    (images / "page.jpg").unlink()
    names = [image.name for image in find_images(images)]
    lines = [f"{name},{200 + 10 * n},{150 - 10 * n}" for n, name in enumerate(names)]
    (tmp_path / "sizes.csv").write_text("\n".join(["image,width,height", *lines, ""]))
    result = localize(
        images, "run.sqlite", "--sizes", tmp_path / "sizes.csv", "--heatmaps", tmp_path / "maps"
    )
    assert result.exit_code == 0, result.output
    assert imread(tmp_path / "maps" / "top1" / "a.jpg").shape == (150, 200)
    assert imread(tmp_path / "maps" / "top5" / "sub" / "c.jpg").shape == (110, 240)
    (tmp_path / "sizes.csv").write_text("\n".join(["image,width,height", *lines[:-1], ""]))
    result = localize(images, "other.sqlite", "--sizes", tmp_path / "sizes.csv")
    assert result.exit_code == 2
    assert (
        result.output
        == f"Error: {tmp_path / 'sizes.csv'}: no size of sub/c.JPEG; expected the size of each image\n"
    )
    assert not (tmp_path / "other.sqlite").exists()


def test_an_image_beyond_what_a_jpeg_can_hold_is_a_failure(localize, images, tmp_path):
    imwrite(images / "long.png", np.zeros((2, 70_000, 3), np.uint8))
    result = localize(images)
    assert result.exit_code == 1
    assert "5 images, 2 failed" in result.output
    assert "Error: imwrite: .jpg cannot hold" in result.output


def test_heat_maps_and_boxes_can_be_made_apart(camcaffe, localize, images, small_net, tmp_path):
    result = localize(images, "run.sqlite", "--heatmaps", tmp_path / "maps", "--top", 2)
    assert result.exit_code == 1, result.output
    model = load(**dict(argument[2:].split("=") for argument in small_net))
    expected = model(images / "b.png", top=2)
    for rank in (1, 2):
        written = imread(tmp_path / "maps" / f"top{rank}" / "b.jpg")
        np.testing.assert_array_equal(written, through_jpeg(expected.heatmaps[rank - 1]))
    predictions = loadmat(tmp_path / "maps" / "predictions.mat")
    assert predictions["images"].ravel().tolist() == ["a.jpg", "b.png", "d.jpg", "e.png", "sub/c.JPEG"]
    # As MATLAB counts.
    np.testing.assert_array_equal(predictions["class_ids"][1], expected.classes + 1)
    np.testing.assert_array_equal(predictions["scores"][1], expected.scores)
    assert predictions["categories"].ravel().tolist() == [f"class {index}" for index in range(7)]
    assert predictions["failed"].ravel().tolist() == ["page.jpg"]

    result = camcaffe("localize", "--from-heatmaps", tmp_path / "maps", "--run", tmp_path / "boxes.sqlite")
    assert result.exit_code == 1, result.output
    assert table(tmp_path / "boxes.sqlite") == table(tmp_path / "run.sqlite")


def test_the_original_script(images, small_net, tmp_path):
    script = Path(__file__).parent.parent / "scripts" / "ilsvrc_generate_heatmap.py"
    command = [sys.executable, str(script), str(images), str(tmp_path / "maps"), *small_net]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout) == (1, f"{tmp_path}/maps/run.sqlite: 5 images, 1 failed\n")
    assert (tmp_path / "maps" / "predictions.mat").exists()
    assert imread(tmp_path / "maps" / "top5" / "a.jpg").shape == (50, 80)


def test_a_heat_map_that_is_damaged_is_a_failure(camcaffe, localize, images, tmp_path):
    (images / "page.jpg").unlink()
    localize(images, "run.sqlite", "--heatmaps", tmp_path / "maps")
    (tmp_path / "maps" / "top3" / "b.jpg").write_bytes(b"\xff\xd8\xff")
    arguments = ["localize", "--from-heatmaps", tmp_path / "maps", "--run", tmp_path / "boxes.sqlite"]
    result = camcaffe(*arguments)
    assert result.exit_code == 1
    assert f"Error: {tmp_path / 'maps' / 'top3' / 'b.jpg'}: " in result.output
    shutil.copy(tmp_path / "maps" / "top2" / "b.jpg", tmp_path / "maps" / "top3" / "b.jpg")
    result = camcaffe(*arguments, "--retry-failed")
    assert (result.exit_code, result.output.split(": ")[1]) == (0, "5 images, 0 failed\n")


def spoiled(path, **changes):
    variables = {name: value for name, value in scipy.io.loadmat(path).items() if name[0] != "_"}
    variables.update(changes)
    scipy.io.savemat(path, {name: value for name, value in variables.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "no cell array 'images' of text"),
        ({"categories": np.ones((3, 1))}, "no cell array 'categories' of text"),
        ({"scores": np.ones((2, 5))}, "no 'scores' with a row for each image"),
        ({"class_ids": np.zeros((5, 5))}, "class_ids that fit neither scores nor categories"),
        ({"class_ids": np.full((5, 5), 8)}, "class_ids that fit neither scores nor categories"),
        ({"scores": np.ones((5, 4))}, "class_ids that fit neither scores nor categories"),
        ({"scores": np.full((5, 5), np.nan)}, "scores that are no numbers"),
        ({"failed": np.array([["a.jpg"]], object)}, "an image twice, or one without a reason"),
    ],
)
def test_predictions_that_are_none(camcaffe, localize, images, tmp_path, changes, message):
    localize(images, "run.sqlite", "--heatmaps", tmp_path / "maps")
    spoiled(tmp_path / "maps" / "predictions.mat", **changes)
    result = camcaffe("localize", "--from-heatmaps", tmp_path / "maps", "--run", tmp_path / "boxes.sqlite")
    assert result.exit_code == 2
    assert result.output.startswith(f"Error: {tmp_path / 'maps' / 'predictions.mat'}: ")
    assert message in result.output
    assert result.output.count("\n") == 1


def test_resume_and_retry(localize, images, tmp_path):
    localize(images)
    expected = table(tmp_path / "run.sqlite")
    result = localize(images)
    assert result.exit_code == 2
    assert result.output.endswith(
        "run.sqlite: holds a run already; expected --resume to go on with it, or another name\n"
    )
    assert localize(images, "run.sqlite", "--resume").exit_code == 1
    assert table(tmp_path / "run.sqlite") == expected
    (images / "page.jpg").unlink()
    imwrite(images / "page.jpg", RNG.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    assert localize(images, "run.sqlite", "--resume").exit_code == 1
    assert table(tmp_path / "run.sqlite") == expected
    result = localize(images, "run.sqlite", "--retry-failed")
    assert (result.exit_code, result.output) == (0, f"{tmp_path / 'run.sqlite'}: 6 images, 0 failed\n")
    localize(images, "fresh.sqlite")
    assert table(tmp_path / "run.sqlite") == table(tmp_path / "fresh.sqlite")


def test_another_identity_refuses_to_resume(localize, images, tmp_path):
    localize(images)
    before = table(tmp_path / "run.sqlite")
    result = localize(images, "run.sqlite", "--resume", "--top", 4)
    assert result.exit_code == 2
    assert "run.sqlite: the run was made with top 5, not 4; expected" in result.output
    Net(tmp_path / "small.prototxt", seed=4).save(tmp_path / "small.caffemodel")
    result = localize(images, "run.sqlite", "--resume")
    assert result.exit_code == 2
    assert "run.sqlite: the run was made with weights" in result.output
    assert table(tmp_path / "run.sqlite") == before


def test_nets_of_few_classes_give_all(camcaffe, small_net, images, tmp_path):
    text = (tmp_path / "small.prototxt").read_text()
    (tmp_path / "two.prototxt").write_text(text.replace("num_output: 7", "num_output: 2"))
    Net(tmp_path / "two.prototxt", seed=3).save(tmp_path / "two.caffemodel")
    net = [f"--prototxt={tmp_path}/two.prototxt", f"--caffemodel={tmp_path}/two.caffemodel", "--mean=0,0,0"]
    result = camcaffe("localize", *net, "--images", images / "sub", "--run", tmp_path / "run.sqlite")
    assert result.exit_code == 0, result.output
    assert len(table(tmp_path / "run.sqlite")) == 2
    result = camcaffe("heatmap", images / "sub" / "c.JPEG", *net, "--out", tmp_path / "maps")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "maps" / "top2" / "c.jpg").is_file()


@pytest.mark.torch
def test_backprop(camcaffe, small_net, images, tmp_path):
    arguments = ["localize", *small_net, "--images", images, "--method", "backprop", "--top", 2]
    result = camcaffe(*arguments, "--engine", "torch", "--run", tmp_path / "run.sqlite")
    assert result.exit_code == 1, result.output
    rows = table(tmp_path / "run.sqlite")
    assert len(rows) == 5 * 2 + 1
    localizer = Localizer(
        Settings({**dict(a[2:].split("=") for a in small_net), "engine": "torch"}, "backprop", 2)
    )
    image = next(image for image in find_images(images) if image.name == "b.png")
    expected = localizer.explain(localizer.run(localizer.read(image)))
    assert [row[4:6] for row in rows if row[0] == "b.png"] == [(c.index, c.score) for c in expected.classes]
    result = camcaffe(*arguments, "--engine", "onnx", "--run", tmp_path / "other.sqlite")
    assert result.exit_code == 2
    assert result.output == "Error: engine onnx: it has no gradients; expected the engine pycaffe or torch\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Error: --images is needed, or --from-heatmaps."),
        (["--images", "none"], "Error: none: no such file or directory; expected a folder of images"),
        (["--images", "{images}", "--top", "8"], "Error: top: 8; expected at most 7, the net's classes"),
        (
            ["--images", "{images}", "--run", "{tmp}/no/run.sqlite"],
            "Error: {tmp}/no/run.sqlite: cannot be used",
        ),
        (["--images", "{images}", "--heatmaps", "{images}/a.jpg"], "Error: {images}/a.jpg: cannot be made"),
        (
            ["--images", "{images}", "--method", "backprop", "--cam-blob", "conv"],
            "Error: --cam-blob and --fc",
        ),
        (["--from-heatmaps", "{images}"], "Error: --from-heatmaps takes the place of --prototxt"),
    ],
)
def test_bad_input_is_one_line(camcaffe, small_net, images, tmp_path, arguments, message):
    places = {"images": images, "tmp": tmp_path}
    arguments = [argument.format(**places) for argument in arguments]
    run = [] if "--run" in arguments else ["--run", tmp_path / "run.sqlite"]
    result = camcaffe("localize", *small_net, *run, *arguments)
    assert result.exit_code == 2
    assert message.format(**places) in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "run.sqlite").exists()


def test_a_folder_without_predictions(camcaffe, images, tmp_path):
    for folder, message in (
        (images, "predictions.mat: no such file"),
        (tmp_path / "no", "no: no such folder"),
    ):
        result = camcaffe("localize", "--from-heatmaps", folder, "--run", tmp_path / "run.sqlite")
        assert result.exit_code == 2
        assert message in result.output


# The real thing.


def run_squeezenet(camcaffe, reference, tmp_path, every):
    mini = reference / "mini_ilsvrc"
    names = (mini / "image_list.txt").read_text().split()
    (tmp_path / "list.txt").write_text(
        "".join(f"{mini / 'images' / name}\n" for name in sorted(names)[::every])
    )
    result = camcaffe("localize", "--model", "squeezenetCAM", "--images", tmp_path / "list.txt",
                      "--sizes", mini / "image_sizes.csv", "--run", tmp_path / "run.sqlite")  # fmt: skip
    assert result.exit_code == 0, result.output
    return mini


@pytest.mark.torch
@pytest.mark.parametrize("method", ["cam", "backprop"])
def test_a_device_that_is_not_there_leaves_no_run(camcaffe, small_net, tmp_path, method):
    (tmp_path / "list.txt").write_text("some.jpg\n")
    options = [*small_net, f"--images={tmp_path / 'list.txt'}", f"--method={method}"]
    result = camcaffe(
        "localize", *options, "--run", tmp_path / "run.sqlite", "--engine=torch", "--device=cuda:99"
    )
    assert result.exit_code == 2
    assert result.output.startswith("Error: device: 'cuda:99' cannot be used: ")
    assert not (tmp_path / "run.sqlite").exists()


@pytest.mark.slow
def test_the_original_pipelines_table_of_errors(camcaffe, reference, squeezenet_home, tmp_path):
    mini = run_squeezenet(camcaffe, reference, tmp_path, every=1)
    result = camcaffe("evaluate", tmp_path / "run.sqlite", "--devkit", mini / "devkit",
                      "--boxes", mini / "val_bbox", "--csv", tmp_path / "errors.csv")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert (tmp_path / "errors.csv").read_text() == (mini / "reference" / "expected_errors.csv").read_text()


def test_the_original_pipelines_guesses_on_a_tenth(camcaffe, reference, squeezenet_home, tmp_path):
    mini = run_squeezenet(camcaffe, reference, tmp_path, every=10)
    expected = json.loads((mini / "reference" / "predictions.json").read_text())
    rows = table(tmp_path / "run.sqlite")
    assert len(rows) == 20 * 5
    for name, status, _, rank, index, _, boxes in rows:
        guess = expected[Path(name).name][rank]
        assert status == "done"
        assert index == guess["caffe_class"]
        assert json.loads(boxes)[:2] == guess["dt_box"][:2]

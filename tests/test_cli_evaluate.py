import csv
import io

import numpy as np
import pytest
from ilsvrc_files import CAFFE_LABELS, IMAGES, WNIDS, annotation_xml, write_benchmark, write_cache, write_run

GOOD = (
    "2 10 20 109 79 1 0 0 9 9\n1 0 0 49 49\n1 0 0 9 9 2 5 5 24 44\n4 0 0 5 5 4 30 40 199 139\n1 0 0 99 59\n"
)


@pytest.fixture
def small(tmp_path):
    benchmark = write_benchmark(tmp_path)
    benchmark.predictions = tmp_path / "pred.txt"
    benchmark.predictions.write_text(GOOD)
    return benchmark


@pytest.fixture
def evaluate(camcaffe, small):
    """Run `camcaffe evaluate` over the small benchmark."""

    def run(*arguments):
        return camcaffe("evaluate", "--devkit", small.devkit, "--boxes", small.boxes, *arguments)

    return run


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_original_pipelines_table_exactly(camcaffe, reference, tmp_path):
    mini = reference / "mini_ilsvrc"
    predictions = [mini / f"reference/pred_{name}.txt" for name in ("loose", "tight", "combined")]
    options = ["--devkit", mini / "devkit", "--boxes", mini / "val_bbox"]
    result = camcaffe("evaluate", *predictions, *options, "--csv", tmp_path / "errors.csv")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "errors.csv").read_text() == (mini / "reference/expected_errors.csv").read_text()
    lines = result.output.splitlines()
    assert lines[0] == "200 images, 2 of them blacklisted"
    assert lines[2].split("  ")[-1] == "localization, all images"
    assert lines[3].split() == ["loose", "1", "36.50", "54.55", "55.00"]
    assert lines[17].split() == ["5", "15.00", "34.85", "35.00"]


def test_table_of_one_file(evaluate, small):
    result = evaluate(small.predictions, "--csv", small.tmp / "errors.csv")
    assert result.exit_code == 0, result.output
    rows = table((small.tmp / "errors.csv").read_text())
    assert [row["boxes"] for row in rows] == ["pred"] * 10
    assert [row["blacklist"] for row in rows] == ["yes"] * 5 + ["no"] * 5
    # Image 3 needs its second guess for the class, image 4 for the box; image 2 is blacklisted and right.
    assert [row["cls_error"] for row in rows[:3]] == ["0.200000", "0.000000", "0.000000"]
    assert [row["loc_error"] for row in rows[:3]] == ["0.500000", "0.000000", "0.000000"]
    assert [row["loc_error"] for row in rows[5:8]] == ["0.400000", "0.000000", "0.000000"]
    assert "GT-known localization, blacklist skipped: pred 100.00\n" in result.output


def test_no_blacklist(evaluate, small):
    result = evaluate(small.predictions, "--no-blacklist", "--csv", small.tmp / "errors.csv")
    assert result.exit_code == 0, result.output
    rows = table((small.tmp / "errors.csv").read_text())
    assert [(row["blacklist"], row["loc_error"]) for row in rows[:2]] == [
        ("no", "0.400000"),
        ("no", "0.000000"),
    ]
    assert len(rows) == 5
    assert "blacklist skipped" not in result.output


def test_a_devkit_without_a_blacklist_skips_nothing(evaluate, small):
    small.blacklist.unlink()
    result = evaluate(small.predictions, "--csv", small.tmp / "errors.csv")
    assert result.output.startswith("5 images\n")
    assert {row["blacklist"] for row in table((small.tmp / "errors.csv").read_text())} == {"no"}


def test_run(evaluate, small):
    write_run(small.tmp / "run.sqlite")
    result = evaluate(small.tmp / "run.sqlite", "--csv", small.tmp / "errors.csv")
    assert result.exit_code == 0, result.output
    rows = {
        (row["boxes"], row["guesses"]): (row["cls_error"], row["loc_error"])
        for row in table((small.tmp / "errors.csv").read_text())
        if row["blacklist"] == "yes"
    }
    assert rows["loose", "1"] == ("0.200000", "0.500000")
    assert rows["loose", "2"] == ("0.000000", "0.250000")
    assert rows["tight", "2"] == ("0.000000", "0.750000")
    # Two classes give the combined set two boxes, both of the first class.
    assert rows["combined", "2"] == ("0.200000", "0.250000")


def test_images_that_failed_count_as_errors(evaluate, small):
    write_run(small.tmp / "run.sqlite", failed=small.names[:1])
    result = evaluate(small.tmp / "run.sqlite", "--csv", small.tmp / "errors.csv")
    assert result.exit_code == 0
    assert "1 images failed and have no guesses, ILSVRC2012_val_00000001.JPEG first" in result.output
    # The failed image is a miss; combined boxes are of half as many classes, and miss one more.
    shares = "loose at least 50.00, tight at least 25.00, combined at least 50.00"
    assert (
        f"GT-known localization, blacklist skipped: {shares}\n  1 or 2 images have no guess" in result.output
    )
    rows = table((small.tmp / "errors.csv").read_text())
    assert [row["cls_error"] for row in rows[:2]] == ["0.400000", "0.200000"]


def test_sources_are_told_apart(evaluate, small):
    write_run(small.tmp / "run.sqlite")
    other = small.tmp / "pred_tight.txt"
    other.write_text(GOOD)
    result = evaluate(small.predictions, small.tmp / "run.sqlite", other, "--csv", small.tmp / "errors.csv")
    assert result.exit_code == 0, result.output
    names = dict.fromkeys(row["boxes"] for row in table((small.tmp / "errors.csv").read_text()))
    assert list(names) == ["pred", "run loose", "run tight", "run combined", "tight"]


def test_names_of_files_that_share_them(evaluate, small):
    paths = []
    for folder in ("a", "b"):
        (small.tmp / folder).mkdir()
        paths.append(small.tmp / folder / "pred_loose.txt")
        paths[-1].write_text(GOOD)
    result = evaluate(*paths, "--csv", small.tmp / "errors.csv")
    assert result.exit_code == 0, result.output
    names = {row["boxes"] for row in table((small.tmp / "errors.csv").read_text())}
    assert names == {str(path) for path in paths}


def test_bootstrap_intervals(evaluate, small):
    for seed in (1, 1, 2):
        path = small.tmp / f"errors{seed}.csv"
        before = path.read_text() if path.exists() else None
        result = evaluate(small.predictions, "--bootstrap", 500, "--seed", seed, "--csv", path)
        assert result.exit_code == 0, result.output
        assert before in (None, path.read_text())
    assert "with 95 % intervals" in result.output
    row = table(path.read_text())[0]
    assert list(row) == [
        *("boxes", "guesses", "blacklist", "cls_error", "loc_error"),
        *("cls_low", "cls_high", "loc_low", "loc_high"),
    ]
    assert float(row["loc_low"]) < float(row["loc_error"]) < float(row["loc_high"])
    assert "50.00 [0.00, 100.00]" in result.output


def test_per_class(evaluate, small):
    result = evaluate(small.predictions, "--per-class", small.tmp / "classes.csv")
    assert result.exit_code == 0, result.output
    rows = table((small.tmp / "classes.csv").read_text())
    assert [row["wnid"] for row in rows] == [WNIDS[0], WNIDS[1], WNIDS[3]]
    assert rows[0]["words"] == "kit fox, Vulpes macrotis"
    fox, setter, terrier = rows
    assert (fox["images"], fox["counted"], fox["loc_error_1"], fox["gt_known"]) == (
        "2",
        "1",
        "0.000000",
        "1.000000",
    )
    assert (setter["cls_error_1"], setter["cls_error_5"], setter["loc_error_1"]) == (
        "0.500000",
        "0.000000",
        "0.500000",
    )
    assert (terrier["cls_error_1"], terrier["loc_error_1"], terrier["loc_error_5"]) == (
        "0.000000",
        "1.000000",
        "0.000000",
    )


def test_a_class_that_is_all_blacklisted_has_empty_cells(evaluate, small):
    small.blacklist.write_text("4\n")
    evaluate(small.predictions, "--per-class", small.tmp / "classes.csv")
    terrier = table((small.tmp / "classes.csv").read_text())[-1]
    assert (terrier["images"], terrier["counted"]) == ("1", "0")
    assert (terrier["cls_error_1"], terrier["loc_error_1"], terrier["gt_known"]) == ("0.000000", "", "")


def score_map(box):
    scores = np.zeros((140, 200), np.float32)
    scores[box[1] : box[3], box[0] : box[2]] = 1
    return scores


def test_score_maps_of_the_true_class_need_no_guesses(evaluate, small):
    maps = small.tmp / "maps"
    maps.mkdir()
    for name, (_, boxes) in IMAGES.items():
        np.save(maps / f"{name}.npy", score_map(boxes[0]))
    result = evaluate("--heatmaps", maps)
    assert result.exit_code == 0, result.output
    assert "MaxBoxAcc 100.00 (threshold 0.000)\nMaxBoxAccV2 100.00 (100.00 at IoU 0.3" in result.output
    (maps / f"{small.names[3]}.npy").unlink()
    result = evaluate("--heatmaps", maps)
    assert "MaxBoxAcc 80.00" in result.output
    assert "lower bounds: 1 images have no map of their true class" in result.output


def test_heat_maps_by_rank_need_guesses(evaluate, small):
    from camcaffe.matlab import imwrite

    write_run(small.tmp / "run.sqlite")
    for rank in (1, 2):
        (small.tmp / f"maps/top{rank}").mkdir(parents=True)
        for name, (_, boxes) in IMAGES.items():
            # The true class of image 3 is the second; the map of the other class is of no use.
            right = rank == (2 if name.endswith("3") else 1)
            imwrite(small.tmp / f"maps/top{rank}/{name}.png", score_map(boxes[0] if right else (0, 0, 3, 3)))
    result = evaluate(small.tmp / "run.sqlite", "--heatmaps", small.tmp / "maps")
    assert result.exit_code == 0, result.output
    assert "MaxBoxAcc 100.00" in result.output
    result = evaluate("--heatmaps", small.tmp / "maps")
    assert result.exit_code == 2
    assert "maps: heat maps by rank; expected a RUN or PREDICTIONS too" in result.output


def test_cub(camcaffe, tmp_path):
    for name, text in {
        "images.txt": "1 001.Wren/Wren_1.jpg\n2 001.Wren/Wren_2.jpg\n3 002.Auk/Auk_3.jpg\n",
        "classes.txt": "1 001.Wren\n2 002.Auk\n",
        "image_class_labels.txt": "1 1\n2 1\n3 2\n",
        "bounding_boxes.txt": "1 60.0 27.0 100.0 50.0\n2 0.0 0.0 9.0 9.0\n3 10.0 10.0 40.0 30.0\n",
        "train_test_split.txt": "1 0\n2 1\n3 0\n",
    }.items():
        (tmp_path / name).write_text(text)
    predictions = tmp_path / "pred.txt"
    predictions.write_text("1 60 27 160 77\n1 10 10 50 40\n")
    result = camcaffe("evaluate", predictions, "--cub", tmp_path, "--csv", tmp_path / "errors.csv")
    assert result.exit_code == 0, result.output
    assert table((tmp_path / "errors.csv").read_text())[0]["loc_error"] == "0.500000"
    predictions.write_text("1 0 0 9 9\n")
    result = camcaffe("evaluate", predictions, "--cub", tmp_path, "--split", "train")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("1 images")


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


THIRD = "ILSVRC2012_val_00000003.xml"
BAD_INPUT = {
    "no devkit": (lambda b: b.devkit.rename(b.tmp / "other"), "devkit: no such folder"),
    "no meta": (lambda b: b.meta.unlink(), "data: no list of classes"),
    "no ground truth": (lambda b: b.ground_truth.unlink(), "data: no ground truth"),
    "no annotations": (
        lambda b: b.boxes.rename(b.tmp / "other"),
        "val_bbox: no such file or folder; expected XML files",
    ),
    "an annotation too few": (lambda b: (b.boxes / THIRD).unlink(), "val_bbox: 4 images; expected 5"),
    "xmax < xmin": (
        lambda b: edit(b.boxes / THIRD, ">24<", ">4<"),
        f"{THIRD}, line 8: xmax 4 is less than xmin 5",
    ),
    "no number": (lambda b: edit(b.boxes / THIRD, ">24<", ">wide<"), f"{THIRD}, line 8: xmax is 'wide'"),
    "no corner": (lambda b: edit(b.boxes / THIRD, "<xmax>24</xmax>", ""), f"{THIRD}, line 8: no xmax"),
    "cut XML": (lambda b: edit(b.boxes / THIRD, "</bndbox>", ""), f"{THIRD}, line 16: not well-formed XML"),
    "unknown WNID": (lambda b: edit(b.boxes / THIRD, WNIDS[1], "n0"), f"{THIRD}, line 8: unknown class 'n0'"),
    "another class": (
        lambda b: (b.boxes / THIRD).write_text(annotation_xml([(WNIDS[2], (5, 5, 24, 44))])),
        "val_bbox: ILSVRC2012_val_00000003 has no box of its class, n02100735 (line 3 of",
    ),
    "id that is none": (lambda b: edit(b.ground_truth, "4", "5"), "truth.txt, line 4: the id is '5'"),
    "blacklist": (lambda b: b.blacklist.write_text("2\n7\n"), "blacklist.txt, line 2: the image is '7'"),
    "meta": (lambda b: b.meta.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200)), "meta_clsloc.mat: "),
    "no predictions": (lambda b: b.predictions.unlink(), "pred.txt: no such file"),
    "empty predictions": (lambda b: b.predictions.write_text(""), "pred.txt: the file is empty"),
    "too few rows": (
        lambda b: b.predictions.write_text(GOOD[: -len("1 0 0 99 59\n")]),
        "pred.txt: 4 rows; expected 5, one for",
    ),
    "too many rows": (lambda b: b.predictions.write_text(GOOD + GOOD), "pred.txt: 10 rows; expected 5"),
    "NaN": (
        lambda b: edit(b.predictions, "1 0 0 99 59", "1 0 0 nan 59"),
        "pred.txt, line 5: guess 1 is 1 0 0 nan 59",
    ),
    "garbage": (lambda b: edit(b.predictions, "99 59", "<html>"), "pred.txt, line 5: value 4 is '<html>'"),
    "a row cut off": (
        lambda b: edit(b.predictions, " 109 79", ""),
        "pred.txt, line 1: 8 numbers; expected a multiple",
    ),
    "swapped corners": (
        lambda b: edit(b.predictions, "99 59", "99 -1"),
        "pred.txt, line 5: guess 1 is 1 0 0 99 -1",
    ),
    "id in predictions": (
        lambda b: edit(b.predictions, "4 0 0 5", "9 0 0 5"),
        "pred.txt, line 4: guess 1 is 9 0 0 5 5",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_status_2(evaluate, small, case):
    spoil, message = BAD_INPUT[case]
    spoil(small)
    result = evaluate(small.predictions, "--csv", small.tmp / "errors.csv")
    assert result.exit_code == 2, result.output
    error = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(error) == 1
    assert message in error[0]
    assert "Traceback" not in result.output
    assert not (small.tmp / "errors.csv").exists()


def test_a_list_with_duplicates(evaluate, small):
    images = small.tmp / "list.txt"
    images.write_text("".join(f"{name}.JPEG\n" for name in [*small.names[:4], small.names[1]]))
    result = evaluate(small.predictions, "--images", images)
    assert result.exit_code == 2
    assert "list.txt, line 5: ILSVRC2012_val_00000002.JPEG again; expected each image once" in result.output


@pytest.mark.parametrize(
    ("labels", "failed", "message"),
    [
        (("n99999999 nothing",), (), "run.sqlite, class 0: unknown class 'n99999999'"),
        (CAFFE_LABELS, None, "run.sqlite: 4 of 5 images, without ILSVRC2012_val_00000005"),
    ],
)
def test_runs_that_do_not_fit(evaluate, small, labels, failed, message):
    import sqlite3

    run = small.tmp / "run.sqlite"
    write_run(run, labels, failed or ())
    if failed is None:
        connection = sqlite3.connect(run)
        connection.execute("DELETE FROM images WHERE name LIKE '%5.JPEG'")
        connection.commit()
        connection.close()
    result = evaluate(run)
    assert result.exit_code == 2
    assert message in result.output


def test_a_cache_without_names_needs_a_list_for_runs(camcaffe, small):
    write_run(small.tmp / "run.sqlite")
    write_cache(small.tmp / "cache.mat")
    options = ["--devkit", small.devkit, "--boxes", small.tmp / "cache.mat"]
    assert camcaffe("evaluate", small.predictions, *options).exit_code == 0
    result = camcaffe("evaluate", small.tmp / "run.sqlite", *options)
    assert result.exit_code == 2
    assert "the images have no names; expected a list of them" in result.output
    images = small.tmp / "list.txt"
    images.write_text("".join(f"{name}.JPEG\n" for name in small.names))
    result = camcaffe("evaluate", small.tmp / "run.sqlite", *options, "--images", images)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pred.txt"], "the truth is missing: --truth, or --devkit and --boxes, or --cub"),
        (["pred.txt", "--devkit", "d"], "the truth is missing"),
        (
            ["pred.txt", "--cub", "c", "--devkit", "d"],
            "--devkit and --boxes and --cub are two kinds of truth",
        ),
        (["--cub", "c"], "a RUN, PREDICTIONS or --heatmaps is needed"),
        (["--cub", "c", "--heatmaps", "h", "--csv", "f"], "--csv and --per-class need a RUN"),
        (["a", "a", "--cub", "c"], "named twice"),
        (["a", "--cub", "c", "--bootstrap", "0"], "--bootstrap"),
    ],
)
def test_options_that_do_not_fit(camcaffe, arguments, message):
    result = camcaffe("evaluate", *arguments)
    assert result.exit_code == 2
    assert message in result.output


OWN = {"cat/1.jpg": ("cat", (10, 20, 109, 79)), "dog/1.jpg": ("hot dog", (5, 5, 24, 44))}


@pytest.fixture
def own(tmp_path):
    """A run that located the first of two images of one name in two folders, and their truth."""
    from camcaffe.run_store import ImageResult, RankedClass, RunStore

    with RunStore.write(tmp_path / "own.sqlite", {"model": "own"}, ("cat", "hot dog")) as run:
        box = np.array([[10, 20, 99, 59]])
        run.add(ImageResult(name, (RankedClass(0, 0.9, box), RankedClass(1, 0.1, box))) for name in OWN)
    rows = [f"{name},{label},{','.join(map(str, corners))}\n" for name, (label, corners) in OWN.items()]
    (tmp_path / "boxes.csv").write_text("image,label,xmin,ymin,xmax,ymax\n" + "".join(rows))
    return tmp_path


def test_own_images(camcaffe, own):
    from camcaffe.matlab import imwrite

    for rank in (1, 2):
        for name, (_, box) in OWN.items():
            (own / f"maps/top{rank}" / name).parent.mkdir(parents=True, exist_ok=True)
            imwrite(own / f"maps/top{rank}" / name.replace("jpg", "png"), score_map(box))
    options = ["--truth", own / "boxes.csv", "--heatmaps", own / "maps", "--csv", own / "errors.csv"]
    result = camcaffe("evaluate", own / "own.sqlite", *options, "--per-class", own / "classes.csv")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("2 images\n")
    assert "MaxBoxAcc 100.00" in result.output
    rows = {(row["boxes"], row["guesses"]): row for row in table((own / "errors.csv").read_text())}
    assert (rows["loose", "1"]["cls_error"], rows["loose", "1"]["loc_error"]) == ("0.500000", "0.500000")
    assert (rows["loose", "2"]["cls_error"], rows["loose", "2"]["loc_error"]) == ("0.000000", "0.500000")
    assert [row["wnid"] for row in table((own / "classes.csv").read_text())][:2] == ["cat", "hot dog"]


def test_own_images_that_do_not_fit(camcaffe, own):
    truth = own / "boxes.csv"
    run = own / "own.sqlite"
    edit(truth, "hot dog", "dog")
    result = camcaffe("evaluate", run, "--truth", truth)
    assert result.exit_code == 2
    assert "boxes.csv, line 3: unknown class 'dog'; expected one of the classes in" in result.output
    edit(truth, "dog/1.jpg,dog", "cow/1.jpg,hot dog")
    result = camcaffe("evaluate", run, "--truth", truth)
    assert result.exit_code == 2
    assert "own.sqlite: 1 of 2 images, without cow/1" in result.output
    (own / "pred.txt").write_text(GOOD)
    result = camcaffe("evaluate", own / "pred.txt", "--truth", truth)
    assert result.exit_code == 2
    assert "--truth needs a RUN" in result.output

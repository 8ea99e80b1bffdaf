import pytest
from ilsvrc_files import write_benchmark, write_run


@pytest.fixture
def small(tmp_path):
    benchmark = write_benchmark(tmp_path)
    benchmark.run = tmp_path / "run.sqlite"
    benchmark.output = tmp_path / "pred.txt"
    return benchmark


@pytest.mark.parametrize(
    ("boxes", "rows"),
    [
        ("loose", ["2 10 20 109 79 3 10 20 109 79", "1 0 0 49 49 4 0 0 49 49", "3 5 5 24 44 2 5 5 24 44"]),
        ("tight", ["2 0 0 5 5 3 0 0 5 5", "1 0 0 5 5 4 0 0 5 5", "3 0 0 5 5 2 0 0 5 5"]),
        ("combined", ["2 10 20 109 79 2 0 0 5 5", "1 0 0 49 49 1 0 0 5 5", "3 5 5 24 44 3 0 0 5 5"]),
    ],
)
def test_sets_of_a_run(camcaffe, small, boxes, rows):
    write_run(small.run)
    result = camcaffe("export", small.run, "--devkit", small.devkit, "--set", boxes, "-o", small.output)
    assert result.exit_code == 0, result.output
    assert result.output.endswith("pred.txt: 5 rows\n")
    assert small.output.read_text().splitlines()[:3] == rows


def test_the_heuristic_is_the_default_and_meta_alone_will_do(camcaffe, small):
    write_run(small.run)
    other = small.tmp / "other.txt"
    camcaffe("export", small.run, "--devkit", small.meta, "-o", small.output)
    camcaffe("export", small.run, "--devkit", small.devkit, "--set", "combined", "-o", other)
    assert small.output.read_text() == other.read_text()


def test_rows_in_the_order_of_a_list(camcaffe, small):
    write_run(small.run)
    images = small.tmp / "list.txt"
    images.write_text(f"{small.names[2]}\nval/{small.names[0]}.JPEG\n")
    options = ["--devkit", small.devkit, "--set", "loose", "--images", images, "-o", small.output]
    result = camcaffe("export", small.run, *options)
    assert result.exit_code == 0, result.output
    assert "3 images of the run are not asked for" in result.output
    assert small.output.read_text() == "3 5 5 24 44 2 5 5 24 44\n2 10 20 109 79 3 10 20 109 79\n"


def test_a_failed_image_keeps_its_row_and_the_file_can_be_judged(camcaffe, small):
    write_run(small.run, failed=small.names[1:2])
    result = camcaffe("export", small.run, "--devkit", small.devkit, "-o", small.output)
    assert "1 images failed and have no guesses" in result.output
    assert small.output.read_text().splitlines()[1] == "0 0 0 0 0"
    result = camcaffe("evaluate", small.output, "--devkit", small.devkit, "--boxes", small.boxes)
    assert result.exit_code == 0, result.output


def test_a_prediction_file_is_checked_and_copied(camcaffe, small):
    source = small.tmp / "source.txt"
    source.write_text("2   1 2 3 4   3 1 2 3 4.0\n1 5 6 7 8.5\n")
    result = camcaffe("export", source, "--devkit", small.devkit, "-o", small.output)
    assert result.exit_code == 0, result.output
    assert small.output.read_text() == "2 1 2 3 4 3 1 2 3 4\n1 5 6 7 8.5\n"
    images = small.tmp / "list.txt"
    images.write_text("".join(f"{name}\n" for name in small.names))
    result = camcaffe(
        "export", source, "--devkit", small.devkit, "--images", images, "-o", small.tmp / "none.txt"
    )
    assert result.exit_code == 2
    assert "source.txt: 2 rows; expected 5, one for each image of" in result.output
    assert not (small.tmp / "none.txt").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda small: small.run.unlink(), "run.sqlite: no such file"),
        (lambda small: small.run.write_text("1 2 3\n"), "run.sqlite, line 1: 3 numbers"),
        (lambda small: small.meta.unlink(), "data: no list of classes"),
        (lambda small: small.run.write_bytes(small.run.read_bytes()[:3000]), "run.sqlite: cannot be used"),
        (lambda small: (small.tmp / "list.txt").write_text("a\nb\na\n"), "list.txt, line 3: a again"),
        (
            lambda small: (small.tmp / "list.txt").write_text("cat.jpg\n"),
            "run.sqlite: 0 of 1 images, without cat",
        ),
    ],
)
def test_bad_input_is_one_line_and_status_2(camcaffe, small, spoil, message):
    write_run(small.run)
    spoil(small)
    arguments = [small.run, "--devkit", small.devkit, "-o", small.output]
    if (small.tmp / "list.txt").exists():
        arguments += ["--images", small.tmp / "list.txt"]
    result = camcaffe("export", *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert len(result.output.splitlines()) == 1
    assert not small.output.exists()


def test_a_run_without_images_is_refused(camcaffe, small):
    from camcaffe.run_store import RunStore

    RunStore.write(small.run, {}, []).close()
    result = camcaffe("export", small.run, "--devkit", small.devkit, "-o", small.output)
    assert result.exit_code == 2
    assert "run.sqlite: no image; expected a run that went through some" in result.output

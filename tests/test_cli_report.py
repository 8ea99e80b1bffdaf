import base64
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from ilsvrc_files import write_benchmark, write_meta, write_run
from report_files import write_reference_run

from camcaffe.matlab import imread, imwrite

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")


class Page(HTMLParser):
    """What a page has: its words, the addresses it refers to, and its elements by name."""

    def __init__(self, text):
        super().__init__()
        self.words, self.addresses, self.elements = "", [], []
        self.feed(text)
        self.words = " ".join(self.words.split())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.addresses += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        self.words += data

    def count(self, tag, name=None):
        return sum(
            found == tag and name in (None, attributes.get("class")) for found, attributes in self.elements
        )


@pytest.fixture
def small(tmp_path):
    benchmark = write_benchmark(tmp_path)
    benchmark.run = tmp_path / "run.sqlite"
    write_run(benchmark.run)
    benchmark.images = tmp_path / "images"
    benchmark.images.mkdir()
    for name in benchmark.names:
        imwrite(benchmark.images / f"{name}.jpg", np.full((70, 100, 3), 128, np.uint8))
    return benchmark


@pytest.fixture
def report(camcaffe, small):
    """Run `camcaffe report` over the small benchmark; the page, or the result where it fails."""

    def run(*arguments):
        out = small.tmp / "out"
        options = ["--devkit", small.devkit, "--boxes", small.boxes, "-o", out, *arguments]
        result = camcaffe("report", small.run, *options)
        return Page((out / "index.html").read_text(encoding="utf-8")) if result.exit_code == 0 else result

    return run


@pytest.fixture(scope="module")
def full(reference, tmp_path_factory):
    """The page on the original pipeline's run, with its heat maps."""
    from click.testing import CliRunner

    from camcaffe.cli import main

    folder, mini = tmp_path_factory.mktemp("report"), reference / "mini_ilsvrc"
    write_reference_run(folder / "squeezenetCAM.sqlite", mini)
    out = folder / "new" / "out"
    options = ["-o", out, "--devkit", mini / "devkit", "--boxes", mini / "val_bbox", "--examples", 2]
    options += ["--images", mini / "images", "--heatmaps", mini / "reference" / "heatmaps"]
    arguments = ["report", folder / "squeezenetCAM.sqlite", *options]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert result.output == f"{out / 'index.html'}\n"
    return out / "index.html"


def test_the_page_has_the_errors_of_the_original_pipeline(full):
    page = Page(full.read_text(encoding="utf-8"))
    assert "200 images, 2 of them blacklisted" in page.words
    assert page.count("div", "tile") == 5
    cells = re.findall(r"<td>(\d+\.\d)<small>", full.read_text(encoding="utf-8"))
    rows = [cells[start : start + 5] for start in range(0, len(cells), 5)]
    # As in expected_errors.csv: loose, tight and combined without the blacklisted images, then with them.
    assert rows[0] == ["54.5", "46.0", "41.9", "39.4", "38.9"]
    assert [row[4] for row in rows] == ["38.9", "84.3", "34.8", "39.0", "84.5", "35.0", "11.5", "15.0"]


def test_the_page_needs_nothing_else(full):
    page = Page(full.read_text(encoding="utf-8"))
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert page.count("script") == page.count("link") == 0
    assert "url(" not in full.read_text(encoding="utf-8").split("</style>")[0]
    assert [path.name for path in full.parent.iterdir()] == ["index.html"]


def test_the_page_shows_images_with_heat_maps_and_boxes(full, reference, tmp_path):
    page = Page(full.read_text(encoding="utf-8"))
    assert page.count("article") == 6
    assert page.count("svg") == 12
    # Both pictures have the boxes of the image's guess, and its true boxes.
    assert page.count("rect", "loose") == page.count("rect", "tight") == 12
    assert page.count("rect", "true") >= 12
    assert "Located: 121 of 198 images" in page.words
    assert "The heat maps come from the folder heatmaps." in page.words
    frames = [attributes["viewbox"] for tag, attributes in page.elements if tag == "svg"]
    pictures = [attributes["href"] for tag, attributes in page.elements if tag == "image"]
    shapes = []
    for number, (frame, picture) in enumerate(zip(frames, pictures)):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(base64.b64decode(picture.split(",")[1]))
        height, width = imread(path).shape[:2]
        # Stored as a square, shown in its true shape.
        assert width / height == pytest.approx(float(frame.split()[2]) / float(frame.split()[3]), rel=0.01)
        shapes.append((height, width))
    assert max(map(max, shapes)) == 480
    assert len(set(shapes)) > 2


def test_boxes_lie_where_they_were_judged(report, small):
    page = report("--images", small.images)
    assert page.count("article") == 4
    assert "Heat maps are missing: none were given" in page.words
    rects = [
        attributes for tag, attributes in page.elements if tag == "rect" and attributes["class"] != "halo"
    ]
    first = [
        (one["class"], *(float(one[name]) for name in ("x", "y", "width", "height"))) for one in rects[:4]
    ]
    # Image 1, the first that was located: true box (10, 20, 109, 79), both ends inclusive.
    box = (10, 20, 100, 60)
    assert first == [("true", *box), ("tight", 0, 0, 6, 6), ("loose", *box), ("true", 5, 5, 20, 40)]
    assert any(attributes.get("viewbox") == "0 0 200 140" for _, attributes in page.elements)


def test_without_images(report):
    page = report()
    assert "No images are shown" in page.words
    assert page.count("article") == 0
    assert page.count("img") == 2


def test_failed_images_are_told(report, small):
    small.run.unlink()
    write_run(small.run, failed=small.names[:1])
    page = report("--images", small.images)
    assert "1 could not be read and count as errors" in page.words
    assert "ILSVRC2012_val_00000001.JPEG" in page.words
    assert "cut short" in page.words


def test_strangers_words_stay_words(report, small):
    words = ("<script>alert(1)</script>", "b & c", "d", "e")
    write_meta(small.meta, words=words)
    page = report("--images", small.images)
    assert page.count("script") == 0
    assert words[0] in page.words
    assert words[1] in page.words


def test_the_same_run_gives_the_same_page(report, small):
    pages = []
    for _ in range(2):
        report("--images", small.images)
        pages.append((small.tmp / "out" / "index.html").read_bytes())
    assert pages[0] == pages[1]


def test_the_runs_net_makes_the_heat_maps(camcaffe, reference, squeezenet_home, tmp_path):
    from camcaffe.localize import sha256

    mini = reference / "mini_ilsvrc"
    identity = {"weights": sha256(reference / "caffe" / "squeezenetCAM.caffemodel"), "method": "cam"}
    write_reference_run(tmp_path / "run.sqlite", mini, identity)
    options = ["-o", tmp_path, "--devkit", mini / "devkit", "--boxes", mini / "val_bbox", "--examples", 1]
    result = camcaffe("report", tmp_path / "run.sqlite", *options, "--images", mini / "images")
    assert result.exit_code == 0, result.output
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert page.count("svg") == 6
    assert "net made the heat maps once more" in page.words


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda small: small.run.unlink(), r"run\.sqlite: no such file"),
        (lambda small: small.run.write_text("1 2 3 4 5"), r"run\.sqlite: not the result of a run"),
        (lambda small: small.meta.unlink(), "no list of classes"),
        (
            lambda small: (small.images / f"{small.names[2]}.jpg").unlink(),
            f"no {'ILSVRC2012_val_00000003'} among",
        ),
        (lambda small: (small.images / f"{small.names[2]}.jpg").write_text("?"), "not a picture"),
    ],
)
def test_bad_input_is_one_line(report, small, break_it, message):
    break_it(small)
    result = report("--images", small.images)
    assert result.exit_code == 2
    assert re.search(message, result.output)
    assert len(result.output.splitlines()) == 1
    assert not (small.tmp / "out").exists()


def test_heat_maps_that_are_none(report, small):
    result = report("--images", small.images, "--heatmaps", small.images)
    assert result.exit_code == 2
    assert "images: no folder top1 in it" in result.output


@pytest.mark.parametrize("library", ["matplotlib", "jinja2"])
def test_a_missing_library_is_named(report, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    result = report()
    assert result.exit_code == 2
    assert f"{library} is not installed; expected it, after `pip install camcaffe[report]`" in result.output


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_draws_it(full, tmp_path, width):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    command += [
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={tmp_path}",
    ]
    command += [f"--screenshot={tmp_path / 'page.png'}", f"--window-size={width},9000", full.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    picture = imread(tmp_path / "page.png")
    assert picture.shape == (9000, width, 3)
    for color in ((0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2), (0x00, 0x9E, 0x73)):
        assert (picture == color).all(axis=2).sum() > 500
    # Nothing of the text or the gallery runs out of the page on the right.
    assert (picture[:, -8:] == 255).all()


def test_own_images(camcaffe, small):
    from ilsvrc_files import CAFFE_LABELS, IMAGES, WNIDS

    rows = [f"{name}.jpg,{WNIDS[label - 1]},{','.join(map(str, box))}\n"
            for name, (label, boxes) in IMAGES.items() for box in boxes]  # fmt: skip
    truth = small.tmp / "boxes.csv"
    truth.write_text("image,label,xmin,ymin,xmax,ymax\n" + "".join(rows))
    out = small.tmp / "own"
    result = camcaffe("report", small.run, "--truth", truth, "--images", small.images, "-o", out)
    assert result.exit_code == 0, result.output
    page = Page((out / "index.html").read_text(encoding="utf-8"))
    assert "5 images." in page.words
    assert "blacklisted" not in page.words
    assert page.count("article") == 5
    assert CAFFE_LABELS[0] in page.words


def test_birds_in_folders_of_classes(camcaffe, tmp_path):
    """CUB-200-2011, whose images lie in a folder a class."""
    from camcaffe.run_store import ImageResult, RankedClass, RunStore

    names = ["001.Wren/Wren_1.jpg", "002.Auk/Auk_2.jpg"]
    for name, text in {
        "images.txt": f"1 {names[0]}\n2 {names[1]}\n",
        "classes.txt": "1 001.Wren\n2 002.Auk\n",
        "image_class_labels.txt": "1 1\n2 2\n",
        "bounding_boxes.txt": "1 60.0 27.0 100.0 50.0\n2 10.0 10.0 40.0 30.0\n",
        "train_test_split.txt": "1 0\n2 0\n",
    }.items():
        (tmp_path / name).write_text(text)
    with RunStore.write(tmp_path / "run.sqlite", {}, ("001.Wren", "002.Auk")) as run:
        run.add(ImageResult(name, (RankedClass(0, 0.9, np.array([[60, 27, 100, 50]])),)) for name in names)
    for name in names:
        for folder in (tmp_path / "images", tmp_path / "maps" / "top1"):
            (folder / name).parent.mkdir(parents=True)
            imwrite(folder / name, np.full((120, 200), 128, np.uint8))
    options = ["--cub", tmp_path, "--images", tmp_path / "images", "--heatmaps", tmp_path / "maps"]
    result = camcaffe("report", tmp_path / "run.sqlite", *options, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    page = Page((tmp_path / "out" / "index.html").read_text(encoding="utf-8"))
    assert "Located: 1 of 2 images" in page.words
    assert page.count("svg") == 4


def test_a_truth_is_needed(camcaffe, small):
    result = camcaffe("report", small.run, "-o", small.tmp / "out")
    assert result.exit_code == 2
    assert "the truth is missing: --truth, or --devkit and --boxes, or --cub" in result.output

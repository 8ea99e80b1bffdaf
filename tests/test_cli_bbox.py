import numpy as np
import pytest

from camcaffe.boxes import bbox_picture, dt_boxes, graph_cut_boxes, largest_component_box
from camcaffe.matlab import imwrite, read_gray, read_rgb


def line(boxes):
    return "".join(f"{number} " for number in np.ravel(boxes))


@pytest.fixture
def heatmap(tmp_path):
    """A lossless heat map of two blobs, 70 x 50 pixels."""
    y, x = np.mgrid[:50, :70]
    blobs = [
        250 * np.exp(-((y - 20) ** 2 + (x - 25) ** 2) / 150),
        120 * np.exp(-((y - 35) ** 2 + (x - 55) ** 2) / 40),
    ]
    imwrite(tmp_path / "heatmap.png", np.uint8(np.maximum(*blobs)))
    return tmp_path / "heatmap.png"


@pytest.fixture
def image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 100, (50, 70, 3), dtype=np.uint8)
    pixels[8:34, 12:40] += 120
    imwrite(tmp_path / "image.png", pixels)
    return tmp_path / "image.png"


def test_the_authors_example(camcaffe, reference):
    folder = reference / "cam_repo"
    result = camcaffe("bbox", folder / "heatmap_6.jpg")
    assert (result.exit_code, result.stdout) == (0, "41 145 362 202 102 188 242 126 \n")
    cut = camcaffe(
        "bbox", folder / "heatmap_6.jpg", "--method", "graph-cut", "--image", folder / "sample_6.jpg"
    )
    assert cut.exit_code == 0
    assert np.abs(np.subtract([int(n) for n in cut.stdout.split()], [63, 151, 361, 216])).max() <= 2


def test_the_output_file_is_the_authors(camcaffe, reference, tmp_path):
    folder = reference / "cam_repo"
    result = camcaffe("bbox", folder / "heatmap_6.jpg", "-o", tmp_path / "boxes.txt")
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / "boxes.txt").read_bytes() == (folder / "heatmap_6.txt").read_bytes()


def test_default_thresholds_are_those_of_the_authors_scripts(camcaffe, heatmap):
    boxes = dt_boxes(read_gray(heatmap), (20, 100, 110))
    assert camcaffe("bbox", heatmap).stdout == line(boxes) + "\n"
    assert boxes.tolist() != dt_boxes(read_gray(heatmap)).tolist()


@pytest.mark.parametrize("before", [True, False])
def test_thresholds_take_the_numbers_behind_them(camcaffe, heatmap, before):
    thresholds = ["--thresholds", 30, 90, 150]
    result = camcaffe("bbox", *(thresholds if before else []), heatmap, *([] if before else thresholds))
    assert result.exit_code == 0
    assert result.stdout == line(dt_boxes(read_gray(heatmap), (30, 90, 150))) + "\n"
    assert camcaffe("bbox", heatmap, "--thresholds=30 90 150").stdout == result.stdout


def test_thresholds_that_do_not_count_are_told(camcaffe, heatmap):
    result = camcaffe("bbox", heatmap, "--thresholds", 200, 100, 50)
    assert result.exit_code == 0
    assert line(dt_boxes(read_gray(heatmap), (30, 90, 150))) in result.output
    assert (
        "200 100 50 are not 0 < t0 < t1 < t2 < 255; as in the original, 30 90 150 are used" in result.output
    )
    assert "Warning" not in camcaffe("bbox", heatmap, "--thresholds", 30, 90, 150).output


def test_graph_cut(camcaffe, heatmap, image):
    result = camcaffe("bbox", heatmap, "--method", "graph-cut", "--image", image, "--thresholds", 20, 100)
    assert result.exit_code == 0
    assert result.stdout == line(graph_cut_boxes(read_rgb(image), read_gray(heatmap), (20, 100))) + "\n"
    told = camcaffe("bbox", heatmap, "--method", "graph-cut", "--image", image, "--thresholds", 100, 20)
    assert "100 20 are not 0 <= t0 < t1 <= 255; as in the original, 10 40 are used" in told.output


def test_largest_component(camcaffe, heatmap):
    result = camcaffe("bbox", heatmap, "--method", "largest-component")
    assert (result.exit_code, result.stdout) == (0, line(largest_component_box(read_gray(heatmap))) + "\n")


def test_a_black_map_has_no_boxes(camcaffe, tmp_path):
    imwrite(tmp_path / "black.png", np.zeros((40, 60), dtype=np.uint8))
    result = camcaffe("bbox", tmp_path / "black.png")
    assert (result.exit_code, result.stdout) == (0, "\n")


def test_draw_beside_the_image(camcaffe, heatmap, image, tmp_path):
    result = camcaffe("bbox", heatmap, "--image", image, "--draw", tmp_path / "drawn.png")
    boxes = dt_boxes(read_gray(heatmap), (20, 100, 110))
    assert (result.exit_code, result.stdout) == (0, line(boxes) + "\n")
    expected = bbox_picture(read_gray(heatmap), boxes, read_rgb(image))
    np.testing.assert_array_equal(read_rgb(tmp_path / "drawn.png"), expected)


def test_draw_the_heat_map_alone(camcaffe, heatmap, tmp_path):
    result = camcaffe("bbox", heatmap, "--method", "largest-component", "--draw", tmp_path / "drawn.jpg")
    assert result.exit_code == 0
    drawn = read_rgb(tmp_path / "drawn.jpg")
    assert drawn.shape == (50, 70, 3)
    expected = bbox_picture(read_gray(heatmap), largest_component_box(read_gray(heatmap)))
    assert np.abs(drawn.astype(int) - expected).mean() < 12  # JPEG, colour at half size


def test_help_has_examples(camcaffe):
    result = camcaffe("bbox", "--help")
    assert result.exit_code == 0
    assert "camcaffe bbox heatmap_6.jpg --thresholds 30 90 150 -o boxes.txt" in result.output


def refused(result, message):
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_pictures_of_two_sizes(camcaffe, heatmap, tmp_path):
    imwrite(tmp_path / "image.png", np.zeros((70, 50, 3), dtype=np.uint8))
    result = camcaffe("bbox", heatmap, "--image", tmp_path / "image.png")
    refused(result, f"{tmp_path / 'image.png'}: 50 x 70 pixels; expected 70 x 50, the size of the heat map")


@pytest.mark.parametrize("option", ["heat map", "image"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "the file is empty"),
        (b"<html></html>", "not a picture"),
        ("cut", "damaged"),
    ],
)
def test_pictures_that_cannot_be_read(camcaffe, heatmap, tmp_path, option, content, message):
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(heatmap.read_bytes()[:200] if content == "cut" else content)
    arguments = [path] if option == "heat map" else [heatmap, "--image", path]
    result = camcaffe("bbox", *arguments)
    refused(result, message)
    assert str(path) in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--thresholds", "20", "100"], "thresholds: (20, 100); expected 3 integers"),
        (["--thresholds", "20", "100", "110", "120"], "expected 3 integers"),
        (["--thresholds", "20", "100", "110.5"], "--thresholds: 20 100 110.5; expected integers"),
        (["--thresholds", "low"], "--thresholds: low; expected integers"),
        (["--method", "graph-cut"], "--method graph-cut: no --image"),
        (["--method", "largest-component", "--thresholds", "20"], "given with --method largest-component"),
        (["--draw", "drawn.foo"], "drawn.foo: a name ending in '.foo'"),
        (["--max-pixels", "100"], "a picture of 70 x 50 pixels; expected at most 100 pixels"),
    ],
)
def test_options_that_do_not_fit(camcaffe, heatmap, arguments, message):
    refused(camcaffe("bbox", heatmap, *arguments), message)


def test_a_folder_that_is_not_there(camcaffe, heatmap, tmp_path):
    refused(camcaffe("bbox", heatmap, "-o", tmp_path / "none" / "boxes.txt"), "cannot be written")


def test_options_without_their_value(camcaffe, heatmap):
    assert camcaffe("bbox", heatmap, "--thresholds").exit_code == 2
    assert camcaffe("bbox").exit_code == 2

import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from camcaffe import CamcaffeError
from camcaffe.matlab import encode, imread, imwrite, read_gray, read_rgb

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (13, 21, 3), dtype=np.uint8)
GRAY = RGB[:, :, 0]
SMOOTH = cv2.resize(RGB, (120, 80), interpolation=cv2.INTER_CUBIC)


def save(path, mode, pixels=None, **options):
    image = Image.fromarray(RGB if pixels is None else pixels)
    image.convert(mode).save(path, **options)
    return path


def test_gray_stays_gray_and_colour_stays_rgb(tmp_path):
    np.testing.assert_array_equal(imread(save(tmp_path / "gray.png", "L", GRAY)), GRAY)
    np.testing.assert_array_equal(imread(save(tmp_path / "rgb.bmp", "RGB")), RGB)
    np.testing.assert_array_equal(read_rgb(tmp_path / "gray.png"), np.dstack([GRAY] * 3))
    np.testing.assert_array_equal(read_gray(tmp_path / "gray.png"), GRAY)


def test_palette_is_applied_and_alpha_dropped(tmp_path):
    few = (RGB // 128) * 255  # eight colours: a palette holds them all
    for name in ("palette.png", "palette.gif"):
        np.testing.assert_array_equal(imread(save(tmp_path / name, "P", few)), few)
    alpha = np.dstack([RGB, GRAY])
    np.testing.assert_array_equal(imread(save(tmp_path / "alpha.png", "RGBA", alpha)), RGB)
    Image.fromarray(GRAY).convert("LA").save(tmp_path / "gray_alpha.png")
    np.testing.assert_array_equal(imread(tmp_path / "gray_alpha.png"), GRAY)
    np.testing.assert_array_equal(imread(save(tmp_path / "bits.png", "1", few[:, :, 0])), few[:, :, 0])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("shape", [(13, 21), (13, 21, 3)])
def test_16_bits_a_channel(tmp_path, suffix, shape):
    deep = RNG.integers(0, 65536, shape, dtype=np.uint16)
    imwrite(tmp_path / f"deep{suffix}", deep)
    np.testing.assert_array_equal(imread(tmp_path / f"deep{suffix}"), deep)
    # The nearest of 256 levels, not the upper byte.
    expected = np.floor(deep / 257 + 0.5)
    np.testing.assert_array_equal(
        read_rgb(tmp_path / f"deep{suffix}")[..., 0], expected.reshape(13, 21, -1)[..., 0]
    )


def test_16_bits_with_alpha(tmp_path):
    deep = RNG.integers(0, 65536, (6, 9, 4), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    np.testing.assert_array_equal(imread(tmp_path / "deep.png"), deep[:, :, 2::-1])


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    colours = np.zeros((16, 24, 3), np.uint8)
    colours[:, :8], colours[:, 8:16], colours[:, 16:] = (255, 0, 0), (0, 128, 0), (250, 250, 250)
    pixels = imread(save(tmp_path / "cmyk.jpg", "CMYK", colours, quality=95))
    assert pixels.shape == (16, 24, 3)
    assert np.abs(pixels.astype(int) - colours).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path, orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "turned.png", "RGB", exif=exif)
    np.testing.assert_array_equal(imread(path), RGB)  # MATLAB ignores the tag
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    np.testing.assert_array_equal(imread(path, exif_rotation=True), expected)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_gray_is_what_opencv_reads(tmp_path, suffix, mode):
    path = save(tmp_path / f"picture.{suffix}", mode, SMOOTH)
    np.testing.assert_array_equal(read_gray(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))


def test_gray_of_a_colour_jpeg_is_its_luma(tmp_path):
    path = save(tmp_path / "smooth.jpg", "RGB", SMOOTH)
    luma = Image.open(path)
    luma.draft("L", luma.size)
    np.testing.assert_array_equal(read_gray(path), np.asarray(luma))
    assert (read_gray(path) != cv2.cvtColor(read_rgb(path), cv2.COLOR_RGB2GRAY)).any()


def test_gray_of_what_opencv_may_not_read(tmp_path):
    few = (RGB // 128) * 255
    gray = read_gray(save(tmp_path / "palette.gif", "P", few))
    assert np.abs(gray.astype(int) - cv2.cvtColor(few, cv2.COLOR_RGB2GRAY)).max() <= 1


def test_gray_is_turned_as_colour_is(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "turned.png", "L", GRAY, exif=exif)
    np.testing.assert_array_equal(read_gray(path), GRAY)
    np.testing.assert_array_equal(read_gray(path, exif_rotation=True), np.rot90(GRAY, -1))


def test_jpeg_pixels_are_opencvs(tmp_path):
    for sampling in (0, 2):
        path = save(tmp_path / "smooth.jpg", "RGB", SMOOTH, quality=83, subsampling=sampling)
        np.testing.assert_array_equal(imread(path), cv2.imread(str(path))[:, :, ::-1])


def test_jpeg_pixels_are_opencvs_on_real_photographs(reference):
    paths = sorted((reference / "mini_ilsvrc" / "images").glob("*.JPEG"))[:40]
    assert len(paths) == 40
    for path in [*paths, *(reference / "cam_repo").glob("*.jpg")]:
        np.testing.assert_array_equal(read_rgb(path), cv2.imread(str(path))[:, :, ::-1])


def test_jpeg_is_written_at_quality_75(tmp_path):
    imwrite(tmp_path / "written.jpg", SMOOTH)
    _, expected = cv2.imencode(".jpg", SMOOTH[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])
    assert (tmp_path / "written.jpg").read_bytes() == expected.tobytes()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".PNG"])
@pytest.mark.parametrize("pixels", [RGB, GRAY], ids=["rgb", "gray"])
def test_lossless_formats_keep_every_pixel(tmp_path, suffix, pixels):
    imwrite(tmp_path / f"written{suffix}", pixels)
    np.testing.assert_array_equal(imread(tmp_path / f"written{suffix}"), pixels)


def test_floats_are_rounded_when_written(tmp_path):
    values = np.array([[-1, 0.5 / 255, 0.5], [1.5 / 255, 2, np.nan]])
    imwrite(tmp_path / "floats.png", values)
    np.testing.assert_array_equal(imread(tmp_path / "floats.png"), [[0, 1, 128], [2, 255, 0]])


def test_a_one_pixel_picture(tmp_path):
    np.testing.assert_array_equal(read_rgb(save(tmp_path / "one.png", "RGB", RGB[:1, :1])), RGB[:1, :1])


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "gif", "webp"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.97])
def test_refuses_a_picture_cut_short(tmp_path, suffix, share):
    path = save(tmp_path / f"whole.{suffix}", "RGB", SMOOTH)
    data = path.read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CamcaffeError, match=rf"cut\.{suffix}: (a damaged|not a) .*expected a"):
        imread(cut)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jpg", b"", "the file is empty; expected a JPEG, PNG"),
        ("page.jpg", b"<!DOCTYPE html><title>Not Found</title>", "not a picture that can be read"),
        ("noise.png", bytes(range(256)), "not a picture that can be read|a damaged"),
        ("header.png", b"\x89PNG\r\n\x1a\n", "not a picture that can be read|a damaged"),
    ],
    ids=["empty", "page", "noise", "header"],
)
def test_refuses_what_is_no_picture(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CamcaffeError, match=f"{name}: ({message})"):
        imread(tmp_path / name)


def test_refuses_missing_files_and_folders(tmp_path):
    with pytest.raises(CamcaffeError, match=r"gone\.jpg: no such file or directory; expected a JPEG"):
        imread(tmp_path / "gone.jpg")
    with pytest.raises(CamcaffeError, match="is a directory; expected a JPEG"):
        imread(tmp_path)


def test_refuses_floating_point_and_32_bit_pictures(tmp_path):
    Image.fromarray(GRAY.astype(np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(CamcaffeError, match=r"float\.tif: a picture of floating-point numbers"):
        imread(tmp_path / "float.tif")
    Image.fromarray(GRAY.astype(np.int32) * 70000).save(tmp_path / "long.tif")
    with pytest.raises(CamcaffeError, match=r"long\.tif: a picture of 32-bit numbers"):
        imread(tmp_path / "long.tif")


def test_the_pixel_limit_can_be_raised(tmp_path):
    path = save(tmp_path / "rgb.png", "RGB")
    with pytest.raises(CamcaffeError, match=r"rgb\.png: a picture of 21 x 13 pixels; expected at most 272"):
        imread(path, max_pixels=272)
    np.testing.assert_array_equal(imread(path, max_pixels=273), RGB)


def test_a_tiny_file_that_claims_an_enormous_picture(tmp_path):
    data = save(tmp_path / "small.bmp", "RGB").read_bytes()
    bomb = tmp_path / "bomb.bmp"
    bomb.write_bytes(data[:18] + struct.pack("<ii", 100_000, 100_000) + data[26:])
    with pytest.raises(CamcaffeError, match="100000 x 100000 pixels; expected at most 200000000"):
        imread(bomb)


def test_the_limit_can_be_raised_beyond_pillows_own(tmp_path):
    pillows = Image.MAX_IMAGE_PIXELS
    data = save(tmp_path / "small.bmp", "RGB").read_bytes()
    bomb = tmp_path / "bomb.bmp"
    bomb.write_bytes(data[:18] + struct.pack("<ii", 200_000, 2_000) + data[26:])
    with pytest.raises(CamcaffeError, match="a damaged BMP picture"):  # read, and found to be cut short
        imread(bomb, max_pixels=10**9)
    assert pillows == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    ("name", "image", "message"),
    [
        ("a.xyz", RGB, r"a name ending in '\.xyz'; expected \.jpg"),
        ("noname", RGB, "a name ending in 'nothing'"),
        ("a.png", RGB[:0], r"shape \(0, 21, 3\)"),
        ("a.png", np.dstack([RGB, RGB]), r"shape \(13, 21, 6\); expected \(H, W\) or \(H, W, 3\)"),
        ("a.png", RGB.astype(np.int64), "int64; expected uint8"),
        ("a.jpg", np.zeros((1, 70_000), np.uint8), "cannot hold"),
    ],
)
def test_refuses_to_write(tmp_path, name, image, message):
    with pytest.raises(CamcaffeError, match=f"{name}: .*{message}"):
        imwrite(tmp_path / name, image)
    assert not list(tmp_path.iterdir())


def test_encode_names_the_format():
    with pytest.raises(CamcaffeError, match=r"imwrite: a name ending in '\.gif'"):
        encode(RGB, ".gif")

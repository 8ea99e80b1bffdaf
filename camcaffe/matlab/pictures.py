"""MATLAB's imread and imwrite: picture files to arrays and back.

Pillow decodes, because it refuses what is cut short and tells what is in a file before its pixels are
unpacked; from version 9.0 on its JPEG pixels are those of MATLAB and OpenCV. OpenCV encodes, because
its JPEG at quality 75 is MATLAB's, and it decodes 16-bit colour, which Pillow would cut to 8 bits.
"""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np

from camcaffe import files
from camcaffe.errors import CamcaffeError
from camcaffe.matlab.convert import im2uint8

# Above the largest camera's pictures; a file of a few kilobytes can claim far more.
MAX_PIXELS = 200_000_000

_EXPECTED = "a JPEG, PNG, BMP, TIFF, GIF or WebP picture"
_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")

# EXIF orientation -> (transpose first?, flip up-down?, flip left-right?)
_ORIENTATIONS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
_EXIF_ORIENTATION = 0x0112

# Pillow keeps its pixel limit in a global, read while a header is opened.
_pillow_limit = threading.Lock()


def imread(
    path: files.PathLike,
    *,
    data: bytes | None = None,
    exif_rotation: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """MATLAB's `imread`; a palette is applied, alpha is dropped, CMYK is converted to RGB.

    Args:
        path: a JPEG, PNG, BMP, TIFF, GIF or WebP file; of several frames, the first is read.
        data: its content, where that has been read already; then `path` only names it in errors.
        exif_rotation: turn the picture as its EXIF tag says. MATLAB ignores the tag.
        max_pixels: refuse larger pictures before their pixels are unpacked.

    Returns:
        (H, W) gray or (H, W, 3) RGB; uint8, or uint16 where the file has 16 bits a channel.

    Raises:
        CamcaffeError: the file is missing, damaged, cut short, too large or no picture.
    """
    if data is None:
        data = files.read_bytes(path, _EXPECTED)
    image = _open(path, data, max_pixels)
    pixels = _decode(path, data, image)
    return _turned(pixels, image) if exif_rotation else pixels


def read_rgb(path: files.PathLike, **options) -> np.ndarray:
    """A picture as (H, W, 3) uint8 RGB, whatever the file holds; options and errors as for `imread`."""
    pixels = im2uint8(imread(path, **options))
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def read_gray(
    path: files.PathLike, *, exif_rotation: bool = False, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """A picture as (H, W) uint8 gray, as OpenCV reads it and so the original box programs.

    That is no function of the RGB pixels: of a colour JPEG it is the luma that the file stores. Where
    OpenCV cannot read the format, it is OpenCV's weighting of red, green and blue. Options and errors as
    for `imread`.
    """
    import cv2

    data = files.read_bytes(path, _EXPECTED)
    image = _open(path, data, max_pixels)
    pixels = _decode(path, data, image)  # OpenCV would fill up what is cut short
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
    gray = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if gray is None:
        gray = im2uint8(pixels)
        gray = gray if gray.ndim == 2 else cv2.cvtColor(gray, cv2.COLOR_RGB2GRAY)
    return _turned(gray, image) if exif_rotation else gray


def imwrite(path: files.PathLike, image: np.ndarray, quality: int = 75) -> None:
    """MATLAB's `imwrite`: the format follows the name's suffix; the file appears whole or not at all.

    Args:
        path: a name that ends in .jpg, .jpeg, .png, .bmp, .tif or .tiff.
        image: as for `encode`.
        quality: JPEG's, 1 to 100; MATLAB's default is 75.

    Raises:
        CamcaffeError: an unknown suffix, an array that is no picture, a folder that cannot be written.
    """
    try:
        data = encode(image, Path(path).suffix, quality)
    except CamcaffeError as error:
        raise CamcaffeError(path, error.found, error.expected) from error
    files.write_bytes(path, data)


def encode(image: np.ndarray, suffix: str, quality: int = 75) -> bytes:
    """The bytes that `imwrite` would write.

    Args:
        image: (H, W) gray or (H, W, 3) RGB: uint8, float in 0..1 (rounded and clamped as `im2uint8`
            does), or, for PNG and TIFF, uint16.
        suffix: ".jpg", ".jpeg", ".png", ".bmp", ".tif" or ".tiff".
        quality: JPEG's, 1 to 100.

    Raises:
        CamcaffeError: an unknown suffix, or an array that the format cannot hold.
    """
    import cv2

    suffix = suffix.lower()
    if suffix not in _SUFFIXES:
        raise CamcaffeError("imwrite", f"a name ending in {suffix or 'nothing'!r}", ", ".join(_SUFFIXES))
    image = np.asarray(image)
    if image.size == 0 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise CamcaffeError("imwrite", f"an array of shape {image.shape}", "(H, W) or (H, W, 3), not empty")
    if image.dtype != np.uint16 or suffix not in (".png", ".tif", ".tiff"):
        image = im2uint8(image)
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    options = [cv2.IMWRITE_JPEG_QUALITY, int(quality)] if suffix in (".jpg", ".jpeg") else []
    try:
        encoded, data = cv2.imencode(suffix, image, options)
    except cv2.error as error:
        raise CamcaffeError(
            "imwrite", f"{suffix} cannot hold {image.shape[:2]} pixels: {error.err}"
        ) from error
    if not encoded:
        raise CamcaffeError("imwrite", f"{suffix} cannot hold an array of shape {image.shape}")
    return data.tobytes()


def _open(path: files.PathLike, data: bytes, max_pixels: int):
    """Pillow's image of the file, its header read and its size within the limit."""
    from PIL import Image, UnidentifiedImageError

    with _pillow_limit:
        pillows, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(io.BytesIO(data))
        except UnidentifiedImageError as error:
            raise CamcaffeError(path, "not a picture that can be read", _EXPECTED) from error
        except Exception as error:  # a stranger's file may break Pillow's parsers in any way
            raise CamcaffeError(path, f"a damaged picture ({error})", _EXPECTED) from error
        finally:
            Image.MAX_IMAGE_PIXELS = pillows
    width, height = image.size
    if width * height > max_pixels:
        raise CamcaffeError(path, f"a picture of {width} x {height} pixels", f"at most {max_pixels} pixels")
    return image


def _decode(path: files.PathLike, data: bytes, image) -> np.ndarray:
    # 16-bit colour shows only in the raw modes of Pillow's tiles, which load() empties.
    deep_color = not image.mode.startswith("I") and "16" in "".join(str(tile[3]) for tile in image.tile)
    try:
        image.load()
        if image.mode.startswith("I"):
            return _uint16(path, np.asarray(image))
        if image.mode in ("1", "L", "LA"):
            pixels = np.asarray(image.convert("L"))
        else:
            pixels = np.asarray(image.convert("RGB"))
    except CamcaffeError:
        raise
    except Exception as error:  # a stranger's file may break Pillow's decoders in any way
        raise CamcaffeError(path, f"a damaged {image.format} picture ({error})", "a whole one") from error
    if image.mode == "F":
        raise CamcaffeError(path, "a picture of floating-point numbers", "8 or 16 bits a channel")
    return _decode_deep_color(path, data) if deep_color else pixels


def _uint16(path: files.PathLike, values: np.ndarray) -> np.ndarray:
    if values.min() < 0 or values.max() > 65535:
        raise CamcaffeError(path, "a picture of 32-bit numbers", "8 or 16 bits a channel")
    return values.astype(np.uint16)


def _turned(pixels: np.ndarray, image) -> np.ndarray:
    turn = _ORIENTATIONS.get(image.getexif().get(_EXIF_ORIENTATION))
    if turn:
        transpose, up_down, left_right = turn
        pixels = pixels.swapaxes(0, 1) if transpose else pixels
        pixels = pixels[:: -1 if up_down else 1, :: -1 if left_right else 1]
    return np.ascontiguousarray(pixels)


def _decode_deep_color(path: files.PathLike, data: bytes) -> np.ndarray:
    import cv2

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3 or pixels.dtype != np.uint16:
        raise CamcaffeError(path, "16-bit colour in a form that OpenCV cannot read", "8 bits a channel")
    return pixels[:, :, 2::-1]

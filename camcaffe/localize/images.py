"""Many images: those of a folder, of a list, or of a .tar archive that is not unpacked."""

from __future__ import annotations

import csv
import io
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from camcaffe import files
from camcaffe.errors import CamcaffeError, at
from camcaffe.ilsvrc.lines import image_key, read_lines, whole_number

_PICTURE = re.compile(r"(?i)\.(jpe?g|png|bmp|tiff?|gif|webp)$")
_LARGEST_SIDE = 1_000_000


class StoredImage(NamedTuple):
    """An image by name, and where its bytes are; small, and the same in every process that sees the file.

    Attributes:
        name: what the run knows it by: its path in the folder or archive, or its line in the list.
        root: the folder that the name is relative to, or the archive.
        offset: where its bytes begin in the archive; None for a file of its own.
        length: how many bytes of the archive it has.
        true_size: (height, width) in pixels before it was stored at another size; None where it was not.
    """

    name: str
    root: str
    offset: int | None = None
    length: int = 0
    true_size: tuple[int, int] | None = None

    def read(self) -> bytes:
        """The image's bytes.

        Raises:
            CamcaffeError: they cannot be read; the line names the image.
        """
        try:
            if self.offset is None:
                return files.read_bytes(Path(self.root) / self.name)
            with Path(self.root).open("rb") as archive:
                archive.seek(self.offset)
                return archive.read(self.length)
        except CamcaffeError as error:
            raise CamcaffeError(self.name, error.found, error.expected) from error
        except OSError as error:
            raise CamcaffeError(self.name, f"{self.root} cannot be read: {error.strerror}") from error

    @property
    def heatmap(self) -> PurePosixPath:
        """The name of its heat maps: its own, ending in .jpg, in the folder it has below the root."""
        name = f"{image_key(self.name)}.jpg"
        path = PurePosixPath(self.name.replace("\\", "/"))
        outside = path.is_absolute() or ".." in path.parts
        return PurePosixPath(name) if outside else path.with_name(name)


def find_images(source: files.PathLike) -> list[StoredImage]:
    """The images of a folder, a list or an archive.

    Args:
        source: a folder: all pictures in it and in the folders below it, in order of their names, hidden
            ones left out. A file that ends in .tar: the pictures in it, and those in archives in it, as
            in ILSVRC's training set, in the order in which they lie. Any other file: a list, an image a
            line, relative to the list's folder or absolute; a number behind the name, as Caffe's lists
            have it, is passed over.

    Raises:
        CamcaffeError: the source is missing or damaged, has no image, or one twice.
    """
    path = Path(source)
    if path.is_dir():
        images = [StoredImage(name, str(path.absolute())) for name in sorted(_pictures_below(path))]
    elif path.suffix.lower() == ".tar":
        images = _of_archive(path)
    else:
        images = _of_list(path)
    for image in images:
        try:
            image.name.encode()
        except UnicodeEncodeError as error:
            raise CamcaffeError(source, f"the name {image.name!r}", "names in UTF-8") from error
    if not images:
        raise CamcaffeError(source, "no picture", "JPEG, PNG, BMP, TIFF, GIF or WebP files")
    return images


def read_sizes(path: files.PathLike) -> dict[str, tuple[int, int]]:
    """The true sizes of images that are stored at another size.

    Columns `image`, `width` and `height`, named in the first line::

        image,width,height
        ILSVRC2012_val_00000361.JPEG,500,349

    Returns:
        Image key (its name without folder and suffix) -> (height, width) in pixels.

    Raises:
        CamcaffeError: the file is missing, lacks a column, or has a line that is none, or an image twice.
    """
    expected = "a CSV file with the columns image, width and height"
    lines = read_lines(path, expected)
    rows = csv.DictReader(io.StringIO("\n".join(lines)))
    if not {"image", "width", "height"}.issubset(rows.fieldnames or ()):
        raise CamcaffeError(path, f"columns {', '.join(rows.fieldnames or ())}", expected)
    sizes = {}
    for number, row in enumerate(rows, 2):
        place = at(path, number)
        key = image_key(row["image"] or "")
        if not key or key in sizes:
            raise CamcaffeError(place, f"{row['image']} again" if key else "no image", "each image once")
        sizes[key] = tuple(
            whole_number(row[side] or "", 1, _LARGEST_SIDE, place, side) for side in ("height", "width")
        )
    return sizes


def with_sizes(
    images: Iterable[StoredImage], sizes: Mapping[str, tuple[int, int]], source: files.PathLike
) -> list[StoredImage]:
    """The images with their true sizes.

    Raises:
        CamcaffeError: an image has none; the line names `source`, which the sizes are from.
    """
    sized = []
    for image in images:
        size = sizes.get(image_key(image.name))
        if size is None:
            raise CamcaffeError(source, f"no size of {image.name}", "the size of each image")
        sized.append(image._replace(true_size=size))
    return sized


def refuse_twins(images: Sequence[StoredImage]) -> None:
    """Refuse images whose heat maps would have one name.

    Raises:
        CamcaffeError: there are two.
    """
    first = {}
    for image in images:
        twin = first.setdefault(image.heatmap, image)
        if twin is not image:
            raise CamcaffeError(
                image.name, f"its heat maps would replace those of {twin.name}", "names that differ"
            )


def _pictures_below(folder: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise CamcaffeError(error.filename, f"cannot be read: {error.strerror}", "a folder of images")

    seen = set()
    for current, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        # A link may lead back to where it lies.
        place = os.path.realpath(current)
        if place in seen:
            raise CamcaffeError(current, f"{place} is reached in two ways", "each folder once")
        seen.add(place)
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(current).relative_to(folder)
        for name in names:
            if _PICTURE.search(name) and not name.startswith("."):
                yield (below / name).as_posix()


def _of_list(path: Path) -> list[StoredImage]:
    lines = read_lines(path, "a folder of images, a .tar of images, or a list of them, one a line")
    root, first_line, images = str(path.parent.absolute()), {}, []
    for number, line in enumerate(lines, 1):
        name = re.sub(r"\s+\d+$", "", line.strip())
        if not name or "\0" in name:
            raise CamcaffeError(at(path, number), "no name of an image", "an image a line")
        # ./a.jpg and a.jpg are one file.
        same = first_line.setdefault(os.path.normpath(name), number)
        if same != number:
            raise CamcaffeError(
                at(path, number), f"{name} again", f"each image once (line {same} has it already)"
            )
        images.append(StoredImage(name, root))
    return images


def _of_archive(path: Path) -> list[StoredImage]:
    root, images, seen = str(path.absolute()), [], set()
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            for name, offset, length in _members(file, 0, ""):
                if name in seen:
                    raise CamcaffeError(path, f"{name} again", "each image once")
                if offset + length > size:
                    raise CamcaffeError(path, f"it ends within {name}", "a whole archive")
                seen.add(name)
                images.append(StoredImage(name, root, offset, length))
    except tarfile.TarError as error:
        raise CamcaffeError(path, f"not readable ({error})", "an archive that is not compressed") from error
    except OSError as error:
        raise CamcaffeError(path, f"cannot be read: {error.strerror}", "a .tar archive") from error
    return images


def _members(file: io.BufferedReader, start: int, folder: str) -> Iterator[tuple[str, int, int]]:
    """Name, offset and length of the pictures in the archive that begins at `start`."""
    file.seek(start)
    # "r:" reads no compressed archive, whose members have no offsets.
    with tarfile.open(fileobj=file, mode="r:") as archive:
        inner = []
        for member in archive:
            name = folder + member.name.removeprefix("./")
            if member.isfile() and name.lower().endswith(".tar"):
                inner.append((name[:-4] + "/", member.offset_data))
            elif member.isfile() and _PICTURE.search(name):
                yield name, member.offset_data, member.size
            # The archive would keep each of a million members.
            archive.members = []
    for below, offset in inner:
        yield from _members(file, offset, below)

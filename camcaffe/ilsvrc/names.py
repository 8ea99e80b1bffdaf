"""Images known by their paths, whichever folder a path begins from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from camcaffe.ilsvrc.lines import image_key


def path_tails(name: str) -> Iterator[str]:
    """The path without its suffix, then without its first folder, and so on down to the file's own name.

    Example:
        >>> list(path_tails("./val/cat/1.jpg"))
        ['val/cat/1', 'cat/1', '1']
    """
    *folders, file = re.split(r"[/\\]", name)
    parts = [*(part for part in folders if part not in ("", ".")), image_key(file)]
    return ("/".join(parts[first:]) for first in range(len(parts)))


class ImageNames:
    """Where an image stands in a list: its path and that of the list are one image if one ends in the other.

    Example:
        >>> names = ImageNames(["cat/1", "dog/1"])
        >>> names.find("val/dog/1.jpg")
        1

    Args:
        names: paths without suffix, in the order of the list.
    """

    def __init__(self, names: Sequence[str]):
        self._places = {name: place for place, name in enumerate(names)}
        self._ends: dict[str, int | None] = {}
        for place, name in enumerate(names):
            for tail in path_tails(name):
                self._ends[tail] = None if tail in self._ends else place

    def find(self, name: str) -> int | None:
        """The place of an image; None where the list does not have it, or several that end so."""
        tails = list(path_tails(name))
        found = next((tail for tail in tails if tail in self._places), None)
        return self._ends.get(tails[0]) if found is None else self._places[found]

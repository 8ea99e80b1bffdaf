"""The one exception that camcaffe raises for input it cannot use."""

from __future__ import annotations

import os


class CamcaffeError(Exception):
    """Input that cannot be used, told in one line: where, what was found, what was expected.

    The command line prints the line and exits with status 2; anything else that escapes is a bug.

    Args:
        source: the file (or the option, layer or array) at fault.
        found: what is wrong with it.
        expected: what would have been right; left out where `found` says it all.
    """

    def __init__(self, source: str | os.PathLike, found: str, expected: str = ""):
        line = f"{os.fspath(source)}: {found}"
        if expected:
            line += f"; expected {expected}"
        super().__init__(" ".join(line.split()))
        self.source, self.found, self.expected = source, found, expected

    def __reduce__(self):
        # Exceptions cross process borders by pickling, which would otherwise call __init__ with one line.
        return type(self), (self.source, self.found, self.expected)


def at(path: str | os.PathLike, number: int) -> str:
    """The place of an error: a file and a line, counted from 1."""
    return f"{os.fspath(path)}, line {number}"

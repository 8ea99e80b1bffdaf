"""Lines as Caffe logs them through glog, so that whatever reads Caffe's logs reads these."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import datetime


class Log:
    """Writes lines such as `I0817 16:38:12.123456  4703 solver.cpp:239] Iteration 0, ...`.

    Args:
        *writers: each is called with every line, without its line end.
    """

    def __init__(self, *writers: Callable[[str], None]):
        self._writers = writers

    def info(self, origin: str, text: str) -> None:
        """Write one line.

        Args:
            origin: the file and line of Caffe's sources that say this, which some readers of logs look for.
            text: what it says.
        """
        now = datetime.now()
        for write in self._writers:
            write(f"I{now:%m%d %H:%M:%S.%f} {os.getpid():5d} {origin}] {text}")


def number(value: float) -> str:
    """A number as a C++ stream prints it: six significant digits."""
    return f"{float(value):g}"


def to_stderr(line: str) -> None:
    """Write a line to the standard error, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)

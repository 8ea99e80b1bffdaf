"""Net and solver descriptions as text."""

from __future__ import annotations

import os
import re

from google.protobuf import text_format
from google.protobuf.message import Message

from camcaffe import files
from camcaffe.caffe import messages
from camcaffe.caffe.upgrade import upgrade_net, upgrade_solver
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike


def read_prototxt(path: PathLike) -> messages.NetParameter:
    """Read a net description of any version that Caffe reads, brought to V2.

    Args:
        path: the prototxt.

    Raises:
        CamcaffeError: the file is missing, is not such a description (with the line at fault), or cannot
            be upgraded.
    """
    net = messages.NetParameter()
    _parse(path, net, "a prototxt that describes a net")
    upgrade_net(net, path)
    return net


def read_solver(path: PathLike) -> messages.SolverParameter:
    """Read a solver's settings; the old `solver_type` becomes `type`.

    Raises:
        CamcaffeError: the file is missing or is not a solver's (with the line at fault).
    """
    solver = messages.SolverParameter()
    _parse(path, solver, "a prototxt with a solver's settings")
    upgrade_solver(solver, path)
    return solver


def is_text(data: bytes) -> bool:
    """Whether a file's bytes can be a prototxt: a binary message has control characters from the start."""
    return not re.search(rb"[\0-\x08\x0e-\x1f]", data)


def net_to_text(message: Message) -> str:
    """The message as Caffe writes it into a prototxt."""
    return text_format.MessageToString(message, as_utf8=True)


def _parse(path: PathLike, message: Message, expected: str) -> None:
    data = files.read_bytes(path, expected)
    if not is_text(data):
        raise CamcaffeError(path, "it holds binary data, not text", expected)
    try:
        # Comments need not be UTF-8; a value that is not fails below.
        text_format.Parse(data.decode("utf-8", errors="surrogateescape"), message)
    except text_format.ParseError as error:
        raise _located(path, error, expected) from error
    except ValueError as error:
        raise CamcaffeError(
            path, f"it has a text that is not UTF-8 ({_printable(str(error))})", expected
        ) from error
    missing = message.FindInitializationErrors()
    if missing:
        raise CamcaffeError(path, f"{missing[0]} is missing", expected)


def _located(path: PathLike, error: text_format.ParseError, expected: str) -> CamcaffeError:
    line, found = error.GetLine(), _printable(str(error))
    if line is None:
        return CamcaffeError(path, found, expected)
    # protobuf's text begins with "line:column : "; the place stands in front of ours.
    found = found.split(" : ", 1)[-1].replace("caffe.", "")
    return CamcaffeError(f"{os.fspath(path)}:{line}", found[:200].rstrip("."), expected)


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")

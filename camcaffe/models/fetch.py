"""One file over HTTP: resumed where it broke off, checked, and there whole or not at all."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from tqdm import tqdm

from camcaffe._version import __version__
from camcaffe.errors import CamcaffeError

try:
    import fcntl
except ImportError:  # Windows: of two downloads of one file at once, the check at the end catches the mix
    fcntl = None

TIMEOUT = 30.0
ATTEMPTS = 4
CHUNK = 1 << 16
LIMIT = (1 << 31) - 1  # bytes: protobuf takes no longer message, so there is no larger caffemodel


def fetch(
    addresses: Sequence[str],
    target: Path,
    check: Callable[[Path], None],
    *,
    timeout: float = TIMEOUT,
    pause: float = 1.0,
) -> str:
    """Bring a file to `target` from the first of `addresses` that gives a good one.

    Args:
        addresses: http or https addresses, tried in turn.
        target: where the finished file goes; its folder exists. Until the file is whole and checked it is
            called `NAME.part`, and a later call goes on where that ends if the server still has that file.
        check: called with the whole `.part`; raises CamcaffeError where it is not the file wanted.
        timeout: seconds without a byte after which a server is given up.
        pause: seconds before the first new attempt at a transfer that broke off; doubled each time.

    Returns:
        The address that gave the file.

    Raises:
        CamcaffeError: no address gave a good file (the line says what each did), the folder cannot be
            written, the disk is full, or the file is being downloaded already. `target` is then as it was.
    """
    part = _Part(target)
    failures = []
    try:
        with part.held():
            for url in addresses:
                try:
                    with part.path.open("ab") as sink:
                        _transfer(url, part, sink, timeout, pause)
                    _check(url, part, check)
                    part.finish(target)
                    return url
                except CamcaffeError as error:
                    failures.append(str(error))
                finally:
                    part.tidy()
    except BlockingIOError as error:
        raise CamcaffeError(target, "is being downloaded already") from error
    except OSError as error:
        raise CamcaffeError(target, f"cannot be written: {(error.strerror or str(error)).lower()}") from error
    raise CamcaffeError(target.name, "; ".join(["cannot be downloaded", *failures]))


class _Part:
    """The unfinished file, and a note of what it is the beginning of.

    Bytes are added only where the server confirms, by the ETag or date in the note, that it still has the
    file the first bytes came from; a beginning that cannot be gone on with so is not kept.
    """

    def __init__(self, target: Path):
        self.path = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the file against a second download of it, which raises BlockingIOError."""
        if fcntl is None:
            yield
            return
        with self.path.open("ab") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking, the other download may have finished and renamed the file.
            if not (self.path.exists() and os.path.samestat(self.path.stat(), os.fstat(handle.fileno()))):
                raise BlockingIOError
            yield

    def begin(self, sink: IO[bytes], url: str, validator: str, total: int | None) -> None:
        """Empty the file and note what will be written to it."""
        sink.truncate(0)
        self._note.write_text(
            json.dumps({"url": url, "validator": validator, "total": total}), encoding="utf-8"
        )

    def size_and_note(self) -> tuple[int, dict]:
        """How many bytes can be gone on with, and the note that belongs to them; (0, {}) where none can."""
        try:
            size, note = self.path.stat().st_size, json.loads(self._note.read_text(encoding="utf-8"))
            if note["validator"] and 0 < size <= note["total"]:
                return size, note
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return 0, {}

    def tidy(self) -> None:
        """Remove what cannot be gone on with."""
        if not self.size_and_note()[0]:
            self.discard()

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        self.path.replace(target)
        self._note.unlink(missing_ok=True)


def _check(url: str, part: _Part, check: Callable[[Path], None]) -> None:
    try:
        check(part.path)
    except CamcaffeError as error:
        part.discard()
        source = str(error.source).replace(str(part.path), url)
        raise CamcaffeError(source, error.found, error.expected) from error


class _BrokenOff(Exception):
    """The transfer ended early: worth another attempt."""


def _transfer(url: str, part: _Part, sink: IO[bytes], timeout: float, pause: float) -> None:
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            _attempt(url, part, sink, timeout)
            return
        except _BrokenOff as error:
            reason = str(error)
        finally:
            sink.flush()
    kept = part.size_and_note()[0]
    raise CamcaffeError(url, reason + (f" ({kept} bytes are kept: call again to go on)" if kept else ""))


def _attempt(url: str, part: _Part, sink: IO[bytes], timeout: float) -> None:
    kept, note = part.size_and_note()
    start = kept if note.get("url") == url else 0
    if start and start == note["total"]:
        return
    with _open(url, start, note, sink, timeout) as response:
        if start and response.status == 206:
            _confirm(response, start, note, sink)
            total, chunk = note["total"], _read(response)
        else:
            start, total, chunk = 0, response.length, _read(response)
            _refuse_page(url, chunk)
            part.begin(sink, url, _validator(response), total)
        received = start
        with tqdm(
            desc=part.path.stem, initial=start, total=total, unit="B", unit_scale=True, disable=None
        ) as progress:
            while chunk:
                sink.write(chunk)
                received += len(chunk)
                if received > LIMIT:
                    part.discard()
                    raise CamcaffeError(url, "the file does not end", f"at most {LIMIT} bytes")
                progress.update(len(chunk))
                chunk = _read(response)
    if total is not None and received < total:
        raise _BrokenOff(f"the connection broke off after {received} of {total} bytes")


def _open(url: str, start: int, note: dict, sink: IO[bytes], timeout: float) -> http.client.HTTPResponse:
    """The server's answer to a request for the file from byte `start` on."""
    headers = {"User-Agent": f"camcaffe/{__version__}"}
    if start:
        headers.update({"Range": f"bytes={start}-", "If-Range": note["validator"]})
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        line = f"{error.code} {http.client.responses.get(error.code, '')}".strip()
        if error.code < 400:
            raise CamcaffeError(url, f"redirected to nowhere ({line})") from error
        if error.code == 416 and start:
            sink.truncate(0)
        elif error.code != 429 and error.code < 500:
            raise CamcaffeError(url, line) from error
        raise _BrokenOff(line) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise CamcaffeError(url, f"no answer ({text.lower()})") from error


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOff(f"the connection broke off ({str(error).lower()})") from error


def _confirm(response: http.client.HTTPResponse, start: int, note: dict, sink: IO[bytes]) -> None:
    """See that a partial answer is the rest of the file whose beginning is here; else drop the beginning."""
    place = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    same_place = place and (int(place[1]), int(place[2])) == (start, note["total"])
    if not same_place or _validator(response) not in ("", note["validator"]):
        sink.truncate(0)
        raise _BrokenOff("the server answered with a part of another file")


def _validator(response: http.client.HTTPResponse) -> str:
    """What tells this file from a later one at the same address: a strong ETag, else the date, else ""."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _refuse_page(url: str, beginning: bytes) -> None:
    if not beginning:
        raise CamcaffeError(url, "the server sent an empty file")
    if re.match(rb"\s*<(!doctype|html|head|body|\?xml)", beginning, re.IGNORECASE):
        raise CamcaffeError(url, "the server sent a web page instead of the file")

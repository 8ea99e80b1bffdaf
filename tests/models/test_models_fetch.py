import gc
import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from loopback_server import Server, breaks_off, chunked, serve, status, without_proxies

import camcaffe
from camcaffe import CamcaffeError
from camcaffe.models import fetch as fetching
from camcaffe.models.fetch import fetch

DATA = np.random.default_rng(5).bytes(300_007)
ETAG = '"one"'


@pytest.fixture
def server(monkeypatch):
    without_proxies(monkeypatch)
    with Server({"/net.caffemodel": DATA, "/there": DATA, "/old.caffemodel": DATA}, ETAG) as server:
        yield server


def whole(path):
    if path.read_bytes() != DATA:
        raise CamcaffeError(path, "it is not the file", "the file")


def run(server, target, *urls, **options):
    return fetch(
        urls or [server.url("net.caffemodel")], target, whole, **{"pause": 0, "timeout": 5, **options}
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_alone(server, tmp_path):
    target = tmp_path / "net.caffemodel"
    assert run(server, target) == server.url("net.caffemodel")
    assert target.read_bytes() == DATA
    assert names(tmp_path) == ["net.caffemodel"]


def test_what_broke_off_is_gone_on_with_in_the_same_call(server, tmp_path):
    server.plan = [breaks_off(100_000), breaks_off(200_000)]
    run(server, tmp_path / "net.caffemodel")
    assert [asked for _, asked, _ in server.requests] == [None, "bytes=100000-", "bytes=200000-"]
    assert {tag for _, asked, tag in server.requests if asked} == {ETAG}
    assert names(tmp_path) == ["net.caffemodel"]


def test_what_broke_off_is_gone_on_with_in_the_next_call(server, tmp_path):
    server.plan = [breaks_off(100_000), *[status(503)] * 3]
    with pytest.raises(CamcaffeError, match=r"503 .*100000 bytes are kept: call again to go on"):
        run(server, tmp_path / "net.caffemodel")
    assert (tmp_path / "net.caffemodel.part").read_bytes() == DATA[:100_000]
    assert not (tmp_path / "net.caffemodel").exists()
    run(server, tmp_path / "net.caffemodel")
    assert server.requests[-1][1:] == ("bytes=100000-", ETAG)
    assert names(tmp_path) == ["net.caffemodel"]


def test_a_file_that_always_breaks_off_is_an_error(server, tmp_path):
    server.plan = [breaks_off(50_000 * (i + 1)) for i in range(fetching.ATTEMPTS)]
    with pytest.raises(
        CamcaffeError, match=r"broke off after 200000 of 300007 bytes \(200000 bytes are kept"
    ):
        run(server, tmp_path / "net.caffemodel")
    assert (tmp_path / "net.caffemodel.part").read_bytes() == DATA[:200_000]


def test_without_a_validator_nothing_is_gone_on_with_or_kept(server, tmp_path):
    server.plan = [breaks_off(50_000, etag=False)] * fetching.ATTEMPTS
    with pytest.raises(CamcaffeError, match=r"broke off after 50000 of 300007 bytes$"):
        run(server, tmp_path / "net.caffemodel")
    assert {asked for _, asked, _ in server.requests} == {None}
    assert names(tmp_path) == []


def test_a_weak_etag_is_no_validator(server, tmp_path):
    server.etag = 'W/"one"'
    server.plan = [breaks_off(50_000)]
    run(server, tmp_path / "net.caffemodel")
    assert [asked for _, asked, _ in server.requests] == [None, None]


def test_a_date_is_a_validator(server, tmp_path):
    date = "Tue, 15 Mar 2016 12:00:00 GMT"

    def broken(handler):
        size = ("Content-Length", str(len(DATA)))
        handler.answer(200, size, ("Last-Modified", date), body=DATA[:70_000])

    server.plan = [broken]
    server.etag = date  # what the resumed request's If-Range is compared with
    run(server, tmp_path / "net.caffemodel")
    assert server.requests[-1][1:] == ("bytes=70000-", date)


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, tmp_path):
    old = bytes(reversed(DATA))
    server.files["/net.caffemodel"], server.etag = old, '"old"'
    server.plan = [breaks_off(100_000), *[status(500)] * 3]
    with pytest.raises(CamcaffeError):
        run(server, tmp_path / "net.caffemodel")
    server.files["/net.caffemodel"], server.etag = DATA, ETAG
    run(server, tmp_path / "net.caffemodel")
    assert (tmp_path / "net.caffemodel").read_bytes() == DATA


def test_a_server_that_mixes_two_files_is_not_believed(server, tmp_path):
    def rest_of_another(handler):
        rest = bytes(len(DATA) - 100_000)
        place = ("Content-Range", f"bytes 100000-{len(DATA) - 1}/{len(DATA)}")
        handler.answer(206, ("Content-Length", str(len(rest))), place, ("ETag", '"two"'), body=rest)

    server.plan = [breaks_off(100_000), rest_of_another]
    run(server, tmp_path / "net.caffemodel")
    assert [asked for _, asked, _ in server.requests] == [None, "bytes=100000-", None]


@pytest.mark.parametrize(
    "place", ["bytes 99999-300006/300007", "bytes 100000-300006/300008", "bytes nonsense", ""]
)
def test_a_wrong_content_range_is_not_believed(server, tmp_path, place):
    def elsewhere(handler):
        headers = [("Content-Range", place)] if place else []
        handler.answer(206, ("Content-Length", "200007"), ("ETag", ETAG), *headers, body=DATA[100_000:])

    server.plan = [breaks_off(100_000), elsewhere]
    run(server, tmp_path / "net.caffemodel")
    assert [asked for _, asked, _ in server.requests] == [None, "bytes=100000-", None]


def test_a_server_that_ignores_ranges_sends_all_again(server, tmp_path):
    server.plan = [breaks_off(100_000), breaks_off(None, ranges=False)]
    run(server, tmp_path / "net.caffemodel")
    assert (tmp_path / "net.caffemodel").read_bytes() == DATA
    assert len(server.requests) == 2


def test_416_starts_afresh(server, tmp_path):
    server.plan = [breaks_off(100_000), status(416)]
    run(server, tmp_path / "net.caffemodel")
    assert [asked for _, asked, _ in server.requests] == [None, "bytes=100000-", None]


def test_416_to_a_plain_request_is_an_error(server, tmp_path):
    server.plan = [status(416)] * 9
    with pytest.raises(CamcaffeError, match="416"):
        run(server, tmp_path / "net.caffemodel")
    assert len(server.requests) == 1
    assert names(tmp_path) == []


def test_a_whole_part_is_checked_without_the_server(server, tmp_path):
    (tmp_path / "net.caffemodel.part").write_bytes(DATA)
    note = {"url": server.url("net.caffemodel"), "validator": ETAG, "total": len(DATA)}
    (tmp_path / "net.caffemodel.part.json").write_text(json.dumps(note))
    run(server, tmp_path / "net.caffemodel")
    assert server.requests == []
    assert names(tmp_path) == ["net.caffemodel"]


@pytest.mark.parametrize(
    "note",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"url": "URL", "validator": "\\"one\\"", "total": 5}',
        '{"url": "URL", "validator": "\\"one\\"", "total": "x"}',
        '{"url": "URL", "validator": "\\"one\\"", "total": null}',
        '{"url": "URL", "validator": "", "total": 300007}',
        '{"url": "http://elsewhere/", "validator": "\\"one\\"", "total": 300007}',
    ],
)
def test_a_part_of_unknown_origin_is_not_gone_on_with(server, tmp_path, note):
    (tmp_path / "net.caffemodel.part").write_bytes(b"something else")
    (tmp_path / "net.caffemodel.part.json").write_text(note.replace("URL", server.url("net.caffemodel")))
    run(server, tmp_path / "net.caffemodel")
    assert server.requests[0][1] is None
    assert names(tmp_path) == ["net.caffemodel"]


def test_a_length_that_is_too_long_is_a_file_that_broke_off(server, tmp_path):
    server.plan = [lambda handler: serve(handler, length=len(DATA) + 10)] * 9
    with pytest.raises(CamcaffeError, match="cannot be downloaded"):
        run(server, tmp_path / "net.caffemodel")
    assert not (tmp_path / "net.caffemodel").exists()


def test_a_length_that_is_too_short_fails_the_check_and_keeps_nothing(server, tmp_path):
    server.plan = [lambda handler: serve(handler, length=1000)]
    with pytest.raises(CamcaffeError, match="it is not the file; expected the file"):
        run(server, tmp_path / "net.caffemodel")
    assert names(tmp_path) == []


@pytest.mark.parametrize("length", ["-5", "many", "0"])
def test_a_length_that_is_no_length(server, tmp_path, length):
    server.plan = [lambda handler: serve(handler, length=length)]
    if length == "0":
        with pytest.raises(CamcaffeError, match="an empty file"):
            run(server, tmp_path / "net.caffemodel")
        assert names(tmp_path) == []
    else:
        run(server, tmp_path / "net.caffemodel")
        assert (tmp_path / "net.caffemodel").read_bytes() == DATA


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>moved", b"\n <HTML>", b"<?xml version='1.0'?>"])
def test_a_web_page_is_refused(server, tmp_path, page):
    server.plan = [lambda handler: handler.answer(200, ("Content-Length", str(len(page))), body=page)]
    with pytest.raises(CamcaffeError, match="a web page instead of the file"):
        run(server, tmp_path / "net.caffemodel")
    assert names(tmp_path) == []


@pytest.mark.parametrize("code", [400, 403, 404, 410])
def test_a_refusal_is_not_asked_again(server, tmp_path, code):
    server.plan = [status(code)] * 9
    with pytest.raises(CamcaffeError, match=f"cannot be downloaded; http://.*: {code} "):
        run(server, tmp_path / "net.caffemodel")
    assert len(server.requests) == 1
    assert names(tmp_path) == []


def test_the_next_address_is_tried_and_all_failures_are_told(server, tmp_path):
    server.plan = [status(404)]
    old, new = server.url("new.caffemodel"), server.url("old.caffemodel")
    assert run(server, tmp_path / "net.caffemodel", old, new) == new
    server.plan = [status(404), status(403)]
    with pytest.raises(CamcaffeError, match=r"new.caffemodel: 404 .*; http://.*old.caffemodel: 403 "):
        run(server, tmp_path / "other.caffemodel", old, new)


def test_a_refusal_elsewhere_leaves_the_part_of_another_address(server, tmp_path):
    server.plan = [breaks_off(100_000), *[status(503)] * 3, status(404)]
    with pytest.raises(CamcaffeError):
        run(server, tmp_path / "net.caffemodel", server.url("net.caffemodel"), server.url("other"))
    assert (tmp_path / "net.caffemodel.part").stat().st_size == 100_000


def test_a_bad_file_leaves_the_one_that_was_there(server, tmp_path):
    target = tmp_path / "net.caffemodel"
    target.write_bytes(b"old")
    server.plan = [status(404)]
    with pytest.raises(CamcaffeError):
        run(server, target)
    assert target.read_bytes() == b"old"


def test_redirects_are_followed_with_the_range(server, tmp_path):
    def moved(handler):
        handler.answer(302, ("Location", server.url("there")), ("Content-Length", "0"))

    server.plan = [moved, breaks_off(100_000), moved]
    run(server, tmp_path / "net.caffemodel")
    assert [asked for _, asked, _ in server.requests] == [None, None, "bytes=100000-", "bytes=100000-"]


# urllib leaves the socket open where it cannot read the new address.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("/net.caffemodel", r"redirected to nowhere \(302 Found\)"),
        ("", r"redirected to nowhere \(302 Found\)"),
        ("file:///etc/passwd", r"redirected to nowhere \(302 Found\)"),
        ("ftp://127.0.0.1:1/x", r"no answer \("),
        ("http://[", r"no answer \(invalid ipv6 url\)"),
    ],
)
def test_redirects_that_lead_nowhere(server, tmp_path, location, message):
    server.plan = [lambda handler: handler.answer(302, ("Location", location), ("Content-Length", "0"))] * 99
    with pytest.raises(CamcaffeError, match=message):
        run(server, tmp_path / "net.caffemodel")
    assert names(tmp_path) == []
    gc.collect()


def test_a_server_that_hangs_is_given_up(server, tmp_path):
    server.plan = [lambda handler: server.released.wait(20)] * 9
    with pytest.raises(CamcaffeError, match=r"no answer .*timed out"):
        run(server, tmp_path / "net.caffemodel", timeout=0.2)
    assert len(server.requests) == 1
    assert names(tmp_path) == []


def test_a_transfer_that_stalls_is_gone_on_with(server, tmp_path):
    def stall(handler):
        serve(handler, until=2 * fetching.CHUNK)
        server.released.wait(20)

    server.plan = [stall]
    run(server, tmp_path / "net.caffemodel", timeout=0.3)
    assert server.requests[1][1] == f"bytes={2 * fetching.CHUNK}-"


def test_nobody_listens(tmp_path):
    with pytest.raises(CamcaffeError, match=r"127.0.0.1:1/x: no answer \(connection refused\)"):
        fetch(["http://127.0.0.1:1/x"], tmp_path / "x", whole, pause=0)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 2000 x\r\n\r\n", b"HTTP/1.1 200 OK\r\n" * 200]
)
def test_answers_that_are_no_http(server, tmp_path, answer):
    server.plan = [lambda handler: handler.wfile.write(answer)] * 9
    with pytest.raises(CamcaffeError, match="cannot be downloaded; http://127"):
        run(server, tmp_path / "net.caffemodel")
    assert names(tmp_path) == []


def test_chunked_transfer(server, tmp_path):
    server.plan = [chunked(DATA[:9], DATA[9:]), chunked(DATA[:9], DATA[9:], b"")]
    run(server, tmp_path / "net.caffemodel")
    assert len(server.requests) == 2  # the first lacked the end mark


def test_a_file_without_end_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "LIMIT", 200_000)
    server.plan = [chunked(*[DATA] * 9)]
    with pytest.raises(CamcaffeError, match="does not end; expected at most 200000 bytes"):
        run(server, tmp_path / "net.caffemodel")
    assert names(tmp_path) == []


def test_two_downloads_of_one_file(server, tmp_path):
    pytest.importorskip("fcntl")
    started, target = threading.Event(), tmp_path / "net.caffemodel"

    def slow(handler):
        started.set()
        server.released.wait(20)
        serve(handler)

    server.plan = [slow]
    first = threading.Thread(target=run, args=(server, target), kwargs={"timeout": 20})
    first.start()
    assert started.wait(20)
    with pytest.raises(CamcaffeError, match="is being downloaded already"):
        run(server, target)
    server.released.set()
    first.join()
    assert target.read_bytes() == DATA


def test_a_folder_that_is_not_there(server, tmp_path):
    with pytest.raises(CamcaffeError, match="cannot be written: no such file"):
        run(server, tmp_path / "no" / "net.caffemodel")


def python(server, folder, before=""):
    """Fetch in a process of its own."""
    code = f"""
        import pathlib, resource
        from camcaffe.models.fetch import fetch
        {before}
        fetch(["{server.url("net.caffemodel")}"], pathlib.Path("net.caffemodel"), lambda path: None, pause=0)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    environment = {**os.environ, "PYTHONPATH": str(Path(camcaffe.__file__).parents[1])}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def test_a_full_disk_keeps_what_fits(server, tmp_path):
    pytest.importorskip("resource")
    process = python(server, tmp_path, "resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))")
    _, errors = process.communicate(timeout=30)
    assert errors.splitlines()[-1].endswith("net.caffemodel: cannot be written: file too large")
    assert (tmp_path / "net.caffemodel.part").read_bytes() == DATA[:150_000]
    run(server, tmp_path / "net.caffemodel")
    assert server.requests[-1][1] == "bytes=150000-"


def test_killed_it_goes_on_when_called_again(server, tmp_path):
    arrived = threading.Event()

    def stall(handler):
        serve(handler, until=200_000)
        arrived.set()
        server.released.wait(20)

    server.plan = [stall]
    process = python(server, tmp_path)
    assert arrived.wait(20)
    for _ in range(200):
        if (tmp_path / "net.caffemodel.part").stat().st_size:
            break
        server.released.wait(0.01)
    process.kill()
    process.communicate()
    kept = (tmp_path / "net.caffemodel.part").read_bytes()
    assert kept
    assert DATA.startswith(kept)
    assert not (tmp_path / "net.caffemodel").exists()
    run(server, tmp_path / "net.caffemodel")
    assert server.requests[-1][1] == f"bytes={len(kept)}-"
    assert (tmp_path / "net.caffemodel").read_bytes() == DATA

import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from loopback_server import Server, breaks_off, serve, status, without_proxies

from camcaffe.caffe.network import read_network
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.models import MODELS
from camcaffe.models.registry import ILSVRC_MEAN

SCRIPT = Path(__file__).resolve().parents[2] / "download.sh"
MEAN = "ilsvrc_2012_mean.mat"
FILE = "alexnetplusCAM_places205.caffemodel"
GOOD = b"\n\x03net" + bytes(range(256)) * 80_000  # large enough for the weights; the script looks no closer

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


@pytest.fixture
def mirror(monkeypatch, tmp_path, reference):
    without_proxies(monkeypatch)
    monkeypatch.setenv("CAMCAFFE_HOME", str(tmp_path / "home"))
    with Server({f"/{MEAN}": (reference / "cam_repo" / MEAN).read_bytes(), f"/{FILE}": GOOD}) as server:
        monkeypatch.setenv("CAMCAFFE_MIRROR", server.url())
        yield server


def run(*names):
    shell = shutil.which("dash") or "sh"
    return subprocess.run([shell, SCRIPT, *names], capture_output=True, text=True, check=False, timeout=60)


def kept(tmp_path):
    return sorted(path.name for path in (tmp_path / "home").iterdir())


def test_the_table_is_the_registrys():
    table = [line.split() for line in _table().splitlines()]
    published = {name: model.weights for name, model in MODELS.items() if model.weights.addresses}
    del published["squeezenet_v1.0"]  # its layers must be renamed
    assert [row[0] for row in table] == [*published, "mean"]
    for (name, _, checksum, *addresses), source in zip(table, [*published.values(), ILSVRC_MEAN]):
        assert tuple(addresses) == source.addresses, name
        assert checksum == (source.checksum or "-")
        assert Path(urlsplit(addresses[0]).path).name == source.files[0]


def test_the_table_counts_weights():
    for name, weights, *_ in (line.split() for line in _table().splitlines()):
        if name != "mean":
            network = read_network(SCRIPT.parent / "models" / MODELS[name].deploy)
            shapes = [shape for layer in infer_shapes(network).layers for shape in layer.params]
            assert int(weights) == sum(_count(shape) for shape in shapes), name


def _table():
    code = SCRIPT.read_text().split("# digest")[0] + "table\n"
    return subprocess.run(["sh", "-c", code], capture_output=True, text=True, check=True).stdout


def _count(shape):
    count = 1
    for size in shape:
        count *= size
    return count


def test_weights_and_mean_arrive(mirror, tmp_path):
    done = run("alexnetplusCAM_places205")
    home = tmp_path / "home"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"alexnetplusCAM_places205: {home / FILE}\nmean: {home / MEAN}\n"
    assert kept(tmp_path) == [FILE, MEAN]
    assert (home / FILE).read_bytes() == GOOD
    mirror.requests.clear()
    assert run("alexnetplusCAM_places205").returncode == 0
    assert mirror.requests == []


def test_the_first_network_is_the_originals(mirror):
    mirror.files["/imagenet_googleletCAM_train_iter_120000.caffemodel"] = GOOD * 2
    assert run().returncode == 0
    assert [path for path, _, _ in mirror.requests] == [
        "/imagenet_googlenetCAM_train_iter_120000.caffemodel",
        "/imagenet_googleletCAM_train_iter_120000.caffemodel",
        f"/{MEAN}",
    ]


def test_what_broke_off_is_gone_on_with(mirror, tmp_path):
    mirror.plan = [breaks_off(5_000_000)]
    done = run("alexnetplusCAM_places205")
    assert done.returncode == 2
    line = "the connection broke off (5000000 bytes are kept: call again to go on)"
    assert (
        done.stderr == f"Error: alexnetplusCAM_places205: cannot be downloaded; {mirror.url(FILE)}: {line}\n"
    )
    mirror.plan, mirror.requests[:] = [status(503)], []
    assert "503 (5000000 bytes are kept" in run("alexnetplusCAM_places205").stderr
    assert run("alexnetplusCAM_places205").returncode == 0
    assert mirror.requests[-1] == (f"/{FILE}", "bytes=5000000-", '"one"')
    assert (tmp_path / "home" / FILE).read_bytes() == GOOD
    assert kept(tmp_path) == [FILE, MEAN]


@pytest.mark.parametrize("answer", ["changed", "no ranges", "416"])
def test_what_cannot_be_gone_on_with_is_fetched_anew(mirror, tmp_path, answer):
    mirror.files[f"/{FILE}"] = bytes(len(GOOD))
    mirror.plan = [breaks_off(5_000_000)]
    run("alexnetplusCAM_places205")
    mirror.files[f"/{FILE}"] = GOOD
    if answer == "changed":
        mirror.etag = '"two"'
    else:
        no_ranges = lambda handler: serve(handler, ranges=False)  # noqa: E731
        mirror.plan = [status(416) if answer == "416" else no_ranges]
    assert run("alexnetplusCAM_places205").returncode == 0
    assert (tmp_path / "home" / FILE).read_bytes() == GOOD


def test_without_an_etag_nothing_is_kept(mirror, tmp_path):
    mirror.plan = [breaks_off(5_000_000, etag=False)]
    assert run("alexnetplusCAM_places205").returncode == 2
    assert kept(tmp_path) == [MEAN]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (status(404), "the server answered 404"),
        (
            lambda h: h.answer(200, ("Content-Length", "15"), body=b"<!DOCTYPE html>"),
            "a web page, not the file",
        ),
        (
            lambda h: h.answer(200, ("Content-Length", "3"), body=b"abc"),
            "only 3 bytes; expected more than 18903860",
        ),
        (lambda h: h.answer(200, ("Content-Length", "0")), "only 0 bytes; expected more than 18903860"),
        (lambda h: serve(h, length=1000), "only 1000 bytes; expected more than 18903860"),
    ],
)
def test_what_is_not_the_file_is_refused_in_one_line(mirror, tmp_path, act, message):
    mirror.plan = [act]
    done = run("alexnetplusCAM_places205")
    assert done.returncode == 2
    assert (
        done.stderr
        == f"Error: alexnetplusCAM_places205: cannot be downloaded; {mirror.url(FILE)}: {message}\n"
    )
    assert kept(tmp_path) == [MEAN]


def test_a_checksum_that_is_known_must_fit(mirror, tmp_path):
    mirror.files[f"/{MEAN}"] = GOOD
    mirror.files["/bvlc_alexnet.caffemodel"] = GOOD
    done = run("alexnet")
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert "its sha1 is " in first and first.endswith("expected 9116a64c0fbe4459d18f4bb6b56d647b63920377")
    assert "its sha256 is " in second
    assert kept(tmp_path) == []


def test_a_bad_file_that_is_there_is_fetched_anew(mirror, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / FILE).write_bytes(b"<html>")
    assert run("alexnetplusCAM_places205").returncode == 0
    assert (tmp_path / "home" / FILE).read_bytes() == GOOD


def test_nobody_listens(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("CAMCAFFE_MIRROR", "http://127.0.0.1:1")
    done = run("vgg16CAM")
    assert done.returncode == 2
    assert "no answer (curl's exit status is 7)" in done.stderr
    assert kept(tmp_path) == []


def test_names_that_there_are_not(mirror):
    done = run("squeezenetCAM", ".*", "alexnetplusCAM_places205")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "Error: squeezenetCAM: no such name; sh download.sh --list lists them",
        "Error: .*: no such name; sh download.sh --list lists them",
    ]
    assert "alexnetplusCAM_places205: " in done.stdout


def test_list():
    assert run("--list").stdout.split() == [row.split()[0] for row in _table().splitlines()]


def test_it_is_executable_and_clean():
    assert os.access(SCRIPT, os.X_OK)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", SCRIPT], check=True)

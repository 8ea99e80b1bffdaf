import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from camcaffe.errors import CamcaffeError
from camcaffe.run_store import ImageResult, RankedClass, RunStore, is_run

IDENTITY = {"model": "a1", "weights": "b2", "engine": "onnx", "thresholds": (20, 100, 110)}
LABELS = ["n01440764 tench, Tinca tinca", "n01443537 goldfish"]


def image(number: int, classes: int = 3) -> ImageResult:
    found = [
        RankedClass(rank % 2, 1 / (1 + rank + number), np.arange(4 * (rank + 1)).reshape(-1, 4) + number)
        for rank in range(classes)
    ]
    return ImageResult(f"image_{number:03d}.JPEG", tuple(found))


def plain(results):
    return [
        (result.name, result.failure, [(c.index, c.score, c.boxes.tolist()) for c in result.classes])
        for result in results
    ]


def test_gives_back_what_was_stored(tmp_path):
    path = tmp_path / "run.sqlite"
    stored = [image(2), image(0), ImageResult("image_001.JPEG", failure="not a JPEG"), image(3, classes=0)]
    with RunStore.write(path, IDENTITY, LABELS) as run:
        run.add(stored[:2])
        run.add(stored[2:])
    with RunStore.read(path) as run:
        assert run.identity == {**IDENTITY, "thresholds": [20, 100, 110]}
        assert run.labels == LABELS
        assert run.counts() == {"done": 3, "failed": 1}
        assert run.names() == [image(n).name for n in range(4)]
        assert plain(run.results()) == plain(sorted(stored, key=lambda result: result.name))
        boxes = next(run.results()).classes[1].boxes
        assert boxes.dtype == np.int64
        assert boxes.shape == (2, 4)


def test_is_one_sqlite_file_in_wal_mode_that_others_can_query(tmp_path):
    path = tmp_path / "run.sqlite"
    with RunStore.write(path, IDENTITY, LABELS) as run:
        run.add([image(5)])
        with RunStore.read(path) as meanwhile:
            assert [result.name for result in meanwhile.results()] == ["image_005.JPEG"]
    assert [file.name for file in tmp_path.iterdir()] == ["run.sqlite"]
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    rows = connection.execute(
        "SELECT name, rank, json_extract(boxes, '$[0]') FROM images JOIN classes ON image = id ORDER BY rank"
    ).fetchall()
    connection.close()
    assert rows[0] == ("image_005.JPEG", 0, "[5,6,7,8]")
    assert is_run(path)
    assert not is_run(__file__)


def test_resume_goes_on_and_stores_nothing_twice(tmp_path):
    path = tmp_path / "run.sqlite"
    names = [image(n).name for n in range(4)]
    with RunStore.write(path, IDENTITY, LABELS) as run:
        assert run.pending(names) == names
        run.add([image(1), ImageResult(names[2], failure="no such file")])
    with RunStore.write(path, IDENTITY, LABELS, resume=True) as run:
        assert run.pending(names) == [names[0], names[3]]
        assert run.pending(names[::-1], retry_failed=True) == [names[3], names[2], names[0]]
        run.add([image(n) for n in (0, 1, 2, 3)])
        assert run.counts() == {"done": 4, "failed": 0}
        assert plain(run.results()) == plain(image(n) for n in range(4))


def test_an_existing_run_is_not_overwritten(tmp_path):
    path = tmp_path / "run.sqlite"
    RunStore.write(path, IDENTITY, LABELS).close()
    with pytest.raises(CamcaffeError, match=r"run\.sqlite: holds a run already; expected --resume"):
        RunStore.write(path, IDENTITY, LABELS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": "c3"}, 'made with weights "b2", not "c3"'),
        ({"thresholds": (30, 90, 150)}, r"thresholds \[20, 100, 110\], not \[30, 90, 150\]"),
        ({"crops": 10}, "crops null, not 10"),
    ],
)
def test_another_identity_refuses_to_resume(tmp_path, change, message):
    path = tmp_path / "run.sqlite"
    RunStore.write(path, IDENTITY, LABELS).close()
    with pytest.raises(CamcaffeError, match=message):
        RunStore.write(path, {**IDENTITY, **change}, LABELS, resume=True)
    with RunStore.write(path, IDENTITY, LABELS, resume=True) as run:
        assert run.identity["weights"] == "b2"


def test_other_labels_refuse_to_resume(tmp_path):
    path = tmp_path / "run.sqlite"
    RunStore.write(path, IDENTITY, LABELS).close()
    with pytest.raises(CamcaffeError, match="other labels"):
        RunStore.write(path, IDENTITY, LABELS[::-1], resume=True)


def test_what_is_no_run_is_named(tmp_path):
    text = tmp_path / "pred.txt"
    text.write_text("1 2 3 4 5\n")
    with pytest.raises(CamcaffeError, match=r"pred\.txt: not the result of a run"):
        RunStore.read(text)
    with pytest.raises(CamcaffeError, match=r"pred\.txt: cannot be used: file is not a database"):
        RunStore.write(text, IDENTITY, LABELS, resume=True)
    assert text.read_text() == "1 2 3 4 5\n"
    with pytest.raises(CamcaffeError, match=r"none\.sqlite: no such file"):
        RunStore.read(tmp_path / "none.sqlite")
    with pytest.raises(CamcaffeError, match="unable to open database file"):
        RunStore.write(tmp_path / "none" / "run.sqlite", IDENTITY, LABELS)
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("CREATE TABLE cats (name TEXT)")
    other.close()
    for open_other in (RunStore.read, lambda path: RunStore.write(path, IDENTITY, LABELS, resume=True)):
        with pytest.raises(CamcaffeError, match="a database of another program"):
            open_other(tmp_path / "other.sqlite")


def test_a_batch_that_fails_leaves_nothing_of_itself(tmp_path):
    with RunStore.write(tmp_path / "run.sqlite", IDENTITY, LABELS) as run:
        run.add([image(0)])
        for index, score, message in ((0, float("nan"), "NOT NULL"), (2, 0.5, "FOREIGN KEY")):
            broken = ImageResult("image_002.JPEG", (RankedClass(index, score, np.zeros((1, 4))),))
            with pytest.raises(CamcaffeError, match=message):
                run.add([image(1), broken])
        assert [result.name for result in run.results()] == ["image_000.JPEG"]
        run.add([image(1)])
        assert run.counts()["done"] == 2


def test_a_full_disk_is_one_line_and_the_run_stays_whole(tmp_path):
    with RunStore.write(tmp_path / "run.sqlite", IDENTITY, LABELS) as run:
        run.add([image(0)])
        pages = run._connection.execute("PRAGMA page_count").fetchone()[0]
        run._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(CamcaffeError, match="full"):
            run.add([image(n) for n in range(1, 200)])
        assert plain(run.results()) == plain([image(0)])


WRITER = """
import os, signal, sqlite3, sys
sys.path[:0] = [{tests!r}, {root!r}]
from test_run_store import IDENTITY, LABELS, image
from camcaffe.run_store import RunStore

statements = 0
class Killed(sqlite3.Connection):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.set_trace_callback(count)

def count(statement):
    global statements
    statements += 1
    if statements == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

connect = sqlite3.connect
sqlite3.connect = lambda *arguments, **options: connect(*arguments, factory=Killed, **options)
with RunStore.write(sys.argv[1], IDENTITY, LABELS, resume=True) as run:
    for first in range(0, 12, 3):
        run.add([image(n) for n in range(first, first + 3)])
        print(first, flush=True)
"""


def run_writer(path, statement: int) -> subprocess.CompletedProcess:
    """Write 12 images, 3 a batch, in a process that is killed at its `statement`-th SQL statement."""
    tests = Path(__file__).parent
    program = WRITER.format(tests=str(tests), root=str(tests.parent))
    command = [sys.executable, "-c", program, str(path), str(statement)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("statement", [1, 2, 4, 8, 14, 16, 22, 31, 32, 50, 75])
def test_a_writer_killed_at_any_statement_leaves_whole_batches(tmp_path, statement):
    path = tmp_path / "run.sqlite"
    writer = run_writer(path, statement)
    assert writer.returncode == -signal.SIGKILL, writer.stderr
    reported = len(writer.stdout.split())
    every = [image(n) for n in range(12)]
    with RunStore.write(path, IDENTITY, LABELS, resume=True) as run:
        kept = plain(run.results())
        assert kept == plain(every[: len(kept)])
        assert len(kept) in (3 * reported, 3 * reported + 3)
        missing = run.pending([result.name for result in every])
        assert missing == [result.name for result in every[len(kept) :]]
        run.add([result for result in every if result.name in missing])
        assert plain(run.results()) == plain(every)


def test_the_run_of_a_killed_writer_can_be_read_as_it_lies(tmp_path):
    path = tmp_path / "run.sqlite"
    run_writer(path, 50)
    assert (tmp_path / "run.sqlite-wal").exists()
    with RunStore.read(path) as run:
        assert plain(run.results()) == plain(image(n) for n in range(3))


@pytest.mark.parametrize("may_write", [True, False])
def test_reading_leaves_nothing_beside_the_run_and_changes_nothing(tmp_path, monkeypatch, may_write):
    path = tmp_path / "run.sqlite"
    with RunStore.write(path, IDENTITY, LABELS) as run:
        run.add([image(1)])
    before = path.read_bytes(), path.stat().st_mtime_ns
    monkeypatch.setattr("os.access", lambda *_: may_write)
    with RunStore.read(path) as run:
        assert run.names() == ["image_001.JPEG"]
        with pytest.raises(CamcaffeError, match="cannot be used: attempt to write a readonly"):
            run.add([image(2)])
    assert [file.name for file in tmp_path.iterdir()] == ["run.sqlite"]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_reader_that_closes_last_leaves_what_was_written_meanwhile(tmp_path):
    path = tmp_path / "run.sqlite"
    writer = RunStore.write(path, IDENTITY, LABELS)
    writer.add([image(1)])
    reader = RunStore.read(path)
    results = reader.results()
    writer.add([image(2)])
    writer.close()
    assert plain(results) == plain([image(1), image(2)])
    reader.close()
    assert [file.name for file in tmp_path.iterdir()] == ["run.sqlite"]
    with RunStore.read(path) as run:
        assert run.names() == ["image_001.JPEG", "image_002.JPEG"]

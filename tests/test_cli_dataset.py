from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for label in ("cats", "dogs"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for i in range(5):
            picture = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "photos" / label / f"{i}.png"), picture)


def test_folder_to_lists(camcaffe):
    result = camcaffe("dataset", "photos", "-o", "data", "--size", 16, "--validation", 0.4)
    assert result.exit_code == 0, result.output
    assert result.output == "data: 6 training and 4 validation pictures of 2 classes\n"
    assert sorted(path.name for path in Path("data").iterdir()) == [
        "labels.txt", "mean.binaryproto", "train.txt", "val.txt"]  # fmt: skip


@pytest.mark.lmdb
def test_folder_to_databases(camcaffe):
    result = camcaffe("dataset", "photos", "-o", "data", "--size", 16, "--lmdb", "--encode", "jpg")
    assert result.exit_code == 0, result.output
    assert Path("data/train_lmdb/data.mdb").is_file()
    assert Path("data/val_lmdb/data.mdb").is_file()


def test_unreadable_pictures_are_named(camcaffe):
    Path("photos/cats/a.jpg").write_text("no picture")
    Path("photos/dogs/b.jpg").write_text("no picture")
    result = camcaffe("dataset", "photos", "-o", "data", "--size", 16, "--validation", 0)
    assert result.exit_code == 1
    assert "data: 10 training and 0 validation pictures of 2 classes\n" in result.output
    for name in ("photos/cats/a.jpg", "photos/dogs/b.jpg"):
        assert f"Error: {name}: not a picture that can be read" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent", "-o", "data"], "Error: absent: no such folder; expected a folder with a sub-folder"),
        (["photos", "-o", "photos"], "Error: photos: it exists already; expected a new or an empty folder"),
        (["photos", "-o", "data", "--encode", "png"], "--encode goes with --lmdb."),
        (["photos"], "-o"),
    ],
)
def test_refuses(camcaffe, arguments, message):
    result = camcaffe("dataset", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert not Path("data").exists()

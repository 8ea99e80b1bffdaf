import resource
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from camcaffe import CamcaffeError
from camcaffe.caffe import messages
from camcaffe.caffe.mean import read_binaryproto, read_mean
from camcaffe.caffe.training.sources.image_list import read_image_list
from camcaffe.dataset import make_dataset
from camcaffe.labels import read_labels

COUNTS = {"ants": 10, "bees and wasps": 5, "cats": 2, "dogs": 1}


def write_pictures(folder, counts=COUNTS, seed=0):
    """Blurred noise, (20 to 40) x (30 to 50) pixels; some in folders below their class's."""
    rng = np.random.default_rng(seed)
    for label, count in counts.items():
        (folder / label / "more").mkdir(parents=True)
        for i in range(count):
            noise = rng.integers(0, 256, (*rng.integers([20, 30], [40, 50]), 3), dtype=np.uint8)
            name = f"{i}.jpg" if i % 2 else f"more/{i}.png"
            cv2.imwrite(str(folder / label / name), cv2.GaussianBlur(noise, (0, 0), 2))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "photos")
    return Path("photos")


def names_in(path):
    """Path relative to the working folder -> label, of a list in the folder `data`."""
    return {(Path("data") / name).resolve().relative_to(Path.cwd()).as_posix(): label
            for name, label in read_image_list(path)}  # fmt: skip


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*") if path.is_file()}  # fmt: skip


def datums(path):
    import lmdb

    with lmdb.open(str(path), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return dict(transaction.cursor())


def test_lists_labels_and_counts(folder):
    made = make_dataset(folder, "data", size=16)
    assert made.labels == tuple(COUNTS) == read_labels("data/labels.txt")
    assert (made.train, made.val, made.unreadable) == (15, 3, ())
    train, val = names_in("data/train.txt"), names_in("data/val.txt")
    assert {*train, *val} == {path.as_posix() for path in folder.rglob("*.*")}
    assert not train.keys() & val.keys()
    for name, label in {**train, **val}.items():
        assert name.split("/")[1] == made.labels[label]
    # A tenth, but one at least where there are two.
    assert np.bincount(list(val.values()), minlength=4).tolist() == [1, 1, 1, 0]
    assert list(val) == sorted(val)
    assert list(train.values()) != sorted(train.values())


def test_everything_depends_on_the_seed_alone(folder):
    make_dataset(folder, "data", size=16, validation=0.5, seed=1)
    first = files_of(Path("data"))
    for options in ({"seed": 1, "workers": 3}, {"seed": 2}):
        shutil.rmtree("data")
        make_dataset(folder, "data", size=16, validation=0.5, **options)
        assert (files_of(Path("data")) == first) == (options["seed"] == 1)


def test_mean_is_of_the_training_pictures(folder):
    made = make_dataset(folder, "data", size=24)
    mean = read_binaryproto("data/mean.binaryproto")
    assert mean.shape == (1, 3, 24, 24)
    pictures = [cv2.resize(cv2.imread(name), (24, 24)) for name in names_in("data/train.txt")]
    assert len(pictures) == made.train
    np.testing.assert_allclose(mean[0], np.mean(pictures, 0).transpose(2, 0, 1), rtol=1e-6)


def test_the_mean_serves_the_other_commands(folder):
    make_dataset(folder, "data")
    assert read_mean("data/mean.binaryproto").shape == (3, 256, 256)


@pytest.mark.parametrize("halves", [("train", "val"), ("train", "test"), ("train", "val", "test")])
def test_a_split_is_kept(tmp_path, monkeypatch, halves):
    monkeypatch.chdir(tmp_path)
    for seed, half in enumerate(halves):
        write_pictures(tmp_path / "photos" / half, {"b": 3, "a": 2}, seed)
    Path("photos/boxes.csv").write_text("image\n")
    made = make_dataset("photos", "data", size=16, validation=0.5)
    assert (made.labels, made.train, made.val) == (("a", "b"), 5, 5)
    for listed, half in zip(("train", "val"), halves):
        names = names_in(f"data/{listed}.txt")
        assert set(names) == {path.as_posix() for path in Path("photos", half).rglob("*.*")}
        assert all(name.split("/")[2] == "ab"[label] for name, label in names.items())


def test_classes_that_are_named_like_halves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "photos", {"train": 3, "plane": 3})
    assert make_dataset("photos", "data", size=16).labels == ("plane", "train")


def test_no_validation(folder):
    made = make_dataset(folder, "data", size=16, validation=0)
    assert (made.train, made.val) == (18, 0)
    assert sorted(path.name for path in Path("data").iterdir()) == [
        "labels.txt",
        "mean.binaryproto",
        "train.txt",
    ]


def test_unreadable_pictures_are_left_out(folder):
    (folder / "ants" / "a.jpg").write_text("no picture")
    (folder / "cats" / "b.png").write_bytes(b"")
    whole = (folder / "ants" / "1.jpg").read_bytes()
    (folder / "dogs" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    made = make_dataset(folder, "data", size=16, validation=0)
    assert made.train == 18
    assert sorted(line.split(": ")[0] for line in made.unreadable) == [
        "photos/ants/a.jpg", "photos/cats/b.png", "photos/dogs/cut.jpg"]  # fmt: skip
    assert len(names_in("data/train.txt")) == 18


@pytest.mark.lmdb
def test_databases_hold_the_listed_pictures(folder):
    (folder / "ants" / "a.jpg").write_text("no picture")
    made = make_dataset(folder, "data", size=24, lmdb=True, validation=0.3)
    for half, count in (("train", made.train), ("val", made.val)):
        listed = read_image_list(f"data/{half}.txt")
        stored = datums(f"data/{half}_lmdb")
        assert len(stored) == len(listed) == count
        for number, (name, label) in enumerate(listed):
            datum = messages.Datum.FromString(stored[f"{number:08d}_{name}".encode()])
            pixels = np.frombuffer(datum.data, np.uint8).reshape(3, 24, 24)
            picture = cv2.resize(cv2.imread(f"data/{name}"), (24, 24))
            np.testing.assert_array_equal(pixels, picture.transpose(2, 0, 1))
            assert (datum.label, datum.encoded) == (label, False)


@pytest.mark.lmdb
def test_encoded_databases(folder):
    make_dataset(folder, "data", size=24, lmdb=True, encode="png")
    for key, value in datums("data/train_lmdb").items():
        datum = messages.Datum.FromString(value)
        assert datum.encoded
        picture = cv2.resize(cv2.imread(f"data/{key[9:].decode()}"), (24, 24))
        np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(datum.data, np.uint8), -1), picture)


@pytest.mark.lmdb
def test_long_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    below = "/".join(["n" * 200] * 3)
    write_pictures(tmp_path / "photos", {"a": 2})
    Path("photos/a", below).mkdir(parents=True)
    shutil.copy("photos/a/1.jpg", f"photos/a/{below}/ü.jpg")
    made = make_dataset("photos", "data", size=16, lmdb=True, validation=0)
    assert made.train == len(datums("data/train_lmdb")) == 3


@pytest.mark.caffe_root
@pytest.mark.lmdb
@pytest.mark.parametrize("encode", ["", "png"])
def test_databases_and_mean_are_those_of_caffes_tools(real_caffe, monkeypatch, encode):
    monkeypatch.chdir(real_caffe.folder)
    write_pictures(real_caffe.folder / "photos")
    make_dataset("photos", "data", size=33, lmdb=True, encode=encode)
    flags = ["-resize_height", 33, "-resize_width", 33] + (["-encode_type", encode] if encode else [])
    for half in ("train", "val"):
        real_caffe.run("convert_imageset", *flags, "data/", f"data/{half}.txt", f"{half}_lmdb")
        ours, theirs = datums(f"data/{half}_lmdb"), datums(f"{half}_lmdb")
        assert list(ours) == list(theirs)
        if not encode:  # PNGs of two versions of OpenCV differ in their bytes
            assert ours == theirs
    real_caffe.run("compute_image_mean", "data/train_lmdb", "ours.binaryproto")
    real_caffe.run("compute_image_mean", "train_lmdb", "theirs.binaryproto")
    assert Path("ours.binaryproto").read_bytes() == Path("theirs.binaryproto").read_bytes()
    assert Path("data/mean.binaryproto").read_bytes() == Path("theirs.binaryproto").read_bytes()


def make_unusable(folder, how):
    if how == "absent":
        shutil.rmtree(folder)
    elif how == "a file":
        shutil.rmtree(folder)
        folder.write_text("")
    elif how == "flat":
        shutil.copy(folder / "ants" / "1.jpg", folder / "stray.jpg")
    elif how == "an empty class":
        (folder / "eels").mkdir()
    elif how == "a comment":
        (folder / "ants").rename(folder / "#1")
    elif how == "a class of validation alone":
        (folder / "train").mkdir()
        for label in COUNTS:
            if label != "cats":
                shutil.copytree(folder / label, folder / "train" / label)
        (folder / "val").mkdir()
        for label in COUNTS:
            (folder / label).rename(folder / "val" / label)
    elif how == "nothing readable":
        for path in folder.rglob("*.*"):
            path.write_text("no picture")
    elif how == "nothing readable in a class":
        for path in (folder / "cats").rglob("*.*"):
            path.write_text("no picture")
    elif how == "two lines":
        (folder / "ants" / "1.jpg").rename(folder / "ants" / "a\nb.jpg")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("absent", "^photos: no such folder; expected a folder with a sub-folder for each class"),
        ("a file", "^photos: no such folder"),
        ("flat", "^photos/stray.jpg: it lies in no class's folder"),
        ("an empty class", "^photos/eels: no picture in it"),
        ("a comment", "^photos: the class name '#1'; expected"),
        ("a class of validation alone", "^photos/val/cats: no picture of this class is for training"),
        ("nothing readable", r"^photos: none of 15 training pictures can be read \(photos/.*not a picture"),
        ("nothing readable in a class", "^photos: none of the training pictures of class 'cats' can be read"),
        ("two lines", r"^photos: the name 'ants/a\\nb.jpg'"),
    ],
)
def test_refuses_a_folder(folder, how, message):
    make_unusable(folder, how)
    with pytest.raises(CamcaffeError, match=message):
        make_dataset(folder, "data", size=16)
    assert {path.name for path in Path.cwd().iterdir()} <= {"photos"}


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_refuses_what_is_no_share(folder, share):
    with pytest.raises(CamcaffeError, match=rf"^validation: {share}; expected a share from 0 to 1$"):
        make_dataset(folder, "data", validation=share)
    assert not Path("data").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("data", "^data/mean.binaryproto: cannot be written: file too large"),
        ("x" * 300, "^x{300}: cannot be (written|made): file name too long"),
        ("photos/stray.txt/data", "^photos/stray.txt/data: cannot be made: not a directory"),
    ],
)
def test_errors_name_the_folder_that_was_asked_for(folder, out, message):
    (folder / "stray.txt").write_text("")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(CamcaffeError, match=message):
            make_dataset(folder, out, size=200)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in Path.cwd().iterdir()] == ["photos"]


def test_what_is_there_stays(folder):
    Path("data").mkdir()
    Path("data/mine.txt").write_text("mine")
    with pytest.raises(CamcaffeError, match=r"^data: it exists already; expected a new or an empty folder"):
        make_dataset(folder, "data", size=16)
    assert files_of(Path("data")) == {"mine.txt": b"mine"}
    Path("empty").mkdir()
    make_dataset(folder, "empty", size=16)
    make_dataset(folder, "below/it", size=16)
    assert read_image_list("below/it/train.txt")[0][0].startswith("../../photos/")


def test_nothing_is_left_of_an_interrupted_one(folder):
    def interrupted(pictures):
        yield from pictures[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_dataset(folder, "data", size=16, progress=interrupted)
    assert [path.name for path in Path.cwd().iterdir()] == ["photos"]


def test_databases_need_a_module(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(
        CamcaffeError, match=r"^LMDB: its Python module cannot be imported; expected pip install"
    ):
        make_dataset(folder, "data", size=16, lmdb=True)
    assert [path.name for path in Path.cwd().iterdir()] == ["photos"]

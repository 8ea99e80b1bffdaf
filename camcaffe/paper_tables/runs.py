"""The runs behind the tables: one file a network and method, made where it is not there, or gone on with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from camcaffe import files
from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.guesses import RunEvaluation, RunGuesses, evaluate_run
from camcaffe.ilsvrc.lines import image_key
from camcaffe.ilsvrc.predictions import write_predictions
from camcaffe.ilsvrc.truth import Truth
from camcaffe.localize import (
    Localizer,
    Settings,
    StoredImage,
    find_images,
    overlapped,
    read_sizes,
    record,
    sha256,
    with_sizes,
)
from camcaffe.matlab import read_rgb
from camcaffe.paper_tables.classifier import Classifier
from camcaffe.run_store import RunStore

# Method -> what makes a worker of it: a network's name and keyword arguments of `Net`.
METHODS: dict[str, Callable[..., Any]] = {
    "cam": lambda name, **engine: Localizer(Settings({"name": name, **engine}, "cam")),
    "backprop": lambda name, **engine: Localizer(Settings({"name": name, **engine}, "backprop")),
    "ten-crops": lambda name, **engine: Classifier(name, 10, **engine),
    "centre-crop": lambda name, **engine: Classifier(name, 1, **engine),
}


class Unavailable(Exception):
    """A network that cannot run here; its text says what is missing."""


class Images:
    """A set of images that all networks go through.

    Args:
        source: a folder, a list or a .tar, as `find_images` takes it.
        sizes: the CSV file of their true sizes, where they are stored at another size.
        truth: take its images alone, and compare their sizes with those it says.

    Raises:
        CamcaffeError: an image of the truth is missing, or has another size than the truth says; the truth
            does not name its images.
    """

    def __init__(
        self, source: files.PathLike, sizes: files.PathLike | None = None, truth: Truth | None = None
    ):
        images = find_images(source)
        if truth is not None:
            images = _of_truth(images, truth, source)
        if sizes is not None:
            images = with_sizes(images, read_sizes(sizes), sizes)
        elif truth is not None and truth.sizes is not None:
            _check_size(images[0], truth)
        self.all = images
        self.sizes = sizes and sha256(sizes)


class Runs:
    """Runs in one folder, NAME-METHOD.sqlite.

    Args:
        folder: made where it does not exist.
        engine: keyword arguments of `Net` for every network: engine, threads, device.
        workers: threads that read images and find boxes while a net runs.
        progress: called with a run's name, how many images it has and how many are to do; gives a context
            whose value is called for every image that is done.
    """

    def __init__(
        self,
        folder: files.PathLike,
        engine: Mapping[str, Any],
        workers: int,
        progress: Callable[[str, int, int], Any] = lambda name, total, todo: nullcontext(lambda image: None),
    ):
        self._folder = files.make_folder(folder)
        self._engine, self._workers, self._progress = engine, workers, progress

    def evaluate(self, name: str, method: str, images: Images, truth: Truth) -> RunEvaluation:
        """Judge a network's run over the images of a truth, made first as far as it is not there.

        Raises:
            Unavailable: its weights or an engine for the method are missing.
            CamcaffeError: the run there is another one, or cannot be written.
        """
        with self._run(f"{name}-{method}", name, method, images) as run:
            found = evaluate_run(run, truth)
            failed = run.counts()["failed"]
        if method in ("cam", "backprop"):
            return found
        # The other methods make no boxes, which is not odd.
        return replace(found, notes=[f"{run.path}: {failed} images failed"] if failed else [])

    def export(
        self, name: str, images: Images, synsets, sets: Iterable[str], folder: files.PathLike
    ) -> list[Path]:
        """Write the evaluation server's files for images whose truth is not known, NAME-test-SET.txt.

        Args:
            name: a network with a CAM head.
            images: all of them become rows, in order of their names.
            synsets: the devkit's classes.
            sets: which boxes: "loose", "tight", "combined".
            folder: where to write.

        Raises:
            Unavailable, CamcaffeError: as `evaluate`.
        """
        written = []
        with self._run(f"{name}-cam-test", name, "cam", images) as run:
            names = sorted(image_key(image.name) for image in images.all)
            for boxes in sets:
                path = files.make_folder(folder) / f"{name}-test-{boxes}.txt"
                write_predictions(path, RunGuesses(run, synsets, names).collect(boxes))
                written.append(path)
        return written

    def _run(self, title: str, name: str, method: str, images: Images) -> RunStore:
        try:
            worker = METHODS[method](name, **self._engine)
        except CamcaffeError as error:
            raise Unavailable(str(error)) from error
        # The same identity as that of `camcaffe localize`, so that a run of its own can be put here.
        identity = {**worker.identity, "sizes": images.sizes}
        path = self._folder / f"{title}.sqlite"
        run = RunStore.write(path, identity, worker.labels, resume=True)
        try:
            pending = set(run.pending([image.name for image in images.all]))
            todo = [image for image in images.all if image.name in pending]
            if todo:
                results = overlapped(todo, worker.read, worker.run, worker.explain, self._workers)
                with self._progress(title, len(images.all), len(todo)) as done:
                    record(run, results, done)
        except BaseException:
            run.close()
            raise
        return run


def _of_truth(images: Sequence[StoredImage], truth: Truth, source: files.PathLike) -> list[StoredImage]:
    if truth.names is None:
        raise CamcaffeError(
            truth.source, "the images have no names", "XML files or Kaggle's CSV of true boxes"
        )
    by_key = {image_key(image.name): image for image in images}
    missing = [name for name in truth.names if name not in by_key]
    if missing:
        raise CamcaffeError(
            source, f"{len(missing)} images are not in it, {missing[0]} first", "all that have true boxes"
        )
    return [by_key[name] for name in truth.names]


def _check_size(image: StoredImage, truth: Truth) -> None:
    """Boxes in a resized image's pixels would all be wrong, and nothing else would tell."""
    height, width = read_rgb(image.name, data=image.read()).shape[:2]
    true_width, true_height = truth.sizes[truth.names.index(image_key(image.name))].tolist()
    if (width, height) != (true_width, true_height):
        raise CamcaffeError(
            image.name,
            f"{width} x {height} pixels, but its true boxes are of {true_width} x {true_height}",
            "images of their own size, or --sizes",
        )

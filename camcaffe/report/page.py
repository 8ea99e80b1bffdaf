"""The page: what a report shows, put into its template."""

from __future__ import annotations

import importlib
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from camcaffe import files
from camcaffe._version import __version__
from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.names import ImageNames
from camcaffe.ilsvrc.tables import error_rows
from camcaffe.ilsvrc.truth import Truth
from camcaffe.localize import StoredImage
from camcaffe.report.cards import Card, class_name, data_uri, make_card
from camcaffe.report.examples import Examples, choose_examples
from camcaffe.report.figures import COLORS, error_curves, iou_histogram
from camcaffe.report.heatmaps import folder_heatmaps, net_of_run, recomputed_heatmaps
from camcaffe.report.judgement import Judgement, judge, worst_classes
from camcaffe.run_store import ImageResult, RunStore

_WORST_CLASSES, _FAILURES, _RESAMPLES = 20, 20, 1000


def write_report(
    run: RunStore,
    truth: Truth,
    folder: files.PathLike,
    images: Sequence[StoredImage] | None = None,
    heatmaps: files.PathLike | None = None,
    net: Mapping[str, Any] = types.MappingProxyType({}),
    each: int = 9,
    seed: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Path:
    """Write a page on a run that needs no other file, no network and no script.

    Args:
        run: an open run over all images of the truth.
        truth: of images with names.
        folder: where to write `index.html`; made where it does not exist.
        images: the run's images, to show some; None: the page shows none.
        heatmaps: a folder of the run's heat maps, top1/NAME.jpg ... None: the run's net makes those of the
            images shown once more, where its weights are on this machine.
        net: keyword arguments of `load`; where they name no net, the run's is looked for by the checksum
            of its weights among those known by name.
        each: how many images to show that were located, how many with the class alone, and how many misses.
        seed: of the choice of images.
        progress: wraps the images while their heat maps are made, e.g. `tqdm`.

    Returns:
        The page's path.

    Raises:
        CamcaffeError: matplotlib or Jinja2 is missing; the run does not fit the truth, the images, the heat
            maps or the net; the page cannot be written.
    """
    check_libraries()
    judgement = judge(run, truth)
    chosen = choose_examples(judgement, each, seed) if images is not None else []
    names = ImageNames(truth.names)
    stored = _stored(truth, names, np.concatenate([kind.images for kind in chosen]), images) if chosen else {}
    results = _results(run, names, stored.keys())
    ids = np.array(truth.synsets.ids_of_labels(run.labels, str(run.path)))
    rotation = bool(run.identity.get("EXIF rotation", False))
    with _heatmaps(run, heatmaps, net, stored, results, progress) as (read, remark):
        gallery = []
        for kind in chosen:
            cards = [
                make_card(judgement, place, stored[place], results[place], ids, read, rotation)
                for place in kind.images.tolist()
            ]
            gallery.append((kind, cards))
    page = files.make_folder(folder) / "index.html"
    files.write_text(page, _render(run, judgement, gallery, remark))
    return page


def check_libraries() -> None:
    """Refuse to begin without the libraries of the extra `report`.

    Raises:
        CamcaffeError: one is missing.
    """
    for name in ("matplotlib", "jinja2"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise CamcaffeError(
                "report", f"{error.name} is not installed", "it, after `pip install camcaffe[report]`"
            ) from error


def _stored(
    truth: Truth, names: ImageNames, places: np.ndarray, images: Sequence[StoredImage]
) -> dict[int, StoredImage]:
    by_place = {names.find(image.name): image for image in images}
    found = {}
    for place in places.tolist():
        image = by_place.get(place)
        if image is None:
            raise CamcaffeError("images", f"no {truth.names[place]} among them", "the images of the run")
        if truth.sizes is not None:
            width, height = truth.sizes[place].tolist()
            image = image._replace(true_size=(height, width))
        found[place] = image
    return found


def _results(run: RunStore, names: ImageNames, places: Collection[int]) -> dict[int, ImageResult]:
    found = ((names.find(result.name), result) for result in (run.results() if places else ()))
    return {place: result for place, result in found if place in places}


@contextmanager
def _heatmaps(
    run: RunStore,
    folder: files.PathLike | None,
    net: Mapping[str, Any],
    stored: Mapping[int, StoredImage],
    results: Mapping[int, ImageResult],
    progress: Callable[[Iterable], Iterable],
):
    """A reader of heat maps, or None, and what the page says about them."""
    if not stored:
        yield None, ""
        return
    if folder is not None:
        yield folder_heatmaps(folder), f"The heat maps come from the folder {Path(folder).name}."
        return
    if not (net.get("name") or net.get("caffemodel")):
        found = net_of_run(run.identity)
        net = {**net, **found} if found else {}
    if not net:
        yield None, "Heat maps are missing: none were given, and the weights of the run’s net were not found."
        return
    by_name = {image.name: results[place] for place, image in stored.items()}
    with recomputed_heatmaps(run, net, list(stored.values()), by_name, progress) as read:
        yield read, "The run’s net made the heat maps once more for this page."


def _render(
    run: RunStore, judgement: Judgement, gallery: list[tuple[Examples, list[Card]]], remark: str
) -> str:
    import jinja2

    truth = judgement.truth
    rows = error_rows(judgement.errors, (True, False), _RESAMPLES)
    failed = [result for result in run.results() if result.failure is not None]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(Path(__file__).parent)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}"
    return environment.get_template("page.html").render(
        title=Path(run.path).stem,
        version=__version__,
        identity=run.identity,
        failed_total=len(failed),
        images=len(truth),
        counted=int(judgement.counted().sum()),
        rows={(row.boxes, row.guesses, row.blacklist): row for row in rows},
        gt_known=judgement.errors["loose"].gt_known(),
        missed=int(((judgement.ranks == 0) & judgement.counted()).sum()),
        error_curves=data_uri(error_curves(judgement), "image/svg+xml"),
        iou_histogram=data_uri(iou_histogram(judgement), "image/svg+xml"),
        worst=worst_classes(judgement, _WORST_CLASSES),
        class_name=lambda label: class_name(truth.synsets, label),
        wnid=lambda label: truth.synsets.wnids[label - 1],
        gallery=gallery,
        remark=remark,
        failed=failed[:_FAILURES],
        notes=judgement.notes,
        colors=COLORS,
    )

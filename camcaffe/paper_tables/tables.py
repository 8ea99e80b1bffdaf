"""The paper's tables 1 to 3, with the networks whose weights are on this machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from camcaffe.ilsvrc.guesses import RunEvaluation
from camcaffe.ilsvrc.paper import CLASSIFICATION, LOCALIZATION, TEST_LOCALIZATION, PaperRow
from camcaffe.models import MODELS, Model
from camcaffe.models.store import find_weights
from camcaffe.paper_tables.runs import Unavailable
from camcaffe.paper_tables.table import Row, Table

# (name of a model, method) -> its run judged; raises Unavailable.
Evaluate = Callable[[str, str], RunEvaluation]


def classification_table(evaluate: Evaluate, wanted: Collection[str] = ()) -> Table:
    """Table 1: classification error of the first guess and of five, with ten crops and the centre crop.

    Both are held against the paper's figures. With ten crops a network that has class activation maps is
    run for them, too, since table 2 needs that run as well.

    Args:
        evaluate: judges a network's run.
        wanted: names of networks; where there are none, the paper's and all others that are here.
    """
    rows = []
    for paper, model in [*_of_paper(CLASSIFICATION, wanted), *_others(wanted, CLASSIFICATION)]:
        for variant, method in (
            ("ten crops", "cam" if model.cam_blob else "ten-crops"),
            ("centre crop", "centre-crop"),
        ):
            row = _row(paper, model, variant, (1, 5), evaluate, method, "classification")
            if row.note:
                rows.append(row._replace(variant=""))
                break
            rows.append(row)
    return Table("Table 1: classification error (%), ILSVRC validation set", "crops", (1, 5), rows)


def localization_table(evaluate: Evaluate, wanted: Collection[str] = ()) -> Table:
    """Table 2: localization error of the first guess and of five, one loose box a class.

    Args:
        evaluate: judges a network's run.
        wanted: as for `classification_table`.
    """
    lines = _of_paper(LOCALIZATION, wanted)
    for paper, model in _others(wanted, LOCALIZATION):
        if model.cam_blob:
            lines.append((paper, model))
        # A network that surgery made for the maps is no baseline.
        if not model.made_from:
            lines.append((paper._replace(name=f"Backprop on {model.name}", method="backprop"), model))
    rows = [
        _row(paper, model, paper.boxes, (1, 5), evaluate, paper.method, "localization")
        for paper, model in lines
    ]
    return Table("Table 2: localization error (%), ILSVRC validation set", "boxes", (1, 5), rows)


def heuristic_table(evaluate: Evaluate, wanted: Collection[str] = ()) -> Table:
    """Table 3: localization error of five guesses, one loose box a class against loose and tight combined.

    The paper's figures are for the test set, whose truth is not public; ours are for the validation set.

    Args:
        evaluate: judges a network's run.
        wanted: as for `classification_table`.
    """
    lines = _of_paper(TEST_LOCALIZATION, wanted)
    for paper, model in _others(wanted, TEST_LOCALIZATION):
        if model.cam_blob:
            lines += [(paper._replace(boxes=boxes), model) for boxes in ("combined", "loose")]
    rows = [_row(paper, model, paper.boxes, (5,), evaluate, "cam", "localization") for paper, model in lines]
    if not wanted:
        rows += [
            Row(paper.name, "", "", (paper.top5,), (None,))
            for paper in TEST_LOCALIZATION
            if not paper.network
        ]
    title = "Table 3: localization error (%); paper: ILSVRC test set, ours: validation set"
    return Table(title, "boxes", (5,), rows)


def networks_with_maps(wanted: Collection[str] = ()) -> list[str]:
    """The networks of ImageNet's classes that have class activation maps and whose weights are here."""
    return [
        model.name
        for model in MODELS.values()
        if model.classes == "imagenet" and model.cam_blob and _is_here(model)
        if not wanted or model.name in wanted
    ]


def _of_paper(rows: Sequence[PaperRow], wanted: Collection[str]) -> list[tuple[PaperRow, Model]]:
    return [
        (paper, model)
        for paper in rows
        for model in MODELS.values()
        if model.paper and model.paper == paper.network and (not wanted or model.name in wanted)
    ]


def _others(wanted: Collection[str], rows: Sequence[PaperRow]) -> list[tuple[PaperRow, Model]]:
    """The networks of ImageNet's classes that these rows are not about."""
    published = {paper.network for paper in rows if paper.network}
    return [
        (PaperRow(model.paper or model.name, model.paper, "cam", "loose", None, None), model)
        for model in MODELS.values()
        if model.classes == "imagenet"
        and model.paper not in published
        and (model.name in wanted if wanted else _is_here(model))
    ]


def _is_here(model: Model) -> bool:
    return find_weights(model) is not None


def _row(
    paper: PaperRow,
    model: Model,
    variant: str,
    guesses: tuple[int, ...],
    evaluate: Evaluate,
    method: str,
    measure: str,
) -> Row:
    published = tuple({1: paper.top1, 5: paper.top5}[count] for count in guesses)
    try:
        found = evaluate(model.name, method)
    except Unavailable as missing:
        return Row(paper.name, model.name, variant, published, (None,) * len(guesses), str(missing))
    errors = getattr(found.errors[paper.boxes or "loose"], measure)()
    ours = tuple(100 * float(errors[count - 1]) for count in guesses)
    return Row(paper.name, model.name, variant, published, ours)

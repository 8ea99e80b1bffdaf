"""`camcaffe evaluate`: classification and localization errors as the ILSVRC devkit computes them."""

from __future__ import annotations

import click

from camcaffe.cli.truth import read_chosen_truth, truth_options
from camcaffe.errors import CamcaffeError

_PATH = click.Path()


@click.command()
@click.argument("sources", nargs=-1, metavar="[RUN|PREDICTIONS]...")
@truth_options("--images")
@click.option(
    "--no-blacklist", is_flag=True, help="Localization counts the blacklisted images too, and only so."
)
@click.option(
    "--bootstrap", type=click.IntRange(1, 1_000_000), metavar="N", help="95 % intervals from N resamples."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the resamples.")
@click.option("--heatmaps", type=_PATH, metavar="DIR", help="Score maps, for MaxBoxAcc and MaxBoxAccV2.")
@click.option("--csv", "csv_file", type=_PATH, metavar="FILE", help="Write the table of errors.")
@click.option("--per-class", type=_PATH, metavar="FILE", help="Write the errors of each class as CSV.")
def command(sources, no_blacklist, bootstrap, seed, heatmaps, csv_file, per_class, **options):
    """Classification and localization errors of runs or prediction files.

    A RUN, written by camcaffe localize, is judged with its loose, tight and combined boxes; PREDICTIONS are
    rows of guesses `id xmin ymin xmax ymax`, best first, one image a line. Images that a run could not read
    count as errors.

    \b
    Examples:
      camcaffe evaluate val.sqlite --devkit ILSVRC2014_devkit --boxes val_bbox
      camcaffe evaluate my.sqlite --truth boxes.csv
    """
    from camcaffe import files
    from camcaffe.ilsvrc import tables

    if not sources and heatmaps is None:
        raise click.UsageError("a RUN, PREDICTIONS or --heatmaps is needed.")
    if not sources and (csv_file is not None or per_class is not None):
        raise click.UsageError("--csv and --per-class need a RUN or PREDICTIONS.")
    if len(set(sources)) < len(sources):
        raise click.UsageError("a RUN or PREDICTIONS is named twice.")

    truth = read_chosen_truth(sources, **options)
    blacklisted = int(truth.blacklisted.sum())
    skip = blacklisted > 0 and not no_blacklist
    click.echo(f"{len(truth)} images" + (f", {blacklisted} of them blacklisted" if blacklisted else ""))
    errors, ranks = _judge(sources, truth)
    if errors:
        rows = tables.error_rows(errors, (True, False) if skip else (False,), bootstrap or 0, seed)
        click.echo("Errors in per cent" + (", with 95 % intervals:" if bootstrap else ":"))
        click.echo(tables.error_text(rows), nl=False)
        click.echo(tables.gt_known_text(errors, skip))
        if csv_file is not None:
            files.write_text(csv_file, tables.error_csv(rows))
        if per_class is not None:
            files.write_text(per_class, tables.class_csv(errors, truth, skip))
    if heatmaps is not None:
        click.echo(_max_box_accuracy(heatmaps, truth, ranks))


def _judge(sources, truth):
    """Set of boxes -> its errors, and where the first source ranks the true classes."""
    from camcaffe.ilsvrc.evaluation import evaluate
    from camcaffe.ilsvrc.guesses import evaluate_run
    from camcaffe.ilsvrc.predictions import read_predictions
    from camcaffe.ilsvrc.score_maps import ranks_of_true_class
    from camcaffe.run_store import RunStore, is_run

    errors, first_ranks = {}, None
    for source, name in zip(sources, _set_names(sources)):
        if is_run(source):
            with RunStore.read(source) as run:
                found = evaluate_run(run, truth)
            for note in found.notes:
                click.echo(note, err=True)
            for boxes, of_boxes in found.errors.items():
                errors[boxes if len(sources) == 1 else f"{name} {boxes}"] = of_boxes
            ranks = found.ranks
        else:
            predictions = read_predictions(source, len(truth.synsets))
            errors[name] = evaluate(truth, predictions, source)
            ranks = ranks_of_true_class(predictions.labels, truth.labels)
        first_ranks = ranks if first_ranks is None else first_ranks
    return errors, first_ranks


def _set_names(sources) -> list:
    """What each source is called: the set that its name says, else the shortest name that is its own."""
    import re
    from pathlib import Path

    stems = [Path(source).stem for source in sources]
    sets = [(re.search("loose|tight|combined", stem) or [stem])[0] for stem in stems]
    for names in (sets, stems):
        if len(set(names)) == len(names):
            return names
    return list(sources)


def _max_box_accuracy(heatmaps, truth, ranks) -> str:
    import functools
    import sys

    from tqdm import tqdm

    from camcaffe.ilsvrc.max_box_accuracy import IOUS
    from camcaffe.ilsvrc.score_maps import ScoreMaps, max_box_accuracy

    maps = ScoreMaps(heatmaps)
    if ranks is None:
        if maps.ranked:
            raise CamcaffeError(
                heatmaps, "heat maps by rank", "a RUN or PREDICTIONS too, which rank the classes"
            )
        ranks = [0] * len(truth)
    progress = functools.partial(tqdm, unit="map", disable=not sys.stderr.isatty(), leave=False)
    found = max_box_accuracy(truth, maps, ranks, progress)
    parts = ", ".join(f"{100 * part:.2f} at IoU {iou}" for part, iou in zip(found.by_iou, IOUS))
    lines = [
        f"MaxBoxAcc {100 * found.v1:.2f} (threshold {found.threshold:.3f})",
        f"MaxBoxAccV2 {100 * found.v2:.2f} ({parts})",
    ]
    if found.missing:
        lines.append(
            f"  lower bounds: {found.missing} images have no map of their true class and count as misses"
        )
    return "\n".join(lines)

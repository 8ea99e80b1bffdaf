"""ILSVRC_evaluate_bbox.m: from heat maps to boxes, to loose, tight and combined guesses, to their errors.

    python scripts/ilsvrc_evaluate_bbox.py HEATMAPS DEVKIT BOXES [OUT]

HEATMAPS is the folder that scripts/ilsvrc_generate_heatmap.py writes, DEVKIT the devkit's folder, BOXES the
folder of true boxes. OUT, the current folder by default, gets run.sqlite, pred_loose.txt, pred_tight.txt,
pred_combined.txt and errors.csv.
"""

import sys
from pathlib import Path

from camcaffe.cli import main

if not 4 <= len(sys.argv) <= 5:
    sys.exit(__doc__)
heatmaps, devkit, boxes, *out = sys.argv[1:]
folder = Path(out[0] if out else ".")
folder.mkdir(parents=True, exist_ok=True)
run = str(folder / "run.sqlite")

commands = [["localize", f"--from-heatmaps={heatmaps}", f"--run={run}", "--resume"]]
for name in ("loose", "tight", "combined"):
    output = folder / f"pred_{name}.txt"
    commands.append(["export", run, f"--devkit={devkit}", f"--set={name}", f"--output={output}"])
commands.append(["evaluate", run, f"--devkit={devkit}", f"--boxes={boxes}", f"--csv={folder / 'errors.csv'}"])
for command in commands:
    try:
        main(command)
    except SystemExit as end:
        # 1: some images failed; they count as errors.
        if end.code not in (0, 1):
            raise

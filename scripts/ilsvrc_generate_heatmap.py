"""ILSVRC_generate_heatmap.m: the heat maps of each image's top five classes, their ids and scores.

    python scripts/ilsvrc_generate_heatmap.py IMAGES OUT [OPTION ...]

IMAGES is a folder, a list or a .tar of images. OUT gets top1/NAME.jpg ... top5/NAME.jpg, predictions.mat and
run.sqlite; scripts/ilsvrc_evaluate_bbox.py reads them. A run that was stopped goes on. The network is that of
the original script, googlenetCAM, unless an OPTION of camcaffe localize names another: --model NAME, or
--prototxt, --caffemodel and --mean.
"""

import sys
from pathlib import Path

from camcaffe.cli import main

if len(sys.argv) < 3 or sys.argv[1].startswith("-"):
    sys.exit(__doc__)
images, out, *options = sys.argv[1:]
if not any(option.startswith(("--model", "--prototxt")) for option in options):
    options.append("--model=googlenetCAM")
files = [f"--images={images}", f"--heatmaps={out}", f"--run={Path(out) / 'run.sqlite'}"]
main(["localize", *files, "--resume", *options])

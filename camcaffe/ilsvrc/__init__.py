"""The ILSVRC localization benchmark, CUB-200-2011 and own data: files, predictions and error rates.

A truth (`read_truth`, `read_cub`, `read_boxes_csv`) and guesses (`read_predictions`, or those of a run)
meet in an evaluator.
Boxes here are `corners` (xmin, ymin, xmax, ymax), and both ends count as inside, as the devkit counts them:
the original hands it [x, y, x + w, y + h] all the same, which makes its boxes one pixel wider and higher
than they were found.
"""

from camcaffe.ilsvrc.boxes_csv import read_boxes_csv
from camcaffe.ilsvrc.cub import read_cub
from camcaffe.ilsvrc.devkit import read_synsets
from camcaffe.ilsvrc.evaluation import ErrorEvaluator, Errors, evaluate, interval, overlap
from camcaffe.ilsvrc.guesses import RunGuesses, evaluate_run
from camcaffe.ilsvrc.max_box_accuracy import MaxBoxEvaluator
from camcaffe.ilsvrc.predictions import Predictions, read_predictions, write_predictions
from camcaffe.ilsvrc.score_maps import max_box_accuracy
from camcaffe.ilsvrc.synsets import Synsets
from camcaffe.ilsvrc.truth import Truth, read_truth

__all__ = [
    "ErrorEvaluator",
    "Errors",
    "MaxBoxEvaluator",
    "Predictions",
    "RunGuesses",
    "Synsets",
    "Truth",
    "evaluate",
    "evaluate_run",
    "interval",
    "max_box_accuracy",
    "overlap",
    "read_boxes_csv",
    "read_cub",
    "read_predictions",
    "read_synsets",
    "read_truth",
    "write_predictions",
]

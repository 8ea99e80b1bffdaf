"""The ILSVRC localization benchmark, and CUB-200-2011 beside it: files, predictions and error rates.

A truth (`read_truth`, `read_cub`) and predictions (`read_predictions`, `RunGuesses`) meet in an evaluator
(`ErrorEvaluator`, `MaxBoxEvaluator`). Boxes here are `corners` (xmin, ymin, xmax, ymax), and both ends
count as inside, as the devkit counts them: the original hands it [x, y, x + w, y + h] all the same, which
makes its boxes one pixel wider and higher than they were found.
"""

"""The paper's table 3: localization error of five guesses with the heuristic, and without it.

    python scripts/table3_heuristic.py ILSVRC [--test-images DIR] [--csv FILE] [--markdown FILE]

ILSVRC is the folder in which the images, the devkit and the boxes were unpacked; --help says more.
"""

from camcaffe.cli.paper_tables import table3

table3()

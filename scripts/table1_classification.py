"""The paper's table 1: classification error on ILSVRC's validation set, ten crops and centre crop.

    python scripts/table1_classification.py ILSVRC [--csv FILE] [--markdown FILE]

ILSVRC is the folder in which the images, the devkit and the boxes were unpacked; --help says more.
"""

from camcaffe.cli.paper_tables import table1

table1()

"""The paper's table 2: localization error on ILSVRC's validation set.

    python scripts/table2_localization.py ILSVRC [--csv FILE] [--markdown FILE]

ILSVRC is the folder in which the images, the devkit and the boxes were unpacked; --help says more.
"""

from camcaffe.cli.paper_tables import table2

table2()

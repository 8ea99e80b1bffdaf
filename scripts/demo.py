"""demo.m: the class activation maps of img2.jpg, from the features that the authors published.

    python scripts/demo.py [FOLDER]

FOLDER, the current one by default, holds the authors' img2.jpg, data_img2.mat, data_net.mat and
categories1000.mat; result.jpg is written into the current folder.
"""

import sys
from pathlib import Path

from camcaffe.cli import main

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
main(
    [
        "demo",
        str(folder / "img2.jpg"),
        f"--features={folder / 'data_img2.mat'}",
        f"--weights={folder / 'data_net.mat'}",
        f"--labels={folder / 'categories1000.mat'}",
    ]
)

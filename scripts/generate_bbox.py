"""generate_bbox.m: the boxes of heatmap_6.jpg, and a picture that shows them.

    python scripts/generate_bbox.py [FOLDER]

FOLDER, the current one by default, holds the authors' heatmap_6.jpg and sample_6.jpg; heatmap_6.txt and
generate_bbox.png are written into the current folder.
"""

import sys
from pathlib import Path

from camcaffe.cli import main

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
main(
    [
        "bbox",
        str(folder / "heatmap_6.jpg"),
        "--thresholds",
        "20",
        "100",
        "110",
        f"--image={folder / 'sample_6.jpg'}",
        "--output=heatmap_6.txt",
        "--draw=generate_bbox.png",
    ]
)

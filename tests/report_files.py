"""A run of the original pipeline over the 200 images, in our file, for tests of the report and the tables."""

import json
from pathlib import Path

import numpy as np


def write_reference_run(path: Path, mini: Path, identity=None, names=None) -> None:
    """What the original pipeline found in the images, all of them or those named."""
    from camcaffe.models import class_labels
    from camcaffe.run_store import ImageResult, RankedClass, RunStore

    predictions = json.loads((mini / "reference" / "predictions.json").read_text())
    with RunStore.write(path, identity or {"model": "squeezenetCAM"}, class_labels("imagenet")) as run:
        run.add(
            ImageResult(
                name, tuple(RankedClass(c["caffe_class"], c["score"], np.array(c["dt_box"])) for c in classes)
            )
            for name, classes in predictions.items()
            if names is None or name in names
        )


def cut_benchmark(mini: Path, folder: Path, lines: list) -> list:
    """A folder as ILSVRC's archives leave it, with some of the 200 images; their file names, in order.

    The second of them is blacklisted.
    """
    data = folder / "ILSVRC2014_devkit" / "data"
    images, boxes = folder / "ILSVRC2012_img_val", folder / "val_bbox"
    for made in (data, images, boxes):
        made.mkdir(parents=True)
    devkit = mini / "devkit" / "data"
    (data / "meta_clsloc.mat").symlink_to(devkit / "meta_clsloc.mat")
    truth = "ILSVRC2014_clsloc_validation_ground_truth.txt"
    ids = (devkit / truth).read_text().split()
    (data / truth).write_text("".join(f"{ids[line]}\n" for line in sorted(lines)))
    (data / "ILSVRC2014_clsloc_validation_blacklist.txt").write_text("2\n")
    every = sorted(image.name for image in (mini / "images").iterdir())
    names = [every[line] for line in sorted(lines)]
    for name in names:
        (images / name).symlink_to(mini / "images" / name)
        xml = f"{Path(name).stem}.xml"
        (boxes / xml).symlink_to(mini / "val_bbox" / xml)
    return names

"""A small benchmark in ILSVRC's files, for tests to read and to break."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

WNIDS = ("n02119789", "n02100735", "n02110185", "n02096294")
WORDS = ("kit fox, Vulpes macrotis", "English setter", "Siberian husky", "Australian terrier")
# Caffe's order of the classes is that of their WordNet ids, and not the devkit's.
CAFFE_LABELS = tuple(sorted(WNIDS))
# Image -> (id of its class, true boxes of that class): what the small benchmark below says in files.
IMAGES = {
    "ILSVRC2012_val_00000001": (2, [(10, 20, 109, 79)]),
    "ILSVRC2012_val_00000002": (1, [(0, 0, 49, 49), (100, 0, 199, 99)]),
    "ILSVRC2012_val_00000003": (2, [(5, 5, 24, 44)]),
    "ILSVRC2012_val_00000004": (4, [(30, 40, 199, 139)]),
    "ILSVRC2012_val_00000005": (1, [(0, 0, 99, 59)]),
}
SIZE = (200, 140)


def annotation_xml(objects, size=SIZE) -> str:
    """An annotation with objects (wnid, (xmin, ymin, xmax, ymax)), one element a line."""
    lines = ["<annotation>", "<folder>val</folder>", "<size>"]
    lines += [f"<width>{size[0]}</width>", f"<height>{size[1]}</height>", "<depth>3</depth>", "</size>"]
    for wnid, corners in objects:
        lines += ["<object>", f"<name>{wnid}</name>", "<bndbox>"]
        lines += [
            f"<{name}>{value}</{name}>" for name, value in zip(("xmin", "ymin", "xmax", "ymax"), corners)
        ]
        lines += ["</bndbox>", "</object>"]
    return "\n".join([*lines, "</annotation>", ""])


def write_meta(path: Path, wnids=WNIDS, words=WORDS, year=2014, ids=None) -> None:
    from scipy.io import savemat

    synsets = np.empty((len(wnids), 1), [(f"ILSVRC{year}_ID", "O"), ("WNID", "O"), ("words", "O")])
    for place, (wnid, meaning) in enumerate(zip(wnids, words)):
        synsets[place, 0] = (float(ids[place] if ids else place + 1), wnid, meaning)
    savemat(path, {"synsets": synsets})


def write_benchmark(folder: Path) -> SimpleNamespace:
    """Write a devkit of 2014 with five images and their XML files; the second image is blacklisted."""
    data = folder / "devkit" / "data"
    data.mkdir(parents=True)
    write_meta(data / "meta_clsloc.mat")
    ground_truth = data / "ILSVRC2014_clsloc_validation_ground_truth.txt"
    ground_truth.write_text("".join(f"{label}\n" for label, _ in IMAGES.values()))
    blacklist = data / "ILSVRC2014_clsloc_validation_blacklist.txt"
    blacklist.write_text("2\n")
    boxes = folder / "val_bbox"
    boxes.mkdir()
    for name, (label, corners) in IMAGES.items():
        (boxes / f"{name}.xml").write_text(annotation_xml([(WNIDS[label - 1], box) for box in corners]))
    return SimpleNamespace(
        devkit=folder / "devkit",
        data=data,
        meta=data / "meta_clsloc.mat",
        ground_truth=ground_truth,
        blacklist=blacklist,
        boxes=boxes,
        names=list(IMAGES),
        tmp=folder,
    )


def write_solution(path, images=IMAGES):
    rows = [
        f"{name}," + " ".join(f"{WNIDS[label - 1]} " + " ".join(map(str, box)) for box in boxes) + " "
        for name, (label, boxes) in reversed(list(images.items()))
    ]
    path.write_text("\n".join(["ImageId,PredictionString", *rows, ""]))


def write_cache(path, images=IMAGES):
    from scipy.io import savemat

    rec = np.empty((1, len(images)), [("objects", "O")])
    for place, (label, boxes) in enumerate(images.values()):
        objects = np.empty((1, len(boxes)), [("label", "O"), ("bbox", "O")])
        for number, box in enumerate(boxes):
            objects[0, number] = (float(label), np.array([box], float))
        rec[0, place] = (objects,)
    savemat(path, {"rec": rec})


def write_run(path: Path, labels=CAFFE_LABELS, failed=()) -> None:
    """A run over the five images: the true class first with a true box, but for images 3 and 4.

    Image 3 has it second, image 4 first with a loose box that is wrong and a tight one that is right.
    """
    from camcaffe.run_store import ImageResult, RankedClass, RunStore

    with RunStore.write(path, {"model": "small"}, labels) as run:
        for name, (label, ((x0, y0, x1, y1), *_)) in IMAGES.items():
            true = labels.index(WNIDS[label - 1]) if labels == CAFFE_LABELS else 0
            right = np.array([[x0, y0, x1 - x0, y1 - y0], [0, 0, 5, 5]])
            classes = [RankedClass(true, 0.7, right), RankedClass((true + 1) % len(labels), 0.2, right)]
            if name.endswith("3"):
                classes.reverse()
            if name.endswith("4"):
                classes[0] = RankedClass(true, 0.7, right[::-1])
            failure = "cut short" if name in failed else None
            run.add([ImageResult(f"{name}.JPEG", () if failure else tuple(classes), failure)])

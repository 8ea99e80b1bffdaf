"""Which boxes of the ranked classes' heat maps become an image's guesses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from camcaffe.errors import CamcaffeError


@dataclass(frozen=True)
class LooseTight:
    """The three sets of guesses for one image of k ranked classes; boxes are xywh.

    Attributes:
        loose: (k, 4), each class's first box.
        tight: (k, 4), each class's second box.
        combined: (k, 4), the paper's heuristic: loose and tight of the first class, loose and tight of
            the second, and so on until there are k.
        combined_ranks: (k,) the rank, from 0, of the class of each box of `combined`: 0 0 1 1 2 for k = 5.
        one_box: how many classes had a single box, which then is both loose and tight.
        no_box: how many classes had none, for which the fallback stands in.
    """

    loose: np.ndarray
    tight: np.ndarray
    combined: np.ndarray
    combined_ranks: np.ndarray
    one_box: int
    no_box: int


def loose_tight(boxes: Sequence[np.ndarray], fallback: np.ndarray | None = None) -> LooseTight:
    """Loose, tight and combined guesses from the boxes of an image's top classes.

    As the original's `ILSVRC_evaluate_bbox.m` takes them, which looks at five classes and so combines
    the top three. It crashes on a class with fewer than two boxes; here such a class is counted.

    Args:
        boxes: for each class, the most probable first, its (n, 4) xywh boxes as `dt_boxes` orders them.
        fallback: the xywh box of a class that has none, for instance the whole image.

    Raises:
        CamcaffeError: no class, boxes that are not (n, 4), or a class without a box and no fallback.
    """
    if not len(boxes):
        raise CamcaffeError("boxes", "no class", "the boxes of at least one class")
    loose, tight, counts = [], [], []
    for rank, candidates in enumerate(boxes, start=1):
        candidates = np.asarray(candidates)
        counts.append(len(candidates))
        if not len(candidates):
            if fallback is None:
                raise CamcaffeError(f"boxes of class {rank}", "none", "a box, or a fallback")
            candidates = np.asarray([fallback])
        if candidates.ndim != 2 or candidates.shape[1] != 4:
            raise CamcaffeError(f"boxes of class {rank}", f"an array of shape {candidates.shape}", "(n, 4)")
        loose.append(candidates[0])
        tight.append(candidates[min(1, len(candidates) - 1)])
    both = np.stack([loose, tight], axis=1).reshape(-1, 4)
    return LooseTight(
        loose=np.stack(loose),
        tight=np.stack(tight),
        combined=both[: len(boxes)],
        combined_ranks=np.arange(len(boxes)) // 2,
        one_box=counts.count(1),
        no_box=counts.count(0),
    )

"""Which images a report shows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from camcaffe.ilsvrc.predictions import GUESSES
from camcaffe.report.judgement import Judgement


class Examples(NamedTuple):
    """Images of one kind.

    Attributes:
        title: the kind, in words.
        meaning: what is true of them, in a sentence.
        total: how many images are of this kind.
        images: (n,) int64, the positions in the truth of those to show, ascending.
    """

    title: str
    meaning: str
    total: int
    images: np.ndarray


def choose_examples(judgement: Judgement, each: int, seed: int = 0) -> list[Examples]:
    """Images to show, drawn at random: located, class right but not located, class missed.

    What is right is told by the loose boxes of all five classes. Blacklisted images are left out, and those
    that the run could not read are not drawn.

    Args:
        judgement: the run held against the truth.
        each: how many of each kind at most.
        seed: of the random numbers.
    """
    random = np.random.default_rng(seed)
    counted = judgement.counted()
    box_wrong = judgement.errors["loose"].box_wrong[:, GUESSES - 1]
    class_wrong = judgement.errors["loose"].class_wrong[:, GUESSES - 1]
    kinds = (
        ("Located", "A guess has the right class, and its loose box fits: IoU of 0.5 or more.", ~box_wrong),
        (
            "Right class, wrong box",
            "The class is among the five guesses, but its loose box overlaps no true box by half.",
            box_wrong & ~class_wrong,
        ),
        (
            "Class missed",
            "None of the five guesses has the right class; shown are the boxes of the first guess.",
            class_wrong,
        ),
    )
    chosen = []
    for title, meaning, members in kinds:
        images = np.flatnonzero(members & counted & (judgement.first > 0))
        drawn = random.choice(images, min(each, len(images)), replace=False)
        chosen.append(Examples(title, meaning, int((members & counted).sum()), np.sort(drawn)))
    return chosen

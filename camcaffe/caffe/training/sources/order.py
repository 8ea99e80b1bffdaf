"""In which order a data layer goes through its items."""

from __future__ import annotations

import numpy as np

# What a stream of random numbers is for; the streams of one seed are independent.
SHUFFLE, ROWS, SKIP, TRANSFORM = range(4)


def generator(seed: int, purpose: int, *numbers: int) -> np.random.Generator:
    """The random numbers for one purpose at one place of a run."""
    return np.random.default_rng((seed, purpose, *numbers))


class Order:
    """The items in a run: round and round in their own order, or shuffled anew in each round.

    Args:
        count: the number of items.
        seed: of the shuffles.
        shuffle: whether to shuffle.
        skip: how many items the run leaves out at its start.
    """

    def __init__(self, count: int, seed: int = 0, shuffle: bool = False, skip: int = 0):
        self._count, self._seed, self._shuffle, self._skip = count, seed, shuffle, skip
        self._epoch, self._shuffled = -1, None

    def item(self, number: int) -> int:
        """Which item is the run's item of this number."""
        epoch, place = divmod(self._skip + number, self._count)
        if not self._shuffle:
            return place
        if epoch != self._epoch:
            self._epoch = epoch
            self._shuffled = generator(self._seed, SHUFFLE, epoch).permutation(self._count)
        return int(self._shuffled[place])

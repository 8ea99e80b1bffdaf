import threading
import time

import numpy as np
import pytest

from camcaffe import CamcaffeError
from camcaffe.caffe.training.sources import Prefetch


class Numbers:
    """Batches that hold their own number; all from `last` on cannot be read."""

    shapes = ((1,),)

    def __init__(self, top, last=1000):
        self.tops, self._last, self.read = (top,), last, []

    def batch(self, index):
        if index >= self._last:
            raise CamcaffeError("a.jpg", "not a picture")
        self.read.append(index)
        return [np.array([index], np.float32)]


def test_batches_in_order_from_start():
    with Prefetch([Numbers("a"), Numbers("b")], start=5) as prefetch:
        for index in range(5, 30):
            batch = prefetch.next()
            assert list(batch) == ["a", "b"]
            assert batch["a"] == batch["b"] == index


def test_reads_a_few_batches_ahead_and_no_more():
    source = Numbers("a")
    with Prefetch([source]) as prefetch:
        prefetch.next()
        deadline = time.monotonic() + 10
        while len(source.read) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert len(source.read) == 5  # one taken, three ready, one in hand


def test_errors_reach_the_caller_behind_the_batches_before():
    with Prefetch([Numbers("a", last=2)]) as prefetch:
        assert [int(prefetch.next()["a"][0]) for _ in range(2)] == [0, 1]
        for _ in range(2):
            with pytest.raises(CamcaffeError, match=r"^a\.jpg: not a picture"):
                prefetch.next()


def test_close_ends_the_thread():
    before = threading.active_count()
    prefetches = [Prefetch([Numbers("a")]), Prefetch([Numbers("a", last=0)])]
    for prefetch in prefetches:
        prefetch.close()
        prefetch.close()
    assert threading.active_count() == before

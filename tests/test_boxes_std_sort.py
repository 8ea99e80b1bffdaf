"""std_argsort beside the real std::sort, where a C++ compiler with libstdc++ is at hand."""

import ctypes
import itertools
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camcaffe.boxes import std_sort
from camcaffe.boxes.std_sort import std_argsort

SOURCE = """
#include <algorithm>
#include <utility>
#include <vector>
#ifndef __GLIBCXX__
#error "another standard library sorts equal elements in another order"
#endif
extern "C" void std_argsort(const long *keys, long count, long *order) {
    typedef std::pair<long, long> Item;
    std::vector<Item> items;
    for (long i = 0; i < count; ++i) items.push_back(Item(keys[i], i));
    std::sort(items.begin(), items.end(), [](const Item &a, const Item &b) { return a.first < b.first; });
    for (long i = 0; i < count; ++i) order[i] = items[i].second;
}
"""


@pytest.fixture(scope="module")
def real_argsort(tmp_path_factory):
    """The permutation of a list of integers by the compiler's own std::sort."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++, so no std::sort to compare with")
    folder = tmp_path_factory.mktemp("std_sort")
    (folder / "sort.cpp").write_text(SOURCE)
    command = [compiler, "-std=c++11", "-O2", "-shared", "-fPIC", "sort.cpp", "-o", "sort.so"]
    subprocess.run(command, cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "sort.so"))

    def argsort(keys):
        array = np.ascontiguousarray(keys, dtype=ctypes.c_long)
        order = np.empty(len(array), dtype=ctypes.c_long)
        pointer = ctypes.POINTER(ctypes.c_long)
        library.std_argsort(
            array.ctypes.data_as(pointer), ctypes.c_long(len(array)), order.ctypes.data_as(pointer)
        )
        return order.tolist()

    return argsort


def killer(count):
    """McIlroy's adversary: keys that make every split a bad one, so that the depth limit is reached.

    An element takes its value only when a comparison forces it to, and then the next largest.
    """
    solid, candidate = itertools.count(), None

    class Gas:
        value = None

        def __lt__(self, other):
            nonlocal candidate
            if self.value is None and other.value is None:
                (self if self is candidate else other).value = next(solid)
            if self.value is None:
                candidate = self
            elif other.value is None:
                candidate = other
            return other.value is None or (self.value is not None and self.value < other.value)

    items = [Gas() for _ in range(count)]
    std_argsort(items)
    return [count if item.value is None else item.value for item in items]


@pytest.fixture
def heaps(monkeypatch):
    """The lengths of the ranges that were sorted as heaps."""
    lengths = []

    def spy(keys, heap, real=std_sort._heap_sorted):
        lengths.append(len(heap))
        return real(keys, heap)

    monkeypatch.setattr(std_sort, "_heap_sorted", spy)
    return lengths


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=400))
def test_equals_std_sort_with_many_ties(real_argsort, keys):
    assert std_argsort(keys) == real_argsort(keys)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.integers(0, 3000), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_equals_std_sort_on_long_lists(real_argsort, count, values, seed):
    keys = np.random.default_rng(seed).integers(-values, values, count).tolist()
    assert std_argsort(keys) == real_argsort(keys)


@pytest.mark.parametrize("count", [16, 17, 33, 1000])
@pytest.mark.parametrize("shape", ["equal", "rising", "falling", "organ pipe", "two values"])
def test_equals_std_sort_on_regular_lists(real_argsort, count, shape):
    rising = list(range(count))
    keys = {
        "equal": [7] * count,
        "rising": rising,
        "falling": rising[::-1],
        "organ pipe": [min(i, count - i) for i in rising],
        "two values": [i % 2 for i in rising],
    }[shape]
    assert std_argsort(keys) == real_argsort(keys)


@pytest.mark.parametrize("ties", [1, 2])
@pytest.mark.parametrize("count", [100, 101, 256, 1000, 1023, 5000])
def test_equals_std_sort_where_it_turns_to_a_heap(real_argsort, heaps, count, ties):
    keys = [value // ties for value in killer(count)]
    heaps.clear()
    assert std_argsort(keys) == real_argsort(keys)
    assert heaps


def test_sorts(heaps):
    keys = killer(500)
    heaps.clear()
    assert [keys[i] for i in std_argsort(keys)] == sorted(keys)
    assert heaps


def test_short_lists_keep_the_order_of_equal_elements():
    assert std_argsort([1, 0] * 8) == [*range(1, 16, 2), *range(0, 16, 2)]


def test_longer_lists_do_not():
    assert std_argsort([0] * 17) != list(range(17))


@pytest.mark.parametrize("keys", [[], [3], [2, 1]])
def test_few_elements(keys):
    assert std_argsort(keys) == sorted(range(len(keys)), key=keys.__getitem__)

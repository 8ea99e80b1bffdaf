"""`std::sort` as libstdc++ does it, down to the order of equal elements.

`std::sort` is not stable, and the original's boxes depend on where it puts those of equal area. It is an
introsort: ranges of more than 16 elements are split at a median of three, or sorted as a heap once they
have been split too often, and one insertion sort over everything finishes. That last step is stable, so
Python's own sort stands in for it.
"""

from __future__ import annotations

from collections.abc import Sequence

_CUT_OFF = 16


def std_argsort(keys: Sequence) -> list:
    """The permutation that libstdc++'s `std::sort` applies to sort `keys` in ascending order.

    Args:
        keys: values that `<` compares. For a comparator a.area > b.area: the negated areas.

    Returns:
        Indices into `keys`, in sorted order.
    """
    order = list(range(len(keys)))
    _introsort(keys, order, 0, len(order), depth=2 * (len(order).bit_length() - 1))
    return sorted(order, key=keys.__getitem__)


def _introsort(keys: Sequence, order: list, first: int, last: int, depth: int) -> None:
    while last - first > _CUT_OFF:
        if depth == 0:
            order[first:last] = _heap_sorted(keys, order[first:last])
            return
        depth -= 1
        cut = _partition(keys, order, first, last)
        _introsort(keys, order, cut, last, depth)
        last = cut


def _partition(keys: Sequence, order: list, first: int, last: int) -> int:
    """Split order[first:last] at the median of three of its elements; where the second part starts."""
    median = _median(keys, order, first + 1, (first + last) // 2, last - 1)
    order[first], order[median] = order[median], order[first]
    pivot = keys[order[first]]
    left, right = first + 1, last
    while True:
        while keys[order[left]] < pivot:
            left += 1
        right -= 1
        while pivot < keys[order[right]]:
            right -= 1
        if left >= right:
            return left
        order[left], order[right] = order[right], order[left]
        left += 1


def _median(keys: Sequence, order: list, one: int, two: int, three: int) -> int:
    """Which of three places holds the median; of equal elements, the one that libstdc++ takes."""
    a, b, c = keys[order[one]], keys[order[two]], keys[order[three]]
    if a < b:
        if b < c:
            return two
        return three if a < c else one
    if a < c:
        return one
    return three if b < c else two


def _heap_sorted(keys: Sequence, heap: list) -> list:
    size = len(heap)
    for parent in range((size - 2) // 2, -1, -1):
        _sift(keys, heap, parent, size, heap[parent])
    for end in range(size - 1, 0, -1):
        value, heap[end] = heap[end], heap[0]
        _sift(keys, heap, 0, end, value)
    return heap


def _sift(keys: Sequence, heap: list, top: int, size: int, value: int) -> None:
    """Put `value` into the heap below `top`: the hole sinks to a leaf, then the value rises from there."""
    hole = top
    while (child := 2 * hole + 2) < size:
        if keys[heap[child]] < keys[heap[child - 1]]:
            child -= 1
        heap[hole], hole = heap[child], child
    if child == size:
        heap[hole], hole = heap[child - 1], child - 1
    while hole > top and keys[heap[(hole - 1) // 2]] < keys[value]:
        heap[hole], hole = heap[(hole - 1) // 2], (hole - 1) // 2
    heap[hole] = value

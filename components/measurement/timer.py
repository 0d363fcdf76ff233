"""The clock of every measurement, and the order in which what is compared takes its turns."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")

clock = time.perf_counter


def seconds_of(call: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    began = clock()
    call()
    return clock() - began


def rotated(items: Sequence[Item], rounds: int) -> Iterator[list[Item]]:
    """The items of each round, which begins with another one each time, so that no item always runs first.

    The beginnings are spread evenly over the items where there are fewer rounds than items.

    >>> list(rotated("abc", 4))
    [['a', 'b', 'c'], ['b', 'c', 'a'], ['c', 'a', 'b'], ['a', 'b', 'c']]
    >>> [first for first, *_ in rotated("abcdefgh", 3)]
    ['a', 'c', 'f']
    """
    for turn in range(rounds):
        start = turn % len(items) if rounds >= len(items) else turn * len(items) // rounds
        yield [*items[start:], *items[:start]]

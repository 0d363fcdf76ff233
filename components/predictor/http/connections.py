"""How many connections a process keeps, and how long each of them may take: so that nobody can use up its descriptors.

Where there are more than the process keeps, those that have waited longest without a whole request make room. So liveness is
answered whatever number of connections others hold open.
"""

import resource
from collections.abc import Collection
from typing import Protocol

MOST_DESCRIPTORS = 65_536


def raise_descriptors() -> None:
    """Let this process open as many files as its administrator allows, up to 65,536; the usual limit is meant for others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Kept(Protocol):
    """A connection."""

    def waiting_since(self) -> tuple[int, float] | None:
        """Whether it may be given up for another one: how much was spent on it, and since when; None if it may not."""

    def give_up(self) -> None:
        """Close it."""


def make_room(connections: Collection[Kept], newest: Kept, most: int) -> None:
    """Close connections that wait for a request until there are no more than `most`; those that are answered stay.

    A few more are closed than must be, so that not every new connection looks through all. Where all are being answered, a
    quarter more are taken.
    """
    if len(connections) <= most:
        return
    waiting = [(since, one) for one in connections if one is not newest and (since := one.waiting_since()) is not None]
    waiting.sort(key=lambda pair: pair[0])
    for _, one in waiting[: len(connections) - most + most // 16]:
        one.give_up()
    if not waiting and len(connections) > most + most // 4:
        newest.give_up()

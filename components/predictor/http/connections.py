"""Limit of a process's connections, so that clients cannot exhaust its file descriptors.

Above the limit, the process closes the connections that have waited longest without a complete request. So it answers liveness
probes even if clients hold many connections open.
"""

import resource
from collections.abc import Collection
from typing import Protocol

MOST_DESCRIPTORS = 65_536


def raise_descriptors() -> None:
    """Raise the soft limit of open files to the hard limit, at most 65,536."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Kept(Protocol):
    """A connection."""

    def waiting_since(self) -> tuple[int, float] | None:
        """Sort key for closing: 0 for a head or 1 for a body, and the start of the wait. None if it must stay open."""

    def give_up(self) -> None:
        """Close it."""


def make_room(connections: Collection[Kept], newest: Kept, most: int) -> None:
    """Close connections without a complete request until there are at most `most`. Connections with a request in progress stay.

    A few more than necessary are closed, so that not every new connection needs a search. If all have a request in progress, a
    quarter more are accepted.
    """
    if len(connections) <= most:
        return
    waiting = [(since, one) for one in connections if one is not newest and (since := one.waiting_since()) is not None]
    waiting.sort(key=lambda pair: pair[0])
    for _, one in waiting[: len(connections) - most + most // 16]:
        one.give_up()
    if not waiting and len(connections) > most + most // 4:
        newest.give_up()

"""Latencies of several graphs for the same rows, measured in turns in one process, so that other load on the machine affects
all alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import polars as pl

from stagewright.components.measurement.timer import clock, rotated, seconds_of
from stagewright.components.predictor.inference.session import Session
from stagewright.components.runtime.progress import progress
from stagewright.components.runtime.serving_settings import ServingSettings

SINGLE_ROWS = 512  # different ones in turn: one row again and again would find the model in the processor's cache
BATCH_ROWS = 1000
LEAST_BATCH_ROWS, LONGEST_BATCH_SECONDS = 16, 0.4  # of a model so slow that a thousand rows take longer, a batch has fewer
ROUNDS = 7
SINGLES_A_ROUND, BATCHES_A_ROUND = 150, 2
LONGEST_SECONDS, LONGEST_TURN_SECONDS = 25.0, 0.5

Feeds = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds that one inference took.

    Attributes:
        single_row: Median for one row.
        single_row_p99: 99th percentile for one row.
        batch: Median for a batch of `batch_rows`.
    """

    single_row: float
    single_row_p99: float
    batch: float
    batch_rows: int


@dataclass(slots=True)
class _Contestant:
    session: Session
    singles: Sequence[Feeds]
    batch: Feeds
    single_seconds: list[float] = field(default_factory=list)
    batch_seconds: list[float] = field(default_factory=list)
    at: int = 0

    def turn(self) -> None:
        began = clock()
        for _ in range(SINGLES_A_ROUND):
            if clock() - began > LONGEST_TURN_SECONDS:
                break
            feeds = self.singles[self.at % len(self.singles)]
            self.at += 1
            self.single_seconds.append(seconds_of(partial(self.session.run, None, feeds)))
        for _ in range(BATCHES_A_ROUND):
            self.batch_seconds.append(seconds_of(partial(self.session.run, None, self.batch)))


def measure(
    graphs: Mapping[str, tuple[bytes, Callable[[pl.DataFrame], Feeds]]], table: pl.DataFrame, *, rounds: int = ROUNDS
) -> dict[str, Latency]:
    """Latencies of each graph by name, computed as the predictor does, with one thread.

    Args:
        graphs: For each name the graph and what turns a table into its inputs; that is not part of what is measured.
        table: Rows to answer; repeated if there are fewer than a batch.
    """
    rows = table.head(SINGLE_ROWS)
    sessions = {name: Session(graph, ServingSettings(threads=1)) for name, (graph, _) in graphs.items()}
    count = min(_batch_rows(session, graphs[name][1](_repeated(table, LEAST_BATCH_ROWS))) for name, session in sessions.items())
    many = _repeated(table, count)
    contestants = {
        name: _Contestant(sessions[name], [feeds(rows.slice(at, 1)) for at in range(rows.height)], feeds(many))
        for name, (_, feeds) in graphs.items()
    }
    for contestant in contestants.values():
        contestant.turn()
        contestant.single_seconds.clear()
        contestant.batch_seconds.clear()
    began = clock()
    with progress("measuring latencies", total=rounds, unit="rounds") as advance:
        for order in rotated([*contestants.values()], rounds):
            for contestant in order:
                contestant.turn()
            advance()
            if clock() - began > LONGEST_SECONDS:
                break
    return {name: _latency(contestant, count) for name, contestant in contestants.items()}


def _repeated(table: pl.DataFrame, rows: int) -> pl.DataFrame:
    return pl.concat([table] * -(-rows // table.height)).head(rows)


def _batch_rows(session: Session, few: Feeds) -> int:
    """Rows of a batch that takes no longer than it may, judged by a small one."""
    session.run(None, few)
    fitting = LONGEST_BATCH_SECONDS * LEAST_BATCH_ROWS / max(seconds_of(partial(session.run, None, few)), 1e-9)
    return int(min(max(fitting, LEAST_BATCH_ROWS), BATCH_ROWS))


def _latency(measured: _Contestant, batch_rows: int) -> Latency:
    singles = np.array(measured.single_seconds)
    return Latency(
        single_row=float(np.median(singles)),
        single_row_p99=float(np.quantile(singles, 0.99)),
        batch=float(np.median(measured.batch_seconds)),
        batch_rows=batch_rows,
    )

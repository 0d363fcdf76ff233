"""Verification: the model server under new loads, with the best candidate settings and with the current ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stagewright.components.measurement.rates import LONG_STEPS, LoadResult, Servers, Staircase
from stagewright.components.optimization.serving_settings.evidence import bounds, is_proved
from stagewright.components.optimization.serving_settings.plan import Plan
from stagewright.components.optimization.serving_settings.trials import DEFAULT, predictors
from stagewright.components.runtime.model import SERVING
from stagewright.components.runtime.serving_settings import FILE, ServingSettings

CHOSEN = "with settings"
NEAR_LIMIT = 0.8
PROBES = 6  # of each server in a round, after those that get near
NEAR = 1.5  # times a rate, or so much less, is near it
SHARES, SHARE_ROUNDS = (0.25, 0.5, 0.75), 2  # of the largest rate: points of the curve that no round asks for


@dataclass(frozen=True, slots=True)
class Capacity:
    """Highest request rate within the objective: the median of the rounds, and the median p99 of the loads that met it."""

    requests_per_second: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Proof:
    """Results of the verification.

    Attributes:
        candidate: The best settings of the search; None if there were none to try.
        rates: Rate of each server in each round: the geometric mean of the rates of its staircase.
        ratios: Ratio of the candidate's rate to the current settings' rate, for each round.
        asked: Every load.
        proved: Whether the candidate's rate is higher, beyond chance.
        before: Capacity with the current settings; None if no rate met the objective.
        after: Capacity with the settings that the model leaves with.
    """

    candidate: ServingSettings | None
    rates: dict[str, list[float]]
    ratios: list[float]
    asked: list[LoadResult]
    proved: bool
    before: Capacity | None
    after: Capacity | None

    @property
    def ratio(self) -> tuple[float, float, float]:
        """Median of the rounds, and its bounds."""
        return (float(np.median(self.ratios)), *bounds(self.ratios)) if self.ratios else (1.0, 1.0, 1.0)


def confirm(
    folder: Path, existing: ServingSettings, candidate: ServingSettings | None, requests: Sequence[bytes], plan: Plan
) -> Proof:
    """Measure both settings again, in turns: the best of several candidates looks better than it is.

    Args:
        candidate: The best settings of the search.
    """
    settings = {DEFAULT: existing} | ({} if candidate is None else {CHOSEN: candidate})
    with predictors(folder, settings, requests[0]) as addresses:
        servers = Servers(addresses, requests, plan.objective_ms, plan.seconds)
        rates: dict[str, list[float]] = {name: [] for name in settings}
        limits = {name: servers.limit(name) for name in settings}
        able = [name for name in settings if limits[name]]
        for name in set(settings) - set(able):
            servers.ask(name, 1.0)
        start = NEAR_LIMIT * _mean([limits[name] for name in able]) if able else 0.0
        for _ in range(plan.rounds):
            found = _round(servers, start, able)
            for name in settings:
                rates[name].append(found.get(name, 0.0))
            start = _mean([*found.values()]) if found else 0.0
        for share in [*SHARES] * SHARE_ROUNDS:
            for name in settings:
                if largest := float(np.median(rates[name])):
                    servers.ask(name, share * largest)
    ratios = []
    if candidate is not None:
        floor = min(one.rate for one in servers.asked if one.server == DEFAULT)  # of a rate where nothing held
        ratios = [after / max(before, floor) for before, after in zip(rates[DEFAULT], rates[CHOSEN], strict=True)]
    proved = is_proved(ratios)
    before = _held(servers.asked, DEFAULT, rates[DEFAULT])
    after = _held(servers.asked, CHOSEN, rates[CHOSEN]) if proved else before
    return Proof(candidate, rates, ratios, servers.asked, proved, before, after)


def existing_settings(folder: Path) -> ServingSettings:
    path = folder / SERVING / FILE
    return ServingSettings.parse(path.read_bytes(), str(path)) if path.is_file() else ServingSettings()


def _round(servers: Servers, start: float, names: Sequence[str]) -> dict[str, float]:
    """The rate that each holds every second time: the mean of the steps that it takes after it has got near.

    Both begin at the same rate in each round: neither is favoured by where it begins, and what chance did ends with the round.
    """
    stairs = {name: Staircase(start) for name in names}
    asked: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(len(LONG_STEPS) + PROBES):
        for name in [*names][:: 1 if turn % 2 else -1]:
            rate = stairs[name].rate
            asked[name].append(rate)
            stairs[name].tell(held=servers.ask(name, rate).held)
    return {name: _mean(rates[len(LONG_STEPS) :]) for name, rates in asked.items()}


def _mean(rates: Sequence[float]) -> float:
    """The geometric mean."""
    return float(np.exp(np.mean(np.log(rates))))


def _held(asked: Sequence[LoadResult], name: str, rates: Sequence[float]) -> Capacity | None:
    median = float(np.median(rates))
    near = [one.load.p99_ms for one in asked if one.server == name and one.held and median / NEAR < one.rate < median * NEAR]
    return Capacity(median, float(np.median(near))) if near else None

"""What a benchmark is asked and what it found."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from stagewright.components.optimization.benchmarking.evidence import LEAST_ROUNDS
from stagewright.components.optimization.benchmarking.proof import Proof
from stagewright.components.optimization.benchmarking.rates import Asked
from stagewright.components.optimization.benchmarking.search import Found
from stagewright.components.optimization.benchmarking.trials import Tried
from stagewright.components.optimization.inference_timing import Setting
from stagewright.components.runtime.errors import BadParameter
from stagewright.components.runtime.serving_settings import ServingSettings

BATCH_SIZES = (1, 2, 4, 8, 32, 128, 512)
BATCH_MILLISECONDS = (0.5, 8.0)
_NEEDED = ("batch_sizes",)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and for how long.

    Attributes:
        objective_ms: p99 that requests must be answered within.
        threads: Numbers of threads to try; empty for 1, 2, 4 ... up to the CPUs.
        batch_milliseconds: Longest waits of a request to try; empty for none but the predictor's own.
        request_rows: Rows in each request.
        seconds: For each rate in each round.
        rounds: Of the proof.
    """

    objective_ms: float = 20.0
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    threads: tuple[int, ...] = ()
    batch_milliseconds: tuple[float, ...] = BATCH_MILLISECONDS
    request_rows: int = 1
    seconds: float = 0.5
    rounds: int = LEAST_ROUNDS

    def check(self) -> None:
        """Refuse what cannot be measured.

        Raises:
            BadParameter: Naming the parameter.
        """
        for name in ("objective_ms", "seconds"):
            if not getattr(self, name) > 0:
                raise BadParameter(name, got=getattr(self, name), expected="a number above 0")
        if self.rounds < LEAST_ROUNDS:
            raise BadParameter("rounds", got=self.rounds, expected=f"at least {LEAST_ROUNDS}: fewer prove nothing")
        if self.request_rows < 1:
            raise BadParameter("request_rows", got=self.request_rows, expected="at least 1")
        for name in ("batch_sizes", "threads"):
            values = getattr(self, name)
            if any(type(value) is not int or value < 1 for value in values) or (name in _NEEDED and not values):
                raise BadParameter(name, got=list(values), expected="whole numbers above 0")
        if any(not value > 0 for value in self.batch_milliseconds):
            raise BadParameter("batch_milliseconds", got=list(self.batch_milliseconds), expected="numbers above 0")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What was found.

    Attributes:
        default: How the model was served so far.
        existing: Its settings so far; empty for a model that was not measured yet.
        dropped: Settings that answered otherwise than the model, with how.
        races: What was tried on the predictor, stage by stage.
        proof: The best of it and the model as it was, measured anew.
        settings: What was chosen; the existing ones where nothing is to be gained.
        largest_difference: Between answers under the chosen settings and the model's own.
    """

    name: str
    plan: Plan
    cpu: str
    cpus: int
    default: Setting
    existing: ServingSettings
    found: Found
    dropped: dict[str, str]
    races: list[Tried]
    proof: Proof
    settings: ServingSettings
    largest_difference: float
    rows: int

    @property
    def changed(self) -> bool:
        return replace(self.settings, measured={}) != replace(self.existing, measured={})

    def notices(self) -> list[str]:
        """What whoever started the run must know although the step passed."""
        if self.changed:
            return []
        kept = "the model keeps the settings that it has"
        if self.proof.candidate is None or not self.proof.ratios:
            return [f"nothing is gained by other settings: none of those that were tried beat the present ones; {kept}"]
        middle, low, high = self.proof.ratio
        times = f"{middle:.2f} times the requests of the present ones ({low:.2f} to {high:.2f})"
        return [f"nothing is proved to be gained by other settings: the best bear {times}; {kept}"]

    @property
    def failures(self) -> list[str]:
        """Why the gate does not pass."""
        if self.proof.after is not None:
            return []
        answered = [one for one in self.proof.asked if not one.load.failed]
        least = min(answered, key=lambda one: one.load.p99_ms, default=None)
        if least is None:
            return ["the predictor did not answer every request at any load"]
        best = f"{least.load.p99_ms:.3g} ms at {least.rate:.3g} requests/s"
        return [f"no load was answered within {self.plan.objective_ms:g} ms at p99; the best was {best}"]


def whole(values: Sequence[float]) -> tuple[int, ...]:
    """Numbers that came as JSON: 8.0 is 8; what is not whole stays and is refused by the check.

    >>> whole([1, 8.0, 1.5])
    (1, 8, 1.5)
    """
    return tuple(int(value) if isinstance(value, float) and value.is_integer() else value for value in values)  # type: ignore[misc]


def figures(found: Benchmark) -> dict[str, float]:
    """The figures that are worth a chart of runs."""
    named = {"largest_difference": found.largest_difference}
    if found.proof.ratios:
        named["ratio"] = found.proof.ratio[0] if found.changed else 1.0
    for name, held in (("before", found.proof.before), ("after", found.proof.after)):
        if held is not None:
            named |= {f"requests_per_second_{name}": held.requests_per_second, f"p99_ms_{name}": held.p99_ms}
    return {name: number for name, number in named.items() if math.isfinite(number)}


def as_dict(found: Benchmark) -> dict[str, Any]:
    """Everything that was measured, as JSON."""
    document = asdict(replace(found, races=[], proof=replace(found.proof, asked=[])))
    document["races"] = [
        {
            "name": tried.name, "told": tried.told, "winner": tried.race.winner, "rates": tried.race.rates,
            "settings": {name: asdict(settings) for name, settings in tried.settings.items()}, "asked": _asked(tried.asked),
        }
        for tried in found.races
    ]  # fmt: skip
    document["proof"] |= {"ratio": found.proof.ratio, "asked": _asked(found.proof.asked)}
    return document | {"passed": not found.failures, "changed": found.changed, "failures": found.failures}


def _asked(asked: Sequence[Asked]) -> list[dict[str, Any]]:
    return [{"server": one.server, "rate": one.rate, "held": one.held, "load": one.load.to_dict()} for one in asked]

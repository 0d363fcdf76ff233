"""What a benchmark is asked and what it found."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from stagewright.components.measurement.inference_timing import Setting
from stagewright.components.measurement.rates import LoadResult
from stagewright.components.optimization.serving_settings.plan import Plan
from stagewright.components.optimization.serving_settings.proof import Proof
from stagewright.components.optimization.serving_settings.search import Found
from stagewright.components.optimization.serving_settings.trials import Experiment
from stagewright.components.runtime.serving_settings import ServingSettings


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
    races: list[Experiment]
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
            "name": tried.name, "description": tried.description, "winner": tried.race.winner, "rates": tried.race.rates,
            "settings": {name: asdict(settings) for name, settings in tried.settings.items()}, "asked": _asked(tried.asked),
        }
        for tried in found.races
    ]  # fmt: skip
    document["proof"] |= {"ratio": found.proof.ratio, "asked": _asked(found.proof.asked)}
    return document | {"passed": not found.failures, "changed": found.changed, "failures": found.failures}


def _asked(asked: Sequence[LoadResult]) -> list[dict[str, Any]]:
    return [{"server": one.server, "rate": one.rate, "held": one.held, "load": one.load.to_dict()} for one in asked]

"""What is asked of a service, and the cheapest way to it that was found."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from stagewright.components.measurement.capacity import Curve
from stagewright.components.measurement.cpu_limit import cpus_of, quantity_of
from stagewright.components.optimization.cost.load_trace import Trace
from stagewright.components.optimization.cost.prices import Prices
from stagewright.components.optimization.cost.service_patch import Document, Recommendation
from stagewright.components.optimization.cost.sizing import Plan, ScaleToZero
from stagewright.components.runtime.errors import BadParameter, one_of
from stagewright.components.serving.manifests.inference_service import MODES

CPU_LIMITS = ("500m", "1", "2")
TYPICAL_POD_START = 3.0  # seconds until a container of an image that is on the node begins to run


@dataclass(frozen=True, slots=True)
class Objective:
    """Requirements of the service and parameters of its measurement.

    Attributes:
        objective_ms: Largest allowed p99 latency of a request, in milliseconds.
        headroom: Spare capacity, as a share of the load.
        longest_wait_seconds: Longest wait of the first request after a pause for a replica; 0 never scales to zero.
        pod_start_seconds: Until a container begins to run, which is not measured here: scheduling, and the image if it is not
            there yet.
        seconds: For each rate in each round.
    """

    objective_ms: float = 50.0
    cpu_limits: tuple[str, ...] = CPU_LIMITS
    mode: str = "Standard"
    namespace: str = "default"
    headroom: float = 0.3
    longest_wait_seconds: float = 0.0
    pod_start_seconds: float = TYPICAL_POD_START
    seconds: float = 2.0
    rounds: int = 3

    def check(self) -> None:
        """Check every parameter.

        Raises:
            BadParameter: Naming the parameter.
        """
        one_of("mode", self.mode, MODES)
        for name in ("objective_ms", "seconds"):
            if not getattr(self, name) > 0:
                raise BadParameter(name, got=getattr(self, name), expected="a number above 0")
        for name in ("headroom", "longest_wait_seconds", "pod_start_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise BadParameter(name, got=getattr(self, name), expected="a number of at least 0")
        if self.rounds < 1:
            raise BadParameter("rounds", got=self.rounds, expected="at least 1")
        if not self.cpu_limits:
            raise BadParameter("cpu_limits", got=[], expected="CPU quantities such as '500m' or '2'")
        for limit in self.cpu_limits:
            cpus_of(limit)


@dataclass(frozen=True, slots=True)
class Cost:
    """What was found.

    Attributes:
        plans: One for each size that bears any load within the objective, by size.
        now: What the present service costs over the same trace, and how often it falls short; None where its capacity is not
            known.
        best: The cheapest of the plans, with no fewer replicas than one; the present service itself where it bears the load
            and no plan does with less.
        kept: Whether the present size and replicas stay.
        patch: For the InferenceService.
        patched: The present InferenceService with the patch, if one was given.
    """

    name: str
    objective: Objective
    prices: Prices
    trace: Trace
    curves: list[Curve]
    plans: list[Plan]
    now: Plan | None
    best: Plan | None
    zero: ScaleToZero | None
    recommendation: Recommendation | None
    patch: Document = field(default_factory=dict)
    patched: Document | None = None
    skipped: dict[str, str] = field(default_factory=dict)
    kept: bool = False

    @property
    def processors(self) -> dict[str, list[str]]:
        """Sizes by the CPU that they were measured on, where it is known."""
        found: dict[str, list[str]] = {}
        for curve in self.curves:
            if curve.processor:
                found.setdefault(curve.processor, []).append(quantity_of(curve.size.cpus))
        return found

    def notices(self) -> list[str]:
        """What whoever started the run must know although the step passed."""
        told = [f"{limit} CPU was not measured: {why}" for limit, why in self.skipped.items()]
        if len(self.processors) > 1:
            where = "; ".join(f"{', '.join(sizes)} on {name}" for name, sizes in self.processors.items())
            told.append(f"sizes were measured on different CPUs, so that their loads are not those of one machine: {where}")
        if self.kept and self.best is not None:
            told.append(
                "the present service bears the load, and nothing smaller was found that does: its CPU and replicas stay"
            )
        return told

    @property
    def failures(self) -> list[str]:
        if self.best is not None:
            return []
        sizes = ", ".join(quantity_of(curve.size.cpus) for curve in self.curves)
        return [f"no size ({sizes} CPU) answers any load within {self.objective.objective_ms:g} ms at p99"]

    @property
    def savings(self) -> float | None:
        """Share of the present cost that is saved; negative where meeting the objective costs more."""
        return None if self.now is None or self.best is None else 1 - self.best.cost / self.now.cost


def figures(found: Cost) -> dict[str, float]:
    """The figures that are worth a chart of runs."""
    if found.best is None:
        return {}
    named = {
        "cost_per_million": found.best.cost_per_million, "cost_a_month": found.best.cost_a_month,
        "capacity": found.best.size.capacity, "cpus": found.best.size.cpus,
        "most_replicas": float(max(found.best.replicas)),
    }  # fmt: skip
    if found.savings is not None:
        named["savings"] = found.savings
    return {name: number for name, number in named.items() if math.isfinite(number)}


def as_dict(found: Cost) -> dict[str, Any]:
    """Everything, as JSON: what is not a number there is null."""
    document = asdict(found) | {"failures": found.failures, "savings": found.savings, "passed": not found.failures}
    return dict(_plain(document))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value

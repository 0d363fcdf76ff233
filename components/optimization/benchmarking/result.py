"""What a benchmark is asked and what it found."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from stagewright.components.optimization.benchmarking.load_curve import Point
from stagewright.components.optimization.benchmarking.search import Found
from stagewright.components.optimization.inference_timing import Setting
from stagewright.components.runtime.errors import BadParameter
from stagewright.components.runtime.serving_settings import ServingSettings

BATCH_SIZES = (1, 8, 32, 128, 512)
CONNECTIONS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and for how long.

    Attributes:
        objective_ms: p99 that requests must be answered within.
        threads: Numbers of threads to try; empty for 1, 2, 4 ... up to the CPUs.
        connections: Loads of the curve.
        seconds: For each point in each round.
    """

    objective_ms: float = 20.0
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    threads: tuple[int, ...] = ()
    connections: tuple[int, ...] = CONNECTIONS
    seconds: float = 0.6
    rounds: int = 5

    def check(self) -> None:
        """Refuse what cannot be measured.

        Raises:
            BadParameter: Naming the parameter.
        """
        for name in ("objective_ms", "seconds"):
            if not getattr(self, name) > 0:
                raise BadParameter(name, got=getattr(self, name), expected="a number above 0")
        if self.rounds < 1:
            raise BadParameter("rounds", got=self.rounds, expected="at least 1")
        for name in ("batch_sizes", "threads", "connections"):
            values = getattr(self, name)
            if any(type(value) is not int or value < 1 for value in values) or (name != "threads" and not values):
                raise BadParameter(name, got=list(values), expected="whole numbers above 0")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What was found.

    Attributes:
        default: How the model was served so far.
        existing: Its settings so far; empty for a model that was not measured yet.
        dropped: Settings that answered otherwise than the model, with how.
        selection: Loads on the finalists, from which one was chosen.
        curve: Fresh loads on the model as it was and as it was chosen to be.
        settings: What was chosen; nothing set where nothing is to be gained.
        ratio: Throughput of the chosen relative to the model as it was, on the curve: median, least, most.
        before: The largest load within the objective of the model as it was; `after` of the chosen one.
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
    selection: list[Point]
    curve: list[Point]
    settings: ServingSettings
    ratio: tuple[float, float, float]
    before: Point | None
    after: Point | None
    largest_difference: float
    rows: int

    @property
    def changed(self) -> bool:
        return replace(self.settings, measured={}) != replace(self.existing, measured={})

    @property
    def failures(self) -> list[str]:
        """Why the gate does not pass."""
        if self.after is not None:
            return []
        least = min((one for one in self.curve if not one.failed), key=lambda one: one.p99_ms, default=None)
        if least is None:
            return ["the predictor did not answer every request at any load"]
        best = f"{least.p99_ms:.3g} ms with {least.connections} connection{'s' if least.connections > 1 else ''}"
        return [f"no load was answered within {self.plan.objective_ms:g} ms at p99; the best was {best}"]


def whole(values: Sequence[float]) -> tuple[int, ...]:
    """Numbers that came as JSON: 8.0 is 8; what is not whole stays and is refused by the check.

    >>> whole([1, 8.0, 1.5])
    (1, 8, 1.5)
    """
    return tuple(int(value) if isinstance(value, float) and value.is_integer() else value for value in values)  # type: ignore[misc]


def figures(found: Benchmark) -> dict[str, float]:
    """The figures that are worth a chart of runs."""
    named = {"ratio": found.ratio[0], "largest_difference": found.largest_difference}
    for name, point in (("before", found.before), ("after", found.after)):
        if point is not None:
            named |= {f"requests_per_second_{name}": point.requests_per_second, f"p99_ms_{name}": point.p99_ms}
    return named


def as_dict(found: Benchmark) -> dict[str, Any]:
    """Everything that was measured, as JSON."""
    document = asdict(replace(found, selection=[], curve=[], before=None, after=None))
    for field in ("selection", "curve", "before", "after"):
        document.pop(field)
    document["passed"] = not found.failures
    for field in ("selection", "curve"):
        document[field] = [
            {
                "server": one.server, "connections": one.connections, "requests_per_second": one.requests_per_second,
                "p50_ms": one.p50_ms, "p99_ms": one.p99_ms, "rounds": [load.to_dict() for load in one.loads],
            }
            for one in getattr(found, field)
        ]  # fmt: skip
    return document | {"changed": found.changed, "failures": found.failures}

"""What is asked of quantization, and what it found."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stagewright.components.measurement.graph_speed import Speed
from stagewright.components.optimization.quantization import methods
from stagewright.components.optimization.quantization.comparison import Comparison
from stagewright.components.optimization.quantization.gate import Candidate, Limits, figures
from stagewright.components.optimization.quantization.potential import Potential
from stagewright.components.runtime.errors import BadParameter, GateFailed, one_of
from stagewright.components.runtime.signature import Signature

VARIANTS = (methods.CPU, methods.GPU)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for; see the component for what each means."""

    variant: str = methods.CPU
    methods: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    calibration_rows: int = 256
    rows: int = 2000
    batch_rows: int = 32
    threads: int | None = None
    seconds: float = 20.0
    target: str = ""
    seed: int = 0

    def check(self) -> None:
        """Refuse what cannot be.

        Raises:
            BadParameter: Naming the parameter.
        """
        one_of("variant", self.variant, VARIANTS)
        self.limits.check()
        for name in self.methods:
            methods.find(name)
        for name in ("calibration_rows", "rows", "batch_rows"):
            if getattr(self, name) < 1:
                raise BadParameter(name, got=getattr(self, name), expected="a whole number above 0")


@dataclass(frozen=True)
class Quantization:
    """What was found.

    Attributes:
        nothing: Why nothing is to be gained; empty if something might be.
        own: The float model: its metrics, size and latencies.
        measured: How it was measured: rows, threads, processor.
        served: The winner beside the float model in the predictor; none where that was not measured.
    """

    request: Request
    signature: Signature
    potential: Potential
    nothing: str
    candidates: tuple[Candidate, ...] = ()
    winner: Candidate | None = None
    own: dict[str, Any] = field(default_factory=dict)
    own_speed: Speed | None = None
    measured: dict[str, Any] = field(default_factory=dict)
    served: tuple[Comparison, ...] = ()

    def failures(self) -> list[str]:
        """Each candidate for the variant and why it was dropped."""
        limits = self.request.limits
        eligible = [candidate for candidate in self.candidates if candidate.method.variant == self.request.variant]
        if not eligible:
            return [f"none of the methods asked for makes a {self.request.variant} variant"]
        return [f"{candidate.name} {' and '.join(candidate.failures(limits))}" for candidate in eligible]

    def require(self, *, gain: bool = False) -> None:
        """Let a model without a winner pass only if nothing was to be gained.

        Args:
            gain: Let it not pass then either.

        Raises:
            GateFailed: Naming each candidate and why it was dropped.
        """
        if self.winner is None and (gain or not self.nothing):
            raise GateFailed("quantization", [self.nothing] if self.nothing else self.failures())

    def notices(self) -> list[str]:
        """What whoever started the run must know although the step passed."""
        return [f"nothing is gained by quantizing: {self.nothing}"] if self.winner is None and self.nothing else []

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        limits = self.request.limits
        return {
            "variant": self.request.variant if self.winner else "",
            "winner": self.winner.name if self.winner else None,
            "nothing_to_gain": self.nothing,
            "limits": {"tolerance": limits.tolerance, "speedup": limits.speedup, "size_ratio": limits.size_ratio},
            "float": self.own,
            "candidates": [figures(candidate, limits) for candidate in self.candidates],
            "time_by_operation": self.potential.time,
            "weights_by_operation": self.potential.layers,
            "quantizable": {"time": self.potential.quantizable_time, "bytes": self.potential.quantizable_bytes},
            "tree_ensemble": {"time": self.potential.ensemble_time, "bytes": self.potential.ensemble_bytes},
            "measured": self.measured,
            "served": [one.to_dict() for one in self.served],
        }

    def figures(self) -> dict[str, float]:
        """What the winner wins and loses, as single numbers; the float model's metrics where there is none."""
        winner = self.winner
        found = {f"float_{name}": value for name, value in self.own["metrics"].items()} | {"float_bytes": self.own["bytes"]}
        if winner is None or winner.quality is None or winner.size is None or winner.size_ratio is None:
            return _finite(found)
        found |= winner.quality.metrics | {"bytes": winner.size, "size_ratio": winner.size_ratio}
        found |= {"points_lost": winner.quality.lost}
        if winner.speed is not None:
            found |= {f"speedup_{load}": times for load, times in winner.speed.speedup.items()}
        return _finite(found)

    def write(self, path: str | Path) -> None:
        """Write everything as JSON."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=2) + "\n")


def _finite(figures: dict[str, float]) -> dict[str, float]:
    return {name: number for name, number in figures.items() if math.isfinite(number)}

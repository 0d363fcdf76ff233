"""What a caller gains from fewer bits: the float model and its variant under the same traffic, HTTP and all.

A graph that is three times as fast does not answer three times as fast: reading the request, HTTP and writing the answer take
the same for both. Here all of it counts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stagewright.components.measurement.load.generator import Load

FLOAT, VARIANT = "float", "variant"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests of so many rows each, on so many connections that are always busy."""

    rows: int
    connections: int

    def __str__(self) -> str:
        rows = "1 row" if self.rows == 1 else f"{self.rows} rows"
        return f"{rows} a request, {self.connections} connection{'s' if self.connections > 1 else ''}"


@dataclass(frozen=True, slots=True)
class Answered:
    """What one predictor did in each round; its figures are medians over these."""

    server: str
    loads: tuple[Load, ...]

    @property
    def requests_per_second(self) -> float:
        return float(np.median([load.requests_per_second for load in self.loads]))

    @property
    def p50_ms(self) -> float:
        return float(np.nanmedian([load.p50_ms for load in self.loads]))

    @property
    def p99_ms(self) -> float:
        return float(np.nanmedian([load.p99_ms for load in self.loads]))

    @property
    def requests(self) -> int:
        return sum(load.requests for load in self.loads)

    @property
    def failed(self) -> int:
        return sum(load.failed for load in self.loads)

    @property
    def rates(self) -> np.ndarray:
        """Requests a second, by round."""
        return np.array([load.requests_per_second for load in self.loads])


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two predictors under the same traffic, in rounds."""

    traffic: Traffic
    own: Answered
    variant: Answered

    @property
    def name(self) -> str:
        """For a chart of runs: speedup_single_16 with 16 connections."""
        return f"speedup_{'single' if self.traffic.rows == 1 else 'batch'}_{self.traffic.connections}"

    @property
    def ratios(self) -> np.ndarray:
        """How many times as many requests the variant answered, round by round."""
        answering = self.own.rates > 0
        return self.variant.rates[answering] / self.own.rates[answering]

    @property
    def speedup(self) -> float:
        """Median of the rounds' ratios."""
        return float(np.median(self.ratios))

    @property
    def sooner(self) -> float:
        """How many times sooner the median answer came: median of the rounds' ratios."""
        pairs = zip(self.own.loads, self.variant.loads, strict=True)
        return float(np.nanmedian([own.p50_ms / variant.p50_ms for own, variant in pairs]))

    def to_dict(self) -> dict[str, Any]:
        servers = {FLOAT: self.own, VARIANT: self.variant}
        return {
            "rows": self.traffic.rows, "connections": self.traffic.connections, "rounds": len(self.own.loads),
            "speedup": self.speedup, "speedup_range": [float(self.ratios.min()), float(self.ratios.max())],
            "median_answer_sooner": self.sooner,
            **{
                name: {
                    "requests_per_second": one.requests_per_second, "p50_ms": one.p50_ms, "p99_ms": one.p99_ms,
                    "requests": one.requests,
                }
                for name, one in servers.items()
            },
        }  # fmt: skip

"""Parameters of a benchmark."""

from dataclasses import dataclass

from stagewright.components.optimization.serving_settings.evidence import LEAST_ROUNDS
from stagewright.components.runtime.errors import BadParameter

BATCH_SIZES = (1, 2, 4, 8, 32, 128, 512)
BATCH_MILLISECONDS = (0.5, 8.0)
_NEEDED = ("batch_sizes",)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and for how long.

    Attributes:
        objective_ms: Largest allowed p99 latency of a request, in milliseconds.
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
        """Check every parameter.

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

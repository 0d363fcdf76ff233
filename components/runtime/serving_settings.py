"""How a model is best served on the machine it was measured on: `serving/settings.json`, read by the predictor."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import BadParameter, InputError, one_of

FILE = "settings.json"
OPTIMIZATIONS = ("disabled", "basic", "extended", "layout", "all")
NATIVE = "native"
TREE_ENGINES = (NATIVE, "onnxruntime")


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """What optimize_inference chose; None leaves the choice to the predictor.

    Attributes:
        threads: Threads that ONNX Runtime may use inside one inference.
        concurrency: Inferences that may run at once.
        graph_optimization: ONNX Runtime's level: disabled, basic, extended, layout or all.
        batch_rows: Most rows that requests are put together to.
        batch_milliseconds: Longest time that a request waits for others.
        tree_engine: What evaluates tree ensembles in batches: native (our kernel, where it can) or onnxruntime.
        measured: What was found when these were chosen: objective, CPU, latencies. For people; the predictor ignores it.
    """

    threads: int | None = None
    concurrency: int | None = None
    graph_optimization: str = "all"
    batch_rows: int | None = None
    batch_milliseconds: float | None = None
    tree_engine: str = NATIVE
    measured: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: str | Path) -> None:
        (Path(folder) / FILE).write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n")

    @classmethod
    def parse(cls, content: bytes | str, location: str) -> Self:
        """Settings from a file's content.

        Args:
            location: Where the file is, for the error.

        Raises:
            InputError: If the content is anything else.
        """
        try:
            found = cls(**read_json(content))
            found.check()
        except (ValueError, TypeError, InputError) as error:
            raise InputError(f"{location} does not hold serving settings: {error}") from None
        return found

    def check(self) -> None:
        """Refuse values that cannot be.

        Raises:
            BadParameter: Naming the setting.
        """
        one_of("graph_optimization", self.graph_optimization, OPTIMIZATIONS)
        one_of("tree_engine", self.tree_engine, TREE_ENGINES)
        for name in ("threads", "concurrency", "batch_rows", "batch_milliseconds"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and value > 0):
                raise BadParameter(name, got=value, expected="a number above 0")

"""Sizes that are measured one by one, each where it has its limit: which they are, and what comes of one."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from stagewright.components.measurement import capacity, server_process
from stagewright.components.measurement.capacity import Curve, Sample
from stagewright.components.measurement.cpu_limit import CannotLimit, cpus_of, quantity_of
from stagewright.components.measurement.model_rows import ModelRows
from stagewright.components.measurement.replica import Size
from stagewright.components.optimization.cost.result import Objective
from stagewright.components.optimization.cost.service_patch import Present
from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.model import SERVING
from stagewright.components.runtime.serving_settings import FILE, ServingSettings


@dataclass(frozen=True, slots=True)
class Measured:
    """A size and what came of measuring it.

    Attributes:
        cpus: Its limit.
        curve: What it bears; None if it could not be measured.
        skipped: Why not.
    """

    cpus: float
    curve: Curve | None = None
    skipped: str = ""

    def to_json(self) -> str:
        """As text that a step can hand on; what is not a number is null."""
        document = asdict(self)
        if self.curve is not None:
            document["curve"]["size"] = _plain(document["curve"]["size"])
            document["curve"]["samples"] = [_plain(sample) for sample in document["curve"]["samples"]]
        return json.dumps(document, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote.

        Raises:
            InputError: If it is something else.
        """
        try:
            document = json.loads(text)
            curve = document["curve"]
            if curve is not None:
                size, samples = _numbers(curve["size"]), [_numbers(sample) for sample in curve["samples"]]
                curve = Curve(**curve | {"size": Size(**size), "samples": tuple(Sample(**sample) for sample in samples)})
            return cls(document["cpus"], curve, document["skipped"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"what a step measured cannot be read: {type(error).__name__} {error}") from None


def sizes(objective: Objective, now: Present) -> list[str]:
    """Every size to measure, ascending, as Kubernetes quantities: those that are asked for, and the present one."""
    asked = {cpus_of(limit) for limit in objective.cpu_limits}
    return [quantity_of(cpus) for cpus in sorted(asked | {now.cpus})]


def measure(model: str | Path, cpus: str, objective: Objective, *, data: str = "") -> Measured:
    """What a replica of a size bears; what this machine cannot measure is said in the result.

    Args:
        model: An exported model's folder.
        cpus: The size, as a Kubernetes quantity.
        data: Rows to ask for; by default the model's own baseline.

    Raises:
        InputError: If the model has no rows to ask for.
        GateFailed: If the predictor does not start.
    """
    model, limit = Path(model), cpus_of(cpus)
    requests = ModelRows.load(model, data).requests(server_process.NAME)
    try:
        curve = capacity.measure(
            model, requests, cpus=limit, objective_ms=objective.objective_ms, seconds=objective.seconds,
            rounds=objective.rounds, options=_options(model, limit),
        )  # fmt: skip
    except CannotLimit as reason:
        logs.event("size_skipped", cpus=limit, reason=str(reason))
        return Measured(limit, skipped=str(reason))
    logs.event("size_measured", cpus=limit, capacity=round(curve.size.capacity, 1), how=curve.how, processor=curve.processor)
    return Measured(limit, curve)


def curves(measured: Sequence[Measured]) -> tuple[list[Curve], dict[str, str]]:
    """The curves by size, and why other sizes have none.

    Raises:
        InputError: If nothing could be measured.
    """
    ordered = sorted(measured, key=lambda one: one.cpus)
    found = [one.curve for one in ordered if one.curve is not None]
    skipped = {quantity_of(one.cpus): one.skipped for one in ordered if one.curve is None}
    if not found:
        raise InputError(f"no size could be measured: {'; '.join(skipped.values()) or 'there is none'}")
    return found, skipped


def _options(model: Path, cpus: float) -> list[str]:
    """What the predictor would find in a container of this size by itself; here it may see the whole machine."""
    path = model / SERVING / FILE
    settings = ServingSettings.parse(path.read_bytes(), str(path)) if path.is_file() else ServingSettings()
    return [] if settings.threads else ["--threads", str(math.ceil(cpus))]


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()}


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    return {name: math.nan if value is None else value for name, value in values.items()}

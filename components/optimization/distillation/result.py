"""What a distillation found: every student that was tried, the one that was chosen, and the gate's word on it."""

import json
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from stagewright.components.metrics.outcome import Outcome
from stagewright.components.optimization.distillation.compare import Comparison, Limits
from stagewright.components.optimization.distillation.students import Student
from stagewright.components.optimization.distillation.teach import Options, Taught
from stagewright.components.optimization.distillation.teacher import Teacher
from stagewright.components.runtime.errors import GateFailed


@dataclass(frozen=True)
class Attempt:
    """A student that was tried.

    Attributes:
        validation: Beside its teacher on the validation rows: what the choice is made by.
        failures: Why it may not be chosen; none for one that may.
    """

    taught: Taught
    graph: bytes = field(repr=False)
    validation: Comparison
    failures: list[str]

    @property
    def student(self) -> Student:
        return self.taught.student


@dataclass(frozen=True)
class Distilled:
    """What distilling found.

    Attributes:
        chosen: The student that was chosen; if none passed, the one that came nearest.
        test: It beside its teacher on the test rows, which nothing was chosen by.
        outcomes: What both answered for the test rows, by teacher and student.
        failures: Why the gate said no; none if it passed.
        notes: What a reader must know about how this was measured.
    """

    name: str
    teacher: Teacher
    attempts: list[Attempt]
    chosen: Attempt
    test: Comparison
    outcomes: dict[str, Outcome]
    limits: Limits
    options: Options
    failures: list[str]
    notes: list[str]
    rows: dict[str, int]
    run_id: str = ""

    @property
    def passed(self) -> bool:
        return not self.failures

    def document(self) -> dict[str, Any]:
        """What was found, as JSON."""
        return {
            "name": self.name,
            "teacher": {"label": self.teacher.label, "digest": self.teacher.fingerprint.digest, **self.teacher.lineage()},
            "chosen": self.chosen.student.name,
            "framework": self.chosen.student.framework,
            "rows": self.rows,
            "test": self.test.document(),
            "validation": {attempt.student.name: attempt.validation.document() for attempt in self.attempts},
            "rejected": {attempt.student.name: attempt.failures for attempt in self.attempts if attempt.failures},
            "distillation": self.options.document(),
            "gate": {"passed": self.passed, "failures": self.failures},
            "notes": self.notes,
            "run_id": self.run_id,
        }

    def write(self, path: str | Path) -> None:
        Path(path).write_text(json.dumps(_finite(self.document()), indent=2, allow_nan=False) + "\n", encoding="utf-8")

    def figures(self) -> dict[str, float]:
        """What was measured on the test rows, by name."""
        test = self.test
        found = {
            f"loss_of_{test.metric.name}": test.loss,
            "agreement": test.fidelity.agreement,
            "speedup_batch": test.speedup["batch"],
            "speedup_single_row": test.speedup["single_row"],
            "times_smaller": test.bytes["teacher"] / test.bytes["student"],
        }
        if test.fidelity.divergence is not None:
            found["divergence"] = test.fidelity.divergence
        return {name: number for name, number in found.items() if isfinite(number)}

    def summary(self) -> dict[str, str]:
        """What the student's artifact tells of it."""
        chosen = self.chosen.taught.job
        return {
            "framework": chosen.framework,
            "algorithm": chosen.plan.algorithm,
            "task": chosen.inputs.task.value,
            "run_id": self.run_id,
            "teacher": self.teacher.label,
        }

    def notices(self) -> list[str]:
        """What whoever started the run must know although the step passed: who was turned away, what the figures hide."""
        turned = [attempt for attempt in self.attempts if attempt.failures and attempt is not self.chosen]
        refused = [f"student '{one.student.name}' was turned away: {'; '.join(one.failures)}" for one in turned]
        return [*refused, *(note.removesuffix(".") for note in self.notes)]

    def require(self) -> None:
        """Raise GateFailed if the student must not be used."""
        if self.failures:
            raise GateFailed(f"student '{self.chosen.student.name}' of {self.teacher.label}", self.failures)


def _finite(document: Any) -> Any:
    """The document with what JSON cannot write as null."""
    if isinstance(document, dict):
        return {key: _finite(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_finite(value) for value in document]
    return None if isinstance(document, float) and not isfinite(document) else document

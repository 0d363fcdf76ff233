"""The students that are tried, and how one is taught: any framework of the training stage, on the teacher's soft labels.

A soft label enters a framework that knows only whole ones as one row for each class, weighted by the teacher's probability:
the weighted log loss of those rows is the cross-entropy against the soft label, so nothing is approximated and every
framework can be a student. A value is learned as it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np

from stagewright.components.runtime.errors import BadParameter, InputError, one_of
from stagewright.components.runtime.frameworks import FRAMEWORKS
from stagewright.components.training.frameworks._base import Split

STUDENTS = ("auto", "trees", "linear", "mlp", "vision", "transformer")
# What "auto" means for a teacher of a framework that reads images or texts.
DEEP = {row.name: row.student for row in FRAMEWORKS.values() if row.reads and row.student}
LEAST_WEIGHT = 1e-3  # a class that the teacher gives less than this is left out of a row's soft label
COLUMN_SHARE = 0.97  # of what a student relies on: the columns that a student of few columns keeps


@dataclass(frozen=True, slots=True)
class Student:
    """One student to try.

    Attributes:
        name: As it is called in the report.
        params: Parameters of the framework.
        few_columns: Whether it reads only the columns that its elder, the student of the same parameters, relies on.
        layers: Of a transformer: how many of its teacher's layers it keeps; None: half of them.
    """

    name: str
    framework: str
    params: dict[str, Any] = field(default_factory=dict)
    few_columns: bool = False
    layers: int | None = None

    @property
    def algorithm_params(self) -> dict[str, Any]:
        """What decides the preprocessing beside the framework: sklearn's model."""
        return {key: value for key, value in self.params.items() if key == "model"}

    @property
    def is_network(self) -> bool:
        """Whether it learns soft targets as they are."""
        return self.framework == "torch" or self.is_deep

    @property
    def is_deep(self) -> bool:
        """Whether it reads images or texts as its teacher does."""
        return self.framework in DEEP


_SIZES = ((10, 6, 0.5), (25, 8, 0.3), (60, 12, 0.15), (150, 24, 0.08))  # trees, leaves of each, learning rate
_HIDDEN = ([32], [64, 32])
_STAGES = ([8, 16], [16, 32], [16, 32, 64])  # filters of a convolutional student's stages
_LANGUAGE = {"model": "teacher", "learning_rate": 2e-4, "max_epochs": 6, "patience": 2}  # where all of it is learned
TEACHERS_OWN = ("max_tokens", "pooling", "dropout")  # a transformer student is its teacher in these


def students(kind: str, params: Mapping[str, Any], *, teacher: str = "", hidden_loss: bool = False) -> list[Student]:
    """The students to try, small ones first.

    Args:
        kind: auto, trees, linear, mlp, vision or transformer.
        params: Parameters of the one student to try: of the framework, and for a transformer `layers`; none: several sizes.
        teacher: The framework that made the teacher: one of networks decides what auto means.
        hidden_loss: Whether the students must have hidden layers.

    Raises:
        BadParameter: For another kind, for parameters of no particular kind, or for what a student takes from its teacher.
        InputError: For a kind that cannot learn from this teacher.
    """
    one_of("student", kind, STUDENTS)
    if kind == "auto" and params:
        expected = f"nothing with student=auto, or student={', '.join(STUDENTS[1:-1])} or {STUDENTS[-1]}"
        raise BadParameter("params", got=dict(params), expected=expected)
    if kind == "auto" and teacher not in DEEP:
        networks = _networks() if find_spec("torch") else []
        found = [*_linear(), *_trees(), *networks]
        return [student for student in found if student.is_network] if hidden_loss else found
    kind = DEEP[teacher] if kind == "auto" else kind
    if hidden_loss and kind in {"trees", "linear"}:
        expected = "0 for a student without hidden layers, or student=mlp"
        raise BadParameter("hidden_weight", got="above 0", expected=expected)
    if kind in DEEP.values() and DEEP.get(teacher) != kind:
        needed = next(name for name, student in DEEP.items() if student == kind)
        raise InputError(
            f"student={kind} needs a teacher of framework {needed}, and this one is of {teacher or 'another kind'}"
        )
    several = {"trees": _trees, "linear": _linear, "mlp": _networks, "vision": _vision, "transformer": _transformers}
    return [_one(kind, dict(params))] if params else several[kind]()


def _one(kind: str, params: dict[str, Any]) -> Student:
    match kind:
        case "trees":
            return Student("trees", "lightgbm", {"early_stopping_rounds": None, "subsample": 1.0} | params)
        case "linear":
            return Student("linear", "sklearn", {"model": "linear"} | params)
        case "mlp":
            return Student("network", "torch", params)
        case "vision":
            return Student("network of images", "torch_vision", params)
    layers = params.pop("layers", None)
    for name in ("model", *TEACHERS_OWN):
        if name in params:
            expected = f"no params.{name} with student=transformer, which keeps its teacher's"
            raise BadParameter(f"params.{name}", got=params[name], expected=expected)
    usual = _LANGUAGE if params.get("fine_tune", "all") == "all" else {"model": "teacher"}
    return Student("transformer", "transformers", usual | params, layers=layers)


def _linear() -> list[Student]:
    return [Student("linear", "sklearn", {"model": "linear"})]


def _trees() -> list[Student]:
    made = []
    for trees, leaves, rate in _SIZES:
        params = {
            "n_estimators": trees, "num_leaves": leaves, "learning_rate": rate, "early_stopping_rounds": None,
            "subsample": 1.0, "colsample_bytree": 1.0, "min_child_samples": 40,
        }  # fmt: skip
        made.append(Student(f"{trees} trees", "lightgbm", params))
        if trees < 100:
            made.append(Student(f"{trees} trees, few columns", "lightgbm", params, few_columns=True))
    return made


def _networks() -> list[Student]:
    return [
        Student(
            f"network {'-'.join(map(str, hidden))}",
            "torch",
            {"hidden": hidden, "dropout": 0.0, "max_epochs": 40, "patience": 6},
        )
        for hidden in _HIDDEN
    ]


def _vision() -> list[Student]:
    return [Student(f"network {'-'.join(map(str, stages))}", "torch_vision", {"stages": stages}) for stages in _STAGES]


def _transformers() -> list[Student]:
    return [Student("half of the layers", "transformers", dict(_LANGUAGE))]


def weighted_rows(X: np.ndarray, labels: np.ndarray) -> Split:
    """Rows for a framework that learns whole classes: each row once for each class, weighted by its soft label.

    Args:
        X: [N, F] features.
        labels: [N, C] soft labels, each row adding up to one; or [N] values.
    """
    if labels.ndim == 1:
        return Split(X, labels.astype(np.float32))
    kept = labels >= LEAST_WEIGHT
    rows, classes = np.nonzero(kept)
    totals = np.where(kept, labels, 0.0).sum(axis=1)
    return Split(X[rows], classes.astype(np.int64), (labels[rows, classes] / totals[rows]).astype(np.float32))


def blended(soft: np.ndarray, truth: np.ndarray, known: np.ndarray, hard_weight: float) -> np.ndarray:
    """Soft labels with a share of the truth where it is known: real rows have one, made rows do not.

    Args:
        soft: [N, C] the teacher's probabilities or [N] values.
        truth: [N] class codes or values; of rows that are not known, anything.
        known: [N] whether the truth is known.
        hard_weight: Share of the truth, 0 to 1.
    """
    if hard_weight == 0:
        return soft
    if soft.ndim == 1:
        return np.where(known, (1 - hard_weight) * soft + hard_weight * truth, soft)
    hard = np.zeros_like(soft)
    hard[np.arange(len(soft)), np.where(known, truth, 0)] = 1.0
    return np.where(known[:, None], (1 - hard_weight) * soft + hard_weight * hard, soft)


def main_columns(importances: Mapping[str, float], sources: Mapping[str, str]) -> list[str]:
    """The fewest raw columns that make up `COLUMN_SHARE` of what a model relies on, most important first.

    Args:
        importances: Share of each feature.
        sources: Raw column of each feature.
    """
    shares: dict[str, float] = {}
    for feature, share in importances.items():
        shares[sources[feature]] = shares.get(sources[feature], 0.0) + share
    kept: list[str] = []
    for name, _ in sorted(shares.items(), key=lambda item: (-item[1], item[0])):
        if sum(shares[column] for column in kept) >= COLUMN_SHARE * sum(shares.values()):
            break
        kept.append(name)
    return kept


def require_columns(kept: Sequence[str], available: Iterable[str]) -> None:
    """Stop a student that would have nothing to learn from.

    Raises:
        InputError: If no column is kept.
    """
    if not kept:
        raise InputError(f"no column of {', '.join(available)} tells anything of what the teacher answers")

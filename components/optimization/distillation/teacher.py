"""The teacher: any model that was exported, asked through its served graph for what it thinks of each row."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from stagewright.components.runtime import columns
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.feature_graph import DESCRIPTION_FILE, FeatureGraph, batch_rows, session
from stagewright.components.runtime.fingerprint import GRAPH, Fingerprint, fingerprint
from stagewright.components.runtime.model import FEATURES, METADATA_FILE, SERVING, Label, ModelMetadata
from stagewright.components.runtime.positive import class_name
from stagewright.components.runtime.progress import progress
from stagewright.components.runtime.signature import Signature

_ENSEMBLES = ("random_forest", "gradient_boosted_trees", "hist_gradient_boosting")


@dataclass(frozen=True)
class Teacher:
    """An exported model that others learn from.

    Attributes:
        metadata: How it was made; None for a model that brings no record, such as a bare graph.
    """

    folder: Path
    signature: Signature
    fingerprint: Fingerprint
    metadata: ModelMetadata | None

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The model in a folder.

        Raises:
            InputError: If it is not exported.
        """
        folder = Path(folder)
        if not (folder / SERVING / GRAPH).is_file():
            raise InputError(
                f"the teacher has no {SERVING}/{GRAPH}; export it first, or name a published model, a registered one "
                "or an .onnx file"
            )
        metadata = ModelMetadata.read(folder) if (folder / METADATA_FILE).is_file() else None
        return cls(folder, Signature.read(folder / SERVING), fingerprint(folder), metadata)

    @property
    def label(self) -> str:
        """What it is called in a report."""
        if self.metadata is None:
            return "an imported graph"
        trees = self.metadata.best_iteration or self.metadata.params.get("n_estimators")
        count = f", {trees} trees" if trees and self.metadata.algorithm in _ENSEMBLES else ""
        return f"{self.metadata.name or 'model'} ({self.metadata.framework} {self.metadata.algorithm}{count})"

    @property
    def graph(self) -> bytes:
        return (self.folder / SERVING / GRAPH).read_bytes()

    @cached_property
    def features(self) -> FeatureGraph | None:
        """Its own preprocessing, where it brings it."""
        folder = self.folder / FEATURES
        return FeatureGraph.load(folder) if (folder / DESCRIPTION_FILE).is_file() else None

    @property
    def positive_class(self) -> str:
        """The second of its two classes, where that is not the second in sorted order."""
        classes: list[Any] = list(self.signature.classes or ())
        return class_name(classes[1]) if len(classes) == 2 and classes != sorted(classes) else ""

    def require(self, task: str, classes: tuple[Label, ...] | None, target: str) -> None:
        """Stop if a student of this data could not answer in the teacher's terms.

        Raises:
            InputError: Naming what differs.
        """
        signature = self.signature
        if signature.target not in {None, target}:
            raise InputError(
                f"the teacher predicts '{signature.target}' and the target is '{target}'; name the teacher's target"
            )
        if signature.task != task:
            raise InputError(
                f"the teacher is a {signature.task} model and the data's task is {task}; set the task to the teacher's"
            )
        if signature.classes != classes:
            shown = ", ".join(map(str, signature.classes or ()))[:200]
            raise InputError(
                f"the teacher knows the classes {shown}, which are not those of the data; use data of the same target"
            )

    def feeds(self, table: pl.DataFrame) -> dict[str, np.ndarray]:
        """The graph's inputs for a table.

        Raises:
            InputError: Naming a column that the teacher takes and the table lacks.
        """
        if self.features is not None:
            return self.features.feeds(table)
        return columns.feeds(table, self.signature.inputs)

    def answer(self, table: pl.DataFrame) -> np.ndarray:
        """Probabilities [N, C] float64, each row adding up to one, or values [N]."""
        wanted = "prediction" if self.signature.classes is None else "probabilities"
        running = session(self.graph)
        rows = batch_rows(table, self.signature.inputs, len(self.signature.inputs))
        rows = min(rows, 8192)
        parts = []
        with progress("asking the teacher", total=table.height, unit="rows") as advance:
            for start in range(0, max(table.height, 1), rows):
                part = table.slice(start, rows)
                parts.append(running.run([wanted], self.feeds(part))[0])
                advance(part.height)
        answered = np.concatenate(parts).astype(np.float64)
        if not np.isfinite(answered).all():
            raise InputError(
                "the teacher answers some rows with something that is not a finite number; it cannot be learned from"
            )
        return soft(answered) if wanted == "probabilities" else answered.reshape(-1)

    def saw(self, hashes: dict[str, str]) -> str:
        """What is known of whether the teacher was trained on rows that it is now compared on.

        Args:
            hashes: SHA-256 of this run's splits by use.

        Returns:
            A sentence for the report; empty when the teacher was trained on the very same split.
        """
        if self.metadata is None:
            return (
                "The teacher brings no record of its training: it may have learned from rows that it is judged on here, "
                "which makes it look better than it is and the comparison harder for the student."
            )
        if self.metadata.data.get("train") == hashes["train"]:
            return ""
        return (
            "The teacher was trained on another table than this run's training split: it may have learned from rows that it is "
            "judged on here, which makes it look better than it is and the comparison harder for the student. "
            "The same data, fractions and seed as in the teacher's run give the same splits."
        )

    def lineage(self) -> dict[str, str]:
        """What a student's record says of it."""
        made_by = self.metadata.framework if self.metadata else "onnx"
        algorithm = self.metadata.algorithm if self.metadata else ""
        return {
            "name": self.metadata.name if self.metadata else "",
            "framework": made_by,
            "algorithm": algorithm,
            "recipe": self.fingerprint.recipe,
        }


def soft(probabilities: np.ndarray) -> np.ndarray:
    """Rows that add up to exactly what probabilities do, in float64; what rounding made negative is zero.

    >>> soft(np.array([[0.2, 0.2]])).tolist()
    [[0.5, 0.5]]
    """
    kept = np.clip(np.asarray(probabilities, dtype=np.float64), 0.0, None)
    total = kept.sum(axis=1, keepdims=True)
    even = np.full_like(kept, 1.0 / kept.shape[1])
    return np.divide(kept, total, out=even, where=total > 0)


def soften(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities at a temperature: the softmax of the logits divided by it (Hinton, Vinyals and Dean, 2015)."""
    logits = np.log(np.clip(probabilities, 1e-7, None)) / temperature
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return soft(raised)


def describe(params: dict[str, object]) -> str:
    """Parameters as text for a report."""
    return json.dumps(params, default=str, separators=(", ", ": "))

"""A trained model as a folder: what is known about it, its features, its estimator, and what it answers.

MLmodel, requirements.txt, input_example.json    MLflow's model format (python_function flavour)
model.json                                       ModelMetadata
features/                                        the fitted features: features.onnx, features.json
estimator/                                       the framework's own files, none of them a pickle
serving/                                         added by export_model: model.onnx, signature.json, baseline.parquet
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.frameworks import framework_module
from stagewright.components.runtime.positive import THRESHOLD

if TYPE_CHECKING:
    import polars as pl

    from stagewright.components.runtime.feature_graph import FeatureGraph

METADATA_FILE = "model.json"
FEATURES, ESTIMATOR, SERVING = "features", "estimator", "serving"
GRAPH_THRESHOLD = "head/threshold"  # that of an exported graph: the name of a constant in it

Label = str | int | bool


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model answers for N rows; a classifier has labels and probabilities, a regressor has values.

    Attributes:
        labels: Class of each row, [N], of the target's own type.
        probabilities: [N, C] float32 in the order of the model's classes.
        values: [N] float32.
    """

    labels: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    values: np.ndarray | None = None

    def __len__(self) -> int:
        answered = self.values if self.labels is None else self.labels
        return 0 if answered is None else len(answered)

    @staticmethod
    def output_names(classes: Sequence[Label] | None) -> list[str]:
        """Outputs of an exported graph that make predictions; `classes` is None for a regressor."""
        return ["prediction"] if classes is None else ["label", "probabilities"]

    @classmethod
    def from_outputs(cls, outputs: Mapping[str, np.ndarray]) -> Self:
        """Predictions from a graph's outputs: `prediction` [N] or [N, 1], or `label` [N] and `probabilities` [N, C]."""
        if "prediction" in outputs:
            return cls(values=outputs["prediction"].reshape(-1))
        return cls(labels=outputs["label"].reshape(-1), probabilities=outputs["probabilities"])


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What is known about a model: how it was made, from what, and what it answers.

    Attributes:
        algorithm: The framework's method: "hist_gradient_boosting", "gradient_boosted_trees", "mlp".
        task: binary, multiclass or regression.
        classes: Labels in the order of the probabilities: sorted, but the positive one of two is second; None for regression.
        params: Every hyperparameter with the value that was used.
        features: Each feature's name, source column and kind, in the order of the matrix.
        data: SHA-256 of each table by its use: train, validation.
        threshold: Probability of the second of two classes, the positive one, from which the model answers it.
        libraries: Version of each package that made the model.
        schema: The schema that was in force, as JSON.
        recipe: Hash of framework, algorithm, params, features, target and columns; equal for a retraining on new data.
        signature: Hash of what goes in and comes out; a change breaks callers.
        best_iteration: Number of iterations kept, for methods that stop early.
        importances: Share of each feature in what the model learned, where the method tells it.
        target_spread: How far the training rows' values lie apart, see `parity.spread`; None for classes.
    """

    framework: str
    algorithm: str
    task: str
    target: str
    classes: tuple[Label, ...] | None
    params: dict[str, Any]
    seed: int
    features: list[dict[str, Any]]
    training_rows: int
    validation_rows: int
    data: dict[str, str]
    libraries: dict[str, str]
    schema: dict[str, Any]
    recipe: str
    signature: str
    name: str = ""
    run_id: str = ""
    class_weight: str = "none"
    threshold: float = THRESHOLD
    best_iteration: int | None = None
    importances: dict[str, float] = field(default_factory=dict)
    target_spread: float | None = None

    def write(self, folder: str | Path) -> None:
        (Path(folder) / METADATA_FILE).write_text(json.dumps(asdict(self), indent=2, default=str) + "\n")

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """The metadata in a model folder.

        Raises:
            InputError: If the folder holds no model, or one of another format.
        """
        path = Path(folder) / METADATA_FILE
        try:
            document: Mapping[str, Any] = read_json(path.read_text())
            known = {name.name for name in fields(cls)}
            values = {name: value for name, value in document.items() if name in known}
            return cls(**values | {"classes": None if values["classes"] is None else tuple(values["classes"])})
        except FileNotFoundError:
            raise InputError(f"no {METADATA_FILE} in {folder}: this is not a model that train_model wrote") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} does not describe a model: {error}") from None


class Estimator(Protocol):
    """What a framework trained: features in, probabilities or values out."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Probabilities [N, C] or values [N], float32, for features [N, F] float32."""
        ...

    def save(self, folder: Path) -> None:
        """Write files to an existing folder, none of them a pickle."""
        ...

    def to_onnx(self) -> Any:
        """The estimator as an ONNX ModelProto: `features` float [N, F] -> `probabilities` [N, C] or `prediction` [N, 1]."""
        ...

    def importances(self) -> np.ndarray | None:
        """Share of each feature, [F] summing to 1, or None where the method has none."""
        ...


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model, ready to predict."""

    metadata: ModelMetadata
    features: "FeatureGraph"
    estimator: Estimator
    folder: Path

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load a model folder; only the framework that made it is imported.

        Raises:
            InputError: If the folder is not a model, its framework is not installed, or its files are damaged or unsafe.
        """
        from stagewright.components.runtime.feature_graph import FeatureGraph

        folder = Path(folder)
        metadata = ModelMetadata.read(folder)
        estimator = framework_module(metadata.framework).load(folder / ESTIMATOR)
        return cls(metadata, FeatureGraph.load(folder / FEATURES), estimator, folder)

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """Answer for each row of a table that has the model's raw columns, in any order and with others beside them.

        Raises:
            InputError: Naming a column that is missing or of the wrong type.
        """
        parts = [self.estimator.predict(self.features.transform(part)) for part in self._parts(table)]
        return answers(parts[0] if len(parts) == 1 else np.concatenate(parts), self.metadata.classes, self.metadata.threshold)

    def _parts(self, table: "pl.DataFrame") -> "list[pl.DataFrame]":
        """The table in parts whose matrix fits into memory: the whole of it, but for many large images."""
        from stagewright.components.runtime.feature_graph import BATCH_BYTES

        rows = max(1, BATCH_BYTES // (4 * self.features.width)) if any(f.shape for f in self.features.outputs) else table.height
        return [table.slice(start, rows) for start in range(0, table.height, max(rows, 1))] or [table]


def answers(raw: np.ndarray, classes: Sequence[Label] | None, threshold: float = THRESHOLD) -> Predictions:
    """Predictions from an estimator's output.

    Args:
        raw: Probabilities [N, C], or values [N] if there are no classes.
    """
    raw = np.asarray(raw, dtype=np.float32)
    if classes is None:
        return Predictions(values=raw.reshape(-1))
    return Predictions(labels=np.asarray(classes)[decide(raw, threshold)], probabilities=raw)


def decide(probabilities: np.ndarray, threshold: float = THRESHOLD) -> np.ndarray:
    """Index of the answered class of each row, [N]: the same rule as in the exported graph.

    >>> decide(np.array([[0.5, 0.5], [0.6, 0.4]], dtype=np.float32)).tolist()
    [1, 0]
    """
    if probabilities.shape[1] == 2:
        return (probabilities[:, 1] >= np.float32(threshold)).astype(np.int64)
    return probabilities.argmax(axis=1)

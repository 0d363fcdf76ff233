"""One student taught: its features, its soft rows, its training; as a model in memory."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stagewright.components.features.fit import fit_features
from stagewright.components.optimization.distillation.augment import augment
from stagewright.components.optimization.distillation.students import (
    DEEP,
    TEACHERS_OWN,
    Student,
    blended,
    main_columns,
    require_columns,
    weighted_rows,
)
from stagewright.components.optimization.distillation.teacher import Teacher
from stagewright.components.runtime import logs, tables
from stagewright.components.runtime.feature_graph import FeatureGraph
from stagewright.components.runtime.frameworks import framework_module
from stagewright.components.runtime.model import FEATURES, Model
from stagewright.components.runtime.schema import Schema
from stagewright.components.runtime.signature import Input
from stagewright.components.training import folder as model_folder
from stagewright.components.training.frameworks._base import Fit, Plan, TrainingData
from stagewright.components.training.inputs import Inputs, prepare
from stagewright.components.training.record import Job

MOST_MADE_ROWS = 300_000
_ELEMENTS = {"float": "float32", "int64": "int64", "string": "object", "uint8": "uint8"}
_BY_COLUMNS = Student("linear", "sklearn", {"model": "linear"})  # its features are scaled: near by them is near


@dataclass(frozen=True, slots=True)
class Options:
    """How students are taught.

    Attributes:
        augmentation: Made rows for each training row.
        temperature: Of a network's soft targets.
        hard_weight: Share of the truth in the labels of real rows.
        hidden_weight: Weight of the hidden layer's loss, for a network that learns from a network.
        keep_inputs: Whether a student of few columns still takes the others, and makes nothing of them.
        specification: Of preprocessing, as fit_features takes it.
    """

    augmentation: float = 4.0
    temperature: float = 1.0
    hard_weight: float = 0.0
    hidden_weight: float = 0.0
    keep_inputs: bool = True
    specification: Mapping[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """What of this decides the student, for its recipe."""
        return {
            "augmentation": self.augmentation,
            "temperature": self.temperature,
            "hard_weight": self.hard_weight,
            "hidden_weight": self.hidden_weight,
            "keep_inputs": self.keep_inputs,
        }


@dataclass(frozen=True)
class Taught:
    """A student that has learned.

    Attributes:
        job: Its training, for the record.
        model: Ready to answer and to be exported; its folder does not exist yet.
        seconds: What teaching took.
    """

    student: Student
    job: Job
    fit: Fit
    model: Model


class DistillationContext:
    """What all students of one teacher share: real and synthetic rows, and the teacher's soft labels."""

    def __init__(
        self, teacher: Teacher, *, train: Path, validation: Path, schema: Path, name: str, options: Options, seed: int
    ) -> None:
        self.teacher, self.train, self.validation, self.schema_file = teacher, train, validation, schema
        self.name, self.options, self.seed = name, options, seed
        self.schema = Schema.read(schema)
        self._prepared: dict[str, Inputs] = {}
        self._elders: dict[str, Taught] = {}

    @property
    def of_networks(self) -> bool:
        """Whether the teacher is a network of images or texts."""
        return self.teacher.metadata is not None and self.teacher.metadata.framework in DEEP

    @cached_property
    def rows(self) -> tuple[pl.DataFrame, np.ndarray]:
        """Real training rows followed by made ones, and whether each is real."""
        real = tables.read_table(self.train)
        names = [name for name in real.columns if name != self.schema.target]
        if self.of_networks:  # images and texts are not made of columns that could be exchanged
            return real.select(names), np.ones(real.height, bool)
        wanted = min(round(self.options.augmentation * real.height), MOST_MADE_ROWS)
        inputs = self.inputs(_BY_COLUMNS)
        made = augment(real.select(names), inputs.data.train.X, wanted, seed=self.seed)
        logs.event("rows_made", real=real.height, made=made.height)
        known = np.concatenate([np.ones(real.height, bool), np.zeros(made.height, bool)])
        return pl.concat([real.select(names), made]), known

    @cached_property
    def labels(self) -> np.ndarray:
        """Soft labels of the training rows: [N, C], or [N] values."""
        rows, known = self.rows
        inputs = next(iter(self._prepared.values()))
        truth = np.zeros(len(known), dtype=inputs.data.train.y.dtype)
        truth[: len(inputs.data.train.y)] = inputs.data.train.y
        return blended(self.teacher.answer(rows), truth, known, self.options.hard_weight)

    @cached_property
    def validation_labels(self) -> np.ndarray:
        """Soft labels of the validation rows: [N, C], or [N] values."""
        return self.teacher.answer(tables.read_table(self.validation))

    def inputs(self, student: Student, columns: tuple[str, ...] = ()) -> Inputs:
        """Both splits as the student's features see them; fitted once for students that see the same."""
        key = f"{student.framework} {student.algorithm_params} {columns}"
        if student.is_deep:  # it reads what its teacher reads
            features = self.teacher.folder / FEATURES
            self._prepared.setdefault(
                key, prepare(self.train, self.validation, features, self.schema_file, "none", self.teacher.positive_class)
            )
        if key not in self._prepared:
            graph = fit_features(
                self.train, self.schema, framework=student.framework, params=student.algorithm_params,
                specification=self._specification(columns),
            )  # fmt: skip
            if columns and self.options.keep_inputs:
                graph = taking(graph, self.inputs(student).features.inputs)
            with tempfile.TemporaryDirectory(prefix="features-") as folder:
                graph.save(folder)
                self._prepared[key] = prepare(
                    self.train, self.validation, Path(folder), self.schema_file, "none", self.teacher.positive_class
                )
        return self._prepared[key]

    def teach(self, student: Student) -> Taught | None:
        """The student, taught; None for one of few columns whose elder already relies on few."""
        columns: tuple[str, ...] = ()
        if student.few_columns:
            columns = self._few_columns(student)
            if not columns:
                return None
        inputs = self.inputs(student, columns)
        library = framework_module(student.framework)
        plan: Plan = library.plan(student.params)
        if student.framework == "transformers":
            plan = Plan(plan.algorithm, {name: value for name, value in plan.params.items() if name not in TEACHERS_OWN})
        job = self._job(student, inputs, plan)
        fit = self._fit(student, inputs, plan, library)
        taught = Taught(student, job, fit, Model(job.metadata(fit, ""), inputs.features, fit.estimator, Path()))
        self._elders.setdefault(_parameters(student), taught)
        return taught

    def _fit(self, student: Student, inputs: Inputs, plan: Plan, library: Any) -> Fit:
        rows, _ = self.rows
        X, X_validation = inputs.features.transform(rows), inputs.data.validation.X
        if student.is_deep:
            from stagewright.components.optimization.distillation import deep

            options = self.options
            consistent = student.framework == "torch_vision" and not options.hard_weight
            config = deep.DistillationConfig(options.temperature, options.hidden_weight, consistent, self.seed)
            teacher = Model.load(self.teacher.folder).estimator
            return deep.teach(teacher, (X, X_validation), (self.labels, self.validation_labels), plan, config, student.layers)
        if student.is_network:
            from stagewright.components.optimization.distillation import network

            hidden = self._hidden(rows), self._hidden(tables.read_table(self.validation))
            return network.train(
                network.SoftSplit(X, self.labels, hidden[0]),
                network.SoftSplit(X_validation, self.validation_labels, hidden[1]),
                inputs.features.outputs, plan, temperature=self.options.temperature,
                hidden_weight=self.options.hidden_weight, seed=self.seed,
            )  # fmt: skip
        data = TrainingData(
            weighted_rows(X, self.labels),
            weighted_rows(X_validation, self.validation_labels),
            inputs.data.features,
            inputs.data.classes,
        )
        fit: Fit = library.train(data, plan, seed=self.seed)
        return fit

    def _hidden(self, rows: pl.DataFrame) -> np.ndarray | None:
        """The teacher's last hidden layer for rows, if it has one and it is wanted."""
        if not self.options.hidden_weight:
            return None
        from stagewright.components.optimization.distillation.network import hidden_states

        teacher = Model.load(self.teacher.folder)
        return hidden_states(teacher.estimator, teacher.features.transform(rows))

    def _few_columns(self, student: Student) -> tuple[str, ...]:
        elder = self._elders.get(_parameters(student)) or self.teach(replace(student, few_columns=False))
        if elder is None:
            return ()
        weights = elder.job.metadata(elder.fit, "").importances
        graph: FeatureGraph = elder.model.features
        kept = main_columns(weights, {feature.name: feature.source for feature in graph.outputs})
        require_columns(kept, [column.name for column in graph.inputs])
        return tuple(sorted(kept)) if len(kept) < len(graph.inputs) else ()

    def _specification(self, columns: tuple[str, ...]) -> dict[str, Any]:
        given = dict(self.options.specification or {})
        if not columns:
            return given
        dropped = [c.name for c in self.schema.features if c.name not in columns]
        return given | {"columns": dict(given.get("columns", {})) | {name: {"drop": True} for name in dropped}}

    def _job(self, student: Student, inputs: Inputs, plan: Plan) -> Job:
        """The training as it is recorded: the teacher stands among the parameters, its digest among the data."""
        taught = {"teacher": self.teacher.lineage(), **self.options.document()}
        if student.layers:
            taught["layers"] = student.layers
        return Job(
            name=self.name,
            framework=student.framework,
            plan=Plan(plan.algorithm, plan.params | {"distillation": taught}),
            inputs=replace(inputs, hashes=inputs.hashes | {"teacher": self.teacher.fingerprint.digest.removeprefix("sha256:")}),
            class_weight="none",
            seed=self.seed,
            libraries=model_folder.libraries(student.framework),
            threshold=self.teacher.signature.threshold,
        )


def taking(graph: FeatureGraph, columns: Sequence[Input]) -> FeatureGraph:
    """The same preprocessing, which also takes columns that it makes nothing of: whoever sends them need not know."""
    from onnx import helper

    proto = graph.proto()
    own = {given.name for given in proto.graph.input}
    rows = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param or None
    for column in columns:
        if column.name not in own:
            element = helper.np_dtype_to_tensor_dtype(np.dtype(_ELEMENTS[column.graph_type]))
            proto.graph.input.append(helper.make_tensor_value_info(column.name, element, [rows, *column.graph_shape]))
    return replace(graph, inputs=tuple(columns), graph=proto.SerializeToString(deterministic=True))


def _parameters(student: Student) -> str:
    return f"{student.framework} {student.params}"

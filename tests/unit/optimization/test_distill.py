"""Students of real teachers: chosen by measurement, refused by measurement, recorded as models of their own."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl
import pytest
from mlflow import MlflowClient
from sklearn.metrics import recall_score
from support import deep_models, trainings
from support.trainings import Data

from stagewright.components.export.export_model import export_model
from stagewright.components.export.import_model import import_model
from stagewright.components.optimization.distillation.compare import Limits
from stagewright.components.optimization.distillation.distill import distill_model
from stagewright.components.optimization.distillation.page import page, read_columns
from stagewright.components.optimization.distillation.result import Distilled
from stagewright.components.optimization.distillation.students import students
from stagewright.components.optimization.distillation.teach import Options
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import BadParameter, GateFailed, InputError
from stagewright.components.runtime.model import Model
from stagewright.components.runtime.schema import Task
from stagewright.components.runtime.signature import Signature

ANY_SPEED = Limits(minimum_speedup=0, minimum_agreement=0.5, maximum_divergence=1, tolerance=100)
QUICK = Options(augmentation=1.0)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    uri = f"sqlite:///{tmp_path_factory.mktemp('tracking') / 'mlflow.db'}"
    patch = pytest.MonkeyPatch()
    patch.setenv("MLFLOW_TRACKING_URI", uri)
    yield uri
    patch.undo()


def _data(folder: Path, table: pl.DataFrame, target: str, task: Task) -> Data:
    """Train, validation and test."""
    data = trainings.split(folder, table, target, task)
    rest = tables.read_table(data.validation)
    tables.write_table(rest[: rest.height // 2], data.validation)
    tables.write_table(rest[rest.height // 2 :], folder / "test.parquet")
    return data


def _teacher(data: Data, folder: Path, framework: str, params: dict[str, object]) -> Path:
    data.model(folder / "trained", framework, params, name="large")
    export_model(folder / "trained", data.validation, folder / "teacher")
    return folder / "teacher"


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory, telco: pl.DataFrame) -> Data:
    return _data(tmp_path_factory.mktemp("churn"), telco.head(2400), "churn", Task.BINARY)


@pytest.fixture(scope="module")
def forest(churn: Data, recorded: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    params: dict[str, object] = {"model": "random_forest", "n_estimators": 200}
    return _teacher(churn, tmp_path_factory.mktemp("forest"), "sklearn", params)


def _distill(teacher: Path, data: Data, model: Path, **arguments: object) -> Distilled:
    given = {"limits": ANY_SPEED, "options": QUICK, "name": "small"} | arguments
    return distill_model(
        teacher, train=data.train, validation=data.validation, test=data.folder / "test.parquet", schema=data.schema,
        model=model, **given,  # type: ignore[arg-type]
    )  # fmt: skip


def test_student_is_a_model_of_its_own_that_names_its_teacher(forest: Path, churn: Data, recorded: str, tmp_path: Path) -> None:
    found = _distill(forest, churn, tmp_path / "student", student="trees", params={"n_estimators": 15, "num_leaves": 8})

    model = Model.load(tmp_path / "student")
    export_model(tmp_path / "student", churn.validation, tmp_path / "exported")
    assert (model.metadata.framework, model.metadata.name, model.metadata.classes) == ("lightgbm", "small", ("No", "Yes"))
    assert model.metadata.params["distillation"]["teacher"]["name"] == "large"
    assert model.metadata.data["teacher"] == found.teacher.fingerprint.digest.removeprefix("sha256:")
    assert model.metadata.run_id == found.run_id
    run = MlflowClient().get_run(found.run_id)
    assert run.data.tags["stagewright.teacher"] == "large (sklearn random_forest, 200 trees)"
    assert run.data.metrics["speedup_batch"] == pytest.approx(found.test.speedup["batch"])


def test_small_student_of_a_forest_is_faster_and_as_good(forest: Path, churn: Data, recorded: str, tmp_path: Path) -> None:
    found = _distill(forest, churn, tmp_path / "student", student="trees", limits=Limits(minimum_speedup=1.5, tolerance=1.5))

    assert found.failures == []
    assert found.test.speedup["batch"] >= 1.5
    assert found.test.loss <= 1.5
    assert found.test.bytes["student"] < found.test.bytes["teacher"] / 20
    passing = [attempt for attempt in found.attempts if not attempt.failures]
    fastest = min(attempt.validation.latency["student"].batch for attempt in passing)
    assert found.chosen.validation.latency["student"].batch <= 1.05 * fastest


def test_student_of_few_columns_takes_what_its_teacher_takes(forest: Path, churn: Data, recorded: str, tmp_path: Path) -> None:
    found = _distill(forest, churn, tmp_path / "student", student="trees")

    few = next(attempt for attempt in found.attempts if attempt.student.few_columns)
    assert len(read_columns(few)) < len(few.taught.model.features.inputs) == 19
    session = onnxruntime.InferenceSession(few.graph)
    assert {given.name for given in session.get_inputs()} == set(found.teacher.signature.names)
    rows = tables.read_table(churn.validation)
    feeds = few.taught.model.features.feeds(rows)
    own = few.taught.model.predict(rows).probabilities
    np.testing.assert_allclose(session.run(["probabilities"], feeds)[0], own, atol=1e-5)


def test_student_of_few_columns_may_take_only_those(forest: Path, churn: Data, recorded: str, tmp_path: Path) -> None:
    options = Options(augmentation=1.0, keep_inputs=False)

    found = _distill(forest, churn, tmp_path / "student", student="trees", options=options)

    few = next(attempt for attempt in found.attempts if attempt.student.few_columns)
    assert sorted(column.name for column in few.taught.model.features.inputs) == read_columns(few)
    assert len(read_columns(few)) < 19


def test_bad_student_is_refused_and_leaves_nothing(forest: Path, churn: Data, recorded: str, tmp_path: Path) -> None:
    poor = {"n_estimators": 1, "num_leaves": 2}
    before = len(MlflowClient().search_runs([e.experiment_id for e in MlflowClient().search_experiments()]))

    found = _distill(forest, churn, tmp_path / "student", student="trees", params=poor, limits=Limits(), name="poor")

    assert not (tmp_path / "student").exists()
    assert len(MlflowClient().search_runs([e.experiment_id for e in MlflowClient().search_experiments()])) == before
    with pytest.raises(
        GateFailed, match=r"student 'trees' of large \(sklearn random_forest, 200 trees\) did not pass: .*roc_auc"
    ):
        found.require()
    page(found).write(tmp_path / "report.html")
    assert "may not take the teacher" in (tmp_path / "report.html").read_text()
    found.write(tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text())["gate"]["passed"] is False


def test_report_shows_both(forest: Path, churn: Data, recorded: str, tmp_path: Path) -> None:
    found = _distill(forest, churn, tmp_path / "student", student="linear")

    page(found).write(tmp_path / "report.html")
    shown = (tmp_path / "report.html").read_text()
    assert shown.count("<svg") == 4
    for said in ("Teacher and student", "95 % interval", "as fast on batches", "as fast on single rows", "Where they agree"):
        assert said in shown
    assert "may have learned from rows" not in shown


def test_teacher_of_other_data_is_said_to_have_an_advantage(forest: Path, churn: Data, recorded: str, tmp_path: Path) -> None:
    rows = tables.read_table(churn.train)
    tables.write_table(rows[:-5], tmp_path / "less.parquet")

    found = distill_model(
        forest, train=tmp_path / "less.parquet", validation=churn.validation, test=churn.folder / "test.parquet",
        schema=churn.schema, model=tmp_path / "student", name="small", student="linear", limits=ANY_SPEED, options=QUICK,
    )  # fmt: skip

    assert len(found.notes) == 1
    assert "makes it look better than it is" in found.notes[0]
    assert found.notices() == [found.notes[0].removesuffix(".")]


def test_students_that_were_turned_away_are_named(forest: Path, churn: Data, recorded: str, tmp_path: Path) -> None:
    found = _distill(forest, churn, tmp_path / "student", student="trees", params={"n_estimators": 5})
    [chosen] = found.attempts
    other = replace(chosen, failures=["it loses 3.1 points of ROC AUC, 1 are allowed", "it is 1.20 times as fast"])

    both = replace(found, attempts=[other, chosen], notes=[])

    assert both.notices() == [
        "student 'trees' was turned away: it loses 3.1 points of ROC AUC, 1 are allowed; it is 1.20 times as fast"
    ]
    assert replace(both, chosen=other, attempts=[other]).notices() == []  # the step fails with these very words


def test_equal_seeds_make_equal_students(forest: Path, churn: Data, recorded: str, tmp_path: Path) -> None:
    params = {"n_estimators": 5}
    for name in ("one", "two"):
        _distill(forest, churn, tmp_path / name, student="trees", params=params, seed=7)

    first, second = ((tmp_path / name / "estimator" / "model.txt").read_bytes() for name in ("one", "two"))
    assert first == second


def test_network_learns_the_hidden_layer_of_a_network(churn: Data, recorded: str, tmp_path: Path) -> None:
    teacher = _teacher(churn, tmp_path, "torch", {"hidden": [128, 64], "max_epochs": 10})
    params = {"hidden": [16], "max_epochs": 8, "dropout": 0.0}
    options = Options(augmentation=1.0, temperature=2.0, hidden_weight=0.5)

    found = _distill(teacher, churn, tmp_path / "student", student="mlp", params=params, options=options)

    assert found.failures == []
    assert found.test.fidelity.agreement > 0.9
    model = Model.load(tmp_path / "student")
    assert model.metadata.params["distillation"]["hidden_weight"] == 0.5
    history = found.chosen.taught.fit.history["validation_distillation_log_loss"]
    assert history[-1] < history[0]


def test_hidden_layer_needs_a_teacher_that_has_one(forest: Path, churn: Data, recorded: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no hidden layers to learn from"):
        _distill(forest, churn, tmp_path / "student", student="mlp", options=Options(hidden_weight=1.0))


@pytest.mark.parametrize("student", ["trees", "linear"])
def test_values_are_distilled_too(diabetes: pl.DataFrame, recorded: str, tmp_path: Path, student: str) -> None:
    data = _data(tmp_path / "data", diabetes, "progression", Task.REGRESSION)
    teacher = _teacher(data, tmp_path, "sklearn", {"model": "random_forest", "n_estimators": 100})

    found = _distill(teacher, data, tmp_path / "student", student=student, limits=Limits(tolerance=40, minimum_agreement=0.4))

    assert found.failures == []
    assert found.test.metric.name == "rmse"
    assert found.test.fidelity.divergence is None
    assert Model.load(tmp_path / "student").metadata.task == "regression"
    page(found).render()


@pytest.mark.parametrize("student", ["trees", "linear", "mlp"])
def test_several_classes_are_distilled_too(wine: pl.DataFrame, recorded: str, tmp_path: Path, student: str) -> None:
    data = _data(tmp_path / "data", wine, "cultivar", Task.MULTICLASS)
    teacher = _teacher(data, tmp_path, "xgboost", {"n_estimators": 60})

    found = _distill(teacher, data, tmp_path / "student", student=student, options=Options(augmentation=5.0))

    assert found.failures == []
    assert found.test.fidelity.agreement >= 0.8
    assert np.allclose(found.outcomes["student"].class_probabilities.sum(axis=1), 1)
    page(found).render()


def test_bare_graph_can_teach(wine: pl.DataFrame, recorded: str, tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.ensemble import RandomForestClassifier

    names = {name: f"features_{at}" for at, name in enumerate(wine.columns) if name != "cultivar"}
    data = _data(tmp_path / "data", wine.rename(names), "cultivar", Task.MULTICLASS)
    rows = tables.read_table(data.train)
    X = rows.select(list(names.values())).to_numpy().astype(np.float32)
    model = RandomForestClassifier(100, random_state=0).fit(X, rows["cultivar"].to_numpy())
    graph = to_onnx(
        model, initial_types=[("features", FloatTensorType([None, X.shape[1]]))], options={id(model): {"zipmap": False}}
    )
    (tmp_path / "bare.onnx").write_bytes(graph.SerializeToString())
    import_model(str(tmp_path / "bare.onnx"), tmp_path / "bare")

    found = _distill(tmp_path / "bare", data, tmp_path / "student", student="linear")

    assert found.teacher.label == "an imported graph"
    assert "brings no record of its training" in found.notes[0]
    assert found.test.fidelity.agreement > 0.85


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"student": "tree"},
            r"parameter 'student' is 'tree'; expected one of .* \(did you mean 'trees'",
        ),
        ({"student": "auto", "params": {"n_estimators": 3}}, "expected nothing with student=auto"),
        ({"student": "trees", "params": {"depth": 3}}, "lightgbm has no parameter 'depth'"),
        ({"options": Options(temperature=0)}, "parameter 'temperature'"),
        ({"options": Options(hard_weight=2)}, "parameter 'hard_weight'"),
        ({"options": Options(augmentation=-1)}, "parameter 'augmentation'"),
        ({"limits": Limits(load="rows")}, "parameter 'load' is 'rows'"),
        ({"limits": Limits(metric="rmse")}, "parameter 'metric' is 'rmse'"),
        ({"seed": -1}, "parameter 'seed'"),
        ({"name": "Small"}, "parameter 'name'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_taught(
    forest: Path, churn: Data, recorded: str, tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        _distill(forest, churn, tmp_path / "student", **arguments)


def test_teacher_of_another_target_is_refused(churn: Data, recorded: str, wine: pl.DataFrame, tmp_path: Path) -> None:
    data = _data(tmp_path / "wine", wine, "cultivar", Task.MULTICLASS)
    teacher = _teacher(data, tmp_path, "lightgbm", {"n_estimators": 5})

    with pytest.raises(InputError, match="the teacher predicts 'cultivar' and the target is 'churn'"):
        _distill(teacher, churn, tmp_path / "student", student="linear")


def test_auto_tries_every_kind_and_small_ones_first() -> None:
    tried = students("auto", {})

    assert {student.framework for student in tried} == {"sklearn", "lightgbm", "torch"}
    trees = [student.params["n_estimators"] for student in tried if student.framework == "lightgbm"]
    assert trees == sorted(trees)
    with pytest.raises(BadParameter, match=r"or student=trees, linear, mlp, vision or transformer$"):
        students("auto", {"max_epochs": 3})
    with pytest.raises(BadParameter, match="student without hidden layers"):
        students("trees", {}, hidden_loss=True)


def test_network_of_images_teaches_a_smaller_one(recorded: str, tmp_path: Path) -> None:
    data = deep_models.digits_data(tmp_path / "data")
    teacher = deep_models.digits_model(tmp_path / "teacher")
    options = Options(temperature=3.0, hidden_weight=0.1)
    params = {"stages": [16, 32], "max_epochs": 8, "shift": 0.05, "learning_rate": 4e-3}

    found = distill_model(
        teacher, train=data.train, validation=data.validation, test=data.validation, schema=data.schema,
        model=tmp_path / "student", name="small", params=params, student="vision", limits=ANY_SPEED, options=options,
    )  # fmt: skip

    assert found.failures == []
    assert found.test.student.values["accuracy"] > 0.93
    assert found.test.bytes["student"] < found.test.bytes["teacher"] / 1.5
    model = Model.load(tmp_path / "student")
    assert model.metadata.params["stages"] == [16, 32]
    page(found).render()


@pytest.mark.slow
def test_transformer_teaches_one_of_fewer_layers(recorded: str, tmp_path: Path) -> None:
    data = deep_models.reviews_data(tmp_path / "data")
    for path, rows in ((data.train, 240), (data.validation, 80)):  # a config on two cores
        tables.write_table(tables.read_table(path).head(rows), path)
    teacher = _teacher(data, tmp_path, "transformers", deep_models.REVIEWS_PARAMS)
    options = Options(temperature=2.0, hidden_weight=0.5)

    found = distill_model(
        teacher, train=data.train, validation=data.validation, test=data.validation, schema=data.schema,
        model=tmp_path / "student", name="small", params={"layers": 3, "max_epochs": 2}, student="transformer",
        limits=ANY_SPEED, options=options,
    )  # fmt: skip

    assert found.failures == []
    assert found.test.fidelity.agreement > 0.7
    assert found.test.bytes["student"] < found.test.bytes["teacher"]
    export_model(tmp_path / "student", data.validation, tmp_path / "exported")
    student = Model.load(tmp_path / "exported")
    assert not {"pooling", "max_tokens", "dropout"} & set(student.metadata.params)  # they are the teacher's
    assert student.estimator.network.encoder.config.num_hidden_layers == 3  # type: ignore[attr-defined]


def test_student_of_images_needs_a_teacher_of_images(forest: Path, churn: Data, recorded: str, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="student=vision needs a teacher of framework torch_vision, and this one is of sklearn"
    ):
        _distill(forest, churn, tmp_path / "student", student="vision")


def test_a_student_is_judged_at_the_threshold_of_its_teacher(churn: Data, recorded: str, tmp_path: Path) -> None:
    params = {"n_estimators": 40}
    churn.model(tmp_path / "trained", "xgboost", params, name="large", positive_class="No", threshold=0.8)
    export_model(tmp_path / "trained", churn.validation, tmp_path / "teacher")

    found = _distill(tmp_path / "teacher", churn, tmp_path / "student", student="trees", params={"n_estimators": 15})

    student, test = Model.load(tmp_path / "student"), tables.read_table(churn.folder / "test.parquet")
    assert (student.metadata.classes, student.metadata.threshold) == (("Yes", "No"), 0.8)
    for outcome in found.outcomes.values():
        assert outcome.labels == ("Yes", "No")
        decided = outcome.class_probabilities[:, 1].astype(np.float32) >= np.float32(0.8)
        assert outcome.predicted.tolist() == decided.astype(int).tolist()
        assert decided.tolist() != (outcome.class_probabilities[:, 1] >= 0.5).tolist()
    answered = np.array(["Yes", "No"])[found.outcomes["student"].predicted]
    assert answered.tolist() == student.predict(test).labels.tolist()  # type: ignore[union-attr]
    assert found.test.student.values["recall"] == pytest.approx(recall_score(test["churn"], answered, pos_label="No"))
    agreed = found.outcomes["teacher"].predicted == found.outcomes["student"].predicted
    assert found.test.fidelity.agreement == pytest.approx(agreed.mean())
    run = MlflowClient().get_run(found.run_id)
    assert (run.data.params["positive_class"], run.data.params["threshold"]) == ("No", "0.8")
    export_model(tmp_path / "student", churn.validation, tmp_path / "exported")
    assert Signature.read(tmp_path / "exported" / "serving").threshold == 0.8

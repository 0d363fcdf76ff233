"""An exported model: one graph that takes raw columns, what describes it, and the gate before it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
from support import trainings
from support.trainings import Data

from stagewright.components.export.export_model import export_model
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import BadParameter, GateFailed, InputError
from stagewright.components.runtime.model import Model
from stagewright.components.runtime.schema import ColumnKind, Task
from stagewright.components.runtime.signature import Signature
from stagewright.components.training.frameworks.lightgbm import LightGBMEstimator


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, telco: pl.DataFrame) -> Data:
    """Telco with a boolean, a time and an integer category, each with missing values."""
    day = pl.datetime(2020, 1, 1) + pl.duration(hours=pl.int_range(pl.len()))
    rows = telco.with_columns(
        pl.col("female").cast(pl.Boolean),
        joined=pl.when(pl.col("tenure") > 0).then(day),
        region=pl.when(pl.col("tenure") != 5).then(pl.int_range(pl.len()) % 4),
    )
    kinds = {"region": ColumnKind.CATEGORICAL}
    return trainings.split(tmp_path_factory.mktemp("data"), rows.head(5000), "churn", Task.BINARY, kinds=kinds)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, data: Data) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("model")
    patch = pytest.MonkeyPatch()
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    yield data.model(folder / "model", "lightgbm", {"n_estimators": 100}, name="churn")
    patch.undo()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, data: Data, model: Path) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "model"
    export_model(model, data.validation, folder)
    return folder


def test_graph_takes_raw_columns_and_answers_labels(exported: Path, data: Data) -> None:
    graph = onnx.load(exported / "serving" / "model.onnx")
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    types = {given.name: given.type for given in session.get_inputs()}

    assert set(types) == set(tables.read_table(data.validation).columns) - {"churn"}
    assert (types["tenure"], types["female"], types["contract"], types["joined"], types["region"]) == (
        "tensor(float)", "tensor(float)", "tensor(string)", "tensor(int64)", "tensor(string)",
    )  # fmt: skip
    assert [(made.name, made.type, made.shape[1:]) for made in session.get_outputs()] == [
        ("label", "tensor(string)", []),
        ("probabilities", "tensor(float)", [2]),
    ]
    operators = [node.op_type for node in graph.graph.node]
    assert operators.count("TreeEnsembleClassifier") == 1
    assert "ZipMap" not in operators


def test_graph_says_nothing_of_when_it_was_made(exported: Path, data: Data, model: Path, tmp_path: Path) -> None:
    export_model(model, data.validation, tmp_path / "again")

    for name in ("model.onnx", "signature.json", "baseline.parquet"):
        assert (tmp_path / "again" / "serving" / name).read_bytes() == (exported / "serving" / name).read_bytes()


def test_signature_describes_the_graph(exported: Path) -> None:
    signature = Signature.read(exported / "serving")
    inputs = {column.name: column for column in signature.inputs}

    assert (signature.task, signature.classes, signature.threshold) == ("binary", ("No", "Yes"), 0.5)
    assert (signature.target, signature.framework) == ("churn", "lightgbm")
    assert set(inputs["contract"].categories or ()) == {"Month-to-month", "One year", "Two year"}
    assert set(inputs["region"].categories or ()) == {"0", "1", "2", "3"}
    assert [inputs[name].kind for name in ("tenure", "female", "joined")] == ["numeric", "boolean", "datetime"]


def test_baseline_is_validation_rows_with_the_models_own_answers(exported: Path, data: Data) -> None:
    baseline, model = tables.read_table(exported / "serving" / "baseline.parquet"), Model.load(exported)
    own = model.predict(baseline)

    assert baseline.height == 1000  # of 1,250
    assert baseline.columns == [
        *(column.name for column in model.features.inputs), "__label__", "__probability_0__", "__probability_1__", "__target__",
        "__tolerance__",
    ]  # fmt: skip
    assert baseline["__label__"].to_list() == own.labels.tolist()  # type: ignore[union-attr]
    assert np.array_equal(baseline.select("__probability_0__", "__probability_1__").to_numpy(), own.probabilities)  # type: ignore[arg-type]
    validation = tables.read_table(data.validation)
    assert baseline["__target__"][-1] == validation["churn"][-1]
    assert baseline.select(data_columns := ["tenure", "contract", "joined"]).row(0) == validation.select(data_columns).row(0)


def test_exported_folder_is_still_the_model(exported: Path, model: Path) -> None:
    assert Model.load(exported).metadata == Model.load(model).metadata


def test_exporting_again_replaces_what_was_there(exported: Path, data: Data, tmp_path: Path) -> None:
    target = tmp_path / "model"
    (target / "serving").mkdir(parents=True)
    (target / "serving" / "old.txt").write_text("old")

    export_model(exported, data.validation, target)

    assert not (target / "serving" / "old.txt").exists()
    assert (target / "serving" / "model.onnx").exists()


def test_regression_answers_a_flat_prediction(diabetes: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    data = trainings.split(tmp_path / "data", diabetes, "progression", Task.REGRESSION)
    folder = data.model(tmp_path / "model", "sklearn", {"model": "linear"})

    export_model(folder, data.validation, tmp_path / "exported")

    session = onnxruntime.InferenceSession(tmp_path / "exported" / "serving" / "model.onnx")
    assert [(made.name, made.type, len(made.shape)) for made in session.get_outputs()] == [("prediction", "tensor(float)", 1)]
    baseline = tables.read_table(tmp_path / "exported" / "serving" / "baseline.parquet")
    assert baseline["__prediction__"].to_numpy() == pytest.approx(Model.load(folder).predict(baseline).values)
    assert baseline["__target__"].dtype == pl.Float64


def test_export_that_answers_differently_does_not_pass(
    model: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model answers with all of its trees; its export is made of fewer."""
    whole = LightGBMEstimator.to_onnx

    def with_fewer_trees(estimator: LightGBMEstimator) -> onnx.ModelProto:
        import lightgbm

        text = estimator.booster.model_to_string(num_iteration=5)
        return whole(LightGBMEstimator(lightgbm.Booster(model_str=text), estimator.classes))

    monkeypatch.setattr(LightGBMEstimator, "to_onnx", with_fewer_trees)

    with pytest.raises(GateFailed) as caught:
        export_model(model, data.validation, tmp_path / "exported")

    assert str(caught.value).startswith("export of model 'churn' did not pass: a probability of validation row ")
    assert "the label differs in" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_tolerance_of_nothing_is_not_met(model: Path, data: Data, tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match="more than the tolerance of 0"):
        export_model(model, data.validation, tmp_path / "exported", tolerance=0)


@pytest.mark.parametrize("tolerance", [-1.0, float("nan")])
def test_tolerance_that_is_none_is_refused(model: Path, data: Data, tmp_path: Path, tolerance: float) -> None:
    with pytest.raises(BadParameter, match=r"parameter 'tolerance' is .*; expected a number of at least 0"):
        export_model(model, data.validation, tmp_path / "exported", tolerance=tolerance)


def test_split_without_rows_is_refused(model: Path, data: Data, tmp_path: Path) -> None:
    tables.write_table(tables.read_table(data.validation).head(0), tmp_path / "empty.parquet")

    with pytest.raises(InputError, match="the validation split has no rows"):
        export_model(model, tmp_path / "empty.parquet", tmp_path / "exported")


def test_folder_that_is_no_model_is_refused(data: Data, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no model\.json in"):
        export_model(tmp_path, data.validation, tmp_path / "exported")


def test_model_without_its_features_is_refused(model: Path, data: Data, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "model"))
    shutil.rmtree(copy / "features")

    with pytest.raises(InputError, match=r"no features\.json in"):
        export_model(copy, data.validation, tmp_path / "exported")

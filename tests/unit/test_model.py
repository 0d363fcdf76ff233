"""A model folder: read, refused, answered from, and loaded by MLflow."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support import trainings
from support.trainings import Data

from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.model import Model, ModelMetadata, answers, decide
from stagewright.components.runtime.schema import ColumnKind, Task


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> pytest.MonkeyPatch:
    patch = pytest.MonkeyPatch()
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path_factory.mktemp('tracking') / 'mlflow.db'}")
    yield patch
    patch.undo()


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory, telco: pl.DataFrame) -> Data:
    rows = telco.head(600).with_columns(
        pl.col("female").cast(pl.Boolean),
        joined=pl.datetime(2020, 1, 1) + pl.duration(days=pl.int_range(pl.len())),
        region=pl.int_range(pl.len()) % 4,
    )
    kinds = {"region": ColumnKind.CATEGORICAL}
    return trainings.split(tmp_path_factory.mktemp("churn"), rows, "churn", Task.BINARY, kinds=kinds)


@pytest.fixture(scope="module")
def model(churn: Data, tracked: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return churn.model(tmp_path_factory.mktemp("model") / "model", "xgboost", {"n_estimators": 30})


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "model"))


def test_metadata_survives_its_file(model: Path, tmp_path: Path) -> None:
    metadata = ModelMetadata.read(model)

    metadata.write(tmp_path)

    assert ModelMetadata.read(tmp_path) == metadata
    assert metadata.classes == ("No", "Yes")


def test_column_order_and_further_columns_do_not_matter(model: Path, churn: Data) -> None:
    loaded, table = Model.load(model), tables.read_table(churn.validation)
    shuffled = table.select(reversed(table.columns)).with_columns(extra=pl.lit("x"))

    assert np.array_equal(loaded.predict(table).probabilities, loaded.predict(shuffled).probabilities)


def test_missing_column_is_named(model: Path, churn: Data) -> None:
    with pytest.raises(InputError, match="column 'contract' is missing from the table"):
        Model.load(model).predict(tables.read_table(churn.validation).drop("contract"))


def test_no_rows_get_no_answers(model: Path, churn: Data) -> None:
    assert len(Model.load(model).predict(tables.read_table(churn.validation).head(0))) == 0


def test_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no model\.json in .*: this is not a model that train_model wrote"):
        Model.load(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"classes": null}', "\x00"])
def test_damaged_metadata_is_refused(copy: Path, content: str) -> None:
    (copy / "model.json").write_text(content)

    with pytest.raises(InputError, match=r"model\.json does not describe a model"):
        Model.load(copy)


def test_framework_of_a_file_is_not_imported_by_any_name(copy: Path) -> None:
    document = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps(document | {"framework": "os"}))

    with pytest.raises(InputError, match="parameter 'framework' is 'os'; expected one of"):
        Model.load(copy)


def test_estimator_that_is_gone_is_named(copy: Path) -> None:
    shutil.rmtree(copy / "estimator")

    with pytest.raises(InputError, match=r"estimator/model\.ubj cannot be read as an estimator"):
        Model.load(copy)


def test_changed_features_are_refused(copy: Path) -> None:
    (copy / "features" / "features.onnx").write_bytes(b"something else")

    with pytest.raises(InputError, match="were changed after they were fitted"):
        Model.load(copy)


def test_second_of_two_classes_wins_from_one_half_on() -> None:
    probabilities = np.array([[0.5, 0.5], [0.50001, 0.49999], [0.2, 0.8]], dtype=np.float32)

    assert decide(probabilities).tolist() == [1, 0, 1]
    assert answers(probabilities, ("No", "Yes")).labels.tolist() == ["Yes", "No", "Yes"]  # type: ignore[union-attr]


def test_first_of_the_likeliest_classes_wins() -> None:
    probabilities = np.array([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7]], dtype=np.float32)

    assert answers(probabilities, (10, 20, 30)).labels.tolist() == [10, 30]  # type: ignore[union-attr]


def test_labels_have_the_targets_type() -> None:
    probabilities = np.array([[0.1, 0.9]], dtype=np.float32)

    assert answers(probabilities, (False, True)).labels.dtype == np.bool_  # type: ignore[union-attr]
    assert answers(probabilities, (3, 4)).labels.dtype == np.int64  # type: ignore[union-attr]


def test_values_are_flat() -> None:
    assert answers(np.ones((3, 1)), None).values.shape == (3,)  # type: ignore[union-attr]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestMlflow:
    """The folder as MLflow sees it."""

    def test_pyfunc_answers_as_the_model_does(self, model: Path, churn: Data) -> None:
        import mlflow

        table = tables.read_table(churn.validation)
        own = Model.load(model).predict(table)

        answered = mlflow.pyfunc.load_model(str(model)).predict(table.drop("churn").to_pandas())

        assert list(answered.columns) == ["label", "probability_No", "probability_Yes"]
        assert answered["label"].tolist() == own.labels.tolist()  # type: ignore[union-attr]
        assert np.array_equal(answered.iloc[:, 1:].to_numpy(), own.probabilities)  # type: ignore[arg-type]

    def test_pyfunc_takes_missing_values_and_keeps_the_index(self, model: Path, churn: Data) -> None:
        import mlflow

        frame = tables.read_table(churn.validation).drop("churn").head(5).to_pandas()
        frame.index = [f"customer {position}" for position in range(5)]
        frame["tenure"] = frame["tenure"].astype(float)
        frame.loc["customer 0", ["tenure", "contract", "joined"]] = None
        frame["female"] = frame["female"].astype(object)
        frame.loc["customer 1", "female"] = None

        answered = mlflow.pyfunc.load_model(str(model)).predict(frame)

        assert answered.index.tolist() == frame.index.tolist()
        assert answered["label"].isin(["No", "Yes"]).all()

    def test_pyfunc_refuses_a_column_of_mixed_types(self, model: Path, churn: Data) -> None:
        from stagewright.components.runtime.mlflow_flavor import _load_pyfunc

        frame = tables.read_table(churn.validation).head(2).to_pandas()
        frame["tenure"] = frame["tenure"].astype(object)
        frame.loc[1, "tenure"] = "long"

        with pytest.raises(InputError, match="column 'tenure' holds values of mixed types"):
            _load_pyfunc(str(model)).predict(frame)

    def test_input_example_and_signature_are_there(self, model: Path, churn: Data) -> None:
        import mlflow

        loaded = mlflow.pyfunc.load_model(str(model))

        names = {column.name for column in loaded.metadata.signature.inputs}
        assert names == set(tables.read_table(churn.validation).columns) - {"churn"}
        assert [column.name for column in loaded.metadata.signature.outputs] == ["label", "probability_No", "probability_Yes"]
        assert len(loaded.predict(loaded.input_example)) == 5

    def test_regressor_answers_predictions(self, diabetes: pl.DataFrame, tracked: pytest.MonkeyPatch, tmp_path: Path) -> None:
        import mlflow

        data = trainings.split(tmp_path / "data", diabetes, "progression", Task.REGRESSION)
        folder = data.model(tmp_path / "model", "sklearn", {"model": "linear"})
        table = tables.read_table(data.validation)

        answered = mlflow.pyfunc.load_model(str(folder)).predict(table.drop("progression").to_pandas())

        assert answered["prediction"].to_numpy() == pytest.approx(Model.load(folder).predict(table).values)

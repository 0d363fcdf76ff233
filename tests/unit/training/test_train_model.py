"""One training as a whole: what it refuses, what it writes, what it records."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from support import trainings
from support.trainings import Data

from stagewright.components.features.fit import fit_features
from stagewright.components.runtime import tables, tracking
from stagewright.components.runtime.errors import InputError, MissingSetting, ServiceUnavailable
from stagewright.components.runtime.files import sha256
from stagewright.components.runtime.frameworks import framework_module
from stagewright.components.runtime.model import Model
from stagewright.components.runtime.schema import ColumnKind, Schema, Task
from stagewright.components.training.train import train_model


@pytest.mark.usefixtures("recorded")
def test_run_records_parameters_losses_data_versions_and_the_model(small: Data, tmp_path: Path) -> None:
    folder = small.model(tmp_path / "model", "xgboost", {"max_depth": 3}, name="recorded", seed=5)

    metadata = Model.load(folder).metadata
    client = tracking.client("the test reads it")
    run = client.get_run(metadata.run_id)
    assert client.get_experiment(run.info.experiment_id).name == "recorded"
    assert run.info.status == "FINISHED"
    assert run.data.params["framework"] == "xgboost"
    assert run.data.params["params.max_depth"] == "3"
    assert run.data.params["params.learning_rate"] == "0.05"
    assert run.data.params["seed"] == "5"
    assert run.data.params["training_rows"] == "450"
    assert run.data.tags["stagewright.data.train"] == sha256(small.train)
    assert run.data.tags["stagewright.data.validation"] == sha256(small.validation)
    assert run.data.tags["stagewright.library.xgboost"] == metadata.libraries["xgboost"]
    assert {entry.dataset.name: entry.dataset.digest for entry in run.inputs.dataset_inputs} == {
        "recorded-train": sha256(small.train)[:36],
        "recorded-validation": sha256(small.validation)[:36],
    }
    history = client.get_metric_history(metadata.run_id, "validation_log_loss")
    assert [entry.step for entry in history] == list(range(1, len(history) + 1))
    best = min(history, key=lambda entry: entry.value)
    assert run.data.metrics["best_iteration"] == best.step == metadata.best_iteration
    assert run.data.metrics["best_validation_log_loss"] == pytest.approx(best.value)
    assert len(history) == best.step + 30  # it stopped 30 iterations after the best
    assert len(client.get_metric_history(metadata.run_id, "train_log_loss")) == len(history)
    stored = Path(client.download_artifacts(metadata.run_id, "model", str(tmp_path)))
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert sorted(path.relative_to(stored) for path in stored.rglob("*") if path.is_file()) == files
    assert all((stored / path).read_bytes() == (folder / path).read_bytes() for path in files)


@pytest.mark.parametrize("method", trainings.METHODS)
@pytest.mark.usefixtures("recorded")
def test_every_method_records_both_losses(datasets: dict[str, Data], method: str, tmp_path: Path) -> None:
    name, params = trainings.METHODS[method]
    folder = datasets["diabetes"].model(tmp_path / "model", name, params)

    run_id = Model.load(folder).metadata.run_id
    client = tracking.client("the test reads it")
    train, validation = (client.get_metric_history(run_id, f"{split}_rmse") for split in ("train", "validation"))

    assert len(train) == len(validation) >= 1
    # In the target's own units: the standard deviation of the target is 77.
    assert all(5 < entry.value < 120 for entry in (train[-1], validation[-1]))


@pytest.mark.usefixtures("recorded")
def test_metadata_tells_what_made_the_model(small: Data, tmp_path: Path) -> None:
    folder = small.model(tmp_path / "model", "xgboost", {"max_depth": 3})

    metadata = Model.load(folder).metadata

    assert (metadata.framework, metadata.algorithm, metadata.task) == ("xgboost", "gradient_boosted_trees", "binary")
    assert (metadata.target, metadata.classes) == ("churn", ("No", "Yes"))
    assert (metadata.training_rows, metadata.validation_rows) == (450, 150)
    assert metadata.data == {"train": sha256(small.train), "validation": sha256(small.validation)}
    assert metadata.params["max_depth"] == 3
    assert Schema.parse(metadata.schema).target == "churn"
    assert sum(metadata.importances.values()) == pytest.approx(1)
    assert set(metadata.importances) == {feature["name"] for feature in metadata.features}
    assert "xgboost==" in (folder / "requirements.txt").read_text()


@pytest.mark.usefixtures("recorded")
def test_recipe_follows_the_method_and_not_the_data(small: Data, tmp_path: Path, telco: pl.DataFrame) -> None:
    other = trainings.split(tmp_path / "other", telco.slice(600, 700), "churn", Task.BINARY)

    def recipe(data: Data, folder: str, **options: object) -> str:
        return Model.load(data.model(tmp_path / folder, "xgboost", **options)).metadata.recipe  # type: ignore[arg-type]

    same = recipe(small, "a")
    assert recipe(other, "b") == same
    assert recipe(small, "c", seed=3) == same
    assert recipe(small, "d", params={"max_depth": 2}) != same
    assert recipe(small, "e", class_weight="balanced") != same


def arguments(data: Data, folder: Path, **changed: object) -> dict[str, object]:
    given = {
        "train": data.train,
        "validation": data.validation,
        "features": data.features("xgboost"),
        "schema": data.schema,
        "model": folder / "model",
        "name": "churn",
    }
    return given | changed


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"framework": "catboost"},
            "parameter 'framework' is 'catboost'; expected one of sklearn, xgboost, lightgbm, torch, torch_vision, transf",
        ),
        ({"train": Path("/nowhere/train.parquet")}, "no table at /nowhere/train.parquet"),
        ({"schema": Path("/nowhere/schema.json")}, "no schema at /nowhere/schema.json; validate_data writes one"),
        ({"features": Path("/nowhere")}, "no features.json in /nowhere: these are not fitted features"),
        ({"class_weight": "heavy"}, "parameter 'class_weight' is 'heavy'; expected one of none, balanced"),
        ({"name": "My Model"}, "parameter 'name' is 'My Model'; expected lower-case letters"),
        ({"seed": -1}, "parameter 'seed' is -1; expected a whole number of at least 0 and at most 2147483647"),
        ({"params": {"eta": 0.1}}, "xgboost has no parameter 'eta'"),
    ],
)
@pytest.mark.usefixtures("recorded")
def test_wrong_input_gets_one_sentence_and_leaves_nothing(
    small: Data, changed: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        train_model(**arguments(small, tmp_path, **changed))  # type: ignore[arg-type]

    assert str(caught.value).startswith(sentence)
    assert list(tmp_path.iterdir()) == []


def test_schema_without_a_task_is_refused(small: Data, tmp_path: Path) -> None:
    Schema(columns=Schema.read(small.schema).columns).write(tmp_path / "schema.json")

    with pytest.raises(InputError, match="the schema has no target or no task; run validate_data with a target first"):
        train_model(**arguments(small, tmp_path, schema=tmp_path / "schema.json"))  # type: ignore[arg-type]


def test_features_that_read_the_target_are_refused(small: Data, tmp_path: Path) -> None:
    columns = [column for column in Schema.read(small.schema).columns if column.name != "tenure"]
    Schema(target="contract", task=Task.MULTICLASS, columns=columns).write(tmp_path / "schema.json")

    with pytest.raises(InputError, match="the features read the target 'contract'"):
        train_model(**arguments(small, tmp_path, schema=tmp_path / "schema.json"))  # type: ignore[arg-type]


@pytest.mark.usefixtures("recorded")
def test_missing_value_names_its_feature_where_a_method_takes_none(small: Data, tmp_path: Path, telco: pl.DataFrame) -> None:
    holes = telco.head(400).with_columns(pl.when(pl.col("tenure") > 3).then(pl.col("tenure")))
    data = trainings.split(tmp_path / "holes", holes, "churn", Task.BINARY)
    specification = {"numeric": {"impute": "none"}}
    graph = fit_features(data.train, Schema.read(data.schema), framework="sklearn", specification=specification)
    graph.save(tmp_path / "features")
    given = arguments(data, tmp_path, features=tmp_path / "features", framework="sklearn")

    with pytest.raises(InputError, match="feature 'tenure' has missing values and sklearn linear takes none; impute it"):
        train_model(**given, params={"model": "linear"})  # type: ignore[arg-type]
    assert not (tmp_path / "model").exists()
    train_model(**given)  # type: ignore[arg-type]  # histogram gradient boosting takes them


def test_missing_tracking_is_named(small: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    with pytest.raises(MissingSetting, match="MLFLOW_TRACKING_URI not set; train_model records its run there"):
        train_model(**arguments(small, tmp_path))  # type: ignore[arg-type]


def test_dead_tracking_leaves_no_model(small: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    with pytest.raises(ServiceUnavailable, match=r"MLflow does not answer at http://127\.0\.0\.1:9"):
        train_model(**arguments(small, tmp_path))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("recorded")
def test_diverging_network_says_what_to_lower_and_its_run_is_failed(datasets: dict[str, Data], tmp_path: Path) -> None:
    params = {"learning_rate": 1e30, "max_epochs": 3}

    with pytest.raises(InputError, match=r"the loss is not a number; lower params\.learning_rate"):
        datasets["diabetes"].model(tmp_path / "model", "torch", params, name="diverging")

    client = tracking.client("the test reads it")
    experiment = client.get_experiment_by_name("diverging")
    assert experiment is not None
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FAILED"]
    assert not (tmp_path / "model").exists()


def test_framework_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "stagewright.components.training.frameworks.torch", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(InputError, match=r"framework 'torch' is not installed here .*; install stagewright\[torch\]; or"):
        framework_module("torch")


@pytest.mark.usefixtures("recorded")
def test_codes_become_embeddings(tmp_path: Path, telco: pl.DataFrame) -> None:
    rows = telco.head(800).with_columns(city=(pl.int_range(pl.len()) % 30).cast(pl.String))
    data = trainings.split(tmp_path / "data", rows, "churn", Task.BINARY, kinds={"city": ColumnKind.CATEGORICAL})
    folder = data.model(tmp_path / "model", "torch", {"max_epochs": 3, "embedding_size": 4})

    document = json.loads((folder / "estimator" / "architecture.json").read_text())
    model, table = Model.load(folder), tables.read_table(data.validation)

    assert max(embedding["cardinality"] for embedding in document["embeddings"]) == 32  # 30 cities, unseen, missing
    assert {embedding["size"] for embedding in document["embeddings"]} == {4}
    unseen = table.with_columns(city=pl.lit("nowhere"))
    missing = table.with_columns(city=pl.lit(None, dtype=pl.String))
    # Training shows neither, so neither says anything.
    assert (model.predict(unseen).probabilities == model.predict(missing).probabilities).all()  # type: ignore[union-attr]


def test_logic_imports_no_framework_before_it_is_used() -> None:
    heavy = ("sklearn", "xgboost", "lightgbm", "torch", "mlflow")
    script = f"import sys, stagewright.components.training.train; print([m for m in {heavy} if m in sys.modules])"

    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"

"""The wrappers of train_model and export_model: called as Kubeflow calls them, with artifacts."""

import inspect
from pathlib import Path

import docstring_parser
import polars as pl
import pytest
from kfp import dsl
from support import trainings
from support.trainings import Data

from stagewright.components.authoring import Component
from stagewright.components.export.component import export_model
from stagewright.components.runtime import tracking
from stagewright.components.runtime.schema import Task
from stagewright.components.training.component import train_model

RECORDED = pytest.mark.usefixtures("tracking")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, telco: pl.DataFrame) -> Data:
    return trainings.split(tmp_path_factory.mktemp("data"), telco.head(800), "churn", Task.BINARY)


def inputs(data: Data) -> dict[str, dsl.Artifact]:
    return {
        "train": dsl.Dataset(name="train", uri=str(data.train)),
        "validation": dsl.Dataset(name="validation", uri=str(data.validation)),
        "features": dsl.Artifact(name="features", uri=str(data.features("xgboost"))),
        "schema": dsl.Artifact(name="schema", uri=str(data.schema)),
    }


@RECORDED
def test_model_is_trained_and_exported(data: Data, tmp_path: Path) -> None:
    model = dsl.Model(name="model", uri=str(tmp_path / "model"))
    exported = dsl.Model(name="exported", uri=str(tmp_path / "exported"))

    run_id = train_model.python_func(**inputs(data), model=model, name="churn", params={"n_estimators": 30})
    difference = export_model.python_func(
        model=model, validation=dsl.Dataset(name="validation", uri=str(data.validation)), exported=exported
    )

    assert tracking.client("the test reads it").get_run(run_id).info.status == "FINISHED"
    described = {"framework": "xgboost", "algorithm": "gradient_boosted_trees", "task": "binary", "run_id": run_id}
    assert model.metadata == described
    assert {name: exported.metadata[name] for name in described} == described
    assert 0 <= difference <= 1e-5
    assert exported.metadata["largest_difference"] == difference
    assert (tmp_path / "exported" / "serving" / "model.onnx").stat().st_size == exported.metadata["onnx_bytes"]


@RECORDED
def test_wrong_parameter_ends_the_step_with_code_2_and_one_sentence(
    data: Data, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    model = dsl.Model(name="model", uri=str(tmp_path / "model"))

    with pytest.raises(SystemExit) as caught:
        train_model.python_func(**inputs(data), model=model, name="churn", params={"max_dept": 3})

    assert caught.value.code == 2
    assert "no parameter 'max_dept' (did you mean 'max_depth'?)" in capfd.readouterr().err + caplog.text + str(
        [getattr(record, "fields", {}) for record in caplog.records]
    )
    assert not (tmp_path / "model").exists()


def test_training_is_never_cached_and_exporting_is() -> None:
    assert (train_model.cacheable, export_model.cacheable) == (False, True)
    assert (train_model.group, export_model.group) == ("tabular", "tabular")


@pytest.mark.parametrize("component", [train_model, export_model])
def test_every_parameter_is_described(component: Component) -> None:
    described = {entry.arg_name for entry in docstring_parser.parse(component.python_func.__doc__ or "").params}

    assert described == set(inspect.signature(component.python_func).parameters)

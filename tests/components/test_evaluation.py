"""The wrappers of the evaluation stage, called as Kubeflow calls them."""

import inspect
import json
from pathlib import Path

import polars as pl
import pytest
from kfp import dsl

from stagewright.components.evaluation.component import evaluate_model, write_model_card
from stagewright.components.features.fit import fit_features
from stagewright.components.runtime import tables
from stagewright.components.runtime import tracking as mlflow_tracking
from stagewright.components.runtime.schema import Column, ColumnKind, Schema, Task
from stagewright.components.training.train import train_model


@pytest.fixture(scope="module")
def trained(telco: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three splits, a schema and a model of Telco churn, recorded in an MLflow database."""
    folder = tmp_path_factory.mktemp("trained")
    table = telco.select("churn", "tenure", "contract", "monthly_charges").sample(fraction=1, shuffle=True, seed=3)
    kinds = [ColumnKind.NUMERIC if column.dtype.is_numeric() else ColumnKind.CATEGORICAL for column in table]
    columns = [Column(name=name, kind=kind) for name, kind in zip(table.columns, kinds, strict=True)]
    schema = Schema(target="churn", task=Task.BINARY, columns=columns)
    schema.write(folder / "schema")
    for split, rows in {"train": table[:5000], "validation": table[5000:6000], "test": table[6000:]}.items():
        tables.write_table(rows, folder / split)
    fit_features(folder / "train", schema, framework="xgboost").save(folder / "features")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        train_model(
            folder / "train", folder / "validation", features=folder / "features", schema=folder / "schema",
            model=folder / "model", name="churn", params={"n_estimators": 30},
        )  # fmt: skip
    return folder


class Outputs:
    """The artifacts that a run of `evaluate_model` writes."""

    def __init__(self, folder: Path) -> None:
        self.metrics = dsl.Metrics(name="metrics", uri=str(folder / "metrics"))
        self.classification = dsl.ClassificationMetrics(name="classification", uri=str(folder / "classification"))
        self.report = dsl.HTML(name="report", uri=str(folder / "report"))
        self.evaluation = dsl.Artifact(name="evaluation", uri=str(folder / "evaluation"))

    @property
    def document(self) -> dict:
        return json.loads(Path(self.evaluation.path).read_text())


def run(trained: Path, outputs: Outputs, **parameters) -> None:
    evaluate_model.python_func(
        model=dsl.Model(name="model", uri=str(trained / "model")),
        **{name: dsl.Dataset(name=name, uri=str(trained / name)) for name in ("train", "validation", "test")},
        **vars(outputs),
        name="churn",
        **parameters,
    )


def test_evaluation_writes_all_outputs(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    outputs = Outputs(tmp_path)

    run(trained, outputs, minimum={"roc_auc": 0.7}, slices=["contract"])

    document = outputs.document
    assert document["gate"]["passed"]
    assert outputs.metrics.metadata["roc_auc"] == document["metrics"]["test"]["roc_auc"]
    assert outputs.metrics.metadata["train_roc_auc"] == document["metrics"]["train"]["roc_auc"]
    assert outputs.metrics.metadata["validation_f1"] == document["metrics"]["validation"]["f1"]
    assert {part["column"] for part in document["slices"]} == {"contract"}
    assert Path(outputs.report.path).read_text().startswith("<!doctype html>")
    for artifact in vars(outputs).values():
        json.dumps(artifact.metadata, allow_nan=False)


def test_confusion_matrix_and_roc_are_handed_to_kubeflow(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    outputs = Outputs(tmp_path)

    run(trained, outputs)

    shown = outputs.classification.metadata
    assert [label["displayName"] for label in shown["confusionMatrix"]["annotationSpecs"]] == ["No", "Yes"]
    counts = [row["row"] for row in shown["confusionMatrix"]["rows"]]
    assert sum(map(sum, counts)) == 1043
    assert (counts[0][0] + counts[1][1]) / 1043 == pytest.approx(outputs.metrics.metadata["accuracy"])
    assert 10 < len(shown["confidenceMetrics"]) <= 200
    assert all(0 <= point["confidenceThreshold"] <= 1 for point in shown["confidenceMetrics"])


def test_a_failed_gate_ends_with_one_after_writing_everything(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    outputs = Outputs(tmp_path)

    with pytest.raises(SystemExit) as ended:
        run(trained, outputs, minimum={"roc_auc": 0.999})

    assert ended.value.code == 1
    assert not outputs.document["gate"]["passed"]
    assert "did not pass the gate" in Path(outputs.report.path).read_text()
    assert "roc_auc" in outputs.metrics.metadata


def test_a_wrong_threshold_ends_with_two(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        run(trained, Outputs(tmp_path), minimum={"rocauc": 0.9})

    assert ended.value.code == 2


def test_the_run_in_mlflow_gets_metrics_and_report(trained: Path, tmp_path: Path, tracking: str) -> None:
    with mlflow_tracking.run("churn", run_name="a run") as started:
        run_id = started.run_id

    run(trained, Outputs(tmp_path), run_id=run_id, minimum={"roc_auc": 0.5})

    client = mlflow_tracking.client("a test looks")
    found = client.get_run(run_id)
    assert {"test/roc_auc", "validation/log_loss", "train/f1"} <= found.data.metrics.keys()
    assert found.data.tags["gate"] == "passed"
    assert {file.path for file in client.list_artifacts(run_id, "evaluation")} == {
        "evaluation/report.html", "evaluation/evaluation.json",
    }  # fmt: skip


def test_an_unknown_run_is_named(trained: Path, tmp_path: Path, tracking: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(trained, Outputs(tmp_path), run_id="0" * 32)

    assert ended.value.code == 2


def test_model_card_is_written_in_both_forms(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    outputs = Outputs(tmp_path)
    run(trained, outputs)

    write_model_card.python_func(
        model=dsl.Model(name="model", uri=str(trained / "model")),
        evaluation=outputs.evaluation,
        schema=dsl.Artifact(name="schema", uri=str(trained / "schema")),
        card=dsl.Markdown(name="card", uri=str(tmp_path / "card")),
        page=dsl.HTML(name="page", uri=str(tmp_path / "page")),
        name="churn",
        deploy_to="local",
    )

    assert (tmp_path / "card").read_text().startswith("# Model card: churn")
    assert "<h2>Limitations and intended use</h2>" in (tmp_path / "page").read_text()


@pytest.mark.parametrize(("made", "group", "cacheable"), [(evaluate_model, "tabular", False), (write_model_card, "base", True)])
def test_every_input_and_output_is_described(made, group: str, cacheable: bool) -> None:
    spec = made.component_spec
    described = inspect.getdoc(made.python_func) or ""

    assert (made.group, made.cacheable) == (group, cacheable)
    for name in [*(spec.inputs or {}), *(spec.outputs or {})]:
        assert f"\n    {name}: " in described, name

"""The ingestion components as Kubeflow calls them: artifacts in and out, metadata, exit codes."""

from pathlib import Path

import polars as pl
import pytest
from kfp import dsl

from stagewright.components.ingestion.component import ingest_data, split_data, validate_data
from stagewright.components.runtime import tables


def dataset(folder: Path, name: str) -> dsl.Dataset:
    return dsl.Dataset(name=name, uri=str(folder / name))


@pytest.fixture
def ingested(tmp_path: Path, telco: pl.DataFrame) -> dsl.Dataset:
    telco.write_csv(tmp_path / "telco.csv")
    made = dataset(tmp_path, "dataset")
    ingest_data.python_func(dataset=made, quarantine=dataset(tmp_path, "quarantine"), data=str(tmp_path / "telco.csv"))
    return made


def test_telco_goes_from_a_csv_to_three_splits(tmp_path: Path, telco: pl.DataFrame, ingested: dsl.Dataset) -> None:
    schema, report = dsl.Artifact(name="schema", uri=str(tmp_path / "schema")), dsl.HTML(name="r", uri=str(tmp_path / "report"))
    splits = {name: dataset(tmp_path, name) for name in ("train", "validation", "test")}

    task = validate_data.python_func(dataset=ingested, schema=schema, report=report, target="churn")
    split_data.python_func(dataset=ingested, schema=schema, **splits, fractions=[0.6, 0.2, 0.2], seed=1)

    assert tables.read_table(ingested.path).equals(telco)
    info = tables.info(ingested.path)
    assert ingested.metadata == {**info.metadata(), "source": str(tmp_path / "telco.csv")}
    assert task == "binary"
    assert schema.metadata == {"target": "churn", "task": "binary", "columns": 20}
    assert Path(report.path).read_text().startswith("<!doctype html>")
    assert [split.metadata["rows"] for split in splits.values()] == [4259, 1413, 1371]
    assert splits["test"].metadata["proof"] == {"rows_shared": 0, "groups_shared": 0}
    assert {(split.metadata["target"], split.metadata["task"]) for split in splits.values()} == {("churn", "binary")}


def test_quarantined_rows_are_an_artifact(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3\n")
    quarantine = dataset(tmp_path, "quarantine")

    ingest_data.python_func(
        dataset=dataset(tmp_path, "dataset"), quarantine=quarantine, data=str(tmp_path / "rows.csv"), on_bad_row="quarantine"
    )

    assert quarantine.metadata["rows"] == 1
    assert tables.read_table(quarantine.path).to_dicts() == [
        {"file": str(tmp_path / "rows.csv"), "line": 3, "reason": "expected 2 fields, found 1", "text": "3"}
    ]


def test_wrong_input_ends_a_step_with_code_2_and_a_failed_gate_with_1(
    tmp_path: Path, ingested: dsl.Dataset, capfd: pytest.CaptureFixture[str]
) -> None:
    schema, report = dsl.Artifact(name="schema", uri=str(tmp_path / "schema")), dsl.HTML(name="r", uri=str(tmp_path / "report"))

    with pytest.raises(SystemExit) as missing:
        ingest_data.python_func(dataset=ingested, quarantine=dataset(tmp_path, "q"), data=str(tmp_path / "none.csv"))
    with pytest.raises(SystemExit) as wrong:
        validate_data.python_func(dataset=ingested, schema=schema, report=report, target="chrun")
    with pytest.raises(SystemExit) as failed:
        validate_data.python_func(
            dataset=ingested, schema=schema, report=report, target="churn", suite={},
            expected={"columns": [{"name": "churn"}, {"name": "tenure", "maximum": 60}]},
        )  # fmt: skip

    assert (missing.value.code, wrong.value.code, failed.value.code) == (2, 2, 1)
    assert Path(report.path).exists()


@pytest.mark.parametrize("component", [ingest_data, validate_data, split_data])
def test_the_spec_describes_every_input(component) -> None:
    spec = component.component_spec

    assert component.group == "base"
    assert spec.description.endswith(".")
    assert [name for name, given in spec.inputs.items() if not given.description] == []

"""The champion is judged on test rows that neither model learned from, and only where there are enough of them."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from stagewright.components.evaluation import champion as champions
from stagewright.components.evaluation.champion import Champion, judge_champion
from stagewright.components.evaluation.evaluate import answer
from stagewright.components.runtime import tables
from stagewright.components.runtime.learned import FOLDER, LearnedRows
from stagewright.components.runtime.model import Model, ModelMetadata
from stagewright.components.runtime.storage import ObjectStore

Compare = Callable[..., Champion]


@pytest.fixture(scope="module")
def compared(churn_model, object_store: str, tmp_path_factory: pytest.TempPathFactory) -> Compare:
    """Compare the churn model with itself as champion, each with a record of learned rows of its own."""
    model = Model.load(churn_model.model)
    rows = tables.read_table(churn_model.test)
    outcome = answer(model, rows, split="test")
    columns = [name for name in rows.columns if name != "churn"]

    def record(part: pl.DataFrame) -> LearnedRows:
        path = tmp_path_factory.mktemp("learned") / "rows.parquet"
        tables.write_table(part, path)
        return LearnedRows.of((path,), columns)

    def run(
        champion: pl.DataFrame | None, ours: pl.DataFrame, *, metadata: ModelMetadata | None = None, table: pl.DataFrame = rows
    ) -> Champion:
        folder = tmp_path_factory.mktemp("champion") / "model"
        shutil.copytree(churn_model.model, folder, ignore=shutil.ignore_patterns(FOLDER))
        if champion is not None:
            record(champion).write(folder)
        store = ObjectStore.from_environment("a test stores a champion")
        store.ensure_bucket("models")
        uri = f"s3://models/unseen/{folder.parent.name}/"
        store.upload_folder(folder, uri)
        version: Any = SimpleNamespace(version="1", tags={"version": "v1.0.0", "model_uri": uri})
        asked: list[pl.DataFrame] = []

        def ask(other: Model, part: pl.DataFrame) -> Any:
            asked.append(part)
            return answer(other, part, split="test")

        found = judge_champion(version, metadata or model.metadata, outcome, table, record(ours), ask)
        run.asked = asked  # type: ignore[attr-defined]
        return found

    run.rows, run.metadata = rows, model.metadata  # type: ignore[attr-defined]
    return run


def test_only_rows_that_neither_learned_are_judged(compared: Compare) -> None:
    rows: pl.DataFrame = compared.rows  # type: ignore[attr-defined]
    different = rows.unique(subset=[name for name in rows.columns if name != "churn"], maintain_order=True)

    found = compared(different[:300], different[200:500])

    asked: list[pl.DataFrame] = compared.asked  # type: ignore[attr-defined]
    assert (found.comparable, found.rows + found.left_out) == (True, rows.height)
    assert set(asked[0].rows()) == set(rows.rows()) - set(different[:500].rows()) - {
        row for row in rows.rows() if row[:-1] in {known[:-1] for known in different[:500].rows()}
    }
    assert found.rows == asked[0].height
    assert found.document()["rows"] == found.rows
    assert found.document()["own_metrics"] == found.document()["metrics"]


@pytest.mark.parametrize(("unseen", "comparable"), [(champions.LEAST_ROWS - 1, False), (champions.LEAST_ROWS, True)])
def test_too_few_rows_are_not_compared(compared: Compare, unseen: int, comparable: bool) -> None:
    rows: pl.DataFrame = compared.rows.unique(maintain_order=True)  # type: ignore[attr-defined]
    yes, no = rows.filter(churn="Yes"), rows.filter(churn="No")
    known = pl.concat([yes[10:], no[unseen - 10 :]])

    found = compared(known, known[:1])

    assert (found.comparable, found.rows) == (comparable, unseen)
    if not comparable:
        assert found.reason == (
            f"only 29 of {compared.rows.height:,} test rows are ones that neither model learned from, and 30 are needed"  # type: ignore[attr-defined]
        )


@pytest.mark.parametrize(("positives", "comparable"), [(4, False), (5, True)])
def test_too_few_rows_of_a_second_class_are_not_compared(compared: Compare, positives: int, comparable: bool) -> None:
    rows: pl.DataFrame = compared.rows.unique(maintain_order=True)  # type: ignore[attr-defined]
    known = pl.concat([rows.filter(churn="Yes")[positives:], rows.filter(churn="No")[100:]])

    found = compared(known, known[:1])

    assert found.comparable == comparable
    if not comparable:
        assert found.reason == (
            "all but 4 of the 104 test rows that neither model learned from are of one class, and 5 of another are needed"
        )


def test_a_champion_without_a_record_is_not_compared(compared: Compare) -> None:
    found = compared(None, compared.rows[:1])  # type: ignore[attr-defined]

    assert not found.comparable
    assert found.reason == "it keeps no record of the rows that it learned from, as models do that are trained now"


def test_a_champion_whose_columns_are_gone_is_not_compared(compared: Compare) -> None:
    rows: pl.DataFrame = compared.rows  # type: ignore[attr-defined]

    found = compared(rows[:5], rows[:1], table=rows.drop("tenure"))

    assert found.reason == "which rows it learned from cannot be told without the column 'tenure', which the data no longer has"


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        (("No", "Yes"), ""),
        (("Yes", "No"), ""),
        (("Maybe", "No", "Yes"), "it knows other classes than the new one"),
        (("No",), "it knows other classes than the new one"),
        (("No", "Ja"), "it knows other classes than the new one"),
    ],
)
def test_a_class_more_or_less_cannot_be_compared(compared: Compare, classes: tuple[str, ...], reason: str) -> None:
    metadata: ModelMetadata = compared.metadata  # type: ignore[attr-defined]
    rows: pl.DataFrame = compared.rows  # type: ignore[attr-defined]

    assert compared(rows[:5], rows[:1], metadata=replace(metadata, classes=classes)).reason == reason


def test_a_model_keeps_the_hashes_of_its_rows(churn_model, telco: pl.DataFrame) -> None:
    learned = LearnedRows.read(churn_model.model)

    assert learned is not None
    assert learned.rows == tables.info(churn_model.train).rows + tables.info(churn_model.validation).rows
    assert set(learned.columns) == set(telco.columns) - {"churn"}
    assert not learned.new(tables.read_table(churn_model.validation)).any()
    assert np.mean(learned.new(tables.read_table(churn_model.test))) > 0.9

"""Which columns are shuffled, in which order, and which columns are sliced by."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from unit.evaluation.conftest import Trained

from stagewright.components.evaluation.evaluate import evaluate
from stagewright.components.evaluation.importance import BLOCK_ROWS, Importance, most_important_first, permutation_importance
from stagewright.components.metrics.outcome import Outcome, regression
from stagewright.components.runtime.model import Model
from stagewright.components.runtime.schema import Schema

ROWS = 500
AT_ONCE = BLOCK_ROWS // ROWS


def by_first(table: pl.DataFrame) -> Outcome:
    """A model that answers 3 a + b + 0.001 c, which is the truth."""
    answered = 3 * table["a"] + table["b"] + 0.001 * table["c"]
    return regression(table["y"].to_numpy(), answered.to_numpy(), split="test")


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    random = np.random.default_rng(0)
    made = pl.DataFrame({name: random.normal(size=ROWS) for name in "cbadx"})
    return made.with_columns(y=3 * pl.col("a") + pl.col("b") + 0.001 * pl.col("c"))


def shuffled(table: pl.DataFrame, columns: list[str], **options: float) -> Importance:
    return permutation_importance(by_first, table, columns, rows=ROWS, **options)  # type: ignore[arg-type]


def test_columns_are_ordered_by_what_their_loss_costs(table: pl.DataFrame) -> None:
    found = shuffled(table, ["d", "c", "x", "b", "a"])

    assert list(found.mean) == ["a", "b", "c", "d", "x"]  # d and x are not used: as they were given
    assert {name: len(losses) for name, losses in found.losses.items()} == dict.fromkeys("abcdx", 5)
    assert found.mean["d"] == found.mean["x"] == 0
    # The difference of two shuffled normals has a spread of sqrt(2).
    assert found.mean["a"] == pytest.approx(3 * 2**0.5, rel=0.1)
    assert found.mean["b"] == pytest.approx(2**0.5, rel=0.1)
    assert (found.metric.name, found.skipped, found.rows) == ("rmse", (), ROWS)


def test_where_time_runs_out_the_first_columns_were_measured(table: pl.DataFrame) -> None:
    wide = table.with_columns(pl.lit(0.0).alias(f"n{number}") for number in range(AT_ONCE + 5))
    names = [f"n{number}" for number in range(AT_ONCE + 5)]

    early, late = (shuffled(wide, columns, seconds=0) for columns in (["a", *names], [*names, "a"]))

    assert next(iter(early.losses)) == "a"
    assert list(early.losses) == ["a", *names[: AT_ONCE - 1]]
    assert early.skipped == tuple(names[AT_ONCE - 1 :])
    assert set(map(len, early.losses.values())) == {1}
    assert late.skipped == (*names[AT_ONCE:], "a")
    assert shuffled(wide, [*names, "a"]).skipped == ()


def test_the_columns_that_a_model_uses_most_come_first(churn_model: Trained) -> None:
    model = Model.load(churn_model.model)
    names = [given.name for given in model.features.inputs]
    made = [(feature.source, feature.name) for feature in model.features.outputs]
    last, middle = names[-1], names[5]
    own = {next(feature for source, feature in made if source == last): 0.4}
    own |= dict.fromkeys([feature for source, feature in made if source == middle][:1], 0.6)

    def ordered(importances: dict[str, float]) -> list[str]:
        return most_important_first(replace(model, metadata=replace(model.metadata, importances=importances)))

    assert ordered({}) == names
    assert ordered(own) == [middle, last, *(name for name in names if name not in {middle, last})]
    several = [feature for source, feature in made if source == "contract"]
    assert len(several) > 1
    assert ordered(dict.fromkeys(several, 0.3) | {made[0][1]: 0.4})[:2] == ["contract", made[0][0]]
    assert most_important_first(model)[0] == "contract"


@pytest.fixture(scope="module")
def reviews(train) -> Trained:
    """Texts that say the class, a category that says a little, a number that says nothing."""
    random = np.random.default_rng(0)
    good = random.random(400) < 0.5
    words = [f"this was {'lovely and fine' if is_good else 'dreadful and slow'} number {at}" for at, is_good in enumerate(good)]
    table = pl.DataFrame(
        {
            "comment": words,
            "shop": np.where(random.random(400) < 0.7, np.where(good, "north", "south"), "east"),
            "size": random.normal(size=400),
            "stars": np.where(random.random(400) < 0.95, good, ~good).astype(str),
        }
    )
    return train(table, "stars", "binary", name="sklearn", params={"model": "linear"}, kinds={"comment": "text"})


def sliced(trained: Trained, **options: object) -> list[str]:
    found = evaluate(trained.model, **trained.splits, name="m", compare_with_champion=False, **options)  # type: ignore[arg-type]
    return list(dict.fromkeys(part.column for part in found.slices))


def test_free_texts_are_no_slices_unless_asked_for(reviews: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    found = evaluate(reviews.model, **reviews.splits, name="m", compare_with_champion=False)

    assert [given.kind for given in Model.load(reviews.model).features.inputs][:1] == ["text"]
    assert next(iter(found.importance.mean)) == "comment"
    assert list(dict.fromkeys(part.column for part in found.slices)) == list(found.importance.mean)[1:3]
    assert sliced(reviews, slice_columns=["comment"]) == ["comment"]


def test_a_model_of_one_text_has_no_slices(train, reviews: Trained) -> None:
    table = pl.concat([pl.read_parquet(path) for path in reviews.splits.values()]).select("comment", "stars")
    only = train(table, "stars", "binary", name="sklearn", params={"model": "linear"}, kinds={"comment": "text"})

    assert sliced(only) == []
    assert Schema.read(Path(only.schema)).columns[0].kind == "text"

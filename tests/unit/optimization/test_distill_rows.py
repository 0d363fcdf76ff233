"""Rows that are made to be labelled, and labels that are soft: what must hold of any of them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagewright.components.optimization.distillation.augment import augment, neighbours
from stagewright.components.optimization.distillation.students import LEAST_WEIGHT, blended, main_columns, weighted_rows
from stagewright.components.optimization.distillation.teacher import soft, soften

FLOATS = st.floats(-1e12, 1e12, allow_nan=False)
MIDNIGHT = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
ROWS = st.integers(2, 60)


@st.composite
def tables(draw: st.DrawFn) -> pl.DataFrame:
    """Each kind of column, with missing values."""
    rows = draw(ROWS)

    def column(values: st.SearchStrategy, dtype: pl.DataType) -> pl.Series:
        return pl.Series(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), dtype=dtype)

    return pl.DataFrame(
        {
            "measured": column(FLOATS, pl.Float64()),
            "counted": column(st.integers(-(2**62), 2**62), pl.Int64()),
            "flag": column(st.booleans(), pl.Boolean()),
            "colour": column(st.sampled_from(["red", "green", "", "blue "]), pl.String()),
            "when": column(st.datetimes(MIDNIGHT, MIDNIGHT + timedelta(days=40_000)), pl.Datetime("us")),
        }
    )


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(1, 200), st.integers(0, 2**31 - 1))
def test_made_rows_stay_within_the_domain(table: pl.DataFrame, rows: int, seed: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(table.height, 3)).astype(np.float32)

    made = augment(table, matrix, rows, seed=seed)

    assert made.schema == table.schema
    assert made.height == rows
    for name in ("measured", "counted"):
        own, new = table[name].drop_nulls(), made[name].drop_nulls()
        if len(new):
            assert own.min() <= new.min()  # type: ignore[operator]
            assert new.max() <= own.max()  # type: ignore[operator]
    for name in ("flag", "colour", "when"):
        assert set(made[name].drop_nulls()) <= set(table[name].drop_nulls())
    for name in table.columns:
        assert table[name].null_count() or not made[name].null_count()


def test_equal_seeds_make_equal_rows(telco: pl.DataFrame) -> None:
    table, matrix = telco.head(400), np.random.default_rng(0).normal(size=(400, 4))

    assert augment(table, matrix, 700, seed=3).equals(augment(table, matrix, 700, seed=3))
    assert not augment(table, matrix, 700, seed=3).equals(augment(table, matrix, 700, seed=4))


def test_columns_that_go_together_go_on_doing_so() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=2000)
    table = pl.DataFrame({"x": x, "twice": 2 * x + random.normal(scale=0.05, size=2000)})

    made = augment(table, table.to_numpy(), 4000)

    correlation = np.corrcoef(made["x"], made["twice"])[0, 1]
    assert correlation > 0.99
    assert made["x"].is_in(table["x"].implode()).mean() < 0.9  # type: ignore[operator]


def test_choices_are_taken_and_measurements_lie_between() -> None:
    random = np.random.default_rng(0)
    table = pl.DataFrame({"score": random.choice([1.5, 2.5, 3.5], 500), "height": random.normal(size=500)})

    made = augment(table, table.to_numpy(), 2000)

    assert set(made["score"]) <= {1.5, 2.5, 3.5}
    assert made["height"].n_unique() > 500


def test_neighbours_are_near_and_never_the_row_itself() -> None:
    points = np.arange(50, dtype=np.float32)[:, None]

    found = neighbours(points, np.random.default_rng(0))

    assert found.shape == (50, 5)
    assert not (found == np.arange(50)[:, None]).any()
    assert np.abs(points[found][..., 0] - points).max() <= 5


def test_neighbours_of_a_large_table_are_searched_in_blocks() -> None:
    points = np.random.default_rng(0).normal(size=(10_000, 2)).astype(np.float32)

    found = neighbours(points, np.random.default_rng(1))

    distance = np.linalg.norm(points[found] - points[:, None], axis=2)
    anyone = np.linalg.norm(points[np.random.default_rng(2).permutation(10_000)] - points, axis=1)
    assert np.median(distance) < np.median(anyone) / 10


def test_a_single_row_has_no_neighbour_and_makes_nothing() -> None:
    assert augment(pl.DataFrame({"x": [1.0]}), np.zeros((1, 1)), 10).height == 0


PROBABILITIES = st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=40)


@given(PROBABILITIES, st.floats(0.2, 20))
def test_soft_labels_add_up_to_one_and_keep_their_order(raw: list[list[float]], temperature: float) -> None:
    labels = soft(np.array(raw))
    softer = soften(labels, temperature)

    for found in (labels, softer):
        assert (found >= 0).all()
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    assert (np.take_along_axis(softer, labels.argmax(axis=1)[:, None], axis=1)[:, 0] >= softer.max(axis=1) - 1e-12).all()


def test_a_higher_temperature_evens_out() -> None:
    sharp = np.array([[0.9, 0.09, 0.01]])

    assert soften(sharp, 1.0) == pytest.approx(sharp)
    assert soften(sharp, 4.0)[0, 2] > 0.1
    assert soften(sharp, 1e6)[0] == pytest.approx([1 / 3] * 3, abs=1e-4)


@given(PROBABILITIES)
def test_weighted_rows_say_the_same_as_soft_labels(raw: list[list[float]]) -> None:
    labels = soft(np.array(raw))
    X = np.arange(len(labels), dtype=np.float32)[:, None]

    rows = weighted_rows(X, labels)

    assert rows.weights is not None
    told = np.zeros_like(labels)
    told[rows.X[:, 0].astype(int), rows.y] = rows.weights
    np.testing.assert_allclose(told, labels, atol=3 * LEAST_WEIGHT)
    np.testing.assert_allclose(told.sum(axis=1), 1, atol=1e-5)


def test_the_truth_is_blended_in_only_where_it_is_known() -> None:
    answered = np.array([[0.8, 0.2], [0.8, 0.2]])

    found = blended(answered, np.array([1, 0]), np.array([True, False]), 0.5)

    np.testing.assert_allclose(found, [[0.4, 0.6], [0.8, 0.2]])
    values = blended(np.array([1.0, 2.0]), np.array([3.0, 0.0]), np.array([True, False]), 0.25)
    np.testing.assert_allclose(values, [1.5, 2.0])


def test_main_columns_are_the_fewest_that_make_up_most() -> None:
    sources = {"a=1": "a", "a=2": "a", "b": "b", "c": "c"}

    assert main_columns({"a=1": 0.5, "a=2": 0.3, "b": 0.18, "c": 0.02}, sources) == ["a", "b"]
    assert main_columns({"a=1": 0.0, "a=2": 0.0, "b": 0.0, "c": 0.0}, sources) == []


def test_times_are_never_made_up() -> None:
    times = [MIDNIGHT + timedelta(days=at) for at in range(300)]
    table = pl.DataFrame({"when": times})

    assert set(augment(table, np.arange(300.0)[:, None], 500)["when"]) <= set(times)

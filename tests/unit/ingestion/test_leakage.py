"""Which columns count as giving the target away: both sides of every limit."""

import numpy as np
import polars as pl
import pytest

from stagewright.components.ingestion import leakage
from stagewright.components.ingestion.leakage import leaks
from stagewright.components.runtime.schema import Column, ColumnKind, Schema, Task


def found(task: Task, **columns: object) -> list[tuple[str, str, float]]:
    """Column, measure and score of each leak; `y` is the target, `key` an identifier."""
    table = pl.DataFrame({name: pl.Series(name, values, strict=False) for name, values in columns.items()})
    schema = Schema(
        target="y",
        task=task,
        columns=[
            Column(name=name, kind=ColumnKind.IDENTIFIER if name == "key" else ColumnKind.NUMERIC) for name in table.columns
        ],
    )
    return [(leak.column, leak.measure, round(leak.score, 4)) for leak in leaks(table, schema)]


def classes(rows: int, positive: int, *, seed: int = 7) -> np.ndarray:
    """So many rows, so many of them 1, in a random order."""
    return np.random.default_rng(seed).permutation(np.arange(rows) < positive).astype(np.int64)


def noise(rows: int, *, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=rows)


def test_noise_is_no_leak_where_one_class_is_very_rare() -> None:
    """Always guessing the frequent class is right in 99.95% of the rows."""
    assert found(Task.BINARY, y=classes(20_000, 10), x=noise(20_000)) == []


def test_a_copy_is_a_leak_where_one_class_is_very_rare() -> None:
    y = classes(20_000, 10)

    assert found(Task.BINARY, y=y, x=y) == [("x", "accuracy", 1.0)]


@pytest.mark.parametrize(("rows", "leak"), [(49, False), (50, True)])
def test_fewer_than_fifty_rows_prove_nothing(rows: int, leak: bool) -> None:
    y = classes(rows, 20)

    assert bool(found(Task.BINARY, y=y, x=y)) is leak
    assert bool(found(Task.REGRESSION, y=y, x=y)) is leak


def test_rows_without_a_target_are_not_counted() -> None:
    y = [*classes(49, 20).tolist(), None]

    assert found(Task.BINARY, y=y, x=[value or 0 for value in y]) == []


@pytest.mark.parametrize(("positive", "leak"), [(9, False), (10, True), (190, True), (191, False)])
def test_fewer_than_ten_rows_outside_the_largest_class_prove_nothing(positive: int, leak: bool) -> None:
    y = classes(200, positive)

    assert bool(found(Task.BINARY, y=y, x=y)) is leak


def test_an_identifier_and_the_target_itself_are_not_looked_at() -> None:
    y = classes(200, 100)

    assert found(Task.BINARY, y=y, key=y) == []


@pytest.mark.parametrize(("wrong", "leak"), [(2, True), (3, False)])
def test_a_class_is_given_away_from_an_accuracy_of_one_in_a_thousand(wrong: int, leak: bool) -> None:
    """One value per class, so that each row that differs is one error of 2,000."""
    y = classes(2000, 1000)
    x = y.copy()
    x[:wrong] = 1 - x[:wrong]

    assert found(Task.BINARY, y=y, x=x.astype(str).tolist()) == ([("x", "accuracy", 0.999)] if leak else [])


@pytest.mark.parametrize(("wrong", "leak"), [(2, True), (3, False)])
def test_a_tenth_of_the_errors_of_guessing_may_remain(wrong: int, leak: bool) -> None:
    """20 of 20,000 are of the rare class: guessing makes 20 errors."""
    y = classes(20_000, 20)
    x = y.copy()
    frequent = np.flatnonzero(y == 0)
    x[np.flatnonzero(y == 1)[:wrong]] = 0
    x[frequent[:1]] = 0

    assert bool(found(Task.BINARY, y=y, x=x.astype(str).tolist())) is leak


def test_values_that_one_half_never_saw_answer_the_most_frequent_class() -> None:
    y = classes(200, 60)

    assert found(Task.BINARY, y=y, x=[f"{row}" for row in range(200)]) == []


def test_many_classes_are_given_away_by_accuracy_alone() -> None:
    y = np.arange(300) % 3

    assert found(Task.MULTICLASS, y=y, x=10 * y + 5) == [("x", "accuracy", 1.0)]
    assert found(Task.MULTICLASS, y=y, x=noise(300) + 100 * (y == 1)) == []


@pytest.mark.parametrize("sign", [1, -1])
def test_a_score_that_separates_two_classes_is_a_leak_either_way(sign: int) -> None:
    """Three rows of the rare class are missing from their bins, so the accuracy says nothing."""
    y = classes(1000, 15)

    assert found(Task.BINARY, y=y, x=sign * (y + 0.001 * noise(1000))) == [("x", "AUC", 1.0)]


@pytest.mark.parametrize(("missing", "leak"), [(500, True), (501, False)])
def test_a_score_that_is_missing_in_most_rows_proves_nothing(missing: int, leak: bool) -> None:
    y = classes(1000, 100)
    x = (y + 0.001 * noise(1000)).tolist()
    for row in [*np.flatnonzero(y == 1)[:20], *np.flatnonzero(y == 0)][:missing]:
        x[row] = None

    areas = [leak for leak in found(Task.BINARY, y=y, x=x) if leak[1] == "AUC"]
    assert bool(areas) is leak


@pytest.mark.parametrize(("present", "area"), [(9, None), (10, 1.0)])
def test_an_area_needs_ten_values_of_each_class(present: int, area: float | None) -> None:
    y = np.array([1] * present + [0] * 60)

    assert leakage._area(pl.Series("x", y.astype(np.float64)), y) == area
    assert leakage._area(pl.Series("x", y.astype(np.float64)), 1 - y) == (None if area is None else 0.0)


def test_an_area_counts_equal_values_half() -> None:
    y = np.array([1, 0] * 20)

    assert leakage._area(pl.Series("x", np.zeros(40)), y) == 0.5
    assert leakage._area(pl.Series("x", [1.0, 0.0, 0.0, 0.0] * 10), y) == 0.75


def test_a_constant_number_cannot_be_given_away() -> None:
    assert found(Task.REGRESSION, y=np.full(100, 3.0), x=noise(100)) == []


def test_a_number_is_given_away_by_the_values_of_a_text() -> None:
    y = np.arange(200) % 5 * 1.5

    assert found(Task.REGRESSION, y=y, x=[f"level {value}" for value in y]) == [("x", "R2", 1.0)]
    assert found(Task.REGRESSION, y=noise(200), x=["a", "b"] * 100) == []


@pytest.mark.parametrize("x", [lambda y: -2 * y, np.exp, lambda y: y**3])
def test_a_number_is_given_away_by_one_that_goes_with_it(x) -> None:
    y = noise(60)

    [(column, measure, score)] = found(Task.REGRESSION, y=y, x=x(y))

    assert (column, measure) == ("x", "correlation")
    assert score == 1.0


@pytest.mark.parametrize(("present", "leak"), [(49, False), (50, True)])
def test_a_correlation_needs_fifty_values(present: int, leak: bool) -> None:
    y = noise(98)
    x = [float(value) if row < present else None for row, value in enumerate(y)]

    assert bool(found(Task.REGRESSION, y=y, x=x)) is leak


@pytest.mark.parametrize(("present", "leak"), [(99, False), (100, True)])
def test_a_correlation_needs_half_of_the_values(present: int, leak: bool) -> None:
    y = noise(200)
    x = [float(value) if row < present else None for row, value in enumerate(y)]

    assert bool(found(Task.REGRESSION, y=y, x=x)) is leak


def test_infinite_values_do_not_hide_a_correlation() -> None:
    y = noise(100)

    assert found(Task.REGRESSION, y=y, x=[float("inf"), *(3 * y[1:])])[0][:2] == ("x", "correlation")


def test_near_numbers_share_a_bin_of_at_least_twenty_rows() -> None:
    def bins(values: list[object]) -> list[int]:
        return leakage._binned(pl.Series("x", values, strict=False)).tolist()

    assert bins(list(range(100))) == [1 + row // 20 for row in range(100)]
    assert bins([None, *range(1, 100)])[:21] == [0] + [1] * 20
    assert bins(["b", None, "a", "b"]) == [2, 0, 1, 2]
    assert bins([7, 5, 7, 6, 5] * 12) == [3, 1, 3, 2, 1] * 12
    assert max(bins(list(range(6000)))) == 256
    assert set(bins(list(range(20)))) == {1, 2}

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.evaluation.outcomes import binary, multiclass, numbers

from stagewright.components.evaluation import slices
from stagewright.components.metrics.metrics import measure
from stagewright.components.runtime.errors import InputError


def test_categories_are_slices_most_frequent_first() -> None:
    outcome = binary(100)
    table = pl.DataFrame({"contract": ["year"] * 60 + ["month"] * 40})

    found = slices.by_columns(outcome, table, ["contract"])

    assert [(part.column, part.value, part.rows) for part in found] == [("contract", "year", 60), ("contract", "month", 40)]
    assert found[0].measured == measure(outcome.take(np.arange(60)))
    assert found[0].intervals["accuracy"][0] <= found[0].measured.values["accuracy"] <= found[0].intervals["accuracy"][1]


def test_numbers_are_cut_at_quartiles_and_missing_values_stand_apart() -> None:
    column = pl.Series("age", [*range(1, 101), None, None])

    found = [(value, int(rows.sum())) for value, rows in slices.parts(column)]

    assert found == [("1 to 25", 25), ("26 to 50", 25), ("51 to 75", 25), ("76 to 100", 25), ("(missing)", 2)]


def test_few_numbers_are_categories() -> None:
    assert [value for value, _ in slices.parts(pl.Series("senior", [0, 0, 1]))] == ["0", "1"]
    assert [value for value, _ in slices.parts(pl.Series("flag", [True, True, False, None]))] == ["true", "false", "(missing)"]


def test_rare_categories_are_one_slice() -> None:
    column = pl.Series("city", [f"city {number:02}" for number in range(20) for _ in range(20 - number)])

    found = dict(slices.parts(column))

    assert len(found) == slices.MOST_VALUES + 1
    assert found[slices.OTHERS].sum() == sum(range(1, 9))


@pytest.mark.parametrize(("categories", "shown", "others"), [(12, 12, 0), (13, 13, 0), (14, 12, 2)])
def test_one_category_more_than_the_limit_is_shown_itself(categories: int, shown: int, others: int) -> None:
    """A slice of "other values" that holds one value says less than that value's own name."""
    found = dict(slices.parts(pl.Series("city", [f"city {number:02}" for number in range(categories)])))

    assert [name for name in found if name != slices.OTHERS] == [f"city {number:02}" for number in range(shown)]
    assert found.get(slices.OTHERS, np.zeros(1)).sum() == others


@pytest.mark.parametrize(("values", "first"), [(6, "0"), (7, "0 to 1")])
def test_a_number_of_seven_values_is_cut_at_quartiles(values: int, first: str) -> None:
    assert next(slices.parts(pl.Series("age", list(range(values)))))[0] == first


def test_slices_of_numbers_are_named_by_their_least_and_greatest_value() -> None:
    found = [name for name, _ in slices.parts(pl.Series("pay", [0.12345, 9999.4, 1e4, 20_000.0, 1e6, 1e9, -2e4, float("nan")]))]

    assert found == ["-20,000 to 0.1235", "9999 to 10,000", "20,000 to 20,000", "1,000,000 to 1e+09", "(missing)"]


def test_times_are_cut_at_quartiles() -> None:
    column = pl.Series("at", [date(2026, 1, 1) + timedelta(days=day) for day in range(40)]).cast(pl.Datetime("us"))

    found = [(value, int(rows.sum())) for value, rows in slices.parts(column)]

    assert [rows for _, rows in found] == [10, 10, 10, 10]
    assert found[0][0].startswith("2026-01-01")


@pytest.mark.parametrize("name", ["value", "rows", "count", "__x", ""])
def test_any_column_name_will_do(name: str) -> None:
    assert [value for value, _ in slices.parts(pl.Series(name, ["b", "a", "b"]))] == ["b", "a"]


@given(st.lists(st.one_of(st.none(), st.floats(allow_infinity=True), st.integers(-5, 5).map(float)), min_size=1, max_size=80))
@settings(max_examples=150, deadline=None)
def test_slices_of_numbers_cover_every_row_once(values: list[float | None]) -> None:
    masks = [rows for _, rows in slices.parts(pl.Series("x", values, dtype=pl.Float64, strict=False))]

    assert np.array_equal(np.sum(masks, axis=0), np.ones(len(values)))


@given(st.lists(st.one_of(st.none(), st.text(max_size=2)), min_size=1, max_size=80))
@settings(max_examples=150, deadline=None)
def test_slices_of_categories_cover_every_row_once(values: list[str | None]) -> None:
    masks = [rows for _, rows in slices.parts(pl.Series("x", values, dtype=pl.String))]

    assert np.array_equal(np.sum(masks, axis=0), np.ones(len(values)))


def test_small_slices_are_marked_and_have_no_intervals() -> None:
    outcome = binary(100)
    table = pl.DataFrame({"kind": ["few"] * 10 + ["many"] * 90})
    one_class = pl.DataFrame({"churned": outcome.truth.tolist()})

    many, few = slices.by_columns(outcome, table, ["kind"])

    assert (few.note, few.intervals) == ("only 10 rows", {})
    assert many.note == ""
    assert slices.by_columns(outcome, one_class, ["churned"])[0].note == "only 0 rows of class 'Yes'"
    assert "accuracy" in few.measured.values


def taken(*, no: int, yes: int) -> str:
    """Why a slice with so many rows of each class is too small."""
    outcome = binary(400)
    rows = np.concatenate([np.flatnonzero(outcome.truth == 0)[:no], np.flatnonzero(outcome.truth == 1)[:yes]])
    return slices.by_columns(outcome.take(rows), pl.DataFrame({"all": ["of them"] * len(rows)}), ["all"], resamples=20)[0].note


@pytest.mark.parametrize(
    ("no", "yes", "note"),
    [
        (24, 5, "only 29 rows"),
        (25, 5, ""),
        (26, 4, "only 4 rows of class 'Yes'"),
        (4, 26, "only 4 rows of class 'No'"),
    ],
)
def test_a_slice_needs_thirty_rows_and_five_of_each_of_two_classes(no: int, yes: int, note: str) -> None:
    assert taken(no=no, yes=yes) == note


def test_a_slice_that_lacks_one_of_many_classes_is_judged() -> None:
    outcome = multiclass(300)
    table = pl.DataFrame({"class": outcome.truth})

    assert [part.note for part in slices.by_columns(outcome, table, ["class"], resamples=20)] == ["", "", "", ""]


def test_a_column_of_arrays_is_no_slice_and_ten_columns_are_named() -> None:
    table = pl.DataFrame({"pixels": np.zeros((3, 2)), **{f"c{number}": [1, 2, 3] for number in range(9)}})

    with pytest.raises(InputError, match=r"^cannot slice by 'pixels': it holds arrays, not values or categories$"):
        slices.check_columns(["c0", "pixels"], table.schema)
    with pytest.raises(InputError, match=r"it has pixels, c0, c1, c2, c3, c4, c5, c6, c7, c8$"):
        slices.check_columns(["zzz"], table.schema)
    with pytest.raises(InputError, match=r"it has pixels, c0, c1, c2, c3, c4, c5, c6, c7, c8, \.\.\.$"):
        slices.check_columns(["zzz"], table.with_columns(more=1).schema)


def test_unknown_column_names_the_nearest() -> None:
    table = pl.DataFrame({"contract": ["a"] * 300, "tenure": [1] * 300})

    with pytest.raises(InputError, match=r"cannot slice by 'contracts': .* no such column \(did you mean 'contract'\?\)"):
        slices.by_columns(numbers(), table, ["contracts"])
    with pytest.raises(InputError, match="no such column; it has contract, tenure"):
        slices.by_columns(numbers(), table, ["zzz"])

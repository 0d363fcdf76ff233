"""What a column means, from its figures alone: both sides of every limit."""

from typing import Any

import pytest

from stagewright.components.ingestion.profile import IMAGES, TENSORS, ColumnProfile
from stagewright.components.ingestion.type_inference import counts, kind_of, task_of
from stagewright.components.runtime.errors import InputError


def figures(name: str = "c", dtype: str = "int64", **known: Any) -> ColumnProfile:
    return ColumnProfile(name=name, dtype=dtype, infinite=0, **{"rows": 100, "nulls": 0, "distinct": 2, **known})


@pytest.mark.parametrize(
    ("dtype", "distinct", "rows", "task"),
    [
        ("int64", 10, 40, "regression"),  # four rows of each are too few for classes
        ("int64", 10, 49, "regression"),
        ("int64", 10, 50, "multiclass"),
        ("int64", 20, 1000, "multiclass"),
        ("int64", 21, 1000, "regression"),
        ("int64", 2, 9, "regression"),
        ("int64", 2, 10, "binary"),
        ("int64", 3, 15, "multiclass"),
        ("float64", 2, 1000, "regression"),
        ("string", 2, 2, "binary"),
        ("string", 3, 3, "multiclass"),
        ("string", 21, 42, "multiclass"),
        ("boolean", 2, 10, "binary"),
        ("boolean", 1, 10, "binary"),
    ],
)
def test_the_task_follows_from_how_many_values_there_are(dtype: str, distinct: int, rows: int, task: str) -> None:
    assert task_of(figures(dtype=dtype, distinct=distinct, rows=rows), "auto") == task


def test_missing_values_are_no_rows_of_a_class() -> None:
    assert task_of(figures(distinct=10, rows=90, nulls=40), "auto") == "multiclass"
    assert task_of(figures(distinct=10, rows=90, nulls=41), "auto") == "regression"


@pytest.mark.parametrize(("distinct", "rows", "refused"), [(21, 41, True), (21, 42, False), (20, 20, False)])
def test_texts_of_which_more_than_half_differ_are_no_classes(distinct: int, rows: int, refused: bool) -> None:
    target = figures(dtype="string", distinct=distinct, rows=rows, top=(("such", 1),))

    if not refused:
        assert task_of(target, "auto") == "multiclass"
        return
    with pytest.raises(InputError, match=f"^target 'c' has {distinct} different texts in {rows} rows, such as 'such'; "):
        task_of(target, "auto")


@pytest.mark.parametrize(("dtype", "shape", "held"), [(IMAGES, (1, 8, 8), "arrays"), ("date", None, "times")])
def test_arrays_and_times_cannot_be_predicted(dtype: str, shape: tuple[int, ...] | None, held: str) -> None:
    with pytest.raises(InputError, match=f"^target 'c' holds {held}; predict a number or classes instead$"):
        task_of(figures(dtype=dtype, shape=shape), "auto")


@pytest.mark.parametrize(
    ("task", "dtype", "distinct"),
    [
        ("binary", "int64", 2), ("binary", "int64", 1), ("multiclass", "int64", 3), ("multiclass", "int64", 1),
        ("regression", "int64", 2), ("regression", "float64", 9), ("multiclass", "string", 3), ("binary", "boolean", 2),
    ],
)  # fmt: skip
def test_a_task_that_fits_is_taken(task: str, dtype: str, distinct: int) -> None:
    assert task_of(figures(dtype=dtype, distinct=distinct), task) == task


def counted(rows: dict[int, int], dtype: str = "int64", shown: int | None = None) -> ColumnProfile:
    """A column of whole numbers of so many rows each; `shown` of them are known by their rows."""
    top = tuple(sorted(rows.items(), key=lambda item: -item[1])[:shown])
    return figures(
        dtype=dtype, rows=sum(rows.values()), distinct=len(rows), minimum=min(rows), maximum=max(rows), top=top
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "counting"),
    [
        ({0: 50, 1: 50, 2: 50, 3: 9}, False),  # five times nine is more than the mean of 39.75
        ({0: 60, 1: 60, 2: 51, 3: 9}, True),  # five times nine is the mean of 45
        ({0: 60, 1: 60, 2: 50, 3: 9}, False),
        ({0: 300, 1: 200, 3: 1}, False),
        ({0: 300, 1: 200, 2: 100, 7: 1}, True),  # from 0 to 7 are eight numbers, of which half are there
        ({0: 300, 1: 200, 2: 100, 8: 1}, False),
    ],
)
def test_counts_are_dense_and_their_largest_is_rare(rows: dict[int, int], counting: bool) -> None:
    assert counts(counted(rows)) is counting


def test_only_whole_numbers_whose_rows_are_all_known_are_counts() -> None:
    rows = {0: 300, 1: 200, 2: 100, 3: 1}

    assert counts(counted(rows))
    assert not counts(counted(rows, dtype="float64"))
    assert not counts(counted(rows, shown=3))


def all_different(name: str = "c", dtype: str = "string", rows: int = 20, **known: Any) -> str:
    return kind_of(figures(name, dtype, rows=rows, distinct=rows, **known)).value


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        ("identifier", {"words": 1.0}),
        ("identifier", {"words": None}),
        ("identifier", {"words": 2.9}),
        ("categorical", {"words": 2.9, "rows": 19}),
        ("identifier", {"words": 2.9, "rows": 19, "name": "customer_id"}),
        ("identifier", {"words": 2.9, "rows": 2, "name": "id"}),
        ("categorical", {"words": 2.9, "rows": 1, "name": "id"}),
        ("identifier", {"words": 9.0, "name": "customerId"}),
        ("identifier", {"words": 9.0, "name": "row_nr"}),
        ("text", {"words": 3.0, "rows": 21}),
        ("categorical", {"words": 3.0, "rows": 20}),
        ("numeric", {"dtype": "float64", "name": "id"}),
        ("identifier", {"dtype": "int64", "name": "rid", "minimum": 0, "maximum": 19}),
        ("identifier", {"dtype": "int64", "name": "n", "minimum": 1, "maximum": 20}),
        ("numeric", {"dtype": "int64", "name": "n", "minimum": 2, "maximum": 21}),
        ("numeric", {"dtype": "int64", "name": "n", "minimum": 0, "maximum": 20}),
        ("numeric", {"dtype": "int64", "name": "n", "minimum": 0, "maximum": 18, "rows": 19}),
        ("numeric", {"dtype": "int64", "name": "grid", "minimum": 5, "maximum": 90}),
    ],
)
def test_what_is_all_different_is_an_identifier_by_its_name_or_its_form(kind: str, known: dict[str, Any]) -> None:
    assert all_different(**known) == kind


@pytest.mark.parametrize(
    ("distinct", "words", "kind"),
    [(50, 3.0, "categorical"), (51, 3.0, "text"), (51, 2.9, "categorical"), (51, None, "categorical")],
)
def test_text_is_mostly_different_and_has_several_words(distinct: int, words: float | None, kind: str) -> None:
    assert kind_of(figures(dtype="string", distinct=distinct, words=words)) == kind


def test_the_twenty_values_of_a_short_table_are_no_text() -> None:
    assert kind_of(figures(dtype="string", rows=30, distinct=20, words=9.0)) == "categorical"
    assert kind_of(figures(dtype="string", rows=30, distinct=21, words=9.0)) == "text"


@pytest.mark.parametrize(
    ("dtype", "shape", "kind"),
    [
        (IMAGES, (1, 8, 8), "image"), (IMAGES, (8, 8), "tensor"), (TENSORS, (1, 8, 8), "tensor"), ("boolean", None, "boolean"),
        ("date", None, "datetime"), ("datetime", None, "datetime"),
    ],
)  # fmt: skip
def test_arrays_booleans_and_times_are_what_they_are(dtype: str, shape: tuple[int, ...] | None, kind: str) -> None:
    assert kind_of(figures("id", dtype, shape=shape, distinct=100)) == kind
    assert kind_of(figures("id", dtype, shape=shape), target=True, classes=True) == kind


def test_an_empty_column_is_an_identifier_that_nothing_is_learned_from() -> None:
    assert kind_of(figures(rows=5, nulls=5, distinct=0)) == "identifier"


@pytest.mark.parametrize(
    ("dtype", "classes", "kind"),
    [("int64", True, "categorical"), ("int64", False, "numeric"), ("string", False, "categorical")],
)
def test_a_target_is_numbers_or_classes_and_never_an_identifier(dtype: str, classes: bool, kind: str) -> None:
    assert kind_of(figures("id", dtype, distinct=100), target=True, classes=classes) == kind

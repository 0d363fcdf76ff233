"""split: a partition by any method, its sizes, its proof, and what it refuses."""

import json
import re
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagewright.components.ingestion.allocation import by_draw, by_group, by_time, too_alike
from stagewright.components.ingestion.split import Split, prove, split
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.files import sha256
from stagewright.components.runtime.schema import Schema

FRACTIONS = (0.7, 0.15, 0.15)


def schema_of(table: pl.DataFrame, target: str | None, task: str | None = "binary") -> Schema:
    columns = [{"name": name, "kind": "categorical"} for name in table.columns]
    return Schema.parse({"target": target, "task": task, "columns": columns})


def parts(folder: Path, table: pl.DataFrame, schema: Schema, **options) -> tuple[Split, list[pl.DataFrame]]:
    tables.write_table(table, folder / "table")
    outputs = [folder / name for name in ("train", "validation", "test")]
    done = split(folder / "table", schema, outputs, **options)
    return done, [tables.read_table(path) for path in outputs]


def rows_of(part: pl.DataFrame) -> set[tuple]:
    return set(part.rows())


def test_telco_is_split_by_content_and_keeps_its_order(tmp_path: Path, telco: pl.DataFrame) -> None:
    table = telco.with_row_index("row")

    done, found = parts(tmp_path, table, schema_of(table, "churn"))

    assert [part.height for part in found] == [info.rows for info in done.tables] == [4922, 1042, 1079]
    shares = [(part["churn"] == "Yes").mean() for part in found]
    assert max(shares) - min(shares) < 0.03
    assert all(part["row"].is_sorted() for part in found)
    assert pl.concat(found).sort("row").equals(tables.read_table(tmp_path / "table"))
    assert (done.proof.rows_shared, done.proof.groups_shared, done.proof.rows_lost) == (0, 0, 0)
    metadata = done.metadata(1, schema_of(table, "churn"))
    assert json.loads(json.dumps(metadata)) == {
        "rows": 1042, "columns": 21, "sha256": sha256(tmp_path / "validation"), "target": "churn", "task": "binary",
        "split": "validation", "method": "stratified", "by": "content", "moved": 0, "share": round(1042 / 7043, 6),
        "proof": {"rows_shared": 0, "groups_shared": 0},
    }  # fmt: skip


def test_metadata_of_a_table_without_target_holds_no_null(tmp_path: Path, telco: pl.DataFrame) -> None:
    done, _ = parts(tmp_path, telco, schema_of(telco, "churn"))
    without = schema_of(telco, "churn").model_copy(update={"target": None, "task": None})

    assert (done.metadata(0, without)["target"], done.metadata(0, without)["task"]) == ("", "")


def test_equal_seeds_give_equal_bytes_and_others_do_not(tmp_path: Path, wine: pl.DataFrame) -> None:
    schema = schema_of(wine, "cultivar", "multiclass")
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()

    first, _ = parts(tmp_path / "a", wine, schema, seed=3)
    again, _ = parts(tmp_path / "b", wine, schema, seed=3)
    other, _ = parts(tmp_path / "c", wine, schema, seed=4)

    assert first.tables == again.tables
    assert first.tables[0].sha256 != other.tables[0].sha256


@pytest.mark.parametrize("method", ["stratified", "random"])
def test_rows_keep_their_split_when_the_table_grows_or_is_sorted_anew(tmp_path: Path, telco: pl.DataFrame, method: str) -> None:
    whole = telco.with_row_index("row")
    schema = schema_of(whole, "churn")
    for name in ("small", "large"):
        (tmp_path / name).mkdir()

    _, before = parts(tmp_path / "small", whole[:5000], schema, method=method)
    _, after = parts(tmp_path / "large", whole.sample(fraction=1.0, shuffle=True, seed=5), schema, method=method)

    assert [len(rows_of(old) - rows_of(new)) for old, new in zip(before, after, strict=True)] == [0, 0, 0]


def test_a_corrected_label_an_identifier_and_wider_types_move_no_row(tmp_path: Path, wine: pl.DataFrame) -> None:
    table = wine.with_row_index("id")
    columns = [{"name": name, "kind": "identifier" if name == "id" else "numeric"} for name in table.columns]
    schema = Schema.parse({"target": "cultivar", "task": "multiclass", "columns": columns})
    changed = table.with_columns(
        cultivar=pl.col("cultivar").reverse(), id=pl.col("id") + 1000, proline=pl.col("proline").cast(pl.Float64), new=None
    )
    for name in ("a", "b"):
        (tmp_path / name).mkdir()

    _, before = parts(tmp_path / "a", table, schema, method="random")
    _, after = parts(tmp_path / "b", changed, schema, method="random")

    assert [part["id"].to_list() for part in before] == [(part["id"] - 1000).to_list() for part in after]


def test_groups_keep_their_split_when_the_table_grows(tmp_path: Path, telco: pl.DataFrame) -> None:
    table = telco.with_columns(group=pl.col("total_charges").fill_null(0).round(0))
    for name in ("small", "large"):
        (tmp_path / name).mkdir()
    options = {"method": "group", "group_column": "group"}

    small, before = parts(tmp_path / "small", table[:5000], schema_of(table, "churn"), **options)
    _, after = parts(tmp_path / "large", table, schema_of(table, "churn"), **options)

    assert [len(set(old["group"]) - set(new["group"])) for old, new in zip(before, after, strict=True)] == [0, 0, 0]
    assert (small.by, small.moved) == ("group", 0)


def test_equal_rows_stay_together(tmp_path: Path, wine: pl.DataFrame) -> None:
    done, found = parts(tmp_path, pl.concat([wine] * 5), schema_of(wine, "cultivar"))

    assert (done.by, done.proof.rows_repeated) == ("content", 0)
    assert not rows_of(found[0]) & rows_of(found[2])


def test_every_class_of_a_small_table_is_in_every_split(tmp_path: Path) -> None:
    table = pl.DataFrame({"x": range(60), "y": ["often"] * 50 + ["seldom"] * 7 + ["rare"] * 3})

    done, found = parts(tmp_path, table, schema_of(table, "y", "multiclass"))

    assert [part.filter(pl.col("y") == "rare").height for part in found] == [1, 1, 1]
    assert [part.filter(pl.col("y") == "seldom").height for part in found] == [5, 1, 1]
    assert [part.filter(pl.col("y") == "often").height for part in found] == [37, 7, 6]
    assert done.moved == 3


def test_a_number_is_split_without_regard_to_its_value(tmp_path: Path, diabetes: pl.DataFrame) -> None:
    _, found = parts(tmp_path, diabetes, schema_of(diabetes, "progression", "regression"))

    means = [part["progression"].mean() for part in found]
    assert [part.height for part in found] == [308, 69, 65]
    assert max(means) - min(means) < 25  # of a standard deviation of 77


def test_time_puts_the_oldest_rows_in_train_and_ties_together(tmp_path: Path) -> None:
    days = [date(2024, 1, 1) + timedelta(days=(row * 37) % 100 // 2) for row in range(1000)]
    table = pl.DataFrame({"day": days, "row": range(1000)})

    _, (train, validation, test) = parts(tmp_path, table, schema_of(table, None, None), method="time", time_column="day")

    assert train["day"].max() < validation["day"].min() <= validation["day"].max() < test["day"].min()
    assert [part.height for part in (train, validation, test)] == [700, 140, 160]
    assert train["row"].is_sorted()


def test_group_keeps_groups_together(tmp_path: Path, telco: pl.DataFrame) -> None:
    done, found = parts(tmp_path, telco, schema_of(telco, "churn"), method="group", group_column="tenure")

    groups = [set(part["tenure"]) for part in found]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert [part.height / telco.height for part in found] == pytest.approx([0.7, 0.15, 0.15], abs=0.06)
    assert done.proof.groups_shared == 0


def test_few_unequal_groups_are_placed_one_by_one(tmp_path: Path) -> None:
    table = pl.DataFrame({"g": [0] * 70 + [1] * 15 + [2] * 15, "x": range(100)})

    done, found = parts(tmp_path, table, schema_of(table, None, None), method="group", group_column="g")

    assert [part.height for part in found] == [70, 15, 15]
    assert done.by == "group"


def test_rows_that_repeat_across_splits_are_counted(tmp_path: Path) -> None:
    table = pl.DataFrame({"a": [1, 2] * 50, "b": ["x", "y"] * 50})

    done, found = parts(tmp_path, table, schema_of(table, None, None), method="random")

    assert done.by == "copy"
    assert done.proof.rows_repeated == found[1].height + found[2].height == 29


def test_copies_keep_their_split_when_the_table_grows(tmp_path: Path) -> None:
    table = pl.DataFrame({"a": [1, 2, 3, 4] * 100})
    for name in ("small", "large"):
        (tmp_path / name).mkdir()

    _, before = parts(tmp_path / "small", table[:320], schema_of(table, None, None), method="random")
    _, after = parts(tmp_path / "large", table, schema_of(table, None, None), method="random")

    for old, new in zip(before, after, strict=True):
        counts = [new.filter(pl.col("a") == value).height - old.filter(pl.col("a") == value).height for value in (1, 2, 3, 4)]
        assert min(counts) >= 0


def test_a_table_of_few_different_rows_is_too_alike() -> None:
    assert too_alike(np.repeat(np.arange(99, dtype=np.uint64), 10))
    assert not too_alike(np.repeat(np.arange(100, dtype=np.uint64), 10))
    assert not too_alike(np.arange(20, dtype=np.uint64))
    assert too_alike(np.repeat(np.arange(9, dtype=np.uint64), [12, 1, 1, 1, 1, 1, 1, 1, 1]))


def test_a_wrong_split_does_not_pass_the_proof(tmp_path: Path) -> None:
    table = pl.DataFrame({"g": [1, 1, 2, 3]})
    outputs = [tmp_path / name for name in ("train", "validation", "test")]
    for path, rows in zip(outputs, ([0, 2], [1], [3]), strict=True):
        tables.write_table(table[rows], path)
    assignment = np.array([0, 1, 0, 2], np.int8)

    tables.write_table(table, tmp_path / "table")
    tables.write_table(table.with_columns(g=pl.col("g") + 1), tmp_path / "other")

    assert prove(tmp_path / "table", assignment, outputs).rows_shared == 0
    for source, rows, group, sentence in (
        ("table", assignment, "g", "0 rows and 1 groups shared, 0 rows lost, sizes [2, 1, 1] instead of [2, 1, 1], same rows"),
        (
            "other",
            assignment,
            None,
            "0 rows and 0 groups shared, 0 rows lost, sizes [2, 1, 1] instead of [2, 1, 1], other rows",
        ),
        (
            "table",
            assignment[[0, 1, 1, 3]],
            None,
            "0 rows and 0 groups shared, 0 rows lost, sizes [2, 1, 1] instead of [1, 2, 1]",
        ),
    ):
        with pytest.raises(RuntimeError, match="^the splits are wrong: " + re.escape(sentence)):
            prove(tmp_path / source, rows, outputs, group)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(3, 400),
    st.lists(st.integers(1, 20), min_size=3, max_size=3),
    st.integers(0, 2**32),
    st.integers(1, 12),
    st.data(),
)
def test_every_method_makes_a_partition(rows: int, parts_of: list[int], seed: int, values: int, data: st.DataObject) -> None:
    fractions = [part / sum(parts_of) for part in parts_of]
    strata = np.random.default_rng(seed).integers(0, values, rows)
    strata = np.unique(strata, return_inverse=True)[1]

    draws = np.random.default_rng(seed).random(rows)

    check_partition(by_draw(draws, np.zeros(rows, np.int64), fractions), rows)
    check_partition(by_time(np.random.default_rng(seed).permutation(rows), fractions, "t"), rows)
    if max(np.bincount(strata)) >= 3:
        assignment = by_draw(draws, strata, fractions)
        check_partition(assignment, rows)
        for stratum, size in enumerate(np.bincount(strata)):
            assert len(set(assignment[strata == stratum])) == (3 if size >= 3 else 1)
            least = np.floor(0.5 * size * np.array(fractions))
            assert size < 3 or (np.bincount(assignment[strata == stratum], minlength=3) >= least).all()
    if strata.max() >= 2:
        assignment = by_group(strata, draws[strata], fractions, "g")
        check_partition(assignment, rows)
        assert all(len(set(assignment[strata == group])) == 1 for group in set(strata))


def check_partition(assignment: Sequence[int], rows: int) -> None:
    assert len(assignment) == rows
    assert set(assignment) == {0, 1, 2}


def test_sizes_are_near_for_many_small_classes() -> None:
    strata, draws = np.repeat(np.arange(100), 7), np.random.default_rng(0).random(700)

    sizes = np.bincount(by_draw(draws, strata, FRACTIONS))

    assert np.abs(sizes - 700 * np.array(FRACTIONS)).max() <= 30


@pytest.mark.parametrize(
    "fractions", [[0.7, 0.3], [0.7, 0.2, 0.2], [0.7, 0.3, 0.0], [1.2, -0.1, -0.1], ["0.7", 0.15, 0.15], [True, 0, 0], "0.7"]
)
def test_fractions_are_three_positive_numbers_that_sum_to_one(tmp_path: Path, wine: pl.DataFrame, fractions) -> None:
    with pytest.raises(
        BadParameter, match=r"^parameter 'fractions' is .*; expected three positive numbers that sum to 1: train, val"
    ):
        parts(tmp_path, wine, schema_of(wine, "cultivar"), fractions=fractions)


def test_what_cannot_be_split_is_told_in_one_sentence(tmp_path: Path) -> None:
    table = pl.DataFrame({"y": ["a", "b"] * 5, "t": [1, 2] * 5, "n": [None, 1] * 5, "s": list("abcdefghij")})
    whole, without = schema_of(table, "y"), schema_of(table, None, None)
    cases = [
        (
            whole,
            {"method": "times"},
            r"parameter 'method' is 'times'; expected one of stratified, .* \(did you mean 'time'\?\)",
        ),
        (whole, {"method": "time"}, r"parameter 'time_column' is not set; method 'time' needs it"),
        (
            whole,
            {"group_column": "t"},
            r"parameter 'group_column' is 't' but the method is 'stratified'; set method to group, or .*",
        ),
        (whole, {"method": "time", "time_column": "tt"}, r"time_column 'tt' is not a column of the table.*"),
        (
            whole,
            {"method": "time", "time_column": "t"},
            r"column 't' has 2 different times; a split by time needs at least three",
        ),
        (
            whole,
            {"method": "time", "time_column": "n"},
            r"time_column 'n' is missing in 5 of 10 rows; fill them in or remove .*",
        ),
        (whole, {"method": "time", "time_column": "s"}, r"column 's' holds text, not times; a split by time needs dates, .*"),
        (
            whole,
            {"method": "group", "group_column": "t"},
            r"column 't' has 2 groups; a split by group needs at least three, .*",
        ),
        (whole, {"method": "group", "group_column": "n"}, r"group_column 'n' is missing in 5 of 10 rows; .*"),
        (without, {}, r"the schema names no target, which a stratified split needs; use method random, time or group"),
        (schema_of(table, "s", "regression"), {}, r"target 's' holds no numbers, but the task is regression"),
    ]
    for schema, options, sentence in cases:
        with pytest.raises(InputError, match=f"^{sentence}$"):
            parts(tmp_path, table, schema, **options)
    with pytest.raises(
        InputError, match=r"^the validation split would be empty because the classes are too small; give more rows$"
    ):
        parts(tmp_path, table[:3], schema_of(table, "s"))
    with pytest.raises(InputError, match=r"^the table has 2 rows; three splits need at least 3$"):
        parts(tmp_path, table[:2], whole, method="random")

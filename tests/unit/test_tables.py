"""Tables: stored types, streaming, equal bytes for equal tables, atomic writes, clear errors."""

# ruff: noqa: DTZ001  (stored times have no zone)

import hashlib
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import InputError


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "i": [1, None],
            "f": [0.5, float("nan")],
            "s": ["ü", None],
            "b": [True, None],
            "t": [datetime(2024, 1, 2, 3, 4, 5, 6), None],
            "d": [date(2024, 1, 2), None],
        }
    )

    info = tables.write_table(frame, tmp_path / "deep" / "table")

    assert_frame_equal(tables.read_table(tmp_path / "deep" / "table"), frame)
    content = (tmp_path / "deep" / "table").read_bytes()
    assert info.metadata() == {"rows": 2, "columns": 6, "sha256": hashlib.sha256(content).hexdigest()}
    assert tables.info(tmp_path / "deep" / "table") == info


def test_a_streamed_table_has_the_same_bytes_as_one_in_memory_and_full_row_groups(tmp_path: Path) -> None:
    rows = 2 * tables.ROW_GROUP_ROWS + 5
    frame = pl.DataFrame({"row": range(rows)}).with_columns(text=pl.col("row").cast(pl.String))

    eager = tables.write_table(frame, tmp_path / "eager")
    again = tables.write_table(frame.lazy(), tmp_path / "lazy")
    scanned = tables.write_table(tables.scan_table(tmp_path / "eager"), tmp_path / "scanned")

    assert eager == again == scanned
    metadata = pq.ParquetFile(tmp_path / "lazy").metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [131072, 131072, 5]
    assert metadata.row_group(0).column(0).compression == "ZSTD"
    assert tables.read_table(tmp_path / "lazy")["row"].to_list() == list(range(rows))


def test_types_are_brought_to_those_that_tables_store(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "small": pl.Series([1], dtype=pl.UInt8),
            "single": pl.Series([0.5], dtype=pl.Float32),
            "decimal": pl.Series(["1.25"]).cast(pl.Decimal(10, 2)),
            "category": pl.Series(["a"], dtype=pl.Categorical),
            "nothing": pl.Series([None], dtype=pl.Null),
            "zoned": pl.Series([datetime(2024, 1, 1, 12, tzinfo=UTC)]).dt.convert_time_zone("Asia/Tokyo"),
            "coarse": pl.Series([datetime(2024, 1, 1)]).cast(pl.Datetime("ms")),
        }
    )

    tables.write_table(frame, tmp_path / "table")

    stored = tables.read_table(tmp_path / "table")
    assert stored.dtypes == [pl.Int64, pl.Float64, pl.Float64, pl.String, pl.String, pl.Datetime("us"), pl.Datetime("us")]
    assert stored.row(0) == (1, 0.5, 1.25, "a", None, datetime(2024, 1, 1, 12), datetime(2024, 1, 1))


def test_a_failed_write_leaves_the_old_table_and_nothing_else(tmp_path: Path) -> None:
    tables.write_table(pl.DataFrame({"a": [1]}), tmp_path / "table")
    broken = pl.LazyFrame({"a": ["x"]}).with_columns(pl.col("a").cast(pl.Int64))

    with pytest.raises(pl.exceptions.InvalidOperationError):
        tables.write_table(broken, tmp_path / "table")

    assert tables.read_table(tmp_path / "table")["a"].to_list() == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


def test_an_empty_table_is_a_table(tmp_path: Path) -> None:
    tables.write_table(pl.DataFrame(schema={"a": pl.Int64, "b": pl.String}), tmp_path / "table")

    assert tables.read_table(tmp_path / "table").schema == {"a": pl.Int64, "b": pl.String}
    assert tables.info(tmp_path / "table").rows == 0


def test_a_nested_column_cannot_be_stored(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^column 'a' holds List\(Int64\), which a table cannot store; turn it into numbers,"):
        tables.write_table(pl.DataFrame({"a": [[1]]}), tmp_path / "table")


@pytest.mark.parametrize("use", [tables.read_table, tables.scan_table, tables.info])
def test_what_is_not_a_table_is_named(tmp_path: Path, use) -> None:
    (tmp_path / "text").write_text("a,b\n1,2\n")
    tables.write_table(pl.DataFrame({"a": [1]}), tmp_path / "whole")
    (tmp_path / "part").write_bytes((tmp_path / "whole").read_bytes()[:-9])

    with pytest.raises(InputError, match=r"^no table at .*/missing$"):
        use(tmp_path / "missing")
    with pytest.raises(InputError, match=r"is a folder; a table is one Parquet file$"):
        use(tmp_path)
    for name in ("text", "part"):
        with pytest.raises(InputError, match=rf"/{name} is not a Parquet file, or only a part of one$"):
            use(tmp_path / name)

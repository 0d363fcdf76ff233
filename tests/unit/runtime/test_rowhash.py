"""rowhash and learned: the same number for the same row, anywhere, and a record of rows that a model cannot be judged on."""

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from stagewright.components.runtime import learned, rowhash, tables
from stagewright.components.runtime.learned import LearnedRows

TABLE = pl.DataFrame(
    {
        "n": [1, 2, None, 2],
        "t": ["x", None, "é", "x"],
        "d": [date(2024, 1, 1), date(2024, 1, 2), None, date(2024, 1, 1)],
        "b": [True, False, None, True],
    }
)


def hashes(table: pl.DataFrame) -> list[int]:
    return rowhash.of_table(table, table.columns).tolist()


def test_hashes_are_pinned() -> None:
    """Another machine, another version of polars or NumPy must make the same ones: champions are compared by them."""
    assert hashes(TABLE) == [12461352496457288137, 676110098173282205, 7169784462241111942, 4498215977771612976]


def test_what_is_stored_in_another_type_has_the_same_hash() -> None:
    other = TABLE.with_columns(
        pl.col("n").cast(pl.Float32), pl.col("t").cast(pl.Categorical), pl.col("d").cast(pl.Datetime("ms")), pl.col("b")
    )

    assert hashes(other) == hashes(TABLE)
    assert hashes(other.select(reversed(other.columns))) == hashes(TABLE)
    assert hashes(TABLE.with_columns(new=pl.lit(None, pl.String))) == hashes(TABLE)
    assert hashes(TABLE.reverse()) == hashes(TABLE)[::-1]
    assert hashes(pl.DataFrame({"n": [0.0, -0.0]}))[0] == hashes(pl.DataFrame({"n": [0.0, -0.0]}))[1]
    assert hashes(pl.DataFrame({"n": [float("nan"), None]}))[0] == hashes(pl.DataFrame({"n": [float("nan"), None]}))[1]


@pytest.mark.parametrize(
    "other",
    [
        pl.DataFrame({"b": ["x"], "a": ["y"]}),
        pl.DataFrame({"a": ["x"], "c": ["y"]}),
        pl.DataFrame({"a": ["x"], "b": [""]}),
        pl.DataFrame({"a": ["x"], "b": [None]}),
        pl.DataFrame({"a": ["x"]}),
        pl.DataFrame({"a": ["xy"], "b": [""]}),
    ],
)
def test_other_values_have_other_hashes(other: pl.DataFrame) -> None:
    assert hashes(other) != hashes(pl.DataFrame({"a": ["x"], "b": ["y"]}))


def test_images_are_hashed_by_their_pixels() -> None:
    pixels = pl.Series("i", [[[1, 2], [3, 4]], [[1, 2], [3, 5]], [[1, 2], [3, 4]], None], pl.Array(pl.UInt8, (2, 2)))

    found = hashes(pl.DataFrame([pixels]))

    assert found[0] == found[2]
    assert len(set(found)) == 3


def test_blocks_make_no_difference(tmp_path: Path, telco: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    tables.write_table(telco, tmp_path / "t")
    monkeypatch.setattr(rowhash, "BLOCK_ROWS", 1000)

    assert rowhash.of_file(tmp_path / "t", telco.columns).tolist() == hashes(telco)
    assert rowhash.of_file(tmp_path / "t", []).tolist() == [0] * telco.height


def test_draws_are_even_and_seeds_differ() -> None:
    every = rowhash.of_table(pl.DataFrame({"n": range(100_000)}), ["n"])

    draws = rowhash.drawn(every, 0)

    assert np.histogram(draws, 10, (0, 1))[0] == pytest.approx(np.full(10, 10_000), rel=0.05)
    assert abs(np.corrcoef(draws, rowhash.drawn(every, 1))[0, 1]) < 0.02
    assert rowhash.drawn(every[:2], -5).tolist() != rowhash.drawn(every[:2], 5).tolist()


def test_copies_are_told_apart_and_keep_their_hash() -> None:
    few, many = np.array([7, 9, 7], np.uint64), np.array([7, 7, 9, 7, 11], np.uint64)

    assert len(set(rowhash.copies(few).tolist())) == 3
    assert set(rowhash.copies(few).tolist()) < set(rowhash.copies(many).tolist())


def test_a_record_tells_learned_rows_from_new_ones(tmp_path: Path) -> None:
    table = pl.DataFrame({"a": range(100), "y": [0, 1] * 50})
    for name, part in (("train", table[:60]), ("validation", table[60:80])):
        tables.write_table(part, tmp_path / name)

    LearnedRows.of((tmp_path / "train", tmp_path / "validation"), ["a"]).write(tmp_path)
    read = LearnedRows.read(tmp_path)

    assert read is not None
    assert (read.rows, read.one_in, read.columns) == (80, 1, {"a": "number"})
    assert read.new(table.with_columns(y=1 - pl.col("y"))).tolist() == [False] * 80 + [True] * 20


def test_the_record_of_many_rows_is_a_part_that_decides_exactly(tmp_path: Path) -> None:
    table = pl.DataFrame({"a": range(20_000)})
    tables.write_table(table[:10_000], tmp_path / "train")

    part = LearnedRows.of((tmp_path / "train",), ["a"], most=1000)
    new = part.new(table)

    assert part.one_in == 16
    assert len(part.hashes) <= 1000
    assert not new[:10_000].any()
    assert new[10_000:].mean() == pytest.approx(1 / 16, rel=0.2)


def test_why_rows_cannot_be_told_is_said() -> None:
    record = LearnedRows({"a": "number", "b": "text"}, np.array([1], np.uint64))

    assert record.incompatibility({"a": pl.Int64(), "b": pl.String(), "c": pl.Int64()}) == ""
    assert record.incompatibility({"a": pl.Float64()}) == (
        "which rows it learned from cannot be told without the column 'b', which the data no longer has"
    )
    assert record.incompatibility({"a": pl.String(), "b": pl.String()}) == (
        "which rows it learned from cannot be told: column 'a' held numbers then and holds texts now"
    )


@pytest.mark.parametrize("broken", ["nothing", "rows.json", "rows.npy", "version"])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if broken == "version":
        monkeypatch.setattr(rowhash, "VERSION", 2)
    if broken != "nothing":
        LearnedRows({"a": "number"}, np.array([1], np.uint64)).write(tmp_path)
        monkeypatch.undo()
    if broken in ("rows.json", "rows.npy"):
        (tmp_path / learned.FOLDER / broken).write_bytes(b"?")

    assert LearnedRows.read(tmp_path) is None

"""Any table survives being written as text and read again, whichever way it is read; good and bad rows add up."""

import csv
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from stagewright.components.ingestion.delimited import DelimitedFile
from stagewright.components.ingestion.ingest import ingest
from stagewright.components.runtime import tables

LETTERS = st.characters(codec="utf-8", exclude_categories=("Cs",), exclude_characters="\0")
TEXT = st.text(LETTERS, max_size=12)
VALUES = {
    pl.Int64: st.integers(-(2**63), 2**63 - 1),
    pl.Float64: st.floats(allow_nan=False),
    pl.Boolean: st.booleans(),
    pl.Date: st.dates(),
    pl.Datetime("us"): st.datetimes(),
    pl.String: TEXT.map(lambda text: f"_{text}_"),
}


@st.composite
def any_table(draw: st.DrawFn) -> pl.DataFrame:
    dtypes = draw(st.lists(st.sampled_from(list(VALUES)), min_size=2, max_size=5))
    rows = draw(st.integers(1, 20))
    columns = {}
    for number, dtype in enumerate(dtypes):
        values = st.lists(st.none() | VALUES[dtype], min_size=rows, max_size=rows)
        # Numbers without a fraction would rightly come back as integers, and days at midnight as dates.
        first = {pl.Float64: 0.5, pl.Datetime("us"): None}.get(dtype, draw(VALUES[dtype]))
        filled = [first if first is not None else draw(st.datetimes()).replace(second=1), *draw(values)]
        columns[f"c{number}"] = pl.Series(filled, dtype=dtype)
    return pl.DataFrame(columns)


def as_csv(table: pl.DataFrame, delimiter: str) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow(table.columns)
    for row in table.rows():
        writer.writerow(["" if value is None else value.isoformat() if hasattr(value, "isoformat") else value for value in row])
    return text.getvalue().encode()


@settings(max_examples=60, deadline=None)
@given(any_table(), st.sampled_from(",;\t|"), st.booleans())
def test_a_table_survives_csv(table: pl.DataFrame, delimiter: str, exact: bool) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rows.csv").write_bytes(as_csv(table, delimiter))
        opened = DelimitedFile.__init__

        def force(self: DelimitedFile, *arguments: object) -> None:
            opened(self, *arguments)
            self.exact = self.exact or exact

        DelimitedFile.__init__ = force
        try:
            ingest(str(folder / "rows.csv"), folder / "table", folder / "quarantine", delimiter=delimiter)
        finally:
            DelimitedFile.__init__ = opened
        assert_frame_equal(tables.read_table(folder / "table"), table, check_exact=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["1,x", "2,y", "3", "4,a,b", '5,"q,r"', "6,\xff", ""]), min_size=1, max_size=40))
def test_good_and_bad_rows_add_up(rows: list[str]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        content = "\n".join(["a,b", "0,first", *rows]).encode("latin-1") + b"\n"
        (folder / "rows.csv").write_bytes(content)

        done = ingest(
            str(folder / "rows.csv"), folder / "table", folder / "quarantine", on_bad_row="quarantine", encoding="utf-8"
        )  # fmt: skip

        given_rows = [row for row in rows if row]
        bad = [number for number, row in enumerate(rows, 3) if row in {"3", "4,a,b", "6,\xff"}]
        assert done.table.rows + done.quarantine.rows == 1 + len(given_rows)
        assert tables.read_table(folder / "quarantine")["line"].to_list() == bad

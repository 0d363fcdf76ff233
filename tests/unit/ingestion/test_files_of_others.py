"""Files as other programs write them: titles, indexes, archives, workbooks, Parquet's types, folders as columns; bombs."""

# ruff: noqa: DTZ001  (stored times have no zone)

import bz2
import datetime as dt
import gzip
import io
import json
import struct
import tarfile
import zipfile
import zlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from stagewright.components.ingestion import compression
from stagewright.components.ingestion.ingest import Ingested, ingest
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import InputError

ROWS = "a,b\n1,x\n2,y\n"


class Place:
    """A folder for one test: files in, tables out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, content: str | bytes) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def parquet(self, name: str, **columns: Any) -> str:
        pq.write_table(pa.table(columns), self.folder / name)
        return str(self.folder / name)

    def ingest(self, data: str, **options: Any) -> Ingested:
        return ingest(data, self.folder / "out" / "table", self.folder / "out" / "quarantine", **options)

    def read(self, data: str, **options: Any) -> pl.DataFrame:
        self.ingest(data, **options)
        return tables.read_table(self.folder / "out" / "table")

    def refused(self, data: str, **options: Any) -> str:
        with pytest.raises(InputError) as raised:
            self.ingest(data, **options)
        return str(raised.value).replace(f"{self.folder}/", "")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("above", ["Report 2024\n\n", "Report 2024,\n", "sep=,\n", "Report\nmade by hand\n"])
def test_titles_above_the_header_are_passed_over_and_told(place: Place, above: str) -> None:
    done = place.ingest(place.write("rows.csv", above + ROWS))

    assert tables.read_table(place.folder / "out" / "table").rows() == [(1, "x"), (2, "y")]
    line = above.count("\n") + 1
    assert [note.replace(f"{place.folder}/", "") for note in done.notes] == [
        f"rows.csv: the header is on line {line}; what stands above it is left out"
    ]


@pytest.mark.parametrize("content", ["a,b\n1,2,3\n4,5,6\n", "a\n1\n", "Report\n1,2\n3,4\n", ",x\n0,5\n"])
def test_what_may_be_a_header_is_one(place: Place, content: str) -> None:
    try:
        done = place.ingest(place.write("rows.csv", content))
    except InputError as error:
        assert "line 2: expected" in str(error)  # noqa: PT017
    else:
        assert not any("above it" in note for note in done.notes)


def test_a_first_column_without_a_name_is_an_index_if_it_counts(place: Place) -> None:
    index = "the first column has no name and another value in each row: it is an index and left out"
    done = place.ingest(place.write("rows.csv", ",a\n0,5\n1,5\n"))
    assert (tables.read_table(place.folder / "out" / "table").columns, done.notes) == (["a"], (index,))
    assert place.read(place.write("rows.csv", "Unnamed: 0,a\n7,5\n3,5\n")).columns == ["a"]
    assert place.read(place.write("rows.csv", "Unnamed: 0,a\n7,5\n7,5\n")).columns == ["Unnamed: 0", "a"]
    assert place.refused(place.write("rows.csv", ",a\n7,5\n7,5\n")) == (
        "rows.csv: column 1 of 2 has no name in the header; give it one, or leave it out with --drop '[\"Unnamed: 0\"]'"
    )


def zipped(**files: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "."), text)
    return content.getvalue()


def test_an_archive_holds_one_data_file(place: Place) -> None:
    assert place.read(place.write("rows.zip", zipped(rows__csv=ROWS, readme__md="x"))).rows() == [(1, "x"), (2, "y")]
    with tarfile.open(place.folder / "rows.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("in/rows.csv")
        member.size = len(ROWS)
        archive.addfile(member, io.BytesIO(ROWS.encode()))
    assert place.read(str(place.folder / "rows.tar.gz")).rows() == [(1, "x"), (2, "y")]
    assert place.refused(place.write("two.zip", zipped(a__csv=ROWS, b__csv=ROWS))) == (
        "two.zip holds 2 data files (a.csv, b.csv); unpack it and give one of them, or their folder"
    )
    assert place.refused(place.write("none.zip", zipped(a__doc="x"))) == (
        "none.zip holds no data file and no pictures (a.doc); data files end in .csv, .parquet, .jsonl and the like"
    )
    assert place.refused(place.write("cut.zip", zipped(a__csv=ROWS)[:-30])).startswith("cut.zip cannot be unpacked: ")


def workbook(rows: list[list[Any]], sheets: int = 1) -> bytes:
    """A workbook of one table, as small as the format allows."""
    cells = "".join(
        "<row>"
        + "".join(
            f"<c t='inlineStr'><is><t>{value}</t></is></c>" if isinstance(value, str) else f"<c><v>{value}</v></c>"
            for value in row
        )
        + "</row>"
        for row in rows
    )
    space = "http://schemas.openxmlformats.org/"
    listed = "".join(f"<sheet name='S{n}' sheetId='{n}' r:id='r{n}'/>" for n in range(1, sheets + 1))
    related = "".join(
        f"<Relationship Id='r{n}' Type='{space}officeDocument/2006/relationships/worksheet' Target='worksheets/sheet{n}.xml'/>"
        for n in range(1, sheets + 1)
    )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            f"<Types xmlns='{space}package/2006/content-types'>"
            "<Default Extension='xml' ContentType='application/xml'/></Types>",
        )
        archive.writestr(
            "_rels/.rels",
            f"<Relationships xmlns='{space}package/2006/relationships'><Relationship Id='r1' "
            f"Type='{space}officeDocument/2006/relationships/officeDocument' Target='xl/workbook.xml'/></Relationships>",
        )
        archive.writestr(
            "xl/workbook.xml",
            f"<workbook xmlns='{space}spreadsheetml/2006/main' xmlns:r='{space}officeDocument/2006/relationships'>"
            f"<sheets>{listed}</sheets></workbook>",
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels", f"<Relationships xmlns='{space}package/2006/relationships'>{related}</Relationships>"
        )
        for number in range(1, sheets + 1):
            archive.writestr(
                f"xl/worksheets/sheet{number}.xml",
                f"<worksheet xmlns='{space}spreadsheetml/2006/main'><sheetData>{cells}</sheetData></worksheet>",
            )
    return content.getvalue()


def test_a_workbook_is_read_from_its_first_sheet(place: Place) -> None:
    pytest.importorskip("python_calamine")
    done = place.ingest(place.write("rows.xlsx", workbook([["a", "b", "c"], [1, "x", 0.5], [2, "-", "1,5"]], sheets=2)))

    assert tables.read_table(place.folder / "out" / "table").rows() == [(1, "x", "0.5"), (2, "-", "1,5")]
    assert [note.replace(f"{place.folder}/", "") for note in done.notes] == [
        "rows.xlsx: of 2 sheets only the first, 'S1', is read"
    ]
    assert place.refused(place.write("empty.xlsx", workbook([]))) == (
        "empty.xlsx: the first sheet, 'S1', is empty; move the table to it"
    )


def test_parquet_types_of_other_tools(place: Place) -> None:
    far = [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)]
    path = place.parquet(
        "types.parquet",
        label=pa.array([Decimal(1), Decimal(0)], pa.decimal128(38, 0)),
        wide=pa.array([Decimal(10**30), Decimal(1)], pa.decimal128(38, 0)),
        money=pa.array([Decimal("1.50"), None], pa.decimal256(60, 2)),
        whole=pa.array([2**63 - 1, 1], pa.uint64()),
        beyond=pa.array([2**63, 1], pa.uint64()),
        far=pa.array(far, pa.timestamp("ms")),
        india=pa.array([0, None], pa.timestamp("ms", "+05:30")),
        zulu=pa.array([0, 1], pa.timestamp("s", "Z")),
        nowhere=pa.array([0, 1], pa.timestamp("ns", "Mars/Olympus")),
        padded=pa.array(["no ", "no"]),
    )

    table = place.read(path)

    assert table.row(0) == (
        1, str(10**30), 1.5, 2**63 - 1, str(2**63), far[0], dt.datetime(1970, 1, 1), dt.datetime(1970, 1, 1),
        dt.datetime(1970, 1, 1), "no",
    )  # fmt: skip
    assert table["far"][1] == far[1]
    assert table["padded"].to_list() == ["no", "no"]


def test_times_of_96_bits_reach_beyond_nanoseconds(place: Place) -> None:
    times = [dt.datetime(1600, 1, 1), dt.datetime(2200, 1, 1)]
    pq.write_table(
        pa.table({"t": pa.array(times, pa.timestamp("us"))}), place.folder / "t.parquet", use_deprecated_int96_timestamps=True
    )

    assert place.read(str(place.folder / "t.parquet"))["t"].to_list() == times


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (pa.array([10**17], pa.timestamp("ms")), "holds times beyond the year 294247, which cannot be stored"),
        (pa.array([b"x"]), "holds Binary, which a table cannot store; turn it into numbers, text or times first"),
        (pa.array([[1]]), "holds List(Int64), which a table cannot store; turn it into numbers, text or times first"),
    ],
)
def test_what_a_table_cannot_store_names_the_column(place: Place, values: pa.Array, told: str) -> None:
    assert place.refused(place.parquet("x.parquet", odd=values)) == f"x.parquet: column 'odd' {told}"


def test_the_index_that_pandas_wrote_is_left_out(place: Place) -> None:
    table = pa.table({"x": [1, 2], "__index_level_0__": [7, 8]}).replace_schema_metadata(
        {b"pandas": json.dumps({"index_columns": ["__index_level_0__"]}).encode()}
    )
    pq.write_table(table, place.folder / "x.parquet")

    done = place.ingest(str(place.folder / "x.parquet"))

    assert tables.read_table(place.folder / "out" / "table").columns == ["x"]
    assert done.notes == ("'__index_level_0__', the row index that pandas wrote, is left out",)
    assert place.read(place.parquet("y.parquet", x=[1], __index_level_0__=[7])).columns == ["x", "__index_level_0__"]


def test_an_index_with_a_name_is_a_column_and_said(place: Place) -> None:
    table = pa.table({"x": [1, 2], "customer": ["a", "b"]}).replace_schema_metadata(
        {b"pandas": json.dumps({"index_columns": ["customer"]}).encode()}
    )
    pq.write_table(table, place.folder / "x.parquet")

    done = place.ingest(str(place.folder / "x.parquet"))

    assert tables.read_table(place.folder / "out" / "table").columns == ["x", "customer"]
    assert done.notes == ("'customer', a row index with a name that pandas wrote, is read as a column",)
    assert place.ingest(str(place.folder / "x.parquet"), drop=["customer"]).notes == ()


TEXTS = {
    "comma": (["1,5", "2,5", "3,5", "4,5", "43195,04"], "numbers"),
    "point": (["1.5", "2.5", "3.5", "4.5", "5"], "numbers"),
    "money": (["$1.50", "$2.50", "$3", "$4", "$5"], "numbers"),
    "day": (["31.12.2024", "01.12.2024", "02.12.2024", "03.12.2024", "04.12.2024"], "dates"),
    "code": (["1", "2", "3", "4", "5"], ""),
    "zip": (["01234", "12345", "23456", "34567", "45678"], ""),
    "word": (["1,5", "2,5", "3,5", "4,5", "many"], ""),
}


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_texts_that_look_like_numbers_stay_texts_with_a_word_where_files_have_types(place: Place, form: str) -> None:
    made = pl.DataFrame({name: texts for name, (texts, _) in TEXTS.items()})
    path = place.folder / f"x.{form}"
    made.write_parquet(path) if form == "parquet" else made.write_ndjson(path)

    done = place.ingest(str(path))

    assert tables.read_table(place.folder / "out" / "table").equals(made)
    assert done.notes == tuple(
        f"column{'s' * (what == 'numbers')} {listed}: text in the file, and stays text, although its values look like {what}; "
        f"store it as {what}, or as a CSV file, whose texts are read as values"
        for what, listed in (
            ("numbers", "'comma' ('1,5'), 'point' ('1.5'), 'money' ('$1.50')"),
            ("dates", "'day' ('31.12.2024')"),
        )
    )
    assert place.ingest(str(path), drop=[name for name in TEXTS if name not in {"code", "zip"}]).notes == ()


def test_four_texts_are_too_few_to_look_like_numbers(place: Place) -> None:
    pl.DataFrame({"comma": ["1,5", "2,5", "3,5", "4,5"]}).write_parquet(place.folder / "x.parquet")

    assert place.ingest(str(place.folder / "x.parquet")).notes == ()


def test_folders_that_name_columns_give_them(place: Place) -> None:
    for region, year in (("north", 2023), ("south%20west", 2024)):
        place.write(f"in/region={region}/year={year}/part.csv", "x\n1\n")

    assert place.read(str(place.folder / "in")).rows() == [(1, "north", 2023), (1, "south west", 2024)]
    assert place.read(str(place.folder / "in" / "*" / "*" / "part.csv")).columns == ["x", "region", "year"]
    assert place.read(str(place.folder / "in" / "region=north" / "year=2023" / "part.csv")).columns == ["x"]
    assert place.read(str(place.folder / "in"), drop=["year"]).columns == ["x", "region"]


def test_characters_that_no_table_stores_name_their_line(place: Place) -> None:
    for content, told in {
        '{"a": "x"}\n{"a": "\\ud83d"}\n': "line 2: field 'a' holds half of a character (\\ud83d)",
        '{"a": "x"}\n{"a": "\\u0000"}\n': "line 2: field 'a' holds a NUL character",
    }.items():
        path = place.write("rows.jsonl", content)
        assert place.refused(path) == (
            f"rows.jsonl, {told}; correct it, or set on_bad_row to quarantine to set such rows aside"
        )
        assert place.read(path, on_bad_row="quarantine").rows() == [("x",)]
    path = place.write("rows.csv", "a,b\n1,x\n2,\0\n")
    assert place.refused(path) == (
        "rows.csv, line 3: it holds a NUL character; correct the row, or set on_bad_row to quarantine to set such rows aside"
    )
    assert place.read(path, on_bad_row="quarantine").rows() == [(1, "x")]


def png(width: int, height: int) -> bytes:
    """A picture that announces a size and holds one line."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(width * 3 + 1))) + chunk(b"IEND", b"")
    )


def test_files_that_unpack_to_hundreds_of_times_their_size_are_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    line = b"1,2,3,4,5,6,7,8\n"
    # Small ones may be packed as well as they like.
    small = b"a,b,c,d,e,f,g,h\n" + line * 20_000
    assert len(bz2.compress(small)) * 500 < len(small)
    assert place.read(place.write("small.csv.bz2", bz2.compress(small))).height == 20_000

    monkeypatch.setattr(compression, "FREE_BYTES", 1 << 20)
    bomb = b"a,b,c,d,e,f,g,h\n" + line * (3 << 16)
    for name, content in {
        "bomb.csv.gz": gzip.compress(bomb, 6),
        "bomb.csv.zst": zstandard.compress(bomb),
        "bomb.parquet.zst": zstandard.compress(bomb),
        "bomb.zip": zipped(x__csv="0" * (80 << 20)),
    }.items():
        told = place.refused(place.write(name, content))
        assert "unpacks to more than 500 times its size of" in told, name
        assert told.endswith("made to fill a machine; unpack it yourself if you trust it")


def test_files_that_announce_more_than_they_hold_are_refused(place: Place) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"shape": (1 << 40, 8), "fortran_order": False, "descr": "<f8"})
    with zipfile.ZipFile(place.folder / "bomb.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue())
    assert place.refused(str(place.folder / "bomb.npz")) == (
        f"bomb.npz: 'x' announces float64 of shape [{1 << 40}, 8], and holds {len(header.getvalue()):,} bytes: "
        "the file is damaged, or made to fill a machine"
    )
    place.write("pictures/a/1.png", png(12_000, 12_000))
    assert "it announces 12000 x 12000 pixels, and is a file of" in place.refused(str(place.folder / "pictures"))
    constant = pa.table({"x": np.zeros(9 << 20, np.int64)})
    pq.write_table(constant, place.folder / "many.parquet", use_dictionary=False, compression="zstd")
    assert place.refused(str(place.folder / "many.parquet")).startswith("many.parquet announces 9,437,184 rows and 75,")
    np.savez(place.folder / "fine.npz", x=np.arange(3))
    assert place.read(str(place.folder / "fine.npz")).height == 3

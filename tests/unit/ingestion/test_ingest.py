"""ingest: formats, compression, encodings, delimiters, types over the whole data, places, bad rows, clear errors."""

# ruff: noqa: DTZ001  (stored times have no zone)
# ruff: noqa: RUF001

import bz2
import gzip
import json
import lzma
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
import zstandard
from polars.testing import assert_frame_equal

from stagewright.components.ingestion.ingest import Ingested, ingest
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import BadParameter, InputError

ROWS = 'id,name,score\n1,anna,0.5\n2,"bob, jr",\n3,carl,2\n'
TABLE = pl.DataFrame({"id": [1, 2, 3], "name": ["anna", "bob, jr", "carl"], "score": [0.5, None, 2.0]})


class Place:
    """A folder for one test: files in, tables out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, content: str | bytes) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def ingest(self, data: str, **options: str) -> Ingested:
        return ingest(data, self.folder / "out" / "table", self.folder / "out" / "quarantine", **options)

    def read(self, data: str, **options: str) -> pl.DataFrame:
        self.ingest(data, **options)
        return tables.read_table(self.folder / "out" / "table")

    def quarantined(self) -> list[tuple]:
        return tables.read_table(self.folder / "out" / "quarantine").rows()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_csv_becomes_a_table_and_an_empty_quarantine(place: Place) -> None:
    path = place.write("rows.csv", ROWS)

    done = place.ingest(path)

    assert_frame_equal(tables.read_table(place.folder / "out" / "table"), TABLE)
    assert done.table == tables.info(place.folder / "out" / "table")
    assert done.source == path
    empty = tables.read_table(place.folder / "out" / "quarantine")
    assert empty.schema == {"file": pl.String, "line": pl.Int64, "reason": pl.String, "text": pl.String}
    assert done.quarantine.rows == len(empty) == 0


@pytest.mark.parametrize(
    ("ending", "pack"),
    [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstandard.compress)],
)
@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.jsonl", "rows.parquet"])
def test_every_format_reads_the_same_compressed_or_not(place: Place, name: str, ending: str, pack) -> None:
    if name.endswith("parquet"):
        TABLE.write_parquet(place.folder / "plain")
        content = (place.folder / "plain").read_bytes()
    else:
        by_format = {"csv": TABLE.write_csv(), "tsv": TABLE.write_csv(separator="\t"), "jsonl": TABLE.write_ndjson()}
        content = by_format[name.rpartition(".")[2]].encode()

    assert_frame_equal(place.read(place.write(name + ending, pack(content))), TABLE)


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_delimiter_is_found_despite_quotes(place: Place, delimiter: str) -> None:
    header = delimiter.join(["a", "b", "c"])
    text = f'{header}\n1{delimiter}"x,y;z|\tw"{delimiter}2.5\n2{delimiter}"say ""no"", ok"{delimiter}3\n'

    assert place.read(place.write("rows.csv", text)).rows() == [(1, "x,y;z|\tw", 2.5), (2, 'say "no", ok', 3.0)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"])
def test_the_encoding_is_found(place: Place, encoding: str) -> None:
    text = "name;city\r\n" + "Zoë;Málaga\r\nJörg;Köln\r\nRenée;Besançon\r\n" * 5

    table = place.read(place.write("rows.csv", text.encode(encoding)))

    assert table.columns == ["name", "city"]
    assert table.rows()[:3] == [("Zoë", "Málaga"), ("Jörg", "Köln"), ("Renée", "Besançon")]


def test_encoding_and_delimiter_can_be_forced(place: Place) -> None:
    path = place.write("rows.data", "a,b#c\nПривет,1#2\n".encode("cp1251"))

    table = place.read(path, form="csv", encoding="cp1251", delimiter="#")

    assert table.to_dict(as_series=False) == {"a,b": ["Привет,1"], "c": [2]}


def test_types_come_from_the_whole_file_and_not_from_its_beginning(place: Place) -> None:
    names = ["widens", "late_text", "code", "flag", "day", "moment", "blank", "nothing", "huge"]
    head = ["1", "5", "1", "true", "2024-01-01", "2024-01-01", "1.5", "", "1"]
    last = ["2.5", "x", "007", "FALSE", "2024-02-29", "2024-01-01T10:00:00Z", " ", "NA", "99999999999999999999"]
    lines = [names, *[head] * 300_000, last]
    path = place.write("rows.csv", "\n".join(",".join(line) for line in lines))

    table = place.read(path)

    assert dict(table.schema) == {
        "widens": pl.Float64, "late_text": pl.String, "code": pl.String, "flag": pl.Boolean, "day": pl.Date,
        "moment": pl.Datetime("us"), "blank": pl.Float64, "nothing": pl.String, "huge": pl.String,
    }  # fmt: skip
    assert table.row(-1) == (
        2.5, "x", "007", False, date(2024, 2, 29), datetime(2024, 1, 1, 10), None, None, "99999999999999999999",
    )  # fmt: skip
    assert table.row(0) == (1.0, "5", "1", True, date(2024, 1, 1), datetime(2024, 1, 1), 1.5, None, "1")


def test_rows_keep_their_order_and_files_follow_by_name(place: Place) -> None:
    for part in (2, 0, 1):
        rows = "".join(f"{part * 200_000 + row},x\n" for row in range(200_000))
        place.write(f"parts/part-{part}.csv", "row,text\n" + rows)
    place.write("parts/_SUCCESS", "")
    place.write("parts/notes.md", "not data")

    whole = place.read(str(place.folder / "parts"))

    assert whole["row"].equals(pl.Series("row", range(600_000)))
    assert place.read(str(place.folder / "parts" / "part-[01].csv")).height == 400_000


def test_types_are_common_to_all_files_and_columns_go_by_name(place: Place) -> None:
    place.write("in/1.csv", "a,b\n1,2024-01-01\n")
    place.write("in/2.csv", "b,a\n2024-01-02 10:00,0.5\n")
    place.write("in/3.jsonl", '{"a": 3}\n{"b": null, "a": null}\n')

    table = place.read(str(place.folder / "in"))

    assert table.rows() == [(1.0, datetime(2024, 1, 1)), (0.5, datetime(2024, 1, 2, 10)), (3.0, None), (None, None)]


def test_json_lines_keep_their_types(place: Place) -> None:
    rows = [
        {"i": 1, "f": 1, "s": "12", "b": True, "t": "2024-01-01T00:00:00", "mix": 1, "e": ""},
        {"i": 2, "f": 0.5, "s": "NA", "b": None, "t": "2024-01-02", "mix": "x", "new": 7, "e": " "},
    ]

    table = place.read(place.write("rows.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n"))

    assert table.to_dicts() == [
        {"i": 1, "f": 1.0, "s": "12", "b": True, "t": datetime(2024, 1, 1), "mix": "1", "e": "", "new": None},
        {"i": 2, "f": 0.5, "s": "NA", "b": None, "t": datetime(2024, 1, 2), "mix": "x", "e": " ", "new": 7},
    ]


def test_parquet_of_other_types_is_brought_to_ours(place: Place) -> None:
    table = pl.DataFrame({"a": [1, 2], "c": ["x", "y"]}, schema={"a": pl.Int16, "c": pl.Categorical})
    (place.folder / "in").mkdir()
    table.write_parquet(place.folder / "in" / "1.parquet")
    table.with_columns(pl.col("a").cast(pl.Float32)).write_parquet(place.folder / "in" / "2.parquet")

    assert place.read(str(place.folder / "in")).rows() == [(1.0, "x"), (2.0, "y"), (1.0, "x"), (2.0, "y")]


def test_ragged_rows_name_file_line_and_numbers_of_fields(place: Place) -> None:
    path = place.write("rows.csv", 'a,b\n"1\n2",x\n3\n4,y\n')

    with pytest.raises(InputError) as raised:
        place.ingest(path)

    assert str(raised.value) == (
        f"{path}, line 4: expected 2 fields, found 1; correct the row, or set on_bad_row to quarantine to set such rows aside"
    )
    assert not (place.folder / "out" / "table").exists()


def test_quarantine_takes_the_bad_rows_and_goes_on(place: Place) -> None:
    content = b'a,b\n1,x\n2\n3,\xff\n4,y,z\n5,"never closed\n6,ok\n'
    path = place.write("rows.csv", content)

    table = place.read(path, on_bad_row="quarantine", encoding="utf-8")

    assert table.rows() == [(1, "x"), (6, "ok")]
    assert place.quarantined() == [
        (path, 3, "expected 2 fields, found 1", "2"),
        (path, 4, "byte 0xff is not utf-8", "3,\\udcff"),
        (path, 5, "expected 2 fields, found 3", "4,y,z"),
        (path, 6, "a quote is opened and never closed", '5,"never closed'),
    ]


def test_an_undecodable_byte_names_its_line(place: Place) -> None:
    path = place.write("rows.csv", b"name,n\nanna,1\nren\xe9,2\n")

    with pytest.raises(InputError) as raised:
        place.ingest(path, encoding="utf-8")

    assert str(raised.value) == (
        f"{path}, line 3: byte 0xe9 is not utf-8; set 'encoding' to what it is, "
        "or set on_bad_row to quarantine to set such rows aside"
    )


def test_an_undecodable_byte_far_into_the_file_names_its_line(place: Place) -> None:
    path = place.write("rows.csv", b"name,n\n" + b"anna,1\n" * 500_000 + b"ren\xe9,2\n")

    with pytest.raises(InputError, match=r", line 500002: byte 0xe9 is not utf-8; set 'encoding' to what it is,"):
        place.ingest(path)


def test_malformed_json_names_its_line(place: Place) -> None:
    path = place.write("rows.jsonl", '{"a": 1}\n{"a": \n[1]\n{"a": [1]}\n{"a": NaN}\n')

    with pytest.raises(
        InputError, match=r"rows\.jsonl, line 2: not valid JSON \(Expecting value: .*\); correct it, or set on_bad"
    ):
        place.ingest(path)
    table = place.read(path, on_bad_row="quarantine")

    assert table.height == 2
    assert [row[1:3] for row in place.quarantined()][1:] == [
        (3, "not a JSON object"),
        (4, "field 'a' holds a list, not a single value"),
    ]


ERRORS = {
    "empty.csv": (b"", r"empty\.csv is empty"),
    "blank.csv": (b"\n \n", r"blank\.csv is empty"),
    "header.csv": (b"a,b\n", r"header\.csv has a header but no rows"),
    "twice.csv": (b"a,b,a\n1,2,3\n", r"twice\.csv: column name 'a' stands more than once in the header"),
    "unnamed.csv": (b"a,,c\n1,2,3\n", r"unnamed\.csv: column 2 of 3 has no name in the header; give it one"),
    "book.xlsx": (b"PK", r"book\.xlsx cannot be read as a workbook: invalid Zip archive: Could not find EOCD"),
    "book.numbers": (
        b"PK",
        r"the format of .*/book\.numbers cannot be told from its name; set 'format' to csv, tsv, jsonl, parquet, .* or images",
    ),
    "binary.csv": (b"a,b\n" + bytes(20), r"binary\.csv is not text: it holds zero bytes"),
    "cut.csv.gz": (gzip.compress(b"a,b\n" + b"1,2\n" * 99)[:-12], r"cut\.csv\.gz is damaged: its compressed data cannot be .*"),
    "cut.csv.zst": (zstandard.compress(b"a,b\n" + b"1,2\n" * 99)[:-6], r"cut\.csv\.zst is damaged: its compressed data .*"),
    "cut.csv.xz": (lzma.compress(b"a,b\n" + b"1,2\n" * 99)[:-12], r"cut\.csv\.xz is damaged: its compressed data .*"),
    "text.parquet": (b"a,b\n1,2\n", r"text\.parquet is not a readable Parquet file \(.*\)"),
    "array.json": (b'[{"a": 1}]', r"array\.json is one JSON array; write it as JSON Lines: one object a line, no brackets .*"),
}


@pytest.mark.parametrize("name", list(ERRORS))
def test_what_cannot_be_read_is_told_in_one_sentence(place: Place, name: str) -> None:
    content, sentence = ERRORS[name]

    with pytest.raises(InputError, match=rf"^(/.*/)?{sentence}$"):
        place.ingest(place.write(name, content))
    assert not list(place.folder.glob("out/*"))


def test_what_is_not_there_is_told_in_one_sentence(place: Place) -> None:
    place.write("churn.csv", "a\n1\n")
    (place.folder / "void").mkdir()

    for data, sentence in {
        "chrun.csv": r"no file .*/chrun\.csv \(did you mean 'churn\.csv'\?\)",
        "no/where.csv": r"no file .*/no/where\.csv: there is no folder .*/no",
        "*.tsv": r"no file matches .*/\*\.tsv",
        "void": r"folder .*/void has no data files and no pictures; data files end in \.csv, .*, compressed or not",
    }.items():
        with pytest.raises(InputError, match=f"^{sentence}$"):
            place.ingest(str(place.folder / data))
    with pytest.raises(InputError, match=r"^parameter 'data' is empty; expected a file, a folder, a glob or a URL$"):
        place.ingest("")


def test_files_of_different_columns_are_named_with_the_difference(place: Place) -> None:
    place.write("in/1.csv", "a,b\n1,2\n")
    place.write("in/2.csv", "a,c\n1,2\n")

    with pytest.raises(
        InputError, match=r"^.*/2\.csv lacks 'b' and has 'c' besides, compared with .*/1\.csv; files read together"
    ):
        place.ingest(str(place.folder / "in"))


def test_parquet_files_of_different_types_are_named(place: Place) -> None:
    (place.folder / "in").mkdir()
    pl.DataFrame({"a": [1]}).write_parquet(place.folder / "in" / "1.parquet")
    pl.DataFrame({"a": ["x"]}).write_parquet(place.folder / "in" / "2.parquet")

    with pytest.raises(InputError, match=r"^.*/2\.parquet: column 'a' holds string values; in .*/1\.parquet it holds integer$"):
        place.ingest(str(place.folder / "in"))


def test_wrong_parameters_name_what_is_allowed(place: Place) -> None:
    path = place.write("rows.csv", ROWS)

    with pytest.raises(
        BadParameter, match=r"^parameter 'format' is 'cvs'; expected one of auto, csv, .* \(did you mean 'csv'\?\)$"
    ):
        place.ingest(path, form="cvs")
    with pytest.raises(BadParameter, match=r"^parameter 'encoding' is 'utf-88'; expected auto or an encoding such as utf-8, "):
        place.ingest(path, encoding="utf-88")
    with pytest.raises(BadParameter, match=r"^parameter 'encoding' is 'base64'; expected auto or an encoding such as utf-8, "):
        place.ingest(path, encoding="base64")
    with pytest.raises(BadParameter, match=r"^parameter 'delimiter' is '::'; expected auto, one character, or comma, tab, "):
        place.ingest(path, delimiter="::")
    with pytest.raises(BadParameter, match=r"^parameter 'on_bad_row' is 'skip'; expected one of error, quarantine$"):
        place.ingest(path, on_bad_row="skip")
    with pytest.raises(
        InputError, match=r"^parameter 'query' is only for databases; 'data' names files: leave one of the two out$"
    ):
        place.ingest(path, query="SELECT 1")


def test_nothing_but_bad_rows_is_an_error(place: Place) -> None:
    with pytest.raises(
        InputError, match=r"^none of the 2 rows of .*/rows\.csv can be read; look at the quarantine table for the"
    ):
        place.ingest(place.write("rows.csv", "a,b\n1\n2\n"), on_bad_row="quarantine")

"""Rows for a model: each value is read by its column's kind and by itself, or refused with its line."""

from pathlib import Path
from typing import Any

import pytest

from stagewright.components.ingestion.ingest import ingest
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import InputError

KINDS = {"x": "numeric", "flag": "text", "seen": "datetime", "paid": "boolean"}
HEAD = "x,flag,seen,paid\n"


def read(folder: Path, text: str, **options: Any) -> list[tuple[Any, ...]]:
    (folder / "rows.csv").write_text(text)
    ingest(str(folder / "rows.csv"), folder / "table", folder / "quarantine", kinds=KINDS, **options)
    return tables.read_table(folder / "table").rows()


def test_a_row_is_the_same_whatever_rows_are_beside_it(tmp_path: Path) -> None:
    first = "1.5,True,2024-01-02,true\n"
    alone = read(tmp_path, HEAD + first)

    assert alone[0][1] == "True"
    for other in ('"$1,200.50",unknown,2023-12-31,true\n', "?,2.0,2024-01-02 10:00,false\n", ",,,\n"):
        together = read(tmp_path, HEAD + first + other)
        assert together[0][0] == 1.5
        assert together[0][1] == "True"
        assert str(together[0][2])[:10] == "2024-01-02"
        assert together[0][3] is True


REFUSED = {
    "soon,a,2024-01-02,true": (
        "line 2: 'soon' in column 'x' is not a number, which the model takes there; "
        "correct it, or name what means a missing value with --missing"
    ),
    "1,a,2024-01-02,perhaps": (
        "line 2: 'perhaps' in column 'paid' is not true or false, which the model takes there; "
        "correct it, or name what means a missing value with --missing"
    ),
    "1,a,2024-01-02,true\n1,a,2024-01-02,perhaps": (
        "line 3: 'perhaps' in column 'paid' is not true or false, which the model takes there; "
        "correct it, or name what means a missing value with --missing"
    ),
    "1,a,31.12.2023,true\n1,a,2024-01-02,true": (
        "line 2: '31.12.2023' in column 'seen' is a date in another form than '2024-01-02'; bring all of them to one"
    ),
    "1,a,13/02/2024,true": (
        "column 'seen' holds dates such as '13/02/2024', in which day and month may be swapped; "
        "set --date-format '%d/%m/%Y' or '%m/%d/%Y'"
    ),
    '"1,234",a,2024-01-02,true': (
        "column 'x' holds values such as '1,234', which may be read in two ways or cannot be one column; "
        "set --decimal and --thousands, or --date-format"
    ),
    '"1,234.5",a,2024-01-02,true\n"1,234",a,2024-01-02,true': (
        "column 'x' holds values such as '1,234.5', whose sign may separate thousands or decimals; "
        "set --decimal and --thousands"
    ),
}


@pytest.mark.parametrize("row", list(REFUSED))
def test_what_the_model_cannot_take_is_refused_with_its_line(tmp_path: Path, row: str) -> None:
    with pytest.raises(InputError) as raised:
        read(tmp_path, f"{HEAD}{row}\n")
    assert str(raised.value) == REFUSED[row]


def test_parameters_settle_what_rows_cannot(tmp_path: Path) -> None:
    assert read(tmp_path, HEAD + '"1,234",a,,\n', thousands=",")[0][0] == 1234
    assert read(tmp_path, HEAD + '"1,234",a,,\n', decimal=",")[0][0] == 1.234
    assert str(read(tmp_path, HEAD + "1,a,01/02/2024,\n", date_format="%d/%m/%Y")[0][2]) == "2024-02-01"
    assert read(tmp_path, HEAD + "soon,a,,\n", missing=["soon"])[0][0] is None


def test_json_keeps_texts_as_they_are_written(tmp_path: Path) -> None:
    for lines in ('{"x": 1, "flag": 2.0}\n', '{"x": 1, "flag": 2.0}\n{"x": 2, "flag": "n/k"}\n'):
        (tmp_path / "rows.jsonl").write_text(lines)
        ingest(str(tmp_path / "rows.jsonl"), tmp_path / "table", tmp_path / "quarantine", kinds=KINDS)
        assert tables.read_table(tmp_path / "table").row(0) == (1, "2.0")

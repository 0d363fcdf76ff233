"""Numbers and dates as people write them: what is recognised, what stays text with a word, and what a parameter settles."""

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from stagewright.components.ingestion.ingest import ingest
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import BadParameter, InputError

Read = Callable[..., tuple[list[Any], list[str]]]
BARE = "set --thousands , or --decimal ,"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Column `x` of a file that holds these texts in it, and the notes."""

    def _read(texts: list[str], delimiter: str = ",", **options: Any) -> tuple[list[Any], list[str]]:
        rows = "".join(f'"{text}"{delimiter}row\n' for text in texts)
        (tmp_path / "rows.csv").write_text(f"x{delimiter}other\n{rows}", encoding="utf-8")
        done = ingest(str(tmp_path / "rows.csv"), tmp_path / "table", tmp_path / "quarantine", **options)
        return tables.read_table(tmp_path / "table")["x"].to_list(), list(done.notes)

    return _read


NUMBERS = {
    ("43.195,04", "5"): ([43195.04, 5.0], "a decimal comma and a point between thousands"),
    ("43195,04", "-5,5"): ([43195.04, -5.5], "a decimal comma"),
    ("43,195.04", "1,000,000"): ([43195.04, 1e6], "a comma between thousands"),
    ("1,234,567", "12"): ([1234567, 12], "a comma between thousands"),
    ("1.234.567", "1.000"): ([1234567, 1000], "a decimal comma and a point between thousands"),
    ("1 234 567", "12.5"): ([1234567.0, 12.5], "a blank between thousands"),
    ("1 234,5", "1\u00a0000", "2\u2009000", "3\u202f000"): (
        [1234.5, 1000.0, 2000.0, 3000.0],
        "a decimal comma and a blank between thousands",
    ),
    ("1'234.50", "1\u2019000"): ([1234.5, 1000.0], "an apostrophe between thousands"),
    ("0,123", "0,5"): ([0.123, 0.5], "a decimal comma"),
    ("1,23,456.5", "5"): ([123456.5, 5.0], "a comma between thousands"),
}


@pytest.mark.parametrize("texts", list(NUMBERS), ids=str)
def test_a_form_that_all_values_have_and_nothing_else_can_be_meant_is_read(read: Read, texts: tuple[str, ...]) -> None:
    numbers, form = NUMBERS[texts]

    values, notes = read(list(texts))

    assert values == numbers
    assert len(notes) == 1
    assert notes[0].startswith(f"column 'x' ('{texts[0]}' is {str(numbers[0]).removesuffix('.0')}")
    assert notes[0].endswith(f"): read as numbers with {form}")


AROUND = {
    ("$1,200.50", "-$5", "$-5", "($300.00)", "$5-"): ([1200.5, -5.0, -5.0, -300.0, -5.0], "without the currency $"),
    ("5 EUR", "7.5 EUR"): ([5.0, 7.5], "without the currency EUR"),
    ("CHF 5.-", "CHF 1'200.50"): ([5.0, 1200.5], "without the currency CHF"),
    ("12.5 %", "-3%"): ([12.5, -3.0], "without the percent sign"),
    ("\u22125", "5"): ([-5, 5], "with another minus sign"),
    ("(5)", "7"): ([-5, 7], "with another minus sign"),
}


@pytest.mark.parametrize("texts", list(AROUND), ids=str)
def test_what_stands_around_a_number_is_taken_away(read: Read, texts: tuple[str, ...]) -> None:
    numbers, word = AROUND[texts]

    values, notes = read(list(texts))

    assert values == numbers
    assert len(notes) == 1
    assert notes[0].endswith(word)


KEPT = {
    ("007", "008"): [],
    ("1,234", "5,678"): [
        f"column 'x' ('1,234' may be 1234 or 1.234): stays text, because its comma may separate thousands or decimals; {BARE}"
    ],
    ("$5", "\u20ac5"): [
        "column 'x': stays text, because it holds amounts in several currencies ($, \u20ac); bring its values to one form"
    ],
    ("5%", "5"): [
        (
            "column 'x': stays text, because 1 of its 2 values have a percent sign and the others have none; "
            "bring its values to one form"
        )
    ],
    ("12.34.56", "1.2.3"): [],
    ("5 kg", "7 kg"): [],
    ("NA", "DE"): [],
}


@pytest.mark.parametrize("texts", list(KEPT), ids=str)
def test_what_may_mean_something_else_stays_text(read: Read, texts: tuple[str, ...]) -> None:
    assert read(list(texts)) == (list(texts), KEPT[texts])


def test_plain_numbers_need_no_word(read: Read) -> None:
    assert read(["1.234", "5.678"]) == ([1.234, 5.678], [])
    assert read(["1", "-2"]) == ([1, -2], [])


def test_the_delimiter_the_other_columns_and_many_values_settle_a_comma(read: Read, tmp_path: Path) -> None:
    assert read(["1,234", "5,678"], delimiter=";")[0] == [1.234, 5.678]
    assert read(["1,234"] * 20 + ["7"])[0] == [1234] * 20 + [7]
    assert read(["1,234"] * 19 + ["7"])[0] == ["1,234"] * 19 + ["7"]

    (tmp_path / "two.csv").write_text('a;b;c\n"1,234";"1,234.5";"1.234"\n"2,000";"7,000.1";"5.678"\n')
    ingest(str(tmp_path / "two.csv"), tmp_path / "table", tmp_path / "quarantine")
    assert tables.read_table(tmp_path / "table").rows() == [(1234, 1234.5, 1.234), (2000, 7000.1, 5.678)]

    (tmp_path / "two.csv").write_text('a;b;c\n"1,5";"1.234";1.5\n"2,25";"7.000";2.5\n')
    ingest(str(tmp_path / "two.csv"), tmp_path / "table", tmp_path / "quarantine")
    assert tables.read_table(tmp_path / "table").rows() == [(1.5, 1234, 1.5), (2.25, 7000, 2.5)]


def test_parameters_settle_what_values_do_not(read: Read) -> None:
    assert read(["1,234", "5,678"], thousands=",")[0] == [1234, 5678]
    assert read(["1,234", "5,678"], decimal=",")[0] == [1.234, 5.678]
    assert read(["1,234", "5,678"], decimal="comma", thousands="none")[0] == [1.234, 5.678]
    assert read(["1.234", "5.678"], decimal=",")[0] == [1234, 5678]
    assert read(["1.234", "5.678"], thousands=".")[0] == [1234, 5678]
    assert read(["1.5", "2.5"], decimal=",")[0] == [1.5, 2.5]
    assert read(["01/02/2024"], date_format="%m/%d/%Y")[0] == [date(2024, 1, 2)]
    assert read(["20240131", "20240201"], date_format="%Y%m%d")[0] == [date(2024, 1, 31), date(2024, 2, 1)]
    assert read(["20240131", "20240201"])[0] == [20240131, 20240201]
    assert read(["a", "unknown"], missing=["unknown"])[0] == ["a", None]


DATES = {
    ("01.12.2020", "1.2.2021"): [date(2020, 12, 1), date(2021, 2, 1)],
    ("31/12/2020", "01/02/2021"): [date(2020, 12, 31), date(2021, 2, 1)],
    ("12/31/2020", "01/02/2021"): [date(2020, 12, 31), date(2021, 1, 2)],
    ("31-12-2020", "01-02-2021"): [date(2020, 12, 31), date(2021, 2, 1)],
    ("2020/12/31", "2021/01/02"): [date(2020, 12, 31), date(2021, 1, 2)],
    ("31 Dec 2020", "1 Jan 2021"): [date(2020, 12, 31), date(2021, 1, 1)],
    ("31.12.2020 10:30", "01.02.2021 00:00"): [datetime(2020, 12, 31, 10, 30), datetime(2021, 2, 1)],  # noqa: DTZ001
}


@pytest.mark.parametrize("texts", list(DATES), ids=str)
def test_dates_are_read_where_day_and_month_can_be_told_apart(read: Read, texts: tuple[str, ...]) -> None:
    values, notes = read(list(texts))

    assert values == DATES[texts]
    assert len(notes) == 1
    assert ": read as dates written %" in notes[0]


def test_dates_that_may_be_either_way_round_stay_text_with_a_word(read: Read) -> None:
    assert read(["01/02/2024", "12/12/2024"]) == (
        ["01/02/2024", "12/12/2024"],
        [
            (
                "column 'x' ('01/02/2024'): stays text, because day and month cannot be told apart; "
                "set --date-format '%d/%m/%Y' or --date-format '%m/%d/%Y'"
            )
        ],
    )
    assert read(["13/02/2024", "12/31/2024"])[0] == ["13/02/2024", "12/31/2024"]


def test_markers_among_numbers_are_missing_and_counted(read: Read) -> None:
    assert read(["1", "?", "-", "?", "2.5", "n/a", ""]) == (
        [1.0, None, None, None, 2.5, None, None],
        ["'?', '-', 'n/a' are missing values in columns of numbers, dates and booleans: 'x' (4)"],
    )
    assert read(["$5", "--", "$7"])[0] == [5, None, 7]
    assert read(["31.12.2024", "."])[0] == [date(2024, 12, 31), None]


def test_a_stray_text_among_numbers_is_missing_with_its_line(read: Read) -> None:
    numbers = [f"{n}.5" for n in range(60)]

    values, notes = read([*numbers, "unknown"])

    assert values == [*map(float, numbers), None]
    assert notes == [
        (
            "column 'x': 60 of 61 values are numbers, line 62 is 'unknown'; what is none is taken as missing: "
            "correct it, or say so with --missing '[\"unknown\"]'"
        )
    ]


def test_more_strays_stay_text_with_a_word_and_codes_without(read: Read) -> None:
    numbers = [f"{n}.5" for n in range(60)]
    many = [*numbers, *["unknown"] * 4]

    values, notes = read(many)
    assert values == many
    assert notes == [
        (
            "column 'x' stays text: 60 of 64 values are numbers, line 62 is 'unknown' (4 others in all); "
            "if that means a missing value, set --missing '[\"unknown\"]'"
        )
    ]
    assert read([*numbers, *["unknown"] * 3])[0][-1] is None
    codes = [str(n) for n in range(10_000, 10_060)] + ["02134"]
    assert read(codes) == (codes, [])


def test_blanks_around_texts_are_taken_away_and_told(read: Read) -> None:
    assert read(["no ", "no", " yes"]) == (
        ["no", "no", "yes"],
        ["blanks around texts are taken away in column 'x' (2)"],
    )


def test_types_are_settled_over_all_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.csv").write_text('x,d\n"1,234",01/02/2024\n')
    (tmp_path / "in" / "2.csv").write_text('x,d\n"1,234.5",31/12/2024\n')

    ingest(str(tmp_path / "in"), tmp_path / "table", tmp_path / "quarantine")

    assert tables.read_table(tmp_path / "table").rows() == [(1234.0, date(2024, 2, 1)), (1234.5, date(2024, 12, 31))]


WRONG = {
    "decimal": (";", "auto or one of '.' (point), ',' (comma)"),
    "thousands": ("x", "auto, none or one of ',' (comma), '.' (point), ' ' (blank), ''' (apostrophe)"),
    "date_format": ("%d.%m", "auto or a format of days, months and years such as %d.%m.%Y or %m/%d/%Y %H:%M"),
    "missing": ("?", 'a list of texts such as ["?", "n/a"]'),
    "drop": ("x", 'a list of texts such as ["customer", "notes"]'),
}


@pytest.mark.parametrize("parameter", list(WRONG))
def test_a_parameter_that_cannot_be_used_is_told(read: Read, parameter: str) -> None:
    given, expected = WRONG[parameter]
    with pytest.raises(BadParameter) as raised:
        read(["1"], **{parameter: given})
    assert str(raised.value) == f"parameter '{parameter}' is {given!r}; expected {expected}"
    with pytest.raises(BadParameter, match=r"^parameter 'thousands' is ','; expected another sign than decimal, which is ','$"):
        read(["1"], decimal=",", thousands=",")


def test_columns_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,x\n")

    ingest(str(tmp_path / "rows.csv"), tmp_path / "table", tmp_path / "quarantine", drop=["a"])

    assert tables.read_table(tmp_path / "table").equals(pl.DataFrame({"b": ["x"]}))
    with pytest.raises(InputError) as wrong:
        ingest(str(tmp_path / "rows.csv"), tmp_path / "table", tmp_path / "quarantine", drop=["bb"])
    assert str(wrong.value) == "parameter 'drop' names 'bb', which is not a column of the data (did you mean 'b'?)"
    with pytest.raises(InputError, match=r"^parameter 'drop' leaves no column of the data$"):
        ingest(str(tmp_path / "rows.csv"), tmp_path / "table", tmp_path / "quarantine", drop=["a", "b"])


ISO_AND_DOTS = ["2020-12-01", "28.07.2022"]


@pytest.mark.parametrize("texts", [ISO_AND_DOTS * 15, [*["2020-12-01"] * 70, *["28.07.2022"] * 30], ISO_AND_DOTS])
def test_dates_in_several_forms_stay_text_with_a_word(read: Read, texts: list[str]) -> None:
    values, notes = read(texts)

    assert values == texts
    assert notes == [
        "column 'x' ('2020-12-01', '28.07.2022'): stays text, because its dates are written in several forms; bring them to one"
    ]


def test_dates_among_texts_are_no_several_forms(read: Read) -> None:
    assert read([*ISO_AND_DOTS * 15, "soon"])[1] == []


def test_a_model_that_takes_dates_is_not_given_several_forms(read: Read) -> None:
    with pytest.raises(InputError) as refused:
        read(ISO_AND_DOTS * 2, kinds={"x": "datetime"})
    assert str(refused.value) == (
        "line 3: '28.07.2022' in column 'x' is a date in another form than '2020-12-01'; bring all of them to one"
    )
    with pytest.raises(InputError, match=r"line 4: 'soon' in column 'x' is not a date, which the model takes there"):
        read(["2020-12-01", "2020-12-02", "soon"], kinds={"x": "datetime"})


UNITS = "stays text, because a unit follows its numbers; take the units away, and bring the values to one"


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["5 kg", "6 kg", "7.5 kg", "8 kg", "9kg"], True),
        (["5 kg", "6 kg", "7.5 kg", "8 kg"], False),  # too few different values to tell from codes
        (["5 kg", "6 g", "7 mg", "8 kg", "9 kg"], True),
        (["5 kg", "6 g", "7 mg", "8 t", "9 kg"], False),  # four units may be no units
        (["50 km/h", "60 km/h", "70 km/h", "80 km/h", "90 km/h"], True),
        (["5 m²", "6 m²", "7 m²", "8 m²", "9 m²"], True),
        (["5 °C", "-6 °C", "7 °C", "8 °C", "9,5 °C"], True),
        (["5 kg", "6 kg", "7 kg", "8 kg", "9 kg", "heavy"], False),
    ],
)
def test_numbers_with_a_unit_stay_text_with_a_word(read: Read, texts: list[str], said: bool) -> None:
    values, notes = read(texts)

    assert values == texts
    assert notes == ([f"column 'x' ('{min(texts)}'): {UNITS}"] if said else [])

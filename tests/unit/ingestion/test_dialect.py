"""Which character separates the fields, and where the header stands."""

import pytest

from stagewright.components.ingestion.dialect import MAX_TITLES, header_of, known_delimiter
from stagewright.components.runtime.errors import BadParameter


def header(*lines: str, delimiter: str | None = None) -> tuple[str, int, list[str]]:
    """Delimiter, line and fields of the header."""
    found, character = header_of([f"{line}\n" for line in lines], delimiter, "utf-8")
    return character, found.line, found.fields


@pytest.mark.parametrize(
    "rows",
    [
        ["1,5;2,5", "3,25;4,75"],
        ["1,5;2", "3,5;4"],  # by commas these rows have two fields, as a header of two has
        ["1,5;2"],
    ],
)
def test_decimal_commas_do_not_separate_what_semicolons_do(rows: list[str]) -> None:
    assert header("a;b", *rows) == (";", 1, ["a", "b"])


def test_the_delimiter_is_the_one_by_which_most_rows_are_as_wide_as_the_header() -> None:
    assert header("a,b;c", "1,2;3", "4,5;6", "7,8;9,0")[0] == ";"
    assert header("a,b;c", "1,2;3", "4,5;6", "7,8;9;0")[0] == ","


def test_of_two_that_fit_as_well_the_one_with_more_fields_is_taken() -> None:
    assert header("a|b|c,d", "1|2|3,4") == ("|", 1, ["a", "b", "c,d"])
    assert header("a,b|c", "1,2|3") == (",", 1, ["a", "b|c"])  # as many: the commoner delimiter


@pytest.mark.parametrize(("lines", "delimiter"), [(["a,b"], ","), (["a\tb"], "\t"), (["a|b"], "|"), (["a"], ","), ([], ",")])
def test_a_header_alone_is_enough(lines: list[str], delimiter: str) -> None:
    assert header(*lines)[0] == delimiter


def test_a_column_of_numbers_with_decimal_commas_is_not_cut() -> None:
    assert header("price", "1,5", "2,5") == (",", 1, ["price"])


def test_a_given_delimiter_is_not_doubted() -> None:
    assert header("a,b;c", "1,2;3", delimiter=";") == (";", 1, ["a,b", "c"])
    assert header("a,b", "1,2", delimiter=";") == (";", 1, ["a,b"])


def test_two_hundred_records_are_looked_at() -> None:
    """Of the 199 beneath the header, 100 are right by semicolons; with one less or one more it would be a tie."""
    assert header("a;b,c", *["1;2"] * 100, *["1,2"] * 500)[0] == ";"
    assert header("a;b,c", *["1,2"] * 99, *["1;2"] * 100)[0] == ";"


@pytest.mark.parametrize("titles", [1, MAX_TITLES, MAX_TITLES + 1])
def test_up_to_ten_titles_stand_above_the_header(titles: int) -> None:
    lines = [f"title {number}" for number in range(titles)]

    found = header(*lines, "a;b;c", *["1;2;3"] * 20)

    if titles <= MAX_TITLES:
        assert found == (";", titles + 1, ["a", "b", "c"])
    else:
        assert found[1:] == (1, ["title 0"])


@pytest.mark.parametrize(
    "above",
    [
        "two,titles",  # is a header itself
        ",x",
    ],
)
def test_what_is_no_title_ends_the_search_for_a_header(above: str) -> None:
    assert header(above, "a,b,c", *["1,2,3"] * 5)[1] == 1


@pytest.mark.parametrize("beneath", ["a,,c", "a,a,c", "1,b,c", "a,-2.5,c", "a,b,+1,000"])
def test_a_record_with_empty_equal_or_numeric_fields_is_no_header(beneath: str) -> None:
    assert header("title", beneath, *["x,y,z"] * 5)[1] != 2


def test_a_first_column_without_a_name_is_a_header() -> None:
    """As pandas writes its index."""
    assert header("title", ",b,c", *["0,2,3"] * 5) == (",", 2, ["", "b", "c"])


@pytest.mark.parametrize(
    ("given", "character"),
    [("comma", ","), ("tab", "\t"), ("\\t", "\t"), ("semicolon", ";"), ("pipe", "|"), ("#", "#"), (" ", " ")],
)
def test_a_delimiter_is_given_by_name_or_as_one_character(given: str, character: str) -> None:
    assert known_delimiter(given) == character


@pytest.mark.parametrize("given", ["", "::", '"', "\r", "\n", "\u00a7", "commas"])
def test_what_cannot_separate_fields_is_refused(given: str) -> None:
    with pytest.raises(BadParameter, match=r"expected auto, one character, or comma, tab, semicolon or pipe$"):
        known_delimiter(given)

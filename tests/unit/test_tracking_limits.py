"""Texts that fit into MLflow, without an MLflow."""

import pytest

from stagewright.components.runtime import tracking_limits as limits


@pytest.mark.parametrize("character", ["x", "ü", "\U0001f600"])
@pytest.mark.parametrize("longest", [limits.PARAMETER, limits.TAG, limits.VERSION_TAG])
def test_what_fits_stays_and_one_more_is_shortened(longest: int, character: str) -> None:
    for length in (0, 1, longest - 1, longest):
        fitted = limits.fit({"note": character * length}, longest, folder="whole/params")
        assert fitted == limits.Fitted({"note": character * length}, {})
    for length in (longest + 1, 200_000):
        whole = character * length
        fitted = limits.fit({"note": whole}, longest, folder="whole/params")
        ending = f" ... (all {length:,} characters: artifact whole/params/note.txt)"
        assert fitted.values == {"note": character * (longest - len(ending)) + ending}
        assert fitted.whole == {"whole/params/note.txt": whole}


def test_values_are_texts() -> None:
    fitted = limits.fit({"depth": 3, "deep": True, "nothing": None, "rates": [0.5]}, 10, folder="whole")
    assert fitted.values == {"depth": "3", "deep": "True", "nothing": "None", "rates": "[0.5]"}


@pytest.mark.parametrize(
    ("text", "stored"),
    [("a\x00b", "a\ufffdb"), ("\ud800", "\ufffd"), ("\udfff!", "\ufffd!"), ("grün \U0001f600\n\t", "grün \U0001f600\n\t")],
)
def test_what_a_database_refuses_is_replaced(text: str, stored: str) -> None:
    assert limits.storable(text) == stored


@pytest.mark.parametrize("name", ["depth", "test/roc_auc", "params.model", "a b", "größe", "a:b", "k" * 250, "a.b/c-d_e"])
def test_names_that_mlflow_takes_stay(name: str) -> None:
    assert limits.key(name) == name


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("f1(a)", "f1_a_-"), ("f1[a]", "f1_a_-"), ("a=b", "a_b-"), ("", "_-"), (".", "_-"), ("..", "_.-"), ("../a", "_._a-"),
        ("/a", "_a-"), ("a//b", "a__b-"), ("a/", "a_-"), ("a\x00", "a_-"), ("\ud800", "_-"), ("a\n", "a_-"),
        ("k" * 251, "k" * 241 + "-"), ("k" * 10_000, "k" * 241 + "-"),
    ],
)  # fmt: skip
def test_names_that_mlflow_refuses_are_changed_and_stay_the_only_ones(name: str, taken: str) -> None:
    from mlflow.utils.validation import _validate_tag

    found = limits.key(name)
    _validate_tag(found, "value")
    assert found[:-8] == taken
    assert len(found) <= limits.KEY
    assert found == limits.key(name) != limits.key(name + "!")


def test_two_names_never_fall_together() -> None:
    names = ["f1(a)", "f1[a]", "f1_a_", "k" * 251, "k" * 252, "k" * 250]
    assert len({limits.key(name) for name in names}) == len(names)


def test_files_of_odd_keys_have_plain_names() -> None:
    fitted = limits.fit({"../etc": "x" * 11, "größe": "y" * 11, "a" * 101: "z" * 11}, 10, folder="whole")
    for path in fitted.whole:
        assert path.isascii()
        assert len(path) == len("whole/12345678.txt")


@pytest.mark.parametrize("longest", [limits.EXPERIMENT, limits.RUN_NAME])
def test_long_names_are_shortened_to_the_same_name_each_time(longest: int) -> None:
    assert limits.name("ü" * longest, longest) == "ü" * longest
    one, other = limits.name("ü" * (longest + 1), longest), limits.name("ü" * (longest + 2), longest)
    assert len(one) == len(other) == longest
    assert one != other
    assert one == limits.name("ü" * (longest + 1), longest)


def test_markdown_ends_with_a_whole_line() -> None:
    text = "".join(f"line {number:03}\n" for number in range(100))

    assert limits.shortened_lines(text, len(text), "END") == text
    assert limits.shortened_lines(text, 100, "END") == "".join(f"line {number:03}\n" for number in range(10)) + "END"
    assert limits.shortened_lines("x" * 101, 100, "END") == "x" * 97 + "END"
    assert limits.shortened_lines("a\n" + "x" * 101, 100, "END") == "a\n" + "x" * 95 + "END"

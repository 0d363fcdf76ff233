"""Values from a command line: every type, both ways, and one sentence for what cannot be read."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.pipelines.parameters import Parameter, check_arguments, choices_in, format_value, parse_value

finite = st.floats(allow_nan=False, allow_infinity=False)
tree = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
typed = st.one_of(
    st.tuples(st.just("str"), st.text()),
    st.tuples(st.just("int"), st.integers()),
    st.tuples(st.just("float"), finite),
    st.tuples(st.just("bool"), st.booleans()),
    st.tuples(st.just("dict"), st.dictionaries(st.text(), tree)),
    st.tuples(st.just("list"), st.lists(tree)),
)


@given(typed)
def test_parse_value_reads_what_format_value_writes(value: tuple[str, Any]) -> None:
    kind, given_value = value
    assert parse_value(Parameter("p", kind), format_value(given_value)) == given_value


@given(kind=st.sampled_from(["str", "int", "float", "bool", "dict", "list"]), text=st.text())
def test_parse_value_gives_the_type_or_one_sentence(kind: str, text: str) -> None:
    said = None
    try:
        value = parse_value(Parameter("p", kind), text)
    except InputError as error:
        said = str(error)
    assert type(value).__name__ == kind if said is None else "parameter 'p'" in said


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("int", "1.5", "parameter 'p' is '1.5'; expected a whole number"),
        ("float", "much", "parameter 'p' is 'much'; expected a number"),
        ("float", "nan", "expected a number that is finite"),
        ("bool", "maybe", "expected true or false"),
        ("dict", "[1]", r"parameter 'p' is \[1\]; expected a JSON object"),
        ("list", '{"a": 1}', "expected a JSON list"),
        (
            "dict",
            "{'a': 1}",
            r"expected a JSON object, or the path of a .json or .yaml file that holds one \(Expecting property name",
        ),
        ("dict", '{"a": NaN}', "NaN is not valid JSON"),
        ("dict", "missing.yaml", "parameter 'p' names the file missing.yaml, which does not exist"),
        ("dict", "@\x00", "cannot be read: "),
        ("dict", "@missing", "names the file missing, which does not exist"),
        ("TASK_FINAL_STATUS", "x", "expected no value: type TASK_FINAL_STATUS cannot be set on the command line"),
    ],
)
def test_unreadable_value_is_one_sentence(kind: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        parse_value(Parameter("p", kind), text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("name", "text"), [("v.json", '{"a": [1, 2]}'), ("v.yaml", "a: [1, 2]"), ("v.yml", "a:\n- 1\n- 2\n")])
def test_structure_is_read_from_a_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    for given_text in (str(tmp_path / name), f"@{tmp_path / name}"):
        assert parse_value(Parameter("p", "dict"), given_text) == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [", "which is not valid YAML or JSON: "),
        (b"\xff\xfe\xff", "which cannot be read: "),
        (b"- 1", "expected a JSON object"),
    ],
)
def test_wrong_file_is_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "v.yaml").write_bytes(content)
    with pytest.raises(InputError, match=message):
        parse_value(Parameter("p", "dict"), str(tmp_path / "v.yaml"))


def test_choice_names_the_nearest() -> None:
    parameter = Parameter("framework", "str", choices=("sklearn", "xgboost"))
    assert parse_value(parameter, "sklearn") == "sklearn"
    with pytest.raises(BadParameter, match=r"one of sklearn, xgboost \(did you mean 'xgboost'\?\)"):
        parse_value(parameter, "xgbost")


@pytest.mark.parametrize(
    ("description", "choices"),
    [
        ("Library. One of sklearn, xgboost.", ("sklearn", "xgboost")),
        ("One of cpu-int8, v1.0, a/b; anything else fails.", ("cpu-int8", "v1.0", "a/b")),
        ("One of the columns.", ()),
        ("None of a, b.", ()),
        ("", ()),
    ],
)
def test_choices_are_read_from_the_description(description: str, choices: tuple[str, ...]) -> None:
    assert choices_in(description) == choices


PARAMETERS = (
    Parameter("data", "str"),
    Parameter("seed", "int", required=False, default=0),
    Parameter("share", "float", required=False, default=0.5),
    Parameter("fast", "bool", required=False, default=False),
    Parameter("params", "dict", required=False, default={}),
)


def test_arguments_of_the_right_types_pass() -> None:
    given_arguments = json.loads('{"data": "x", "seed": 3, "share": 1, "fast": true, "params": {"a": null}}')
    assert check_arguments(PARAMETERS, given_arguments, of="pipeline 'p'") == given_arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "pipeline 'p' needs --data"),
        (
            {"dat": "x"},
            r"pipeline 'p' has no parameter 'dat' \(did you mean 'data'\?\); it has data, seed, share, fast, params",
        ),
        ({"data": 1}, "parameter 'data' is 1; expected a value of type str"),
        ({"data": "x", "seed": 1.5}, "parameter 'seed' is 1.5; expected a value of type int"),
        ({"data": "x", "share": True}, "parameter 'share' is True; expected a value of type float"),
        ({"data": "x", "params": []}, r"parameter 'params' is \[\]; expected a value of type dict"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_arguments(PARAMETERS, arguments, of="pipeline 'p'")

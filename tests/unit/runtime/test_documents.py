"""YAML and JSON of others are read within bounds, and what is too much is said in one short sentence."""

import subprocess
import sys

import pytest

from stagewright.components.runtime import documents
from stagewright.components.runtime.documents import Unreadable, overlaid, read_all_yaml, read_json, read_yaml
from stagewright.components.runtime.errors import BadParameter, InputError, shortened


def bomb(levels: int, width: int = 10) -> str:
    text = f"a0: &a0 [{','.join('x' * width)}]\n"
    return text + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * width)}]\n" for i in range(1, levels))


def test_ordinary_documents_with_anchors_are_read_as_by_yaml_itself() -> None:
    text = "base: &base {cpu: 1, tags: [a, b]}\nsmall:\n  <<: *base\n  cpu: 2\nlist: [*base, *base]\n"

    assert read_yaml(text) == {
        "base": {"cpu": 1, "tags": ["a", "b"]},
        "small": {"cpu": 2, "tags": ["a", "b"]},
        "list": [{"cpu": 1, "tags": ["a", "b"]}] * 2,
    }
    assert read_all_yaml("a: 1\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]
    assert read_yaml("") is None


@pytest.mark.parametrize("levels", [6, 8, 9, 60])
def test_aliases_that_stand_for_too_much_are_refused(levels: int) -> None:
    with pytest.raises(Unreadable) as refused:
        read_yaml(bomb(levels))

    assert str(refused.value) == "it stands for more than 500000 values or 16777216 characters"


def test_aliases_are_allowed_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[&a [x, x], *a, *a]"  # 3 lists of 2 and the list around them
    monkeypatch.setattr(documents, "MOST_VALUES", 11)
    assert read_yaml(text) == [["x", "x"]] * 3

    monkeypatch.setattr(documents, "MOST_VALUES", 9)
    with pytest.raises(Unreadable, match="more than 9 values"):
        read_yaml(text)


def test_a_long_text_is_counted_as_often_as_its_alias_repeats_it() -> None:
    text = "- &t " + "x" * 1_000_000 + "\n" + "- *t\n" * 16

    with pytest.raises(Unreadable, match="it stands for more than 500000 values or 16777216 characters"):
        read_yaml(text)


@pytest.mark.parametrize("text", ["&a [*a]", "&a {b: *a}", "[*nobody]"])
def test_an_alias_of_what_is_not_complete_is_refused(text: str) -> None:
    with pytest.raises(Unreadable, match="stands for nothing that is complete"):
        read_yaml(text)


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 5_000, "- " * 5_000 + "x"])
def test_deep_yaml_is_refused(text: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read_yaml(text)

    assert str(refused.value) == "its lists and mappings are nested more than 100 deep"


def test_yaml_may_be_nested_ninety_eight_deep() -> None:
    assert read_yaml("[" * 98 + "]" * 98)


@pytest.mark.parametrize("text", ["a: b: c", "!!python/object/apply:os.system [x]", "\x00", "{a: 1", "2024-99-99"])
def test_what_is_no_yaml_is_refused_in_a_short_sentence(text: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read_yaml(text)

    assert 0 < len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_deep_json_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        read_json(text)


def test_json_has_a_longest_text() -> None:
    assert read_json("[1,2]", most=5) == [1, 2]
    with pytest.raises(Unreadable) as refused:
        read_json("[1,22]", most=5)

    assert str(refused.value) == "it has 6 characters; at most 5 are read"


def test_a_bomb_takes_little_memory() -> None:
    script = (
        "import sys\nfrom stagewright.components.runtime.documents import read_yaml\n"
        "try: read_yaml(sys.stdin.read())\nexcept ValueError: pass\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", script], input=bomb(20), capture_output=True, text=True, check=True)

    assert int(done.stdout) < 200_000  # kilobytes


def test_sentences_of_errors_are_bounded() -> None:
    assert str(InputError("x" * 4000)) == "x" * 4000
    assert len(str(InputError("x" * 4001))) == 4000
    assert len(str(BadParameter("a", got="y" * 10_000, expected="less"))) < 500
    assert str(BadParameter("a", got="y", expected="less")) == "parameter 'a' is 'y'; expected less"
    assert shortened("0123456789" * 2, 12) == "0123 ... 789"


@pytest.mark.parametrize(
    ("base", "over", "expected"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}, "d": 4}, {"a": {"b": 1, "c": 3}, "d": 4}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}),
        ({"a": 1}, {}, {"a": 1}),
        (None, {"a": 1}, {"a": 1}),
    ],
)
def test_mappings_are_overlaid_key_by_key(base: object, over: object, expected: object) -> None:
    before = repr((base, over))

    assert overlaid(base, over) == expected
    assert repr((base, over)) == before

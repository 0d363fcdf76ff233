"""Text stays text for every reader: PyYAML (YAML 1.1), ruamel.yaml (1.2), and kubectl, which reads as Kubernetes does."""

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from stagewright.components.runtime.yaml_text import to_yaml

NUMBERS = [
    "1e3", "1E3", "12e1", "1e-05", "-1e+3", ".5", "5.", "+1", "-1", "+.5", "1_000", "0x1F", "0X1f", "0o7", "0O7", "0b101",
    "007", "08", "1.0", "1.", ".inf", "-.inf", "+.Inf", ".nan", ".NAN", "NaN", "inf", "Infinity", "12:30",
    "190:20:30", "1:2", "0",
]  # fmt: skip
WORDS = [
    "yes", "No", "ON", "off", "y", "N", "true", "False", "TRUE", "null", "Null", "NULL", "~", "", "none", "=", "<<", "-", "---",
    "...", "?", ":", "[]", "{}", "*a", "&a", "!tag", "%x", "@x", "`x`", "|", ">", "#x", "x #y", "a: b", "a:", "- a", "'", '"',
]  # fmt: skip
DATES = ["2026-03-01", "2026-3-1", "2026-03-01T12:00:00Z", "2026-03-01 12:00:00.5 +1", "20260301", "1-1-1"]
LINES = [
    "a\nb", "a\nb\n", "a\nb\n\n", "\na", "\n", " a\nb", "a \nb", "a\n b", "a\n\tb", "\ta\nb", "a\rb", "a\r\nb\n", "a\x85b\nc",
    "a\u2028b\nc", "# a\nb", "a\n# b", "a\n--- b", "a\n...", "tab\tin\nit", "\ufeffa\nb", "é\n日本\n😀", "a: 1\nb: 2\n",
]  # fmt: skip
OTHER = [
    " a",
    "a ",
    "a\tb",
    "\x00",
    "\x7f",
    "\\",
    "é",
    "日本",
    "😀",
    "\u200b",
    "a" * 300,
    "a b " * 100,
    "s3://models/churn/v1.0.0/",
]
# kubectl reads these, too; but what it then writes is no longer the same, or no YAML for its readers.
WRITTEN_WRONG = {"=", "<<", "2026-03-01 12:00:00.5 +1", "a\x85b\nc", "a\u2028b\nc", "\x7f"}
ALL = [*NUMBERS, *WORDS, *DATES, *LINES, *OTHER]


def document(text: str) -> dict[str, Any]:
    """A text as a value, in a list, and as a key."""
    return {
        "value": text,
        "list": [text, [text]],
        "keys": {text: text},
        "numbers": [1, 1.5, 1e20, 1e-7],
        "flag": True,
        "no": None,
    }


@pytest.mark.parametrize("text", ALL)
def test_text_that_looks_like_something_else_stays_text(text: str) -> None:
    written = to_yaml(document(text))
    assert yaml.safe_load(written) == document(text)
    assert YAML(typ="safe", pure=True).load(io.StringIO(written)) == document(text)


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)
    | st.text(alphabet="01_.:eExXoObB+-~yYnN \n\t#", max_size=9)
)
@example("0o17")
@settings(max_examples=400, deadline=None)
def test_any_text_is_the_same_to_readers_of_1_1_and_1_2(text: str) -> None:
    written = to_yaml({"value": text, "list": [text]})
    assert yaml.safe_load(written) == {"value": text, "list": [text]}
    assert YAML(typ="safe", pure=True).load(io.StringIO(written)) == {"value": text, "list": [text]}


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl reads YAML as Kubernetes does")
@pytest.mark.parametrize("sort_keys", [False, True])
def test_kubectl_reads_the_same(tmp_path: Path, sort_keys: bool) -> None:
    data = {f"k{index}": text for index, text in enumerate(ALL) if text not in WRITTEN_WRONG}
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "1e3", "namespace": "0o7"}, "data": data}
    (tmp_path / "map.yaml").write_text(to_yaml(made, sort_keys=sort_keys), encoding="utf-8")
    (tmp_path / "kustomization.yaml").write_text("resources: [map.yaml]\n")
    done = subprocess.run(["kubectl", "kustomize", str(tmp_path)], capture_output=True, text=True, check=True)
    read = YAML(typ="safe", pure=True).load(io.StringIO(done.stdout))
    assert read["metadata"] == made["metadata"]
    assert read["data"] == data


def test_documents_are_apart_and_keys_stand_as_given() -> None:
    assert to_yaml({"b": 1, "a": "x"}, {"c": "1e3"}) == '---\nb: 1\na: x\n---\nc: "1e3"\n'
    assert to_yaml({"b": 1, "a": "x"}, sort_keys=True) == "a: x\nb: 1\n"


def test_nothing_is_shared_by_reference() -> None:
    inner = {"a": ["x"]}
    assert to_yaml({"one": inner, "two": inner}) == "one:\n  a:\n  - x\ntwo:\n  a:\n  - x\n"
    assert json.loads(json.dumps(yaml.safe_load(to_yaml({"one": inner, "two": inner}))))["two"] == inner

"""Names and what follows them never run together, however long a name is."""

import io
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from stagewright.components.runtime.processes import Process
from stagewright.components.serving.targets import deployments
from stagewright.components.serving.targets.deployments import Deployment
from stagewright.pipelines.cli import status
from stagewright.pipelines.cli.predict import _beside, _identifier
from stagewright.pipelines.cli.view import step_line
from stagewright.pipelines.watch import Step


@pytest.mark.parametrize("name", ["a", "n" * 15, "n" * 16, "n" * 63])
def test_status_keeps_a_models_name_and_address_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("STAGEWRIGHT_HOME", str(tmp_path))
    deployments.write_deployment(Deployment(name, "v1.0.0", "s3://m", "http://127.0.0.1:1", 1, "log", "now", Process(0, "")))
    text = io.StringIO()

    status.show(Console(file=text, width=80))

    assert [name, "http://127.0.0.1:1", "v1.0.0", "stopped", "log", "log"] in [
        line.split() for line in text.getvalue().splitlines()
    ]


@pytest.mark.parametrize("name", ["ingest-data", "n" * 18, "n" * 40])
def test_line_of_a_step_keeps_name_and_seconds_apart(name: str) -> None:
    line = step_line(Step(name, status="succeeded", seconds=1234.56)).plain

    assert line.split() == ["✔", name, "1234.6", "s"]


def test_identifier_is_the_first_column_of_values_of_their_own() -> None:

    table = pl.DataFrame({"x": [1, 2], "share": [0.1, 0.2], "gap": ["a", None], "twice": ["a", "a"], "key": ["b", "c"]})

    assert _identifier(table, ["x"], "auto", "f") == ["key"]
    assert _identifier(table, ["x", "key"], "auto", "f") == []
    assert _identifier(table, ["x"], "none", "f") == []
    assert _identifier(table, ["x"], "twice", "f") == ["twice"]


def test_column_called_like_an_answer_is_renamed() -> None:

    both = _beside(pl.DataFrame({"prediction": [1], "x": [2]}), pl.DataFrame({"prediction": [3]}))

    assert both.to_dict(as_series=False) == {"input_prediction": [1], "x": [2], "prediction": [3]}

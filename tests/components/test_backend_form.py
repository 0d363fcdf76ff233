"""Every component takes its input as Kubeflow's backend writes it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import kfp
import pytest
from kfp import dsl
from kfp.dsl.executor import Executor
from support.backend_form import artifact, command_of, executor_input, inputs_of, run_executor, uri
from support.exported_models import write_wine_model

from stagewright.components.authoring import component, optional_artifacts
from stagewright.components.registry import catalog as catalogue
from stagewright.components.registry.component import register_model
from stagewright.pipelines import catalog

VALUES = {"STRING": "text", "NUMBER_INTEGER": 3, "NUMBER_DOUBLE": 3, "BOOLEAN": True, "LIST": ["a", 3], "STRUCT": {"depth": 3}}


class Entered(Exception):
    """A component's body has begun."""


@contextmanager
def entered(_: str) -> Iterator[None]:
    raise Entered
    yield


def arguments_of(error: Entered, function: str) -> dict[str, Any]:
    """What a component's function was called with."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_name != function:
        trace = trace.tb_next
    assert trace is not None
    return trace.tb_frame.f_locals


@pytest.mark.parametrize("with_optional", [True, False], ids=["with-optional", "without-optional"])
@pytest.mark.parametrize("name", catalog.COMPONENTS)
def test_every_component_takes_the_backends_form(
    name: str, with_optional: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = catalog.component(name)
    declared = inputs_of(made).get("inputDefinitions", {})
    known = declared.get("artifacts", {})
    given = {key: uri("before", key) for key, spec in known.items() if with_optional or not spec.get("isOptional")}
    parameters = {key: VALUES[spec["parameterType"]] for key, spec in declared.get("parameters", {}).items()}
    document = executor_input(
        made, parameters=parameters, artifacts=given, output_file=tmp_path / "out.json", metadata={"passed": True, "rows": 3}
    )
    monkeypatch.setattr("stagewright.components.runtime.step.step", entered)

    with pytest.raises(Entered) as raised:
        run_executor(made, document, tmp_path, monkeypatch)

    called = arguments_of(raised.value, name)
    assert {key: called[key] for key in parameters} == parameters
    for key, spec in known.items():
        if key not in given:
            assert called[key] is None
            continue
        assert type(called[key]).schema_title == spec["artifactType"]["schemaTitle"]
        assert called[key].path == str(tmp_path / given[key].removeprefix("s3://"))
        assert (called[key].metadata["passed"], called[key].metadata["display_name"]) == (1, key)
    for key in inputs_of(made).get("outputDefinitions", {}).get("artifacts", {}):
        assert called[key].path == str(tmp_path / uri("this", key).removeprefix("s3://"))


def test_every_optional_artifact_of_the_catalogue_is_known() -> None:
    """The parametrized test would pass over them silently if KFP lost sight of what is optional."""
    found = {}
    for name in catalog.COMPONENTS:
        known = inputs_of(catalog.component(name)).get("inputDefinitions", {}).get("artifacts", {})
        optional = sorted(key for key, spec in known.items() if spec.get("isOptional"))
        assert optional == sorted(optional_artifacts(catalog.component(name).python_func))
        if optional:
            found[name] = optional
    assert found == {"register_model": ["card", "evaluation"], "publish_model": ["card"]}


def test_compiled_command_registers_a_model(tmp_path: Path, tracking: str) -> None:
    """The command line itself, in a process of its own, to its end."""
    mounted = tmp_path / "s3"
    write_wine_model(mounted / "model", run_id="")
    (mounted / "evaluation").write_text(json.dumps({"metrics": {"test": {"accuracy": 0.9}}}))
    (mounted / "card").write_text("# Wine\n")
    document = executor_input(
        register_model,
        parameters={"name": "wine", "alias": "challenger"},
        artifacts={name: str(mounted / name) for name in ("model", "evaluation", "card")},
        output_file=tmp_path / "output.json",
    )
    command = [json.dumps(document) if part == "{{$}}" else part for part in command_of(register_model)]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "output.json").read_text())["parameterValues"] == {"Output": "v1.0.0"}
    assert str(catalogue.version_of("wine", "challenger").version) == "v1.0.0"


def test_a_component_of_a_users_own_may_have_optional_artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @component(group="base", cacheable=False)
    def count_lines(
        text: Optional[dsl.Input[dsl.Dataset]] = None,  # noqa: UP045
        other: dsl.Input[dsl.HTML] | None = None,
    ) -> int:
        from pathlib import Path

        return len(Path(text.path).read_text().splitlines()) if text and not other else -1

    place = tmp_path / uri("before", "text").removeprefix("s3://")
    place.parent.mkdir(parents=True)
    place.write_text("one\ntwo\n")
    for artifacts, expected in (({"text": uri("before", "text")}, 2), ({}, -1), ({"other": uri("before", "other")}, -1)):
        document = executor_input(count_lines, parameters={}, artifacts=artifacts, output_file=tmp_path / "out.json")
        run_executor(count_lines, document, tmp_path, monkeypatch)
        assert json.loads((tmp_path / "out.json").read_text())["parameterValues"] == {"Output": expected}


def test_kfp_itself_still_cannot_make_an_optional_artifact(tmp_path: Path) -> None:
    """The day this fails, `authoring` need no longer take Optional off the source that travels."""

    def plain(card: Optional[dsl.Input[dsl.Markdown]] = None) -> None:  # noqa: UP045
        pass

    document = {
        "inputs": {"artifacts": {"card": artifact(22, "card", uri("before", "card"))}},
        "outputs": {"outputFile": str(tmp_path / "out.json")},
    }
    with pytest.raises(TypeError, match=r"^Cannot instantiate typing\.Union$"):
        Executor(document, plain)
    assert kfp.__version__.startswith("2."), "look again whether `authoring` is needed"

"""A run on this machine hands its steps what Kubeflow's backend hands them, and takes back what its launcher takes."""

import json
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from support.small_pipeline import count_rows, make_table

from stagewright.components.authoring import component
from stagewright.pipelines.local import results, runner
from stagewright.pipelines.local.backend_form import Form, as_go_writes, place, refused, through_metadata_store

STEPS = Path("/runs/1/steps")
KFP_LOCAL: dict[str, Any] = {
    "inputs": {
        "parameterValues": {"name": "churn", "depth": 3.0, "rate": 0.5, "params": {"trees": [10.0, 0.1], "deep": True}},
        "artifacts": {
            "card": {
                "artifacts": [
                    {
                        "name": "card",
                        "type": {"schemaTitle": "system.Markdown", "schemaVersion": "0.0.1"},
                        "uri": "/runs/1/steps/p/write-model-card/card",
                        "metadata": {"passed": True, "rows": 3.0, "names": ["a"], "sizes": {"a": 1.0}},
                    }
                ]
            }
        },
    },
    "outputs": {
        "parameters": {"Output": {"outputFile": "/runs/1/steps/p/register-model/Output"}},
        "artifacts": {
            "model": {
                "artifacts": [
                    {"name": "model", "type": {"schemaTitle": "system.Model"}, "uri": "/runs/1/steps/p/register-model/model"}
                ]
            }
        },
        "outputFile": "/runs/1/steps/p/register-model/executor_output.json",
    },
}


@pytest.mark.parametrize(("mount", "files"), [("/s3", "/s3/steps"), ("/runs/1", "/runs/1/steps")])
def test_input_is_in_the_backends_form(mount: str, files: str) -> None:
    assert Form(STEPS, Path(mount)).executor_input(KFP_LOCAL) == {
        "inputs": {
            "parameterValues": {"name": "churn", "depth": 3, "rate": 0.5, "params": {"trees": [10, 0.1], "deep": True}},
            "artifacts": {
                "card": {
                    "artifacts": [
                        {
                            "name": "1",
                            "type": {"instanceSchema": ""},
                            "uri": "s3://steps/p/write-model-card/card",
                            "metadata": {
                                "passed": 1,
                                "rows": 3,
                                "names": {"list": ["a"]},
                                "sizes": {"struct": {"a": 1}},
                                "display_name": "card",
                                "store_session_info": '{"Provider": "s3", "Params": {"fromEnv": "true"}}',
                            },
                        }
                    ]
                }
            },
        },
        "outputs": {
            "parameters": {"Output": {"outputFile": f"{files}/p/register-model/Output"}},
            "artifacts": {
                "model": {
                    "artifacts": [
                        {"name": "model", "type": {"schemaTitle": "system.Model"}, "uri": "s3://steps/p/register-model/model"}
                    ]
                }
            },
            "outputFile": f"{files}/p/register-model/executor_output.json",
        },
    }


def test_an_artifact_keeps_its_number_and_another_gets_the_next() -> None:
    form = Form(STEPS, Path("/s3"))

    def number(uri: str) -> str:
        document = json.loads(json.dumps(KFP_LOCAL))
        document["inputs"]["artifacts"]["card"]["artifacts"][0]["uri"] = uri
        return form.executor_input(document)["inputs"]["artifacts"]["card"]["artifacts"][0]["name"]

    assert [number("s3://steps/a"), number("/runs/1/steps/b"), number("/runs/1/steps/a")] == ["1", "2", "1"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (3.0, "3"), (-0.0, "0"), (0.5, "0.5"), (2**53 + 1, "9007199254740992"), (1e20, "100000000000000000000"),
        (1e21, "1e+21"), (True, "true"), (None, "null"), ("3.0", '"3.0"'), ([1.0, [2.0]], "[1, [2]]"),
    ],
)  # fmt: skip
def test_numbers_are_doubles_written_by_go(value: Any, written: str) -> None:
    assert json.dumps(as_go_writes(value)) == written


@pytest.mark.parametrize(("value", "kept"), [(True, 1), (False, 0), (0.5, 0.5), ("a", "a"), ([True], {"list": [True]})])
def test_metadata_goes_through_the_metadata_store(value: Any, kept: Any) -> None:
    assert json.dumps(through_metadata_store(value)) == json.dumps(kept)


def test_place_of_what_lies_elsewhere_stays() -> None:
    assert place("s3://steps/p/card", STEPS) == STEPS / "p/card"
    assert place("/elsewhere/card", STEPS) == Path("/elsewhere/card")


def returned(**metadata: Any) -> dict[str, Any]:
    return {"parameterValues": {"Output": 3}, "artifacts": {"model": {"artifacts": [{"uri": "s3://a", "metadata": metadata}]}}}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (returned(rows=3, passed=True, text="grün"), None),
        (returned(loss=float("nan")), "it returned NaN, which is no valid JSON"),
        (returned(loss=float("-inf")), "it returned -Infinity, which is no valid JSON"),
        (returned(best=None), "metadata 'best' of output 'model' is null, which Kubeflow's metadata store does not keep"),
        (returned(text="\ud800"), "it returned a text with half a character, which is no valid JSON"),
        ({"artifacts": {}}, "it returned nothing for output 'Output'"),
        (None, "it returned nothing for output 'Output'"),
    ],
)
def test_what_the_launcher_takes_back(document: dict[str, Any] | None, reason: str | None, tmp_path: Path) -> None:
    if document is not None:
        (tmp_path / "out.json").write_text(json.dumps(document))

    assert refused(tmp_path / "out.json", {"Output": tmp_path / "Output"}) == reason


def test_an_output_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "Output").write_text("3")
    assert refused(tmp_path / "out.json", {"Output": tmp_path / "Output"}) is None


@component(group="base", cacheable=False)
def tell(table: dsl.Input[dsl.Dataset], told: dsl.Output[dsl.Artifact], factor: float, extra: dict) -> None:
    """Write down what the step sees.

    Args:
        table: Anything.
        told: What it sees.
        factor: A number.
        extra: Anything.
    """
    import json

    seen = {"name": table.name, "class": type(table).__name__, "uri": table.uri, "path": table.path, "metadata": table.metadata}
    with open(told.path, "w") as file:  # noqa: PTH123
        json.dump({**seen, "factor": factor, "extra": extra}, file)
    told.metadata["good"] = True


@component(group="base", cacheable=False)
def spoil(table: dsl.Output[dsl.Dataset]) -> None:
    """Note what Kubeflow does not keep.

    Args:
        table: Anything.
    """
    table.metadata["best"] = None


def test_a_step_of_a_local_run_sees_what_the_backend_gives(laptop: Path, object_store: str) -> None:
    @dsl.pipeline(name="told")
    def told() -> None:
        made = make_table(rows=2)
        tell(table=made.outputs["table"], factor=2.0, extra={"depth": 3})
        count_rows(table=made.outputs["table"], factor=2.0)

    run = runner.run("told", {}, pipeline=told)

    assert (run.status, run.failed_step) == ("succeeded", None)
    seen = json.loads(results.artifact(run, "tell", "told").read_text())
    place_of_it = results.artifact(run, "make-table", "table")
    assert seen["path"] == str(place_of_it)
    assert seen["uri"] == f"s3://steps/{place_of_it.relative_to(run.folder / 'steps')}"
    assert (seen["name"], seen["class"], seen["extra"]) == ("1", "Dataset", {"depth": 3})
    assert json.dumps(seen["factor"]) == "2"
    assert seen["metadata"] == {"display_name": "table", "store_session_info": seen["metadata"]["store_session_info"]}


def test_a_local_run_fails_where_the_launcher_would(laptop: Path, object_store: str) -> None:
    @dsl.pipeline(name="spoilt")
    def spoilt() -> None:
        spoil()

    run = runner.run("spoilt", {}, pipeline=spoilt)

    assert run.status == "failed"
    assert run.failed_step.error == (
        "Kubeflow would refuse what the step returned: metadata 'best' of output 'table' is null, which Kubeflow's metadata "
        "store does not keep"
    )

"""What is said about a pipeline is what it compiles to."""

import io

import pytest
from kfp import dsl
from rich.console import Console
from support.small_pipeline import count_rows, make_table, small_one

from stagewright.components.authoring import component
from stagewright.components.runtime.errors import InputError
from stagewright.pipelines import catalog
from stagewright.pipelines.cli.describe_command import show
from stagewright.pipelines.description import Artifact, Step, describe, parameters
from stagewright.pipelines.parameters import Parameter


def test_pipeline_is_described_by_its_spec() -> None:
    description = describe(small_one)
    assert (description.name, description.kind) == ("small-one", "pipeline")
    assert description.summary == "Make a table and count it."
    assert description.details == "It is counted again where it is wanted."
    assert description.inputs == (
        Parameter("factor", "float", True, None, "Multiplied with the count."),
        Parameter("rows", "int", False, 3, "How many rows."),
        Parameter("label", "str", False, "plain", "How to name the count. One of plain, loud.", ("plain", "loud")),
        Parameter(
            "deploy_to",
            "str",
            False,
            "local",
            "Where to count again. One of local, cluster, none.",
            ("local", "cluster", "none"),
        ),
        Parameter("extra", "dict", False, {}, "Not used."),
    )
    assert [(made.name, made.type, made.description) for made in description.outputs] == [("Output", "int", "The count.")]
    assert description.images == ("base", "tabular")
    assert description.steps == (
        Step("make-table", "make_table", "base", True, ()),
        Step("count-rows", "count_rows", "tabular", False, ("make-table",)),
        Step("count-rows-2", "count_rows", "tabular", False, ("make-table",), "deploy_to != 'none'"),
    )


def test_whole_numbers_stay_whole() -> None:
    assert type(describe(small_one).inputs[1].default) is int


def test_component_is_described_by_its_spec() -> None:
    description = describe(count_rows)
    assert (description.name, description.kind, description.cacheable) == ("count_rows", "component", False)
    assert description.images == ("tabular",)
    assert description.input_artifacts == (Artifact("table", "Dataset", "What to count."),)
    assert [entry.name for entry in description.inputs] == ["factor", "label"]
    assert describe(make_table).output_artifacts == (Artifact("table", "Dataset", "The table."),)


def test_outputs_are_in_the_order_of_the_signature() -> None:
    @component(group="base", cacheable=True)
    def many(
        one: dsl.Output[dsl.Dataset], two: dsl.Output[dsl.Dataset], a: dsl.Output[dsl.HTML], zero: dsl.Output[dsl.Model]
    ) -> None:
        pass

    assert [made.name for made in describe(many).output_artifacts] == ["one", "two", "a", "zero"]


def test_steps_come_after_what_they_wait_for() -> None:
    @dsl.pipeline(name="loops")
    def loops() -> None:
        last = make_table(rows=1)
        first = make_table(rows=2)
        last.after(first)
        with dsl.ParallelFor([1, 2], name="each"):
            count_rows(table=last.outputs["table"], factor=1.0)

    steps = describe(loops).steps
    assert [step.name for step in steps] == ["make-table-2", "make-table", "count-rows"]
    assert steps[2].condition == "each"


def test_unknown_name_gives_the_nearest_of_both_kinds() -> None:
    with pytest.raises(InputError, match=r"no pipeline or component 'trian-model' \(did you mean 'train-model'\?\)"):
        describe("trian-model")
    with pytest.raises(InputError, match=r"no pipeline or component 'export_modle' \(did you mean 'export_model'\?\)"):
        describe("export_modle")


@pytest.mark.parametrize("subject", [small_one, make_table, count_rows])
def test_show_tells_every_input_output_and_step(subject: object) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    show(console, subject)  # type: ignore[arg-type]
    text, description = console.export_text(), describe(subject)  # type: ignore[arg-type]
    for entry in (*description.inputs, *description.outputs, *description.input_artifacts, *description.steps):
        assert entry.name in text
    assert description.summary in text


def test_name_with_dashes_is_a_pipeline_and_with_underscores_a_component() -> None:
    assert describe("train-model").kind == "pipeline"
    assert describe("train_model").kind == "component"
    assert describe("export-model").kind == "component"
    assert describe("serving_setup").kind == "pipeline"


@pytest.mark.parametrize("name", [*catalog.PIPELINES, *catalog.COMPONENTS])
def test_everything_in_the_catalog_is_described_completely(name: str) -> None:
    description = describe(name)
    assert description.name == name
    assert description.summary.endswith(".")
    for entry in (*description.inputs, *description.input_artifacts, *description.output_artifacts, *description.outputs):
        assert entry.description, f"{name}: {entry.name} has no description"
    for parameter in parameters(name):
        assert not parameter.choices or parameter.required or parameter.default in parameter.choices

"""Each rule refuses what breaks it, in a spec that kfp itself compiles, and nothing else."""

from collections.abc import Callable
from typing import Any

import pytest
from kfp import dsl
from support.small_pipeline import count_rows, make_table, small_one

from stagewright.components.authoring import component
from stagewright.components.runtime.errors import InputError
from stagewright.pipelines.kubeflow import spec_rules
from stagewright.pipelines.kubeflow.compile import compile_pipelines
from stagewright.pipelines.kubeflow.spec_rules import SpecRefused, check_spec
from stagewright.pipelines.pipeline_spec import spec_of


@component(group="base", cacheable=True)
def name_it(text: str = "a") -> str:
    """Give a text back."""
    return text


def after_a_condition() -> Any:
    @dsl.pipeline(name="after-a-condition")
    def pipeline(go: bool = True) -> None:
        with dsl.If(go == True, name="maybe"):  # noqa: E712
            first = make_table()
        # What kfp makes of .after(first), which it refuses to write itself.
        make_table()
        del first

    spec, _ = spec_of(pipeline)
    spec["root"]["dag"]["tasks"]["make-table-2"]["dependentTasks"] = ["condition-1"]
    return spec


def text_of_a_task() -> Any:
    @dsl.pipeline(name="text-of-a-task")
    def pipeline() -> None:
        named = name_it()
        with dsl.If(named.output == "a"):
            make_table()

    return spec_of(pipeline)[0]


def quote_in_a_condition() -> Any:
    @dsl.pipeline(name="quote-in-a-condition")
    def pipeline(text: str) -> None:
        with dsl.If(text == "it's"):
            make_table()

    return spec_of(pipeline)[0]


def one_of_artifacts() -> Any:
    @dsl.pipeline(name="one-of-artifacts")
    def pipeline(go: bool = True) -> None:
        with dsl.If(go == True):  # noqa: E712
            one = make_table()
        with dsl.Else():
            other = make_table()
        merged = dsl.OneOf(one.outputs["table"], other.outputs["table"])
        count_rows(table=merged, factor=1.0)

    return spec_of(pipeline)[0]


def placeholder() -> Any:
    @dsl.pipeline(name="placeholder")
    def pipeline() -> None:
        name_it(text=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER)

    return spec_of(pipeline)[0]


def container_component() -> Any:
    @dsl.container_component
    def shell() -> dsl.ContainerSpec:
        return dsl.ContainerSpec(image="busybox:1.36", command=["true"])

    @dsl.pipeline(name="container-component")
    def pipeline() -> None:
        shell()

    return spec_of(pipeline)[0]


def installs_packages() -> Any:
    @dsl.component(base_image="python:3.11", packages_to_install=["rich"])
    def installs() -> None:
        pass

    @dsl.pipeline(name="installs-packages")
    def pipeline() -> None:
        installs()

    return spec_of(pipeline)[0]


def with_image(image: str) -> Callable[[], Any]:
    def make() -> Any:
        spec, _ = spec_of(small_one)
        spec["deploymentSpec"]["executors"]["exec-make-table"]["container"]["image"] = image
        return spec

    return make


def too_large() -> Any:
    @dsl.pipeline(name="too-large")
    def pipeline() -> None:
        name_it(text="x" * spec_rules.SIZE_BUDGET)

    return spec_of(pipeline)[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (after_a_condition, "make-table-2 waits for condition-1, which may be skipped"),
        (text_of_a_task, "condition-1 depends on a task's string output: compare numbers or booleans"),
        (quote_in_a_condition, "condition-1 compares with a string that contains a quote"),
        (one_of_artifacts, "comes from one of several branches: merge the branches inside a component"),
        (placeholder, r"placeholder \{\{\$.pipeline_job_create_time_utc\}\} is not supported in a local run"),
        (container_component, "shell is not a Python component; only Python components run without containers"),
        (installs_packages, "installs installs packages at run time: add them to its image"),
        (
            with_image("host:5000/stagewright-base"),
            "make-table runs in image 'host:5000/stagewright-base', whose content may change",
        ),
        (with_image("stagewright-base:latest"), "whose content may change: give it a tag"),
        (too_large, r"the spec has 1,00\d,\d+ bytes, more than 1,000,000"),
    ],
)
def test_rule_refuses_what_breaks_it(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(SpecRefused, match=message) as refused:
        check_spec(make())
    assert len(refused.value.failures) == 1
    assert refused.value.exit_code == InputError.exit_code


def test_digest_pins_an_image() -> None:
    check_spec(with_image("registry.example/stagewright-base@sha256:" + "0" * 64)())


def test_loops_conditions_and_exit_handlers_are_allowed() -> None:
    @dsl.pipeline(name="all-allowed")
    def pipeline(go: bool = True, mode: str = "a", share: float = 0.5) -> None:
        with dsl.ExitHandler(name_it(text="end")):
            made = make_table()
            with dsl.ParallelFor([1, 2]) as item:
                make_table(rows=item)
            with dsl.If(go == True):  # noqa: E712
                count_rows(table=made.outputs["table"], factor=share)
            with dsl.If(mode == "a"):
                make_table()
            counted = count_rows(table=made.outputs["table"], factor=1.0)
            with dsl.If(counted.output > 2):
                name_it(text="many")

    check_spec(*spec_of(pipeline))


def test_a_refused_pipeline_is_not_written(tmp_path: Any) -> None:
    @dsl.pipeline(name="refused")
    def pipeline() -> None:
        name_it(text=dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER)

    with pytest.raises(SpecRefused, match="pipeline 'refused' did not pass: placeholder"):
        compile_pipelines([pipeline], tmp_path / "out")
    assert not (tmp_path / "out").exists()

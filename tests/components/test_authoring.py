"""A component knows its image and its caching, and every task of it can be configured."""

import subprocess
import sys
from pathlib import Path

import pytest
from kfp import components, dsl
from kfp.dsl.pipeline_task import PipelineTask
from support.small_pipeline import count_rows, make_table

from stagewright.components.authoring import Component, component, configured
from stagewright.components.images import GROUPS, image
from stagewright.pipelines import catalog
from stagewright.pipelines.pipeline_spec import spec_of


def traced() -> dsl.graph_component.GraphComponent:
    @dsl.pipeline(name="two-steps")
    def two_steps() -> None:
        made = make_table()
        count_rows(table=made.outputs["table"], factor=1.0)

    return two_steps


def test_component_is_still_a_function(tmp_path: Path) -> None:
    table = dsl.Dataset(name="table", uri=str(tmp_path / "table"))
    make_table.python_func(table, rows=4)
    assert count_rows.python_func(table, factor=2.0) == 8


def test_component_runs_in_its_groups_image_and_installs_nothing() -> None:
    assert (make_table.group, make_table.cacheable) == ("base", True)
    executors = spec_of(traced())[0]["deploymentSpec"]["executors"]
    containers = {name: executor["container"] for name, executor in executors.items()}
    assert containers["exec-make-table"]["image"] == image("base")
    assert containers["exec-count-rows"]["image"] == image("tabular")
    assert not any("pip" in part for container in containers.values() for part in container["command"])


def test_caching_is_declared_by_the_component() -> None:
    tasks = spec_of(traced())[0]["root"]["dag"]["tasks"]
    assert tasks["make-table"]["cachingOptions"] == {"enableCache": True}
    assert tasks["count-rows"]["cachingOptions"] == {}


def test_configured_sees_every_task_and_only_inside_its_block() -> None:
    seen: list[tuple[str, str]] = []

    def configure(made: Component, task: PipelineTask) -> None:
        seen.append((made.python_func.__name__, task.name))

    with configured(configure):
        traced()
    traced()
    assert seen == [("make_table", "make-table"), ("count_rows", "count-rows")]


def test_configured_ends_with_an_error_too() -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"), configured(refuse):
        traced()
    traced()


def test_what_a_pipeline_sets_itself_wins() -> None:
    @dsl.pipeline(name="own-limit")
    def own_limit() -> None:
        make_table().set_cpu_limit("3")

    with configured(lambda _, task: task.set_cpu_limit("1")):
        again = dsl.pipeline(own_limit.pipeline_func, name="own-limit")
    container = spec_of(again)[0]["deploymentSpec"]["executors"]["exec-make-table"]["container"]
    assert container["resources"]["cpuLimit"] == 3


def test_unknown_group_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="no image group 'pytorch'; there are base, tabular"):
        component(group="pytorch", cacheable=True)(lambda: None)


@pytest.mark.parametrize(
    ("registry", "tag", "name"),
    [
        ("", "v1", "stagewright-base:v1"),
        ("r.example:5000/team", "v1", "r.example:5000/team/stagewright-base:v1"),
        ("r.example/", "v1", "r.example/stagewright-base:v1"),
    ],
)
def test_image_name(registry: str, tag: str, name: str) -> None:
    assert image("base", registry=registry, tag=tag) == name


@pytest.mark.parametrize("name", catalog.COMPONENTS)
def test_every_component_compiles_alone_and_loads(tmp_path: Path, name: str) -> None:
    from kfp.compiler import Compiler

    declared = catalog.component(name)
    assert isinstance(declared, Component)
    assert declared.group in GROUPS
    Compiler().compile(declared, str(tmp_path / "component.yaml"))
    assert components.load_component_from_file(str(tmp_path / "component.yaml")).name == name.replace("_", "-")


def test_effects_outside_the_run_are_never_cached() -> None:
    for name in (
        "register_model",
        "publish_model",
        "deploy_model",
        "promote_model",
        "train_model",
        "import_model",
        "ingest_data",
    ):
        assert not catalog.component(name).cacheable, f"{name} reads or changes what is outside the run"


def test_component_modules_import_nothing_heavy() -> None:
    modules = sorted({place.partition(":")[0] for place in catalog.COMPONENTS.values()})
    code = f"import sys, kfp; before = set(sys.modules); import {', '.join(modules)}; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    heavy = {"polars", "pandas", "numpy", "mlflow", "sklearn", "onnx", "onnxruntime", "torch", "xgboost", "lightgbm"}
    assert not heavy & {name.partition(".")[0] for name in done.stdout.split()}

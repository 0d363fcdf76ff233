"""Which modules the steps of a pipeline import, in the order in which the steps need them."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from stagewright.components.runtime.frameworks import FRAMEWORKS

if TYPE_CHECKING:
    from kfp.dsl.graph_component import GraphComponent

# Every step needs these, whichever pipeline it belongs to, so they can be imported before the pipeline is known.
FIRST = (
    "stagewright.pipelines.local.step_process",
    "kfp.dsl.executor_main",
    "numpy",
    "polars",
    "stagewright.components.runtime.step",
)
_OURS = "stagewright."
# What our modules import inside a function because not every step needs it; by the component that always does.
_PLOTS = ("matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg")
_MLFLOW = (
    "pandas", "sqlalchemy", "alembic", "fastapi", "mlflow", "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
)  # fmt: skip
_INSIDE = {
    "validate_data": _PLOTS,
    "train_model": _MLFLOW,
    "distill_model": (*_PLOTS, *_MLFLOW),
    "evaluate_model": (*_PLOTS, *_MLFLOW),
    "quantize_model": (*_PLOTS, *_MLFLOW),
    "register_model": _MLFLOW,
    "promote_model": _MLFLOW,
}
_FRAMEWORK = {"fit_features", "train_model"}


def modules(pipeline: "GraphComponent", arguments: Mapping[str, Any]) -> list[str]:
    """Modules to import ahead of the steps of a run; each once, where it is needed first.

    Only modules of ours, and what they import: somebody else's component may start threads when it is imported.
    """
    framework = str(arguments.get("framework", _default(pipeline.pipeline_spec.root, "framework")))
    found: dict[str, None] = dict.fromkeys(FIRST)
    for function, source in _steps(pipeline.pipeline_spec):
        imported = list(_imported(source))
        found.update(dict.fromkeys(imported))
        if imported:
            found.update(dict.fromkeys(_INSIDE.get(function, ())))
        if imported and function in _FRAMEWORK and framework in FRAMEWORKS:
            found[FRAMEWORKS[framework].module_name] = None
    return list(found)


def _default(root: Any, name: str) -> str:
    parameters = root.input_definitions.parameters
    return str(parameters[name].default_value.string_value) if name in parameters else ""


def _steps(spec: Any) -> Iterator[tuple[str, str]]:
    """Function and source of each component in the order in which a run gets to them."""
    executors = spec.deployment_spec["executors"]
    for label in _labels(spec, spec.root):
        container = executors[label]["container"] if label in executors else None
        if container and "--function_to_execute" in list(container["args"]):
            arguments = list(container["args"])
            yield arguments[arguments.index("--function_to_execute") + 1], list(container["command"])[-1]


def _labels(spec: Any, component: Any) -> Iterator[str]:
    if component.executor_label:
        yield component.executor_label
    tasks = component.dag.tasks
    order: Iterable[str] = TopologicalSorter({name: list(task.dependent_tasks) for name, task in tasks.items()}).static_order()
    for name in order:
        if name in tasks:
            yield from _labels(spec, spec.components[tasks[name].component_ref.name])


def _imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(_OURS):
            yield node.module

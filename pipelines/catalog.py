"""Every pipeline and component by name, imported on first use."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from stagewright.components.runtime.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from kfp.dsl.graph_component import GraphComponent

    from stagewright.components.authoring import Component

# Pipelines by folder: pipeline `a-b` of folder `x` is the function `a_b` in `pipelines/x/a_b.py`.
_PIPELINES = {
    "development": ("train-model",),
    "optimization": ("distill", "quantize", "optimize-inference", "cost-optimize"),
    "production": ("serving-setup",),
}
# Components by stage: component `a_b` of stage `x` is the function `a_b` in `components/x/component.py`.
_COMPONENTS = {
    "ingestion": ("ingest_data", "validate_data", "split_data"),
    "features": ("fit_features",),
    "training": ("train_model",),
    "evaluation": ("evaluate_model", "write_model_card"),
    "registry": ("register_model", "promote_model"),
    "export": ("export_model", "import_model"),
    "serving": ("publish_model", "deploy_model"),
    "optimization.distillation": ("distill_model",),
    "optimization.quantization": ("quantize_model",),
    "optimization.serving_settings": ("benchmark_model",),
    "optimization.cost": ("plan_sizes", "measure_size", "optimize_cost"),
}

PIPELINES = {
    name: f"stagewright.pipelines.{folder}.{name.replace('-', '_')}:{name.replace('-', '_')}"
    for folder, names in _PIPELINES.items()
    for name in names
}
COMPONENTS = {
    name: f"stagewright.components.{stage}.component:{name}" for stage, names in _COMPONENTS.items() for name in names
}


def pipeline(name: str) -> "GraphComponent":
    """Find a pipeline by name, written with dashes or underscores.

    Raises:
        InputError: If there is none; the message suggests the closest name.
    """
    found: GraphComponent = _find(name.replace("_", "-"), PIPELINES, "pipeline")
    return found


def component(name: str) -> "Component":
    """Find a component by name, written with dashes or underscores.

    Raises:
        InputError: If there is none; the message suggests the closest name.
    """
    found: Component = _find(name.replace("-", "_"), COMPONENTS, "component")
    return found


def _find(name: str, places: Mapping[str, str], what: str) -> Any:
    if name not in places:
        raise InputError(f"no {what} '{name}'{did_you_mean(name, places)}; run 'stagewright list' to see all")
    module, _, attribute = places[name].partition(":")
    return getattr(import_module(module), attribute)

"""Labels inside a compiled pipeline: none is that of the pipeline itself.

kfp, loading a compiled file to make it a step of another pipeline, looks for a component named after the pipeline first. Where
a step has the pipeline's name, it would take this step's inputs for the pipeline's.
"""

from typing import Any

Document = dict[str, Any]
_HOLDERS, _REFERENCES = ("root", "components", "deploymentSpec"), ("name", "executorLabel")


def kept_apart(spec: Document, platform: Document) -> tuple[Document, Document]:
    """A pipeline spec and its platform spec in which no label of a component is the pipeline's."""
    name = spec["pipelineInfo"]["name"]
    new = {f"{kind}-{name}": f"{kind}-{name}-step" for kind in ("comp", "exec")}
    if not new.keys() & {*spec["components"], *spec["deploymentSpec"]["executors"]}:
        return spec, platform
    return {**spec, **{key: _renamed(spec[key], new) for key in _HOLDERS}}, _renamed(platform, new)


def _renamed(value: Any, new: dict[str, str]) -> Any:
    """Labels that stand as keys, and where they are referred to."""
    if isinstance(value, list):
        return [_renamed(inner, new) for inner in value]
    if not isinstance(value, dict):
        return value
    return {
        new.get(key, key): new.get(inner, inner) if key in _REFERENCES and isinstance(inner, str) else _renamed(inner, new)
        for key, inner in value.items()
    }

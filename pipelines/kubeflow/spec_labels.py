"""Rename component labels in a compiled pipeline that equal the pipeline's name.

To use a compiled file as a step of another pipeline, kfp first looks for a component with the pipeline's name. If a step has
that name, kfp would use the step's inputs instead of the pipeline's.
"""

from typing import Any

Document = dict[str, Any]
_HOLDERS, _REFERENCES = ("root", "components", "deploymentSpec"), ("name", "executorLabel")


def kept_apart(spec: Document, platform: Document) -> tuple[Document, Document]:
    """Return both specs without a component label that equals the pipeline's name."""
    name = spec["pipelineInfo"]["name"]
    new = {f"{kind}-{name}": f"{kind}-{name}-step" for kind in ("comp", "exec")}
    if not new.keys() & {*spec["components"], *spec["deploymentSpec"]["executors"]}:
        return spec, platform
    return {**spec, **{key: _renamed(spec[key], new) for key in _HOLDERS}}, _renamed(platform, new)


def _renamed(value: Any, new: dict[str, str]) -> Any:
    """Rename labels in keys and references."""
    if isinstance(value, list):
        return [_renamed(inner, new) for inner in value]
    if not isinstance(value, dict):
        return value
    return {
        new.get(key, key): new.get(inner, inner) if key in _REFERENCES and isinstance(inner, str) else _renamed(inner, new)
        for key, inner in value.items()
    }

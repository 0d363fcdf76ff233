"""Compile a pipeline for an installation and upload it as a version named after its content."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kfp.dsl.graph_component import GraphComponent

from stagewright.components.runtime.yaml_text import to_yaml
from stagewright.pipelines.kubeflow import connection as connections
from stagewright.pipelines.kubeflow.client import Kubeflow, Version
from stagewright.pipelines.kubeflow.compile import compile_pipelines, version_name
from stagewright.pipelines.profiles import Profile


@dataclass(frozen=True, slots=True)
class Build:
    """Compile settings for an installation.

    Attributes:
        profile: Cluster settings.
        registry: Image prefix.
        tag: Image tag; empty for the installed version.
        use_cache: False to run every step again; None for each component's setting.
    """

    profile: str | Path | Profile | None = "default"
    registry: str = ""
    tag: str = ""
    use_cache: bool | None = None


@dataclass(frozen=True, slots=True)
class Package:
    """A compiled pipeline: its documents (pipeline spec and, if present, platform spec) and version name."""

    pipeline: str
    title: str
    documents: list[dict[str, Any]]
    version: str
    label: str


def build(pipeline: GraphComponent, settings: Build) -> Package:
    """Compile a pipeline.

    Raises:
        InputError: For an invalid target or profile, or a spec that breaks a rule.
    """
    with tempfile.TemporaryDirectory() as folder:
        (path,) = compile_pipelines([pipeline], folder, profile=settings.profile, registry=settings.registry, tag=settings.tag)
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    if settings.use_cache is not None:
        _set_caching(documents[0], settings.use_cache)
    platform = documents[1] if len(documents) > 1 else {}
    named = version_name(pipeline.name, (documents[0], platform), settings.tag)
    title = documents[0]["pipelineInfo"].get("displayName") or pipeline.name
    return Package(pipeline.name, title, documents, named.name, named.label)


def upload(package: Package, kubeflow: Kubeflow) -> Version:
    """Upload a compiled pipeline if the installation does not have it yet."""
    with tempfile.TemporaryDirectory() as folder, connections.explained(kubeflow.connection):
        path = Path(folder) / f"{package.pipeline}.yaml"
        path.write_text(to_yaml(*package.documents, sort_keys=True), encoding="utf-8")
        return kubeflow.version(
            path, pipeline=package.pipeline, title=package.title, version=package.version, label=package.label
        )


def _set_caching(spec: dict[str, Any], use: bool) -> None:
    """Set caching on every task, because a run of an uploaded version cannot override it."""
    graphs = [spec["root"]["dag"], *(part["dag"] for part in spec["components"].values() if "dag" in part)]
    for graph in graphs:
        for task in graph["tasks"].values():
            task["cachingOptions"] = {"enableCache": True} if use else {}

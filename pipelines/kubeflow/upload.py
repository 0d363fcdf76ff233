"""A pipeline on an installation: compiled for it, and uploaded as a version that its content names."""

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
    """How a pipeline is compiled for an installation.

    Attributes:
        profile: Settings of the cluster.
        registry: Prefix of every image.
        tag: Tag of every image; empty for the installed version.
        use_cache: False to run every step again; None for what each component declares.
    """

    profile: str | Path | Profile | None = "default"
    registry: str = ""
    tag: str = ""
    use_cache: bool | None = None


@dataclass(frozen=True, slots=True)
class Package:
    """A compiled pipeline: its documents (pipeline spec, and platform spec if it has one), and what its version is called."""

    pipeline: str
    title: str
    documents: list[dict[str, Any]]
    version: str
    label: str


def build(pipeline: GraphComponent, settings: Build) -> Package:
    """Compile a pipeline.

    Raises:
        InputError: For an unusable target or profile, or a spec that breaks a rule.
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
    """Upload a compiled pipeline, unless the installation has the same already."""
    with tempfile.TemporaryDirectory() as folder, connections.explained(kubeflow.connection):
        path = Path(folder) / f"{package.pipeline}.yaml"
        path.write_text(to_yaml(*package.documents, sort_keys=True), encoding="utf-8")
        return kubeflow.version(
            path, pipeline=package.pipeline, title=package.title, version=package.version, label=package.label
        )


def _set_caching(spec: dict[str, Any], use: bool) -> None:
    """Set the choice on every task; a run of an uploaded version has no choice of its own."""
    graphs = [spec["root"]["dag"], *(part["dag"] for part in spec["components"].values() if "dag" in part)]
    for graph in graphs:
        for task in graph["tasks"].values():
            task["cachingOptions"] = {"enableCache": True} if use else {}

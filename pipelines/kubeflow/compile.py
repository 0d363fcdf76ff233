"""Compile pipelines for a cluster, with the images of a registry and the settings of a profile.

A pipeline is traced when its module is imported, before a profile is chosen. Compiling therefore traces its function again;
`authoring.configured` passes each new task to the profile.
"""

import hashlib
import itertools
import json
import os
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp import compiler, dsl
from kfp.compiler.compiler_utils import KubernetesManifestOptions
from kfp.compiler.pipeline_spec_builder import modify_pipeline_spec_with_override
from kfp.dsl.graph_component import GraphComponent
from kfp.dsl.pipeline_task import PipelineTask
from kfp.pipeline_spec import pipeline_spec_pb2

from stagewright.components.authoring import Component, configured
from stagewright.components.runtime.errors import BadParameter, InputError, did_you_mean, one_of
from stagewright.components.runtime.yaml_text import to_yaml
from stagewright.pipelines import catalog, profiles
from stagewright.pipelines.kubeflow import spec_rules
from stagewright.pipelines.kubeflow.spec_labels import kept_apart
from stagewright.pipelines.parameters import check_value, from_spec
from stagewright.pipelines.pipeline_spec import spec_of
from stagewright.pipelines.profiles import Profile

FORMATS = ("spec", "kubernetes")

_REGISTRY = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*/?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a pipeline will run.

    Args:
        registry: Image prefix, `host[:port][/path]`; empty for images that are on the nodes.
        tag: Image tag; empty for the installed version.
        profile: Profile, profile name or file; None for KFP's defaults.
    """

    registry: str = ""
    tag: str = ""
    profile: str | Path | Profile | None = "default"

    def __post_init__(self) -> None:
        if self.registry and not _REGISTRY.fullmatch(self.registry):
            raise BadParameter("registry", got=self.registry, expected="HOST[:PORT][/PATH] in lower case, without a scheme")
        if self.tag and not _TAG.fullmatch(self.tag):
            raise BadParameter("tag", got=self.tag, expected="an image tag: letters, digits, '_', '.' and '-', at most 128")
        if self.tag == "latest":
            raise BadParameter("tag", got=self.tag, expected="a fixed tag, such as a version")

    @property
    def resolved_profile(self) -> Profile | None:
        """The profile, loaded if given by name or file."""
        return self.profile if isinstance(self.profile, Profile) or self.profile is None else profiles.load(self.profile)


def retrace(pipeline: GraphComponent, target: Target) -> GraphComponent:
    """Trace a pipeline's function again for a target; name, description and settings of its decorator are kept.

    Raises:
        InputError: For an invalid target, or a task that profiles cannot configure: a task of a nested pipeline, or of a
            component that was not declared with `authoring.component`.
    """
    reached: Counter[str] = Counter()
    used: set[str] = set()
    profile = target.resolved_profile
    configure = profiles.configure(profile, registry=target.registry, tag=target.tag)

    def configure_and_note(component: Component, task: PipelineTask) -> None:
        configure(component, task)
        used.add(component.python_func.__name__)
        reached[task.name] += 1

    info = pipeline.pipeline_spec.pipeline_info
    with configured(configure_and_note), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        traced = dsl.pipeline(
            pipeline.pipeline_func,
            name=info.name,
            description=described(pipeline),
            display_name=info.display_name or None,
            pipeline_root=pipeline.pipeline_spec.default_pipeline_root or None,
            pipeline_config=pipeline.pipeline_config,
        )
    _set_defaults(traced, profile.parameters if profile else {})
    unreached = _container_tasks(traced) - reached
    if unreached:
        raise InputError(
            f"pipeline '{info.name}' has a task that profiles cannot configure, '{min(unreached)}'; declare its component with "
            "stagewright.components.authoring.component and call it directly in the pipeline"
        )
    if profile:
        _check_names(profile, {*used, *catalog.COMPONENTS})
    return traced


def described(pipeline: GraphComponent) -> str:
    """A pipeline's description, preceded by its required parameters: the dashboard's form sorts parameters by name."""
    text = pipeline.description or ""
    required = [name for name, given in (pipeline.component_spec.inputs or {}).items() if not given.optional]
    first = f"Required: {', '.join(required)}."
    return f"{first} {text}".strip() if required and not text.startswith(first) else text


def compile_pipelines(
    names: Iterable[str | GraphComponent],
    output: str | Path,
    *,
    registry: str = "",
    tag: str = "",
    profile: str | Path | Profile | None = "default",
    format: str = "spec",  # noqa: A002
    namespace: str = "",
) -> list[Path]:
    """Compile pipelines into a folder, one file each; equal inputs produce equal bytes.

    Args:
        names: Pipelines or their names; empty for all.
        output: Output folder, created if necessary.
        registry: Image prefix.
        tag: Image tag; empty for the installed version.
        profile: Profile name or file; None for images only.
        format: "spec" for KFP's dashboard, client and API; "kubernetes" for Pipeline and PipelineVersion objects.
        namespace: Namespace of the Kubernetes objects; empty to omit it.

    Returns:
        The files, in the order of the names.

    Raises:
        InputError: For an unknown pipeline, an invalid target, an unwritable folder, or a spec that breaks a rule.
    """
    one_of("format", format, FORMATS)
    if namespace and not _DNS_LABEL.fullmatch(namespace):
        raise BadParameter("namespace", got=namespace, expected="a lower-case DNS name of at most 63 characters")
    target = Target(registry, tag, profile)
    target = Target(registry, tag, target.resolved_profile)  # read the file once, not for each pipeline
    pipelines = [_resolve(name) for name in names] or [catalog.pipeline(name) for name in catalog.PIPELINES]
    traced = [retrace(pipeline, target) for pipeline in pipelines]
    for pipeline in traced:
        _keep_names_apart(pipeline)
        spec_rules.check_spec(*spec_of(pipeline))
    folder = _writable(Path(output))
    return [_write(pipeline, folder, format=format, namespace=namespace, tag=target.tag) for pipeline in traced]


def _resolve(pipeline: str | GraphComponent) -> GraphComponent:
    return pipeline if isinstance(pipeline, GraphComponent) else catalog.pipeline(pipeline)


def _check_names(profile: Profile, components: Collection[str]) -> None:
    """Check component names: a misspelled one would silently keep the defaults."""
    for name in profile.components:
        if name not in components:
            raise InputError(f"profile '{profile.name}': components.{name} is not a component{did_you_mean(name, components)}")


def _set_defaults(pipeline: GraphComponent, defaults: Mapping[str, Any]) -> None:
    """Set the default values of the pipeline's parameters."""
    spec, _ = spec_of(pipeline)
    fields = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    checked = {name: check_value(from_spec(name, fields[name]), value) for name, value in defaults.items() if name in fields}
    pipeline.component_spec.implementation.graph = modify_pipeline_spec_with_override(pipeline.pipeline_spec, None, checked)


def _keep_names_apart(pipeline: GraphComponent) -> None:
    """Rename a component label that equals the pipeline's name: in what is compiled, since kfp.local shows a step by it."""
    spec, platform = kept_apart(*spec_of(pipeline))
    pipeline.component_spec.implementation.graph = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    pipeline.component_spec.platform_spec = json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())


def _container_tasks(pipeline: GraphComponent) -> Counter[str]:
    """Count the container tasks by name, including nested graphs."""
    spec, _ = spec_of(pipeline)
    components, executors = spec["components"], spec["deploymentSpec"]["executors"]
    graphs = [spec["root"]["dag"], *(component["dag"] for component in components.values() if "dag" in component)]
    tasks = [(name, components[task["componentRef"]["name"]]) for graph in graphs for name, task in graph["tasks"].items()]
    return Counter(name for name, component in tasks if "container" in executors.get(component.get("executorLabel"), {}))


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"output folder {folder} cannot be created: {error.strerror or error}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"output folder {folder} is not writable; choose another one with --output")
    return folder


def _write(pipeline: GraphComponent, folder: Path, *, format: str, namespace: str, tag: str) -> Path:  # noqa: A002
    """Write one pipeline atomically to NAME.yaml."""
    path = folder / f"{pipeline.name}.yaml"
    options = _objects(pipeline, namespace=namespace, tag=tag) if format == "kubernetes" else None
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{pipeline.name}-") as scratch:
            written = Path(scratch) / path.name
            compiler.Compiler().compile(
                pipeline,
                str(written),
                kubernetes_manifest_format=options is not None,
                kubernetes_manifest_options=options,
            )
            _write_anew(written)
            written.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    return path


def _write_anew(path: Path) -> None:
    """Rewrite kfp's YAML with the project's writer, which quotes text that other readers parse as a number."""
    text = path.read_text(encoding="utf-8")
    comments = "".join(itertools.takewhile(lambda line: line.startswith("#"), text.splitlines(keepends=True)))
    path.write_text(comments + to_yaml(*yaml.safe_load_all(text), sort_keys=True), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class VersionName:
    """Names of a pipeline version: `name` for the API and Kubernetes, `label` for display."""

    name: str
    label: str


def version_name(pipeline: str, documents: Any, tag: str) -> VersionName:
    """Name a version by the hash of its content: equal content has the same name, different content another.

    Args:
        pipeline: The pipeline's name.
        documents: Pipeline spec and platform spec.
        tag: Image tag; empty for the installed version.
    """
    digest = hashlib.sha256(json.dumps(documents, sort_keys=True).encode()).hexdigest()[:10]
    label = re.sub(r"[^a-z0-9.]+", "-", (tag or version("stagewright")).lower()).strip("-.")
    label = re.sub(r"\.(?=[.-])|(?<=-)\.", "", label)[:63]
    return VersionName(f"{pipeline}-{label}-{digest}", f"{tag or version('stagewright')} ({digest})")


def _objects(pipeline: GraphComponent, *, namespace: str, tag: str) -> KubernetesManifestOptions:
    """Names of the Kubernetes objects; a version's content must not change in a cluster."""
    named = version_name(pipeline.name, spec_of(pipeline), tag)
    return KubernetesManifestOptions(
        pipeline_name=pipeline.name,
        pipeline_display_name=pipeline.pipeline_spec.pipeline_info.display_name or pipeline.name,
        pipeline_version_name=named.name,
        pipeline_version_display_name=named.label,
        namespace=namespace or None,
        include_pipeline_manifest=True,
    )

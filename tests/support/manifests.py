"""The tree of manifests, rendered as a cluster would get it."""

import copy
import functools
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
SHARED = ROOT.parent / "shared"
VALIDATOR, CRDS = SHARED / "tools/validate_manifests.py", SHARED / "crds"
KUBECTL = Path(sys.prefix) / "bin/kubectl"
CLUSTER_SCOPED = {"ClusterStorageContainer"}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Without an old rule of YAML by which a bare = is no string; Kubernetes has forgotten it too."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: str(node.value))


def kustomizations() -> list[str]:
    """Every folder that can be built, relative to the tree; components cannot be alone."""
    files = sorted(MANIFESTS.rglob("kustomization.yaml"))
    found = [file.parent for file in files if yaml.safe_load(file.read_text())["kind"] == "Kustomization"]
    return [folder.relative_to(MANIFESTS).as_posix() for folder in found]


def build(folder: str | Path) -> str:
    """What `kubectl kustomize` prints."""
    command = [str(KUBECTL), "kustomize", str(MANIFESTS / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # warnings are of deprecated fields
    return done.stdout


rendered = functools.cache(build)


@functools.cache
def objects(folder: str) -> tuple[Document, ...]:
    """The objects of a folder."""
    return tuple(yaml.load_all(rendered(folder), _Loader))


def find(folder: str, kind: str, name: str) -> Document:
    """One object."""
    (found,) = (item for item in objects(folder) if item["kind"] == kind and item["metadata"]["name"] == name)
    return found


def pod_specs(value: Any) -> Iterator[Document]:
    """Every pod's spec in an object, wherever it stands."""
    if isinstance(value, dict):
        if isinstance(value.get("containers"), list):
            yield value
        for inner in value.values():
            yield from pod_specs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from pod_specs(inner)


def containers(document: Document) -> Iterator[Document]:
    """Every container of an object, those of an InferenceService's model too."""
    for spec in pod_specs(document):
        yield from spec.get("initContainers", [])
        yield from spec["containers"]
    if document["kind"] == "InferenceService":
        yield document["spec"]["predictor"]["model"]


def validate(*paths: Path) -> subprocess.CompletedProcess[str]:
    """Check files strictly against the schemas of Kubernetes, KServe, Kubeflow, Argo CD, Flux and the Prometheus operator."""
    command = [sys.executable, str(VALIDATOR), "--crds", str(CRDS), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def in_namespace(items: Iterable[Document], namespace: str) -> list[Document]:
    """The same objects in another namespace, and the Namespace itself under its name."""
    moved = copy.deepcopy(list(items))
    for item in moved:
        if item["kind"] == "Namespace":
            item["metadata"]["name"] = namespace
        elif item["kind"] not in CLUSTER_SCOPED:
            item["metadata"]["namespace"] = namespace
        for subject in item.get("subjects") or []:
            subject["namespace"] = namespace
    return moved

"""A model as a tree of files for a GitOps controller, in which its version occurs once.

The address of a published model contains its version: `s3://models/churn/v1.2.0`. The manifest has the version only there;
kustomize copies it into the label and the annotation. A new version is a change of one line.

    <namespace>/<name>/kustomization.yaml
    <namespace>/<name>/inference-service.yaml
    <namespace>/<name>/canary.yaml             a second version during a canary in Standard mode
    <namespace>/<name>/inference-graph.yaml    splits the requests between the two
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stagewright.components.runtime.errors import BadParameter
from stagewright.components.runtime.naming import Version
from stagewright.components.runtime.service_names import check_host
from stagewright.components.runtime.yaml_text import to_yaml
from stagewright.components.serving.manifests import canary
from stagewright.components.serving.manifests.inference_service import DIGEST_ANNOTATION, VERSION_ANNOTATION, inference_service

KUSTOMIZATION, SERVICE, CANARY, GRAPH = "kustomization.yaml", "inference-service.yaml", "canary.yaml", "inference-graph.yaml"
FILES = (KUSTOMIZATION, SERVICE, CANARY, GRAPH)
VERSION_LABEL = "app.kubernetes.io/version"

_HEADER = (
    "# Written by stagewright. Change the version in storageUri; what else differs belongs into an overlay of this folder.\n"
)

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A newer version that receives a share of the requests."""

    version: str
    model_uri: str
    traffic: int


def tree(document: Document, *others: tuple[str, Document]) -> dict[str, str]:
    """The files of an InferenceService from `inference_service`.

    Args:
        others: Further objects by file name.
    """
    documents = {SERVICE: document, **dict(others)}
    lean = {file: _without_version(one) for file, one in documents.items()}
    replacements = [_replacement(one) for file, one in lean.items() if one != documents[file]]
    kustomization: Document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(documents),
        **({"replacements": replacements} if replacements else {}),
    }
    return {KUSTOMIZATION: _HEADER + to_yaml(kustomization), **{file: to_yaml(one) for file, one in lean.items()}}


def tree_with_canary(settings: Mapping[str, Any], candidate: Candidate) -> dict[str, str]:
    """The files of a model during a canary deployment.

    In Knative mode one service has both versions: KServe keeps the previous revision. In Standard mode, where KServe would
    ignore the share, two services run behind a graph named `<name>-split`.

    Args:
        settings: Parameters of the stable version for `inference_service`.

    Raises:
        BadParameter: If the share or the candidate version is invalid, or `inference_service` rejects a parameter.
    """
    name, mode, namespace = settings["name"], settings.get("mode", "Standard"), settings.get("namespace", "default")
    if not 1 <= candidate.traffic <= 99:
        raise BadParameter("traffic", got=candidate.traffic, expected="the canary's share, a percentage from 1 to 99")
    if candidate.version == settings["version"]:
        raise BadParameter("canary", got=candidate.version, expected="another version than the one that serves now")
    if mode == "Standard":
        check_host(f"{name}-canary-predictor", namespace, name=name)
    newer = {**settings, "version": candidate.version, "model_uri": candidate.model_uri, "digest": ""}
    stable = inference_service(**settings)
    if mode == "Knative":
        return tree(inference_service(**newer, traffic=candidate.traffic))
    second = inference_service(**{**newer, "name": f"{name}-canary"})
    shares = {name: 100 - candidate.traffic, f"{name}-canary": candidate.traffic}
    graph = canary.splitter(f"{name}-split", shares, mode=mode, namespace=namespace)
    return tree(stable, (CANARY, second), (GRAPH, graph))


def version_in(document: Document) -> str:
    """The version that a file's InferenceService serves; empty if its address has none."""
    return next((part for part in _parts(document) if _is_version(part)), "")


def _without_version(document: Document) -> Document:
    """The object without the fields that repeat its address; unchanged if the address has no version."""
    said = document["metadata"].get("annotations", {}).get(VERSION_ANNOTATION)
    if said is None or said not in _parts(document):
        return document
    lean = copy.deepcopy(document)
    del lean["metadata"]["annotations"][VERSION_ANNOTATION]
    del lean["metadata"]["labels"][VERSION_LABEL]
    # Published versions never change: the version implies the content, and the digest would be a second line to change.
    lean["metadata"]["annotations"].pop(DIGEST_ANNOTATION, None)
    return lean


def _replacement(document: Document) -> Document:
    """Copy the version from the address, where kustomize finds it as a path segment."""
    this = {"kind": document["kind"], "name": document["metadata"]["name"]}
    index = next(place for place, part in enumerate(_parts(document)) if _is_version(part))
    path = {"fieldPath": "spec.predictor.model.storageUri", "options": {"delimiter": "/", "index": index}}
    fields = [f"metadata.annotations.{_escaped(VERSION_ANNOTATION)}", f"metadata.labels.{_escaped(VERSION_LABEL)}"]
    return {"source": {**this, **path}, "targets": [{"select": this, "fieldPaths": fields, "options": {"create": True}}]}


def _escaped(key: str) -> str:
    """A key for a kustomize path, where a bare dot is a separator."""
    return key.replace(".", r"\.")


def _parts(document: Document) -> list[str]:
    model = document.get("spec", {}).get("predictor", {}).get("model", {})
    return str(model.get("storageUri", "")).split("/")


def _is_version(part: str) -> bool:
    try:
        Version.parse(part)
    except BadParameter:
        return False
    return True

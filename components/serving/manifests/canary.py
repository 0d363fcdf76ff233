"""Canary deployments: a share of the requests goes to the newer of two versions.

There are three ways, depending on the cluster. In Knative mode one InferenceService keeps two revisions: `inference_service`
with `traffic`. In Standard mode two InferenceServices run behind an InferenceGraph, which every KServe supports: `splitter`.
KServe 0.20 has a field for Standard mode, but accepts it without splitting traffic: `standard_canary` requires an explicit
confirmation.
"""

import copy
import re
from collections.abc import Mapping
from typing import Any

from stagewright.components.runtime.errors import BadParameter
from stagewright.components.runtime.naming import model_name
from stagewright.components.runtime.service_names import check_host, check_namespace
from stagewright.components.serving.manifests.inference_service import KIND, VERSION_ANNOTATION
from stagewright.components.serving.manifests.serving_runtime import CONTAINER

Document = dict[str, Any]
MODE_ANNOTATION = "serving.kserve.io/deploymentMode"
# The router is a small Go program.
_ROUTER = {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "50m", "memory": "64Mi"}}


def splitter(name: str, weights: Mapping[str, int], *, mode: str = "Standard", namespace: str = "default") -> Document:
    """An InferenceGraph that routes each request to one of several InferenceServices. Routing is not sticky.

    Args:
        name: Name of the graph, which is also its address.
        weights: Percentage by the name of the InferenceService.
        mode: KServe's deployment mode of the services and the router.

    Raises:
        BadParameter: Unless there are at least two shares that sum to 100.
    """
    if len(weights) < 2 or any(not 0 <= weight <= 100 for weight in weights.values()) or sum(weights.values()) != 100:
        raise BadParameter("weights", got=dict(weights), expected="shares of two or more services that make 100 together")
    check_namespace(namespace)
    check_host(model_name(name), namespace, name=name)
    steps = [{"name": model_name(service), "serviceName": service, "weight": weight} for service, weight in weights.items()]
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "InferenceGraph",
        "metadata": {
            "name": model_name(name),
            "namespace": namespace,
            "annotations": {MODE_ANNOTATION: mode},
            "labels": {
                "app.kubernetes.io/component": "router",
                "app.kubernetes.io/managed-by": "stagewright",
                "app.kubernetes.io/name": name,
                "app.kubernetes.io/part-of": "stagewright",
            },
        },
        "spec": {"nodes": {"root": {"routerType": "Splitter", "steps": steps}}, "resources": copy.deepcopy(_ROUTER)},
    }


def standard_canary(stable: Document, candidate: Document, *, traffic: int, supported: bool = False) -> Document:
    """The stable InferenceService with a canary, by KServe's field for Standard mode.

    Args:
        stable: The current service.
        candidate: The same service with a newer version.
        traffic: Percentage of the candidate.
        supported: Confirm that the cluster's KServe splits traffic by this field and its ingress is the Gateway API.

    Raises:
        BadParameter: Unless confirmed: otherwise KServe silently ignores the field.
    """
    if not supported:
        sentence = "True, if this KServe acts on spec.canary; up to 0.20 it ignores it: put two services behind a splitter"
        raise BadParameter("supported", got=False, expected=sentence)
    if not 1 <= traffic <= 99:
        raise BadParameter("traffic", got=traffic, expected="a percentage from 1 to 99")
    for document in (stable, candidate):
        if document["kind"] != KIND or document["metadata"]["annotations"][MODE_ANNOTATION] != "Standard":
            raise BadParameter("stable, candidate", got=document["kind"], expected="InferenceServices in Standard mode")
    version = candidate["metadata"]["annotations"][VERSION_ANNOTATION]
    predictor = {"name": re.sub(r"[^a-z0-9]+", "-", version), **copy.deepcopy(candidate["spec"]["predictor"])}
    predictor["model"]["name"] = CONTAINER  # a default of a predictor, but required in a canary
    document = copy.deepcopy(stable)
    document["spec"]["canary"] = [{"predictor": predictor, "trafficPercent": traffic}]
    return document

"""The recommendation as a patch of an InferenceService, and what the present one asks for."""

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagewright.components.measurement.cpu_limit import cpus_of, quantity_of
from stagewright.components.measurement.replica import GIB, MIB
from stagewright.components.runtime.documents import read_all_yaml
from stagewright.components.runtime.errors import InputError
from stagewright.components.serving.manifests.inference_service import API_VERSION, KIND, REPLICAS, RESOURCES

Document = dict[str, Any]
_UNITS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": MIB, "Gi": GIB, "Ti": 2**40, "m": 1e-3,
}  # fmt: skip
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([kMGT]i?|Ki|m)?")


@dataclass(frozen=True, slots=True)
class Present:
    """What a service asks for now.

    Attributes:
        cpus: Requested by a replica, which is what it can rely on.
        gib: Memory requested by a replica.
        cpu_limit: What a replica may use at most; 0 for no limit.
        memory_limit: Likewise, in bytes.
        document: The InferenceService, or None where only the defaults of deploy_model are known.
    """

    cpus: float
    gib: float
    least: int
    most: int
    document: Document | None = None
    cpu_limit: float = 0.0
    memory_limit: int = 0


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What a service should ask for.

    Attributes:
        cpus: Requested by a replica.
        metric: What the autoscaler looks at: cpu or rps; empty for a fixed number of replicas.
        target: Percent of the requested CPU, or requests a second of a replica.
        cpu_limit: What a replica may use at most; 0 for no limit, None for what it requests.
    """

    cpus: float
    memory_request: int
    memory_limit: int
    least: int
    most: int
    mode: str
    metric: str = ""
    target: int = 0
    cpu_limit: float | None = None

    @property
    def cpu(self) -> str:
        return quantity_of(self.cpus)

    @property
    def limit(self) -> str | None:
        if self.cpu_limit is None:
            return self.cpu
        return quantity_of(self.cpu_limit) if self.cpu_limit else None


def present(given: str) -> Present:
    """The service as it is.

    Args:
        given: A YAML file with the InferenceService, or its text; nothing for what deploy_model asks for by itself.

    Raises:
        InputError: If it holds no InferenceService, or one without resources that can be read.
    """
    if not given:
        return Present(
            cpus_of(RESOURCES.cpu_request), bytes_of(RESOURCES.memory_request) / GIB, REPLICAS.minimum, REPLICAS.maximum,
            cpu_limit=cpus_of(RESOURCES.cpu_limit), memory_limit=int(bytes_of(RESOURCES.memory_limit)),
        )  # fmt: skip
    document = _document(given)
    predictor = document.get("spec", {}).get("predictor", {})
    resources = (predictor.get("model") or {}).get("resources", {})
    requests, limits = (resources.get(kind) or {} for kind in ("requests", "limits"))
    try:
        cpus, gib = cpus_of(str(requests["cpu"])), bytes_of(str(requests["memory"])) / GIB
    except KeyError as error:
        raise InputError(
            f"the present InferenceService has no spec.predictor.model.resources.requests.{error.args[0]}"
        ) from None
    least = int(predictor.get("minReplicas", 1))
    most = max(1, least, int(predictor.get("maxReplicas", max(1, least))))
    cpu_limit = cpus_of(str(limits["cpu"])) if "cpu" in limits else 0.0
    memory_limit = int(bytes_of(str(limits["memory"]))) if "memory" in limits else 0
    return Present(cpus, gib, least, most, document, cpu_limit, memory_limit)


def patch(name: str, namespace: str, found: Recommendation) -> Document:
    """A merge patch: what is not named stays as it is, what is null goes."""
    scales = bool(found.metric)
    annotations: Document = {}
    if found.mode == "Standard":
        annotations["serving.kserve.io/autoscalerClass"] = "hpa" if scales else "none"
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": namespace, **({"annotations": annotations} if annotations else {})},
        "spec": {
            "predictor": {
                "minReplicas": found.least,
                "maxReplicas": found.most,
                "scaleMetric": found.metric if scales else None,
                "scaleTarget": found.target if scales else None,
                "model": {
                    "resources": {
                        "requests": {"cpu": found.cpu, "memory": _mebibytes(found.memory_request)},
                        "limits": {"cpu": found.limit, "memory": _mebibytes(found.memory_limit)},
                    }
                },
            }
        },
    }


def merged(document: Mapping[str, Any], change: Mapping[str, Any]) -> Document:
    """A document with a merge patch applied (RFC 7386).

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": 3}})
    {'a': {'c': 2, 'd': 3}}
    """
    result = deepcopy(dict(document))
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            inner = result.get(key)
            result[key] = merged(inner if isinstance(inner, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def bytes_of(quantity: str) -> float:
    """Bytes of a Kubernetes quantity of memory.

    >>> bytes_of("512Mi") / MIB, bytes_of("1G")
    (512.0, 1000000000.0)

    Raises:
        InputError: If it is none.
    """
    found = _MEMORY.fullmatch(quantity)
    if not found:
        raise InputError(f"'{quantity}' is not a quantity of memory such as '512Mi'")
    return float(found[1]) * _UNITS[found[2] or ""]


def _mebibytes(size: int) -> str:
    return f"{-(-size // MIB)}Mi"


def _document(given: str) -> Document:
    path = Path(given).expanduser() if "\n" not in given else None
    if path is not None and not path.is_file():
        raise InputError(f"there is no InferenceService at {given}; expected a YAML file, or its text")
    try:
        documents = read_all_yaml(path.read_text() if path else given)
    except ValueError as error:
        raise InputError(f"the present InferenceService is not YAML: {str(error).splitlines()[0]}") from None
    found = [one for one in documents if isinstance(one, dict) and one.get("kind") == KIND]
    if len(found) != 1:
        raise InputError(f"expected one {KIND} as the present one; found {len(found)}")
    return found[0]

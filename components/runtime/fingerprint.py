"""What makes two exported models the same: a digest of their content, whenever and by whichever run they were made.

Files carry a run's id and date (`MLmodel`, `model.json`), or the memory addresses of the process that wrote them (skops), so
equal models have unequal files. What a model is, is what it answers and where it comes from: the served graph, its signature
and baseline, the recipe and the data of its training, and the settings chosen to serve it with. Other settings alone make a
patch: what callers see and the recipe stay the same.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.model import METADATA_FILE, SERVING, ModelMetadata
from stagewright.components.runtime.serving_settings import FILE as SETTINGS
from stagewright.components.runtime.serving_settings import ServingSettings
from stagewright.components.runtime.signature import ANSWERS, TENSOR_KINDS, Input, Signature
from stagewright.components.runtime.storage import sha256

GRAPH, BASELINE = "model.onnx", "baseline.parquet"
MLFLOW_BACKEND = "worker.json"  # of a model without a graph: its MLflow files are what is served
_ENVIRONMENT = ("MLmodel", "README.md", "manifest.json", "conda.yaml", "python_env.yaml", "requirements.txt")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """An exported model's identity.

    Attributes:
        digest: `sha256:` and 64 hexadecimal digits; equal for equal models.
        signature: Hash of what callers see: task, classes, names and kinds of the inputs in their order.
        recipe: Hash of how it was made: framework, features, hyperparameters. For a model that brings no record of its
            making, of its graph.
        data: SHA-256 of each table it was made from, by use.
        run_id: The MLflow run that made it, or empty.
        origin: What else its record tells, for lineage: framework, algorithm, seed, libraries.
    """

    digest: str
    signature: str
    recipe: str
    data: dict[str, str] = field(default_factory=dict)
    run_id: str = ""
    origin: dict[str, Any] = field(default_factory=dict)


def fingerprint(folder: str | Path) -> Fingerprint:
    """The identity of an exported model.

    Raises:
        InputError: If the folder has no exported model in `serving/`.
    """
    folder = Path(folder)
    serving = folder / SERVING
    graph = serving / GRAPH
    if not graph.is_file() and not (serving / MLFLOW_BACKEND).is_file():
        raise InputError(f"no {SERVING}/{GRAPH} in {folder}: the model is not exported; run export_model or import_model first")
    signature = Signature.read(serving)
    graph_hash = sha256(graph) if graph.is_file() else _files_hash(folder)
    metadata = ModelMetadata.read(folder) if (folder / METADATA_FILE).exists() else None
    recipe = metadata.recipe if metadata else graph_hash
    data = dict(sorted(metadata.data.items())) if metadata else {}
    baseline = serving / BASELINE
    parts: dict[str, Any] = {
        "graph": graph_hash,
        "signature": signature.to_dict(),
        "baseline": sha256(baseline) if baseline.is_file() else None,
        "recipe": recipe,
        "data": data,
        "seed": metadata.seed if metadata else None,
    }
    if settings := _settings(serving / SETTINGS):
        parts["settings"] = settings
    return Fingerprint(
        digest=f"sha256:{_hash(parts)}",
        signature=signature_hash(signature),
        recipe=recipe,
        data=data,
        run_id=metadata.run_id if metadata else "",
        origin=_origin(metadata) if metadata else {},
    )


def _files_hash(folder: Path) -> str:
    """Hash of the files of a model that has no graph, but for what MLflow writes anew each time: dates, ids, environments."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0] != SERVING]
    return _hash(sorted((path.relative_to(folder).as_posix(), sha256(path)) for path in paths if path.name not in _ENVIRONMENT))


def _settings(path: Path) -> dict[str, Any]:
    """How the model is to be served, where a measurement chose something; what it measured is not what the model is."""
    if not path.is_file():
        return {}
    settings = replace(ServingSettings.parse(path.read_bytes(), str(path)), measured={})
    return {} if settings == ServingSettings() else asdict(settings)


def signature_hash(signature: Signature) -> str:
    """Hash of what callers of a model see; categories and whether values may be missing follow the data and are left out.

    What only some models have (shapes, exact types, answers in float64) is in the hash of those alone, so that the hashes of
    all others stay what they were.
    """
    seen: dict[str, Any] = {
        "task": signature.task,
        "classes": signature.classes,
        "inputs": [(column.name, column.kind, *_shape(column), *_exact(column)) for column in signature.inputs],
    }
    if signature.answers != ANSWERS:
        seen["answers"] = signature.answers
    return _hash(seen)


def _shape(column: Input) -> tuple[int, ...]:
    return column.shape if column.kind in TENSOR_KINDS else ()


def _exact(column: Input) -> tuple[str, ...]:
    return () if column.exact is None else (column.exact,)


def _origin(metadata: ModelMetadata) -> dict[str, Any]:
    return {
        "framework": metadata.framework,
        "algorithm": metadata.algorithm,
        "seed": metadata.seed,
        "training_rows": metadata.training_rows,
        "libraries": metadata.libraries,
    }


def _hash(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

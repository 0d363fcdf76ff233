"""What makes two exported models the same: a digest of their content, whenever and by whichever run they were made.

Files carry a run's id and date (`MLmodel`, `model.json`), or the memory addresses of the process that wrote them (skops), so
equal models have unequal files. What a model is, is what it answers and where it comes from: the served graph, its signature
and baseline, and the recipe and the data of its training.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.model import METADATA_FILE, SERVING, ModelMetadata
from stagewright.components.runtime.signature import Signature
from stagewright.components.runtime.storage import sha256

GRAPH, BASELINE = "model.onnx", "baseline.parquet"


@dataclass(frozen=True, slots=True)
class Content:
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


def content(folder: str | Path) -> Content:
    """The identity of an exported model.

    Raises:
        InputError: If the folder has no exported model in `serving/`.
    """
    folder = Path(folder)
    serving = folder / SERVING
    graph = serving / GRAPH
    if not graph.is_file():
        raise InputError(f"no {SERVING}/{GRAPH} in {folder}: the model is not exported; run export_model or import_model first")
    signature = Signature.read(serving)
    graph_hash = sha256(graph)
    metadata = ModelMetadata.read(folder) if (folder / METADATA_FILE).exists() else None
    recipe = metadata.recipe if metadata else graph_hash
    data = dict(sorted(metadata.data.items())) if metadata else {}
    baseline = serving / BASELINE
    parts = {
        "graph": graph_hash,
        "signature": signature.to_dict(),
        "baseline": sha256(baseline) if baseline.is_file() else None,
        "recipe": recipe,
        "data": data,
        "seed": metadata.seed if metadata else None,
    }
    return Content(
        digest=f"sha256:{_hash(parts)}",
        signature=signature_hash(signature),
        recipe=recipe,
        data=data,
        run_id=metadata.run_id if metadata else "",
        origin=_origin(metadata) if metadata else {},
    )


def signature_hash(signature: Signature) -> str:
    """Hash of what callers of a model see; categories and whether values may be missing follow the data and are left out."""
    seen = {
        "task": signature.task,
        "classes": signature.classes,
        "inputs": [(column.name, column.kind) for column in signature.inputs],
    }
    return _hash(seen)


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

"""The manifest of a published model: every file with its size and checksum, written last."""

from typing import Any

from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.storage import ObjectStore, join

MANIFEST = "manifest.json"


def read_manifest(uri: str, store: ObjectStore) -> dict[str, Any]:
    """The manifest of a published model.

    Raises:
        InputError: If there is none or it is damaged.
    """
    path = join(uri, MANIFEST)
    if not store.exists(path):
        raise InputError(f"no model is published at {uri}: there is no {MANIFEST}")
    try:
        document: dict[str, Any] = read_json(store.read(path))
        _ = document["digest"], [(file["path"], file["size"], file["sha256"]) for file in document["files"]]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} is not the manifest of a published model") from None
    return document

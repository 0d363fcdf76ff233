"""Where a published model is read from: a folder or `s3://`. Everything is read into memory, so nothing is ever written.

With a `manifest.json` beside it (every published model has one) the files' SHA-256 sums are verified.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.signature import FILE as SIGNATURE

GRAPH, SERVING, MANIFEST = "model.onnx", "serving", "manifest.json"
MOUNTED = "/mnt/models"  # where KServe's storage initializer puts a model

Read = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What the predictor needs of a model; name and version only if its manifest tells them."""

    location: str
    graph: bytes
    signature: bytes
    name: str | None = None
    version: str | None = None


def read(location: str) -> ModelFiles:
    """The files of an exported or published model.

    Args:
        location: A model's folder, its `serving` folder, or `s3://bucket/name/version`.

    Raises:
        InputError: If there is no model, or a file differs from the manifest.
        ServiceUnavailable: If the object store does not answer.
    """
    if location.startswith("s3://"):
        return _read_store(location.rstrip("/").removesuffix(f"/{SERVING}"))
    return _read_folder(Path(location.removeprefix("file://")))


def _read_folder(folder: Path) -> ModelFiles:
    if not folder.is_dir():
        raise InputError(
            f"no model folder {folder}: the path does not exist" if not folder.exists() else f"{folder} is not a folder"
        )
    serving = folder / SERVING if (folder / SERVING).is_dir() else folder
    if not (serving / GRAPH).is_file():
        raise InputError(f"no {GRAPH} in {folder} or in its {SERVING} folder: this is not an exported model")
    root = serving.parent
    if serving.name != SERVING or not (root / MANIFEST).is_file():
        return ModelFiles(str(folder), _read_file(serving / GRAPH), _read_file(serving / SIGNATURE))
    return _verified(str(root), lambda name: _read_file(root / name))


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"no {path.name} in {path.parent}: this is not an exported model") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def _read_store(uri: str) -> ModelFiles:
    from stagewright.components.runtime.storage import ObjectStore

    store = ObjectStore.from_environment("the object store is needed to load the model")
    if not store.exists(f"{uri}/{MANIFEST}"):
        raise InputError(f"no published model at {uri}: it has no {MANIFEST}")
    return _verified(uri, lambda name: store.read(f"{uri}/{name}"))


def _verified(location: str, read_file: Read) -> ModelFiles:
    manifest = _parse(location, read_file(MANIFEST))
    graph, signature = (_check(location, manifest, f"{SERVING}/{name}", read_file) for name in (GRAPH, SIGNATURE))
    return ModelFiles(location, graph, signature, manifest.get("name"), manifest.get("version"))


def _parse(location: str, content: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
        manifest["files"] = {entry["path"]: entry["sha256"] for entry in manifest["files"]}
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{location}/{MANIFEST} is not a model's manifest") from None
    return manifest


def _check(location: str, manifest: dict[str, Any], name: str, read_file: Read) -> bytes:
    if name not in manifest["files"]:
        raise InputError(f"the model at {location} has no {name}: it was published without being exported")
    content = read_file(name)
    if hashlib.sha256(content).hexdigest() != manifest["files"][name]:
        raise InputError(f"{location}/{name} differs from its checksum in {MANIFEST}: publish or download the model again")
    return content

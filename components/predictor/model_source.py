"""Reading of published models from a folder or `s3://`, into memory. Nothing is written to disk.

The files' SHA-256 checksums are verified if the model has a `manifest.json`, as every published model does.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.files import read_file
from stagewright.components.runtime.serving_settings import FILE as SETTINGS
from stagewright.components.runtime.signature import FILE as SIGNATURE

GRAPH, SERVING, MANIFEST = "model.onnx", "serving", "manifest.json"
MLFLOW_BACKEND = "worker.json"  # marks a model without a graph, which a process of the MLflow backend computes
EXTRAS = (SETTINGS, MLFLOW_BACKEND)
STORE = "s3://"
MOUNTED = "/mnt/models"  # KServe's storage initializer mounts a model here

if TYPE_CHECKING:
    from stagewright.components.runtime.storage import ObjectStore

Read = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of a model that the predictor needs.

    Attributes:
        location: Location of the model, for error sentences.
        graph: The ONNX model; empty for a model of the MLflow backend.
        signature: Content of signature.json.
        name: Name in the manifest; None without a manifest.
        version: Version in the manifest; None without a manifest.
        extras: Optional small files by name: tokenizer.json, settings.json, worker.json.
    """

    location: str
    graph: bytes
    signature: bytes
    name: str | None = None
    version: str | None = None
    extras: Mapping[str, bytes] = field(default_factory=dict)


def read(location: str) -> ModelFiles:
    """Read the files of an exported or published model.

    Args:
        location: A model's folder, its `serving` folder, or `s3://bucket/name/version`.

    Raises:
        InputError: If there is no model, or a file differs from the manifest.
        ServiceUnavailable: If the object store does not answer.
    """
    if location.startswith(STORE):
        return _read_store(_version(location))
    return _read_folder(Path(location.removeprefix("file://")))


def manifest_name(location: str) -> str | None:
    """Read a model's name from its manifest, without reading the model; None without a manifest.

    Raises:
        InputError: If there is no model.
        ServiceUnavailable: If the object store does not answer.
    """
    if location.startswith(STORE):
        uri = _version(location)
        content: bytes | None = _store(uri).read(f"{uri}/{MANIFEST}")
    else:
        _, serving = _find(Path(location.removeprefix("file://")))
        manifest = serving.parent / MANIFEST
        content = _read_file(manifest, serving.parent) if serving.name == SERVING and manifest.is_file() else None
    return None if content is None else _parse(location, content).get("name")


def _read_folder(folder: Path) -> ModelFiles:
    root, serving = _find(folder)
    if serving.name != SERVING or not (root / MANIFEST).is_file():
        own = root if serving.name == SERVING else serving
        signature = _read_file(serving / SIGNATURE, own)
        extras = {name: _read_file(serving / name, own) for name in _extras(signature) if (serving / name).exists()}
        graph = b"" if MLFLOW_BACKEND in extras else _read_file(serving / GRAPH, own)
        return ModelFiles(str(folder), graph, signature, extras=extras)
    return _verified(str(root), lambda name: _read_file(root / name, root))


def _find(folder: Path) -> tuple[Path, Path]:
    """A model's folder and its serving folder."""
    if not folder.is_dir():
        raise InputError(
            f"no model folder {folder}: the path does not exist" if not folder.exists() else f"{folder} is not a folder"
        )
    serving = folder / SERVING if (folder / SERVING).is_dir() else folder
    if not any((serving / file).exists() for file in (GRAPH, MLFLOW_BACKEND)):
        raise InputError(f"no {GRAPH} in {folder} or in its {SERVING} folder: this is not an exported model")
    return serving.parent, serving


def _read_file(path: Path, root: Path) -> bytes:
    try:
        return read_file(path, inside=root)
    except FileNotFoundError:
        raise InputError(f"no {path.name} in {path.parent}: this is not an exported model") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def _read_store(uri: str) -> ModelFiles:
    store = _store(uri)
    return _verified(uri, lambda name: store.read(f"{uri}/{name}"))


def _store(uri: str) -> "ObjectStore":
    """Open the object store that has this published model."""
    from stagewright.components.runtime.storage import ObjectStore

    store = ObjectStore.from_environment("the object store is needed to load the model")
    if not store.exists(f"{uri}/{MANIFEST}"):
        raise InputError(f"no published model at {uri}: it has no {MANIFEST}")
    return store


def _version(location: str) -> str:
    return location.rstrip("/").removesuffix(f"/{SERVING}")


def _verified(location: str, read: Read) -> ModelFiles:
    manifest = _parse(location, read(MANIFEST))

    def checked(name: str) -> bytes:
        return _check(location, manifest, f"{SERVING}/{name}", read)

    graph = b"" if f"{SERVING}/{MLFLOW_BACKEND}" in manifest["files"] else checked(GRAPH)
    signature = checked(SIGNATURE)
    extras = {name: checked(name) for name in _extras(signature) if f"{SERVING}/{name}" in manifest["files"]}
    return ModelFiles(location, graph, signature, manifest.get("name"), manifest.get("version"), extras)


def _extras(signature: bytes) -> list[str]:
    """Names of optional small files: settings, and the tokenizers of the signature."""
    try:
        tokenizers = [column.get("tokenizer") for column in read_json(signature)["inputs"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        tokenizers = []  # building the model reports a malformed signature
    return [*EXTRAS, *dict.fromkeys(name for name in tokenizers if isinstance(name, str) and Path(name).name == name)]


def _parse(location: str, content: bytes) -> dict[str, Any]:
    try:
        manifest = read_json(content)
        manifest["files"] = {entry["path"]: entry["sha256"] for entry in manifest["files"]}
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{location}/{MANIFEST} is not a model's manifest") from None
    return manifest


def _check(location: str, manifest: dict[str, Any], name: str, read: Read) -> bytes:
    if name not in manifest["files"]:
        raise InputError(f"the model at {location} has no {name}: it was published without being exported")
    content = read(name)
    if hashlib.sha256(content).hexdigest() != manifest["files"][name]:
        raise InputError(f"{location}/{name} differs from its checksum in {MANIFEST}: publish or download the model again")
    return content

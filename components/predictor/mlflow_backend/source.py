"""The complete folder of an MLflow model: the original folder, or a verified copy of an object store's."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from stagewright.components.predictor.model_source import MANIFEST, SERVING, STORE
from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.files import check_tree, sha256


def local_folder(location: str) -> tuple[Path, Callable[[], None]]:
    """Return a model's folder on this machine, and a function that removes a temporary copy.

    Args:
        location: A model's folder, its `serving` folder, or `s3://bucket/name/version`, from which it is copied.

    Raises:
        InputError: If a file is missing or differs from the manifest.
        ServiceUnavailable: If the object store does not answer.
    """
    if location.startswith(STORE):
        return _download(location.rstrip("/").removesuffix(f"/{SERVING}"))
    folder = Path(location.removeprefix("file://"))
    root = folder.parent if folder.name == SERVING else folder
    check_tree(root)
    if (root / MANIFEST).is_file():
        for name, digest in _files(str(root), (root / MANIFEST).read_bytes()).items():
            _verify(root, name, digest, str(root))
    return root, lambda: None


def _download(uri: str) -> tuple[Path, Callable[[], None]]:
    from stagewright.components.runtime.storage import ObjectStore

    store = ObjectStore.from_environment("the object store is needed to load the model")
    copy = Path(tempfile.mkdtemp(prefix="model-"))

    def remove() -> None:
        shutil.rmtree(copy, ignore_errors=True)

    try:
        for name, digest in _files(uri, store.read(f"{uri}/{MANIFEST}")).items():
            store.download(f"{uri}/{name}", _inside(copy, name, uri))
            _verify(copy, name, digest, uri)
    except BaseException:
        remove()
        raise
    return copy, remove


def _files(location: str, manifest: bytes) -> dict[str, str]:
    try:
        return {str(entry["path"]): str(entry["sha256"]) for entry in read_json(manifest)["files"]}
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{location}/{MANIFEST} is not a model's manifest") from None


def _inside(folder: Path, name: str, location: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"the manifest of {location} names a file outside the model: {name}")
    return path


def _verify(root: Path, name: str, digest: str, location: str) -> None:
    path = _inside(root, name, location)
    if not path.is_file():
        raise InputError(f"{location}/{name} is named in {MANIFEST} but missing: the copy is incomplete")
    if sha256(path) != digest:
        raise InputError(f"{location}/{name} differs from its checksum in {MANIFEST}: publish or download the model again")

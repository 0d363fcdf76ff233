"""An existing model, wherever it is, as a model folder that can be registered, published and served."""

import re
import shutil
import tempfile
from pathlib import Path

from stagewright.components.export import import_mlflow
from stagewright.components.runtime import logs, tracking
from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError, did_you_mean
from stagewright.components.runtime.files import check_tree
from stagewright.components.runtime.fingerprint import GRAPH, MLFLOW_BACKEND
from stagewright.components.runtime.manifest import MANIFEST, read_manifest
from stagewright.components.runtime.model import SERVING
from stagewright.components.runtime.signature import Signature
from stagewright.components.runtime.storage import ObjectStore, is_remote, join, sha256

KINDS = "a model folder, an .onnx file, s3://BUCKET/NAME/VERSION, models:/NAME@ALIAS, models:/NAME/VERSION or runs:/ID/PATH"
PURPOSE = "MLflow holds the model to import"
_REGISTERED = re.compile(r"models:/+([^/@]+)(?:@([^/@]+)|/([^/@]+))")
_SHOWN = 10


def import_model(source: str, folder: str | Path) -> Signature:
    """Copy a model into a folder and make sure that it can be served; its signature.

    A bare ONNX graph gets a signature from its inputs and outputs. An MLflow model without a graph is served as it is, by its
    own library in a process of its own, if its files can hold no code. A published model is checked against its checksums.

    Args:
        source: A model folder, an `.onnx` file, `s3://...`, `models:/name@alias`, `models:/name/version` or `runs:/id/path`.

    Raises:
        InputError: If there is no such model, or it cannot be served.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="import-") as scratch:
        found = _fetch(source, Path(scratch))
        _place(found, folder, source)
    signature = Signature.read(folder / SERVING)
    logs.event("model_imported", source=source, task=signature.task, inputs=len(signature.inputs))
    return signature


def _fetch(source: str, scratch: Path) -> Path:
    """The model as a local folder or file."""
    if is_remote(source):
        return _from_store(source, scratch)
    if source.startswith(("models:", "runs:")):
        return _from_mlflow(source, scratch)
    path = Path(source.removeprefix("file://")).expanduser()
    if not path.exists():
        raise InputError(f"there is no model at {source!r}; expected {KINDS}")
    if path.is_dir():
        check_tree(path)
    if (path / MANIFEST).is_file():
        _verify_folder(path)
    return path


def _place(found: Path, folder: Path, source: str) -> None:
    graphs = [found] if found.is_file() else sorted(found.rglob("*.onnx"))
    if any((found / SERVING / file).is_file() for file in (GRAPH, MLFLOW_BACKEND)):
        shutil.copytree(found, folder, dirs_exist_ok=True, ignore=lambda at, _: [MANIFEST] if Path(at) == found else [])
    elif found.is_dir() and import_mlflow.recognizes(found):
        import_mlflow.place(found, folder)
    elif len(graphs) == 1:
        _place_graph(graphs[0], folder, source)
    else:
        held = "several .onnx files" if graphs else "no .onnx file"
        raise InputError(f"{source} is not an exported model (it has no {SERVING}/{GRAPH} and {held}); export it to ONNX first")


def _place_graph(path: Path, folder: Path, source: str) -> None:
    import onnx

    from stagewright.components.export import onnx_adapter

    proto, signature = onnx_adapter.adapt(onnx_adapter.load(path), source=source)
    serving = folder / SERVING
    serving.mkdir(exist_ok=True)
    onnx.save(proto, str(serving / GRAPH))
    signature.write(serving)


def _from_store(source: str, scratch: Path) -> Path:
    store = ObjectStore.from_environment("the object store holds the model to import")
    if source.endswith(".onnx"):
        store.download(source, scratch / "model.onnx")
        return scratch / "model.onnx"
    manifest = read_manifest(source, store)
    for file in manifest["files"]:
        path = scratch / file["path"]
        if not path.resolve().is_relative_to(scratch.resolve()):
            raise InputError(f"the manifest of {source} names a file outside the model: {file['path']}")
        store.download(join(source, file["path"]), path)
        _verify_file(path, file["sha256"], join(source, file["path"]))
    return scratch


def _from_mlflow(source: str, scratch: Path) -> Path:
    from mlflow.exceptions import MlflowException

    location = _registered(source) if source.startswith("models:") else source
    client = tracking.client(PURPOSE)  # fails with one sentence if MLflow does not answer
    from mlflow.artifacts import download_artifacts

    try:
        return Path(download_artifacts(artifact_uri=location, dst_path=str(scratch), tracking_uri=client.tracking_uri))
    except (MlflowException, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"the files of {source} cannot be read from MLflow: {reason}") from error


def _registered(source: str) -> str:
    """Where the files of a registered model are.

    Raises:
        InputError: Listing the models, versions or aliases that exist.
    """
    from mlflow.exceptions import MlflowException

    asked = _REGISTERED.fullmatch(source)
    if not asked:
        raise InputError(f"'{source}' does not name a registered model; expected models:/NAME@ALIAS or models:/NAME/VERSION")
    name, alias, version = asked.groups()
    client = tracking.client(PURPOSE)
    with tracking.mlflow_errors(PURPOSE):
        known = {model.name: model for model in client.search_registered_models(max_results=1000)}
        if name not in known:
            existing = ", ".join(sorted(known)[:_SHOWN]) or "none"
            raise InputError(f"model '{name}' is not in the registry{did_you_mean(name, known)}; there are: {existing}")
        versions = client.search_model_versions(f"name = '{name}'")
        numbers = {str(item.version): item for item in versions} | {
            item.tags["version"]: item for item in versions if "version" in item.tags
        }
        wanted = str(known[name].aliases.get(alias, "")) if alias else version
        if wanted not in numbers:
            aliases = [f"@{given}" for given in sorted(known[name].aliases)]
            existing = ", ".join([*sorted(numbers)[:_SHOWN], *aliases]) or "none"
            asked_for = f"alias '{alias}'" if alias else f"version '{version}'"
            raise InputError(f"model '{name}' has no {asked_for} in the registry; there are: {existing}")
        try:
            return str(client.get_model_version_download_uri(name, str(numbers[wanted].version)))
        except MlflowException as error:
            raise InputError(f"the registry does not say where the files of {source} are") from error


def _verify_folder(folder: Path) -> None:
    try:
        files = {file["path"]: file["sha256"] for file in read_json((folder / MANIFEST).read_text())["files"]}
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{folder / MANIFEST} is not the manifest of a published model") from None
    for name, digest in files.items():
        _verify_file(folder / name, digest, str(folder / name))


def _verify_file(path: Path, digest: str, shown: str) -> None:
    if not path.is_file():
        raise InputError(f"{shown} is named in {MANIFEST} but missing: the copy is incomplete")
    if sha256(path) != digest:
        raise InputError(f"{shown} differs from its checksum in {MANIFEST}: the copy is damaged")

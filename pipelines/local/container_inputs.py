"""Copy local input files to the object store for steps in containers; copies are named after their content."""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.storage import ObjectStore

INPUTS_BUCKET = "inputs"


def share_inputs(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Replace local files in the arguments by copies in the object store.

    Raises:
        InputError: If a file does not exist, or its type cannot be copied.
    """
    shared = dict(arguments)
    data, model = arguments.get("data"), arguments.get("model")
    if isinstance(data, str) and "://" not in data.removeprefix("file://"):
        shared["data"] = _share_data(data)
    elif isinstance(data, str) and data.startswith("sqlite"):
        raise InputError(
            "parameter 'data' is an SQLite file, which containers cannot read; use a data file or a database server"
        )
    if isinstance(model, str) and Path(model).expanduser().exists():
        shared["model"] = _share_model(Path(model).expanduser())
    return shared


def _share_data(data: str) -> str:
    from stagewright.components.ingestion.locate import locate_files

    with locate_files(data, "") as (files, _):
        paths = [file.path.absolute() for file in files]
        root = paths[0].parent if len(paths) == 1 else Path(os.path.commonpath([path.parent for path in paths]))
        return _share({path.relative_to(root).as_posix(): path for path in paths})


def _share_model(path: Path) -> str:
    if path.is_file():
        return _share({path.name: path})
    raise InputError(
        f"parameter 'model' is the folder {path}, which containers cannot read; use a published model (s3://...), "
        "a registered one (models:/...) or an .onnx file, or run without --runner docker"
    )


def _share(files: Mapping[str, Path]) -> str:
    """Copy files to an address derived from their content, so that equal input is copied once."""
    store = ObjectStore.from_environment("containers read input files from the object store")
    store.ensure_bucket(INPUTS_BUCKET)
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            digest.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    folder = f"s3://{INPUTS_BUCKET}/{digest.hexdigest()[:16]}"
    for name, path in files.items():
        uri = f"{folder}/{name}"
        with suppress(InputError):
            if store.stat(uri).size == path.stat().st_size:
                continue
        store.upload(path, uri)
    return f"{folder}/{next(iter(files))}" if len(files) == 1 else f"{folder}/"

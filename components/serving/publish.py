"""Publication of an exported model: immutable, with checksums, and atomic.

A published model is a folder of the models' bucket whose `manifest.json` was written last. A folder without a manifest is an
interrupted attempt, which the next attempt cleans up.

A variant of a version is stored in `variants/<variant>/` below it, with its own manifest.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stagewright.components.runtime import logs
from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError, one_of
from stagewright.components.runtime.fingerprint import Fingerprint, fingerprint
from stagewright.components.runtime.manifest import MANIFEST, read_manifest
from stagewright.components.runtime.naming import published_uri
from stagewright.components.runtime.storage import ObjectStore, join, sha256
from stagewright.components.runtime.yaml_text import to_yaml
from stagewright.components.serving import variants

CARD, RECORD = "README.md", "quantization.json"


@dataclass(frozen=True, slots=True)
class Published:
    """A published model; `changed` is False if the same content was already published."""

    uri: str
    digest: str
    changed: bool


def publish(folder: str | Path, store: ObjectStore, *, name: str, version: str, card: str = "") -> Published:
    """Publish an exported model as `s3://<models bucket>/<name>/<version>/`.

    Args:
        folder: The model, with `serving/`.
        card: The model card, Markdown; it becomes `README.md`, with name, version and digest as front matter.

    Raises:
        BadParameter: If the name or the version is invalid.
        InputError: If the model is not exported, or the version has another content.
    """
    uri = published_uri(store.settings.models_bucket, name, version)
    store.ensure_bucket(store.settings.models_bucket)
    return _publish(Path(folder), store, uri, {"name": name, "version": version}, card)


def publish_variant(
    folder: str | Path, store: ObjectStore, *, name: str, version: str, variant: str, card: str = ""
) -> Published:
    """Publish a variant of a published version as `s3://<models bucket>/<name>/<version>/variants/<variant>/`.

    Args:
        folder: The variant, with `serving/` and the record of how it was made.
        variant: cpu-int8, gpu-fp16 or gpu-triton.
        card: Markdown; it becomes `README.md`.

    Raises:
        BadParameter: If the name or the version is invalid, or the variant has no graph of its own.
        InputError: If the version is not published, the variant was made from another model, or it is published with another
            content.
    """
    one_of("variant", variant, (known for known, found in variants.CATALOGUE.items() if found.own_graph))
    version_uri = published_uri(store.settings.models_bucket, name, version)
    published = read_manifest(version_uri, store)
    record = _record(Path(folder))
    if record.get("of", published["digest"]) != published["digest"]:
        raise InputError(
            f"this variant was made from another model than {version_uri} ({record['of'][:19]}, there is "
            f"{published['digest'][:19]}); quantize the published version, or publish the model it was made from first"
        )
    identity = {"name": name, "version": version, "variant": variant, "of": published["digest"], "method": record.get("method")}
    return _publish(Path(folder), store, variants.location(version_uri, variant), identity, card)


def _publish(folder: Path, store: ObjectStore, uri: str, identity: dict[str, Any], card: str) -> Published:
    """Upload a model's files, the manifest last.

    Args:
        identity: First entries of the manifest: name, version, and facts about a variant.
    """
    model = fingerprint(folder)
    if store.exists(join(uri, MANIFEST)):
        _same_or_error(read_manifest(uri, store), uri, model, store)
        logs.event("model_already_published", uri=uri, digest=model.digest)
        return Published(uri, model.digest, changed=False)
    readme = _readme(card, identity, model).encode()
    files = _upload(folder, readme, uri, store)
    document = {
        **identity,
        "digest": model.digest,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": files,
        "lineage": {
            "run_id": model.run_id,
            "signature": model.signature,
            "recipe": model.recipe,
            "data": model.data,
            **model.origin,
        },
    }
    store.write(join(uri, MANIFEST), (json.dumps(document, indent=2, sort_keys=True) + "\n").encode())
    logs.event("model_published", uri=uri, digest=model.digest, files=len(files), bytes=sum(file["size"] for file in files))
    return Published(uri, model.digest, changed=True)


def _same_or_error(manifest: dict[str, Any], uri: str, model: Fingerprint, store: ObjectStore) -> None:
    if manifest["digest"] != model.digest:
        raise InputError(
            f"{uri} is already published with another content ({manifest['digest'][:19]}, this model is {model.digest[:19]}); "
            "a published model never changes: register this one under a new version"
        )
    sizes = {info.uri: info.size for info in store.list(uri)}
    damaged = [file["path"] for file in manifest["files"] if sizes.get(join(uri, file["path"])) != file["size"]]
    if damaged:
        raise InputError(f"the model published at {uri} is damaged ({', '.join(damaged[:3])}); remove it and publish it again")


def _upload(folder: Path, readme: bytes, uri: str, store: ObjectStore) -> list[dict[str, Any]]:
    """Upload every file and remove the leftovers of an interrupted attempt; returns the manifest's entries, sorted by path."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for reserved in (CARD, MANIFEST):  # an imported model contains the files of its earlier publication
        paths.pop(reserved, None)
    wanted = {join(uri, name) for name in (*paths, CARD)}
    for leftover in store.list(uri):
        if leftover.uri not in wanted:
            store.delete(leftover.uri)
    for name, path in sorted(paths.items()):
        store.upload(path, join(uri, name))
    store.write(join(uri, CARD), readme)
    entries = [_entry(name, path.stat().st_size, sha256(path)) for name, path in paths.items()]
    entries.append(_entry(CARD, len(readme), hashlib.sha256(readme).hexdigest()))
    return sorted(entries, key=lambda entry: str(entry["path"]))


def _entry(path: str, size: int, digest: str) -> dict[str, Any]:
    return {"path": path, "size": size, "sha256": digest}


def _readme(card: str, identity: dict[str, Any], model: Fingerprint) -> str:
    """The card with facts as front matter, which replaces existing front matter."""
    body = card
    if card.startswith("---\n") and "\n---\n" in card[4:]:
        body = card[4:].partition("\n---\n")[2]
    facts = {**identity, "digest": model.digest}
    if "framework" in model.origin:
        facts["framework"] = model.origin["framework"]
    front = to_yaml(facts)
    title = " ".join(str(identity[key]) for key in ("name", "version", "variant") if key in identity)
    return f"---\n{front}---\n\n{body.strip() or f'# {title}'}\n"


def _record(folder: Path) -> dict[str, Any]:
    """The record of how a variant was made, if the folder has one.

    Raises:
        InputError: If the record is damaged.
    """
    path = folder / RECORD
    try:
        record: dict[str, Any] = read_json(path.read_text()) if path.is_file() else {}
        _ = record.get("of")
    except (ValueError, AttributeError):
        raise InputError(f"{path} does not record how a variant was made") from None
    return record

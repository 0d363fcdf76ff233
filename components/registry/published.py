"""Versions that are published but not in this registry: a new or restored registry must not assign them again.

A published version never changes, so a number that is used in the object store stays used.
"""

from collections.abc import Iterable

from stagewright.components.registry.versions import Registered
from stagewright.components.runtime import logs
from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError, MissingSetting
from stagewright.components.runtime.naming import Version
from stagewright.components.runtime.storage import ObjectStore

MANIFEST = "manifest.json"
PURPOSE = "the object store tells which versions are published"


def unregistered(name: str, known: Iterable[Registered]) -> list[Registered]:
    """Published versions of a model that are not among the known ones; none if no object store is configured.

    Raises:
        InputError: If a published manifest is damaged.
        ServiceUnavailable: If the store is configured and does not answer.
    """
    try:
        store = ObjectStore.from_environment(PURPOSE)
    except MissingSetting:
        return []
    prefix = f"s3://{store.settings.models_bucket}/{name}/"
    if not store.exists(prefix):
        return []
    registered = {str(version.version) for version in known}
    found = []
    for info in store.list(prefix):
        version, _, file = info.uri.removeprefix(prefix).partition("/")
        if file == MANIFEST and version not in registered:
            found.append(_read(name, version, info.uri, store))
    if found:
        logs.event("published_but_not_registered", model=name, versions=[str(version.version) for version in found])
    return found


def _read(name: str, version: str, uri: str, store: ObjectStore) -> Registered:
    try:
        document = read_json(store.read(uri))
        lineage = document["lineage"]
        return Registered(
            name=name,
            number="",
            version=Version.parse(version),
            digest=document["digest"],
            signature=lineage["signature"],
            recipe=lineage["recipe"],
            model_uri=uri.removesuffix(MANIFEST),
        )
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{uri} is not the manifest of a published model; remove what is there") from None

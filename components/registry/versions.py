"""The version of a model, by what changed since the existing versions. Pure functions: no registry access."""

from collections.abc import Iterable
from dataclasses import dataclass

from stagewright.components.runtime.fingerprint import Fingerprint
from stagewright.components.runtime.naming import FIRST, Change, Version


@dataclass(frozen=True, slots=True)
class Registered:
    """A known version; `number` is the registry's own count, empty for a version that is published but not registered.

    Attributes:
        digest: Hash of its content; `signature` and `recipe` are hashes of parts of it.
        model_uri: Address of the published model.
    """

    name: str
    number: str
    version: Version
    digest: str
    signature: str
    recipe: str
    model_uri: str
    run_id: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """The version of a model; `existing` is set if the same content has a version, `parent` is the version it follows."""

    version: Version
    change: Change | None
    existing: Registered | None = None
    parent: Registered | None = None


def decide(model: Fingerprint, known: Iterable[Registered]) -> Decision:
    """The version of a model, by its content.

    Major: the interface changed (task, classes, names or kinds of the inputs). Minor: the recipe changed (features, framework,
    hyperparameters). Patch: the same recipe on new data, or other serving settings. A known content keeps its version.
    """
    versions = sorted(known, key=lambda version: version.version)
    for version in versions:
        if version.digest == model.digest:
            return Decision(version.version, None, existing=version)
    parent = versions[-1] if versions else None
    if parent is None:
        return Decision(FIRST, None)
    change = change_between(parent, model)
    return Decision(parent.version.after(change), change, parent=parent)


def change_between(parent: Registered, model: Fingerprint) -> Change:
    """The kind of change between an earlier version and a model."""
    if parent.signature != model.signature:
        return "major"
    return "minor" if parent.recipe != model.recipe else "patch"

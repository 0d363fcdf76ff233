"""Which version a model gets, from what changed since the versions that exist. Pure: no registry is asked here."""

from collections.abc import Iterable
from dataclasses import dataclass

from stagewright.components.runtime.fingerprint import Fingerprint
from stagewright.components.runtime.naming import FIRST, Change, Version


@dataclass(frozen=True, slots=True)
class Registered:
    """What is known of a version; `number` is the registry's own count, empty for one that is published but not registered.

    Attributes:
        digest: Its content; `signature` and `recipe` are hashes of parts of it.
        model_uri: Where it is published.
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
    """The version of a model; `existing` when the same content was there before, `parent` what it follows."""

    version: Version
    change: Change | None
    existing: Registered | None = None
    parent: Registered | None = None


def decide(model: Fingerprint, known: Iterable[Registered]) -> Decision:
    """The version that a model's content deserves.

    Major: what callers see changed (task, classes, names or kinds of the inputs). Minor: the recipe changed (features,
    framework, hyperparameters). Patch: the same recipe on new data, or other settings to serve with. A content that was there
    before keeps its version.
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
    """How much a model differs from an earlier version."""
    if parent.signature != model.signature:
        return "major"
    return "minor" if parent.recipe != model.recipe else "patch"

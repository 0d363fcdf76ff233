"""A model's files for a GitOps repository, written from the command line: a first time, with a canary, or a version later."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stagewright.components.runtime.documents import read_yaml
from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.naming import Version, model_name, published_uri
from stagewright.components.serving.manifests.canary import MODE_ANNOTATION
from stagewright.components.serving.manifests.inference_service import inference_service
from stagewright.components.serving.targets import gitops, gitops_tree
from stagewright.components.serving.targets.gitops import Written
from stagewright.components.serving.targets.gitops_tree import CANARY, FILES, SERVICE, Candidate

_STORAGE_URI = re.compile(r"^( *storageUri: s3://\S*?/)(v\d+\.\d+\.\d+)((?:/\S*)?)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rendering:
    """What to render.

    Attributes:
        settings: Variant, mode, resources and so on, as `inference_service` takes them.
        bucket: Where models are published.
        canary: A newer version that gets `traffic` percent of the requests; empty for none.
    """

    name: str
    version: str
    namespace: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)
    bucket: str = "models"
    canary: str = ""
    traffic: int = 0


def render(wanted: Rendering, folder: str, *, commit: bool = False, check: bool = False) -> Written:
    """Write a model's files below a folder; the same input writes the same bytes.

    Args:
        commit: Commit them to the git working tree that the folder belongs to.
        check: Ask the object store first whether the versions are published.

    Raises:
        BadParameter: For a value that cannot be, or that KServe would ignore without a word.
        InputError: If the folder does not exist, or a version is not published.
    """
    files = _files(wanted, _existing(folder, wanted))
    if check:
        for version in filter(None, (wanted.version, wanted.canary)):
            _check_published(published_uri(wanted.bucket, wanted.name, version))
    what = f"{wanted.version}, {wanted.traffic}% {wanted.canary}" if wanted.canary else wanted.version
    message = f"Deploy {wanted.name} {what} to {wanted.namespace}"
    return gitops.write(files, folder, namespace=wanted.namespace, name=wanted.name, message=message, commit=commit)


def update(wanted: Rendering, folder: str, *, commit: bool = False, check: bool = False) -> Written:
    """Change the version of files that were rendered before, and nothing else.

    Raises:
        InputError: If there are none, or a canary is under way.
    """
    Version.parse(wanted.version)
    existing = _existing(folder, wanted)
    place = f"{folder}/{wanted.namespace}/{wanted.name}"
    if SERVICE not in existing:
        raise InputError(f"there is nothing to update in {place}; render it first, without --update")
    if CANARY in existing or "canaryTrafficPercent" in existing[SERVICE]:
        raise InputError(f"a canary is under way in {place}; end it by rendering the version that stays, without --update")
    changed, count = _STORAGE_URI.subn(rf"\g<1>{wanted.version}\g<3>", existing[SERVICE])
    if count != 1:
        raise InputError(f"{place}/{SERVICE} has no storageUri that ends with a version; render it anew, without --update")
    if check:
        _check_published(str(read_yaml(changed)["spec"]["predictor"]["model"]["storageUri"]))
    message = f"Deploy {wanted.name} {wanted.version} to {wanted.namespace}"
    files = {**existing, SERVICE: changed}
    return gitops.write(files, folder, namespace=wanted.namespace, name=wanted.name, message=message, commit=commit)


def _files(wanted: Rendering, existing: Mapping[str, str]) -> dict[str, str]:
    if wanted.traffic and not wanted.canary:
        raise BadParameter("traffic", got=wanted.traffic, expected="--canary with the version that is to get this share")
    settings = {
        **wanted.settings,
        "name": wanted.name,
        "namespace": wanted.namespace,
        "version": wanted.version,
        "model_uri": published_uri(wanted.bucket, wanted.name, wanted.version),
    }
    before = read_yaml(existing[SERVICE]) if SERVICE in existing else None
    _check_mode(settings.get("mode", "Standard"), before)
    if not wanted.canary:
        return gitops_tree.tree(inference_service(**settings))
    if settings.get("mode") == "Knative":
        _check_rolled_out(wanted, before)
    uri = published_uri(wanted.bucket, wanted.name, wanted.canary)
    return gitops_tree.tree_with_canary(settings, Candidate(wanted.canary, uri, wanted.traffic))


def _check_mode(mode: str, before: Mapping[str, Any] | None) -> None:
    """KServe keeps the mode that a service began with."""
    there = before and before["metadata"]["annotations"][MODE_ANNOTATION]
    if there and there != mode:
        raise BadParameter(
            "mode", got=mode, expected=f"{there}, as in the files that are there; remove the service to change it"
        )


def _check_rolled_out(wanted: Rendering, before: Mapping[str, Any] | None) -> None:
    """Of a service that is new, KServe gives every request to the first revision, whatever share was asked for."""
    there = gitops_tree.version_in(dict(before)) if before else ""
    if there not in (wanted.version, wanted.canary):
        found = f"{there} is" if there else "nothing is"
        raise InputError(
            f"a canary in Knative mode shares with the version that was rolled out before, but {found} there; render "
            f"{wanted.name} {wanted.version} first and let it become ready"
        )


def _existing(folder: str, wanted: Rendering) -> dict[str, str]:
    model_name(wanted.name)
    path = Path(folder).expanduser() / wanted.namespace / wanted.name
    return {file: (path / file).read_text(encoding="utf-8") for file in FILES if (path / file).is_file()}


def _check_published(uri: str) -> None:
    from stagewright.components.runtime.manifest import read_manifest
    from stagewright.components.runtime.storage import ObjectStore

    read_manifest(uri, ObjectStore.from_environment("the object store knows whether a version is published"))

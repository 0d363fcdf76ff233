"""Write a model's manifests for a GitOps repository: first deployment, canary, or version update."""

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
from stagewright.components.serving.targets.gitops import WrittenFiles
from stagewright.components.serving.targets.gitops_tree import CANARY, FILES, SERVICE, Candidate

_STORAGE_URI = re.compile(r"^( *storageUri: s3://\S*?/)(v\d+\.\d+\.\d+)((?:/\S*)?)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rendering:
    """A model deployment to render.

    Attributes:
        settings: Variant, mode, resources and other arguments of `inference_service`.
        bucket: Bucket of published models.
        canary: New version that receives `traffic` percent of the requests; empty for none.
    """

    name: str
    version: str
    namespace: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)
    bucket: str = "models"
    canary: str = ""
    traffic: int = 0


def render(wanted: Rendering, folder: str, *, commit: bool = False, check: bool = False) -> WrittenFiles:
    """Write a model's manifests into a folder; the same input writes the same bytes.

    Args:
        commit: Commit the files in the folder's git working tree.
        check: First check in the object store that the versions are published.

    Raises:
        BadParameter: For an invalid value, or one that KServe would silently ignore.
        InputError: If the folder does not exist, or a version is not published.
    """
    files = _files(wanted, _existing(folder, wanted))
    if check:
        for version in filter(None, (wanted.version, wanted.canary)):
            _check_published(published_uri(wanted.bucket, wanted.name, version))
    what = f"{wanted.version}, {wanted.traffic}% {wanted.canary}" if wanted.canary else wanted.version
    message = f"Deploy {wanted.name} {what} to {wanted.namespace}"
    return gitops.write_files(files, folder, namespace=wanted.namespace, name=wanted.name, message=message, commit=commit)


def update(wanted: Rendering, folder: str, *, commit: bool = False, check: bool = False) -> WrittenFiles:
    """Change only the version in manifests that were rendered before.

    Raises:
        InputError: If there are none, or a canary is active.
    """
    Version.parse(wanted.version)
    existing = _existing(folder, wanted)
    place = f"{folder}/{wanted.namespace}/{wanted.name}"
    if SERVICE not in existing:
        raise InputError(f"no manifests to update in {place}; run without --update to render them first")
    if CANARY in existing or "canaryTrafficPercent" in existing[SERVICE]:
        raise InputError(f"a canary is active in {place}; run without --update with the version to keep, which ends the canary")
    changed, count = _STORAGE_URI.subn(rf"\g<1>{wanted.version}\g<3>", existing[SERVICE])
    if count != 1:
        raise InputError(f"{place}/{SERVICE} has no storageUri with a version; run without --update to render it again")
    if check:
        _check_published(str(read_yaml(changed)["spec"]["predictor"]["model"]["storageUri"]))
    message = f"Deploy {wanted.name} {wanted.version} to {wanted.namespace}"
    files = {**existing, SERVICE: changed}
    return gitops.write_files(files, folder, namespace=wanted.namespace, name=wanted.name, message=message, commit=commit)


def _files(wanted: Rendering, existing: Mapping[str, str]) -> dict[str, str]:
    if wanted.traffic and not wanted.canary:
        raise BadParameter("traffic", got=wanted.traffic, expected="--canary with the version that receives this traffic")
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
    """Check that the mode is unchanged: KServe cannot change the mode of a service."""
    there = before and before["metadata"]["annotations"][MODE_ANNOTATION]
    if there and there != mode:
        raise BadParameter(
            "mode", got=mode, expected=f"{there}, the mode of the existing service; remove the service to change it"
        )


def _check_rolled_out(wanted: Rendering, before: Mapping[str, Any] | None) -> None:
    """Check that a Knative canary has an earlier revision: KServe sends all requests to the first revision of a new service."""
    there = gitops_tree.version_in(dict(before)) if before else ""
    if there not in (wanted.version, wanted.canary):
        found = f"has {there}" if there else "has none"
        raise InputError(
            f"a canary in Knative mode needs {wanted.version} as the deployed version, but the folder {found}; render "
            f"{wanted.name} {wanted.version} without a canary first and wait until it is ready"
        )


def _existing(folder: str, wanted: Rendering) -> dict[str, str]:
    model_name(wanted.name)
    path = Path(folder).expanduser() / wanted.namespace / wanted.name
    return {file: (path / file).read_text(encoding="utf-8") for file in FILES if (path / file).is_file()}


def _check_published(uri: str) -> None:
    from stagewright.components.runtime.manifest import read_manifest
    from stagewright.components.runtime.storage import ObjectStore

    read_manifest(uri, ObjectStore.from_environment("published versions are checked in the object store"))

"""What runs need on a cluster: mounts of the profile, and permissions of the steps' service account."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stagewright.components.serving.manifests.inference_service import PLURAL
from stagewright.components.serving.manifests.serving_runtime import STORAGE_SECRET
from stagewright.pipelines import catalog
from stagewright.pipelines.profiles import Profile
from stagewright.pipelines.profiles.apply import AUTHORITY_KEY

LAUNCHER, ARTIFACTS = "kfp-launcher", "stagewright-artifacts"


@dataclass(frozen=True, slots=True)
class Right:
    """A permission of an account in a namespace."""

    verb: str
    resource: str
    group: str = ""
    name: str = ""

    @property
    def attributes(self) -> dict[str, Any]:
        """The permission as attributes of an access review."""
        return {"verb": self.verb, "resource": self.resource, "group": self.group, **({"name": self.name} if self.name else {})}

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{'/' + self.name if self.name else ''}"


REPORTING = tuple(Right(verb, "workflowtaskresults", "argoproj.io") for verb in ("create", "patch"))
DEPLOYING = (
    *(Right(verb, PLURAL, "serving.kserve.io") for verb in ("get", "create", "patch", "delete")),
    Right("get", "pods"),
)
RIGHTS = (
    *DEPLOYING,
    *REPORTING,
    Right("get", "configmaps", name=LAUNCHER),
    Right("get", "secrets", name=ARTIFACTS),
)


@dataclass(frozen=True, slots=True)
class Needs:
    """Required objects in the namespace, with their required keys."""

    secrets: dict[str, set[str]] = field(default_factory=dict)
    config_maps: dict[str, set[str]] = field(default_factory=dict)
    images: frozenset[str] = frozenset()
    rights: tuple[Right, ...] = RIGHTS


def needs_of(profile: Profile | None) -> Needs:
    """Requirements of all pipelines' steps and of model servers, for a profile."""
    keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    secrets: dict[str, set[str]] = {ARTIFACTS: set(keys), STORAGE_SECRET: set(keys)}
    config_maps: dict[str, set[str]] = {LAUNCHER: {"defaultPipelineRoot"}}
    groups = {"predictor"}
    for name in catalog.COMPONENTS:
        own = catalog.component(name).group
        groups.add(profile.group(name, own) if profile else own)
        if profile is None:
            continue
        settings = profile.settings(name)
        for wanted, mounted in ((secrets, settings.secrets), (config_maps, settings.config_maps)):
            for holder, variables in mounted.items():
                wanted.setdefault(holder, set()).update(variables.values())
        if settings.authority:
            config_maps.setdefault(settings.authority, set()).add(AUTHORITY_KEY)
        for holder in settings.image_pull_secrets:
            secrets.setdefault(holder, set())
    return Needs(secrets, config_maps, frozenset(groups))


def mounted(documents: Sequence[Mapping[str, Any]]) -> Needs:
    """Objects that the pods of a compiled pipeline need to start.

    Args:
        documents: Pipeline spec and, if present, platform spec.
    """
    secrets: dict[str, set[str]] = {}
    config_maps: dict[str, set[str]] = {}
    platform = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if len(documents) > 1 else {}
    for executor in platform.values():
        for wanted, kind in ((secrets, "secret"), (config_maps, "configMap")):
            for mount in executor.get(f"{kind}AsEnv", []):
                if not mount.get("optional"):
                    keys = {pair[f"{kind}Key"] for pair in mount["keyToEnv"]}
                    wanted.setdefault(mount[f"{kind}Name"], set()).update(keys)
            for mount in executor.get(f"{kind}AsVolume", []):
                if not mount.get("optional"):
                    wanted.setdefault(mount[f"{kind}Name"], set())
    return Needs(secrets, config_maps)

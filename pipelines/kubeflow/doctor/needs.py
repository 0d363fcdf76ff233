"""What runs need of a cluster: what the profile mounts, and what the manifests give the account of the steps."""

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
    """Something that an account may do in its namespace."""

    verb: str
    resource: str
    group: str = ""
    name: str = ""

    @property
    def attributes(self) -> dict[str, Any]:
        """As a review of rights wants them."""
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
    """What must be in the namespace: names with the keys that are read."""

    secrets: dict[str, set[str]] = field(default_factory=dict)
    config_maps: dict[str, set[str]] = field(default_factory=dict)
    images: frozenset[str] = frozenset()
    rights: tuple[Right, ...] = RIGHTS


def needs_of(profile: Profile | None) -> Needs:
    """What the steps of every pipeline need with a profile, and what serves their models."""
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
    """What the pods of a compiled pipeline cannot start without.

    Args:
        documents: Its pipeline spec and, if it has one, its platform spec.
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

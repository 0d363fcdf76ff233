"""Data model of a profile: settings of all tasks, and overrides for components."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from stagewright.components.images import GROUPS

_SECRET_NAME = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|CREDENTIAL|PRIVATE|(^|_)KEY$|ACCESS_KEY|API_?KEY", re.IGNORECASE)


def _known_group(group: str) -> str:
    if group not in GROUPS:
        raise ValueError(f"there is no image group '{group}'; there are {', '.join(GROUPS)}")
    return group


Cpu = Annotated[str, StringConstraints(pattern=r"^([0-9]*[.])?[0-9]+m?$")]
Memory = Annotated[str, StringConstraints(pattern=r"^[0-9]+(E|Ei|P|Pi|T|Ti|G|Gi|M|Mi|K|Ki)?$")]
KubernetesName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Group = Annotated[str, AfterValidator(_known_group)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class CpuResources(_Strict):
    """Cores, as "500m" or "2"."""

    request: Cpu | None = None
    limit: Cpu | None = None


class MemoryResources(_Strict):
    """Memory, as "512Mi" or "4Gi"."""

    request: Memory | None = None
    limit: Memory | None = None


class Accelerator(_Strict):
    """Devices by the name that their plugin gives them."""

    type: str = "nvidia.com/gpu"
    count: int = Field(default=1, ge=1)


class Toleration(_Strict):
    """A node taint that the task accepts."""

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    seconds: int | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Toleration":
        if self.operator == "Equal" and self.key is None:
            raise ValueError("a toleration needs a key, unless its operator is Exists")
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("a toleration with operator Exists has no value")
        return self


class Retries(_Strict):
    """Retries of a failed task; the wait before a retry is multiplied by `factor` each time."""

    count: int = Field(default=0, ge=0)
    backoff_seconds: int = Field(default=10, ge=0)
    factor: float = Field(default=2.0, ge=1)
    max_seconds: int = Field(default=300, ge=0)


class Security(_Strict):
    """The identity that a container runs under. The platform adds the rest: no escalation, no capability, seccomp."""

    run_as_non_root: bool | None = None
    run_as_user: int | None = Field(default=None, ge=0)
    run_as_group: int | None = Field(default=None, ge=0)


class TaskSettings(_Strict):
    """The settings of one task.

    Attributes:
        image: Image group to run in, instead of the component's own.
        environment: Plain variables. Never a secret: every user who can list runs can read a compiled pipeline.
        config_maps: ConfigMap name -> variable -> key in the ConfigMap.
        secrets: Secret name -> variable -> key in the Secret.
        authority: ConfigMap whose key `cabundle.crt` has the certificates of the authorities to trust, instead of the public
            ones: for an object store whose certificate a private one signed.
        timeout_seconds: Time limit of a try; None for no limit.
    """

    image: Group | None = None
    cpu: CpuResources = CpuResources()
    memory: MemoryResources = MemoryResources()
    accelerator: Accelerator | None = None
    tolerations: tuple[Toleration, ...] = ()
    node_selectors: dict[str, str] = {}
    environment: dict[VariableName, str] = {}
    config_maps: dict[KubernetesName, dict[VariableName, str]] = {}
    secrets: dict[KubernetesName, dict[VariableName, str]] = {}
    authority: KubernetesName | None = None
    image_pull_secrets: tuple[KubernetesName, ...] = ()
    timeout_seconds: int | None = Field(default=None, ge=1)
    retries: Retries = Retries()
    security: Security = Security()

    @model_validator(mode="after")
    def _no_plain_secret(self) -> "TaskSettings":
        suspicious = [name for name in self.environment if _SECRET_NAME.search(name)]
        if suspicious:
            raise ValueError(f"'{suspicious[0]}' looks like a secret, which must come from a Secret through `secrets`")
        return self


class Profile(_Strict):
    """A profile with everything resolved: what it extends is merged into it.

    Attributes:
        images: Image group -> the group used instead of it, for all components.
        parameters: Parameter -> default value, for every pipeline that has a parameter of this name.
        defaults: Settings of every task.
        components: Component name -> its settings, already merged over the defaults.
    """

    name: str
    description: str = ""
    images: dict[Group, Group] = {}
    parameters: dict[str, Any] = {}
    defaults: TaskSettings = TaskSettings()
    components: dict[str, TaskSettings] = {}

    def settings(self, component: str) -> TaskSettings:
        """Settings of a component's tasks."""
        return self.components.get(component, self.defaults)

    def group(self, component: str, own: str) -> str:
        """The image group that a component runs in: its own override, else the profile's replacement of its own group."""
        return self.settings(component).image or self.images.get(own, own)

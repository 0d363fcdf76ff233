"""Apply a profile to a task: KFP's own settings where they exist, platform settings for the rest."""

from collections.abc import Mapping
from importlib.metadata import version

from kfp import kubernetes
from kfp.dsl.pipeline_task import PipelineTask

from stagewright.components.authoring import Component, Configure
from stagewright.components.images import image
from stagewright.pipelines.profiles.model import Profile, TaskSettings

AUTHORITY_FOLDER, AUTHORITY_KEY = "/etc/stagewright/authority", "cabundle.crt"


def configure(profile: Profile | None, *, registry: str = "", tag: str = "") -> Configure:
    """The function that `authoring.configured` calls for every task: its image first, then the profile's settings.

    Args:
        profile: None for images only.
        registry: Image registry; empty for local images.
        tag: Image tag; empty for the installed version.
    """
    tag = tag or version("stagewright")

    def apply(component: Component, task: PipelineTask) -> None:
        name = component.python_func.__name__
        group = profile.group(name, component.group) if profile else component.group
        task.set_container_image(image(group, registry=registry, tag=tag))
        if profile:
            _apply(profile.settings(name), task)

    return apply


def _apply(settings: TaskSettings, task: PipelineTask) -> None:
    _set_resources(settings, task)
    _set_environment(settings, task)
    _set_placement(settings, task)
    if settings.timeout_seconds is not None:
        kubernetes.set_timeout(task, settings.timeout_seconds)
    if settings.retries.count:
        task.set_retry(
            settings.retries.count,
            backoff_duration=f"{settings.retries.backoff_seconds}s",
            backoff_factor=settings.retries.factor,
            backoff_max_duration=f"{settings.retries.max_seconds}s",
        )
    identity = settings.security.model_dump(exclude_none=True)
    if identity:
        kubernetes.set_security_context(task, **identity)


def _set_resources(settings: TaskSettings, task: PipelineTask) -> None:
    if settings.cpu.request:
        task.set_cpu_request(settings.cpu.request)
    if settings.cpu.limit:
        task.set_cpu_limit(settings.cpu.limit)
    if settings.memory.request:
        task.set_memory_request(settings.memory.request)
    if settings.memory.limit:
        task.set_memory_limit(settings.memory.limit)
    if settings.accelerator:
        task.set_accelerator_type(settings.accelerator.type).set_accelerator_limit(settings.accelerator.count)


def _set_environment(settings: TaskSettings, task: PipelineTask) -> None:
    for name, value in sorted(settings.environment.items()):
        task.set_env_variable(name, value)
    for config_map, variables in sorted(settings.config_maps.items()):
        for batch in _batches(variables):
            kubernetes.use_config_map_as_env(task, config_map, batch)
    for secret, variables in sorted(settings.secrets.items()):
        for batch in _batches(variables):
            kubernetes.use_secret_as_env(task, secret, batch)
    if settings.authority:
        # Steps and Kubeflow's launcher, which runs in the same container, read this variable.
        kubernetes.use_config_map_as_volume(task, settings.authority, mount_path=AUTHORITY_FOLDER)
        task.set_env_variable("SSL_CERT_FILE", f"{AUTHORITY_FOLDER}/{AUTHORITY_KEY}")


def _batches(variables: Mapping[str, str]) -> list[dict[str, str]]:
    """Variable -> key as KFP wants it, key -> variable: as few mappings as hold every variable of a key used twice."""
    batches: list[dict[str, str]] = []
    for name, key in sorted(variables.items()):
        batch = next((batch for batch in batches if key not in batch), None)
        if batch is None:
            batches.append(batch := {})
        batch[key] = name
    return batches


def _set_placement(settings: TaskSettings, task: PipelineTask) -> None:
    for toleration in settings.tolerations:
        kubernetes.add_toleration(
            task,
            key=toleration.key,
            operator=toleration.operator,
            value=toleration.value,
            effect=toleration.effect,
            toleration_seconds=toleration.seconds,
        )
    for label, value in sorted(settings.node_selectors.items()):
        kubernetes.add_node_selector(task, label, value)
    if settings.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(settings.image_pull_secrets))

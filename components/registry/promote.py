"""Promotion: move an alias to a registered version."""

from stagewright.components.registry import catalog
from stagewright.components.registry.catalog import CHAMPION, PURPOSE, Tag
from stagewright.components.registry.register import check_alias, set_alias
from stagewright.components.registry.versions import Registered
from stagewright.components.runtime import logs, tracking
from stagewright.components.runtime import tracking_limits as limits
from stagewright.components.runtime.naming import model_name


def promote(*, name: str, version: str, alias: str = CHAMPION) -> Registered | None:
    """Move an alias to a version and record the previous holder, which is returned, or None.

    Args:
        version: `v1.2.3`.

    Raises:
        InputError: If there is no such model or version, or the alias is invalid.
    """
    check_alias(alias)
    client = tracking.client(PURPOSE)
    chosen = catalog.find_version(client, model_name(name), version)
    previous = catalog.version_of(name, alias, client=client)
    if previous is not None and previous.number == chosen.number:
        logs.event("model_already_promoted", name=name, version=version, alias=alias)
        return previous
    if previous is not None:
        tag = Tag.PREVIOUS if alias == CHAMPION else f"previous_{alias}"
        with tracking.mlflow_errors(PURPOSE):
            client.set_model_version_tag(name, chosen.number, limits.key(tag), str(previous.version))
    set_alias(client, name, alias, chosen.number)
    logs.event("model_promoted", name=name, version=version, alias=alias, previous=str(previous.version) if previous else None)
    return previous

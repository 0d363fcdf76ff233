"""Read access to MLflow's model registry: models, versions and aliases."""

from typing import TYPE_CHECKING

from stagewright.components.registry.versions import Registered
from stagewright.components.runtime import tracking
from stagewright.components.runtime.errors import InputError, did_you_mean
from stagewright.components.runtime.naming import Version

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

PURPOSE = "MLflow keeps the registered models"
CHAMPION, CHALLENGER = "champion", "challenger"
SHOWN = 10


class Tag:
    """Tag names of a registered version."""

    VERSION = "version"
    DIGEST = "digest"
    SIGNATURE = "signature_hash"
    RECIPE = "recipe_hash"
    DATA = "data"  # and one `data.<use>` for each table
    RUN_ID = "run_id"
    SOURCE_RUN = "source_run_id"  # in another MLflow
    PARENT = "parent_version"
    CHANGE = "change"
    MODEL_URI = "model_uri"
    PREVIOUS = "previous_champion"


def versions(client: "MlflowClient", name: str) -> list[Registered]:
    """Our registered versions of a model, oldest first; empty if there is no such model.

    Versions without our tags are ignored. So is the second of two entries of the same version, made at the same time, which its
    own registration removes (see `register`), unless it has an alias.
    """
    from mlflow.exceptions import MlflowException

    with tracking.mlflow_errors(PURPOSE):
        try:
            # The search does not return aliases; the model does.
            aliases = client.get_registered_model(name).aliases
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return []
            raise
        found: list[ModelVersion] = []
        token: str | None = ""
        while token is not None:
            page = client.search_model_versions(f"name = '{name}'", max_results=200, page_token=token or None)
            found.extend(page)
            token = page.token or None
    ours = [_registered(item, aliases) for item in found if Tag.VERSION in item.tags and Tag.DIGEST in item.tags]
    first: dict[Version, Registered] = {}
    for known in sorted(ours, key=lambda known: int(known.number)):
        first.setdefault(known.version, known)
    return sorted(
        (known for known in ours if known is first[known.version] or known.aliases),
        key=lambda known: (known.version, int(known.number)),
    )


def version_of(name: str, alias: str, *, client: "MlflowClient | None" = None) -> Registered | None:
    """The version with an alias, or None."""
    known = versions(client or tracking.client(PURPOSE), name)
    return next((version for version in known if alias in version.aliases), None)


def champion(name: str, *, client: "MlflowClient | None" = None) -> Registered | None:
    """The production version, or None."""
    return version_of(name, CHAMPION, client=client)


def find_version(client: "MlflowClient", name: str, version: str) -> Registered:
    """A registered version.

    Args:
        version: `v1.2.3`, MLflow's own number, or `@alias`.

    Raises:
        InputError: If there is no such model or version; lists the existing ones.
    """
    known = versions(client, name)
    if not known:
        raise InputError(_no_model(name, models(client)))
    for candidate in known:
        if version in {str(candidate.version), candidate.number} or version.removeprefix("@") in candidate.aliases:
            return candidate
    existing = ", ".join(str(candidate.version) for candidate in known[-SHOWN:])
    raise InputError(f"model '{name}' has no version '{version}' in the registry; there are {existing}")


def models(client: "MlflowClient") -> list[str]:
    """Names of the registered models, sorted."""
    names: list[str] = []
    token: str | None = None
    with tracking.mlflow_errors(PURPOSE):
        while True:
            page = client.search_registered_models(max_results=200, page_token=token)
            names.extend(model.name for model in page)
            token = page.token or None
            if token is None:
                return sorted(names)


def _no_model(name: str, existing: list[str]) -> str:
    if not existing:
        return f"model '{name}' is not in the registry, which is empty; register a model first"
    shown = ", ".join(existing[:SHOWN]) + (", ..." if len(existing) > SHOWN else "")
    return f"model '{name}' is not in the registry{did_you_mean(name, existing)}; there are {shown}"


def _registered(item: "ModelVersion", aliases: dict[str, str]) -> Registered:
    tags = item.tags
    return Registered(
        name=item.name,
        number=str(item.version),
        version=Version.parse(tags[Tag.VERSION]),
        digest=tags[Tag.DIGEST],
        signature=tags.get(Tag.SIGNATURE, ""),
        recipe=tags.get(Tag.RECIPE, ""),
        model_uri=tags.get(Tag.MODEL_URI, ""),
        run_id=tags.get(Tag.RUN_ID, ""),
        aliases=tuple(sorted(alias for alias, number in aliases.items() if str(number) == str(item.version))),
    )

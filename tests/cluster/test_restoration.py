"""Undoing an application, against the API server's own server-side apply."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.kserve import Services

from stagewright.components.serving.targets.cluster_client import FIELD_MANAGER
from stagewright.components.serving.targets.restoration import restoring

PLACES = [
    "spec.predictor.minReplicas", "spec.predictor.maxReplicas", "spec.predictor.timeout", "spec.predictor.nodeSelector.x",
    "spec.predictor.nodeSelector.y", "metadata.labels.l", "metadata.annotations.n",
]  # fmt: skip
NUMBERS = ("Replicas", "timeout")

fields = st.dictionaries(st.sampled_from(PLACES), st.integers(1, 4))
few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def document(values: dict[str, int]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "wine"},
    }
    for place, value in values.items():
        at = made
        *parents, last = place.split(".")
        for key in parents:
            at = at.setdefault(key, {})
        at[last] = value if last.endswith(NUMBERS) else str(value)
    return made


def visible(service: dict[str, Any]) -> dict[str, Any]:
    """What a person sees of the object; who owns it and how often it changed is bookkeeping, an empty place is none."""
    metadata = {key: value for key, value in service["metadata"].items() if key in {"labels", "annotations"} and value}
    predictor = {key: value for key, value in service.get("spec", {}).get("predictor", {}).items() if value}
    return {"metadata": metadata, "predictor": predictor}


def _undone(services: Services, applied: list[tuple[str, dict[str, int]]], next_one: dict[str, int]) -> None:
    """Apply some documents by their managers, ours, and undo that: everything is as before."""
    for manager, values in applied:
        services.put(document(values), manager=manager)
    before = services.get("wine")
    services.put(document(next_one), manager=FIELD_MANAGER)

    services.put(restoring(before, document(next_one), FIELD_MANAGER), manager=FIELD_MANAGER)

    assert visible(services.get("wine")) == visible(before)
    services.api.ask("DELETE", f"{services.path}/wine")


@few
@given(ours=fields, theirs=fields, next_one=fields)
def test_what_was_before_comes_back(
    services: Services, ours: dict[str, int], theirs: dict[str, int], next_one: dict[str, int]
) -> None:
    """Whoever applied what before, and whatever was taken over by force."""
    _undone(services, [(FIELD_MANAGER, ours), ("somebody", theirs)], next_one)


@few
@given(theirs=fields, next_one=fields)
def test_an_object_that_was_never_ours_comes_back(services: Services, theirs: dict[str, int], next_one: dict[str, int]) -> None:
    _undone(services, [("somebody", theirs)], next_one)


def test_fields_of_somebody_else_are_not_claimed(services: Services) -> None:
    services.put(document({"metadata.labels.a": 1}), manager=FIELD_MANAGER)
    services.put(document({"metadata.labels.b": 2}), manager="somebody")

    undoing = restoring(services.get("wine"), document({"metadata.labels.a": 3}), FIELD_MANAGER)

    assert undoing["metadata"]["labels"] == {"a": "1"}

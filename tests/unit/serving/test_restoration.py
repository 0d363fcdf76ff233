"""Undoing an application, against the rules of server-side apply."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.cluster import KServeCluster

from stagewright.components.serving.cluster_client import FIELD_MANAGER
from stagewright.components.serving.restoration import restoring

PLACES = ["spec.a", "spec.b", "spec.m.x", "spec.m.y", "spec.m.deep.z", "metadata.labels.l", "metadata.annotations.n"]


def document(values: dict[str, int]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "wine", "namespace": "default"},
    }
    for place, value in values.items():
        at = made
        *parents, last = place.split(".")
        for key in parents:
            at = at.setdefault(key, {})
        at[last] = value
    return made


def visible(cluster: KServeCluster) -> dict[str, Any]:
    """What a person sees of the object; who owns it and how often it changed is bookkeeping."""
    found = cluster.service("wine")
    assert found is not None
    metadata = {key: value for key, value in found["metadata"].items() if key in {"labels", "annotations"}}
    return {"metadata": metadata, "spec": found.get("spec")}


fields = st.dictionaries(st.sampled_from(PLACES), st.integers(0, 3))


@given(ours=fields, theirs=fields, next_one=fields)
def test_what_was_before_comes_back(ours: dict[str, int], theirs: dict[str, int], next_one: dict[str, int]) -> None:
    """Whoever applied what before, and whatever was taken over by force."""
    cluster = KServeCluster()
    cluster.put(document(ours), manager=FIELD_MANAGER)
    cluster.put(document(theirs), manager="somebody")
    before, seen = cluster.service("wine"), visible(cluster)
    assert before is not None
    cluster.put(document(next_one), manager=FIELD_MANAGER)

    cluster.put(restoring(before, document(next_one), FIELD_MANAGER), manager=FIELD_MANAGER)

    assert visible(cluster) == seen


@given(theirs=fields, next_one=fields)
def test_an_object_that_was_never_ours_comes_back(theirs: dict[str, int], next_one: dict[str, int]) -> None:
    cluster = KServeCluster()
    cluster.put(document(theirs), manager="somebody")
    before, seen = cluster.service("wine"), visible(cluster)
    assert before is not None
    cluster.put(document(next_one), manager=FIELD_MANAGER)

    cluster.put(restoring(before, document(next_one), FIELD_MANAGER), manager=FIELD_MANAGER)

    assert visible(cluster) == seen


def test_fields_of_somebody_else_are_not_claimed() -> None:
    cluster = KServeCluster()
    cluster.put(document({"spec.a": 1}), manager=FIELD_MANAGER)
    cluster.put(document({"spec.b": 2}), manager="somebody")
    before = cluster.service("wine")
    assert before is not None

    assert restoring(before, document({"spec.a": 3}), FIELD_MANAGER) == document({"spec.a": 1})

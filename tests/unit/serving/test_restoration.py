"""The document that undoes an application, field by field; tests/cluster has it against a real API server."""

import copy
from typing import Any

import pytest

from stagewright.components.serving.targets.restoration import restoring

US = "stagewright"
Document = dict[str, Any]


def owner(manager: str, fields: Document, *, operation: str = "Apply", **more: str) -> Document:
    return {"manager": manager, "operation": operation, "fieldsV1": fields, **more}


def service(spec: Document | None, *owners: Document, **metadata: Any) -> Document:
    """An object as the cluster has it."""
    found: Document = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "wine", "namespace": "prod", "uid": "1", "managedFields": list(owners), **metadata},
        "status": {"url": "http://wine"},
    }
    return found if spec is None else {**found, "spec": spec}


def undoing(previous: Document, applied: Document) -> Document:
    """What is applied again, without the part that only names the object; neither document may be changed."""
    before = copy.deepcopy((previous, applied))
    found = restoring(previous, applied, US)
    assert (previous, applied) == before
    assert found.pop("apiVersion") == "serving.kserve.io/v1beta1"
    assert found.pop("kind") == "InferenceService"
    assert found["metadata"].pop("name") == "wine"
    assert found["metadata"].pop("namespace") == "prod"
    return found


OURS = {"f:spec": {"f:minReplicas": {}}}


def test_our_fields_come_back_and_others_are_not_claimed() -> None:
    previous = service({"minReplicas": 1, "timeout": 9}, owner(US, OURS), owner("hand", {"f:spec": {"f:timeout": {}}}))

    assert undoing(previous, {"spec": {"minReplicas": 3}}) == {"metadata": {}, "spec": {"minReplicas": 1}}


def test_what_was_taken_over_from_somebody_comes_back() -> None:
    previous = service({"minReplicas": 1, "timeout": 9}, owner(US, OURS), owner("hand", {"f:spec": {"f:timeout": {}}}))

    assert undoing(previous, {"spec": {"timeout": 4}})["spec"] == {"minReplicas": 1, "timeout": 9}


def test_what_was_not_there_is_left_out() -> None:
    previous = service({"minReplicas": 1}, owner(US, OURS))

    assert undoing(previous, {"spec": {"minReplicas": 2, "timeout": 4}})["spec"] == {"minReplicas": 1}


def test_a_field_that_we_owned_and_that_is_gone_is_left_out() -> None:
    previous = service({"minReplicas": 1}, owner(US, {"f:spec": {"f:minReplicas": {}, "f:timeout": {}}}))

    assert undoing(previous, {"spec": {}})["spec"] == {"minReplicas": 1}


def test_only_labels_annotations_and_the_spec_are_written() -> None:
    fields = {
        "f:metadata": {"f:labels": {"f:a": {}}, "f:annotations": {"f:n": {}}, "f:finalizers": {}},
        "f:status": {"f:url": {}},
    }
    previous = service(None, owner(US, fields), labels={"a": "1", "b": "2"}, annotations={"n": "3"}, finalizers=["x"])

    assert undoing(previous, {"metadata": {"name": "other", "labels": {"a": "9"}}, "status": {"url": "x"}}) == {
        "metadata": {"labels": {"a": "1"}, "annotations": {"n": "3"}}
    }


def test_empty_labels_are_none() -> None:
    previous = service(
        {"minReplicas": 1}, owner(US, {"f:metadata": {"f:labels": {}}, "f:spec": {"f:minReplicas": {}}}), labels={}
    )

    assert undoing(previous, {"metadata": {"labels": {}}}) == {"metadata": {}, "spec": {"minReplicas": 1}}


@pytest.mark.parametrize(
    "entry",
    [
        owner("hand", OURS),
        owner(US, OURS, operation="Update"),
        owner(US, OURS, subresource="status"),
        {"manager": US, "operation": "Apply"},
    ],
    ids=["another manager", "an update", "the status", "nothing"],
)
def test_what_counts_as_ours_is_what_we_applied(entry: Document) -> None:
    """Without fields of our own, everything that is there is taken as ours: the object was never applied by us."""
    previous = service({"minReplicas": 1, "timeout": 9}, entry)

    assert undoing(previous, {"spec": {"minReplicas": 3}})["spec"] == {"minReplicas": 1, "timeout": 9}


def test_the_first_of_our_entries_decides() -> None:
    previous = service({"minReplicas": 1, "timeout": 9}, owner(US, OURS), owner(US, {"f:spec": {"f:timeout": {}}}))

    assert undoing(previous, {"spec": {}})["spec"] == {"minReplicas": 1}


def test_a_map_owned_whole_is_taken_whole_and_one_owned_by_keys_is_not() -> None:
    spec = {"whole": {"a": 1, "b": 2}, "keys": {"a": 1, "b": 2}}
    fields = {"f:spec": {"f:whole": {}, "f:keys": {".": {}, "f:a": {}, "f:b": {}}}}
    previous = service(spec, owner(US, OURS), owner("hand", fields))

    found = undoing(previous, {"spec": {"whole": {"a": 7}, "keys": {"a": 7}}})

    assert found["spec"] == {"whole": {"a": 1, "b": 2}, "keys": {"a": 1}}


def test_a_map_that_nobody_is_known_to_own_is_taken_by_keys() -> None:
    previous = service({"keys": {"a": {"b": 1, "c": 2}}}, owner(US, OURS))

    assert undoing(previous, {"spec": {"keys": {"a": {"b": 7}}}})["spec"] == {"keys": {"a": {"b": 1}}}


def test_owners_of_several_managers_are_put_together() -> None:
    previous = service(
        {"keys": {"a": 1, "b": {"x": 1, "y": 2}}},
        owner(US, OURS),
        owner("first", {"f:spec": {"f:keys": {"f:a": {}}}}),
        owner("second", {"f:spec": {"f:keys": {"f:b": {}}}}),
    )

    assert undoing(previous, {"spec": {"keys": {"b": {"x": 7}}}})["spec"] == {"keys": {"b": {"x": 1, "y": 2}}}


def test_lists_and_values_are_taken_whole() -> None:
    fields = {"f:spec": {"f:containers": {'k:{"name":"a"}': {"f:image": {}}}, "f:timeout": {}}}
    previous = service({"containers": [{"name": "a", "image": "i", "args": []}], "timeout": 9}, owner(US, fields))

    assert undoing(previous, {"spec": {"containers": [{"name": "b"}], "timeout": {"x": 1}}})["spec"] == {
        "containers": [{"name": "a", "image": "i", "args": []}], "timeout": 9,
    }  # fmt: skip


def test_a_nested_field_beside_ours_stays_where_it_is() -> None:
    previous = service(
        {"predictor": {"min": 1, "max": 2, "model": {"uri": "old", "runtime": "r"}}},
        owner(US, {"f:spec": {"f:predictor": {"f:min": {}, "f:model": {"f:uri": {}}}}}),
    )

    found = undoing(previous, {"spec": {"predictor": {"max": 5, "model": {"uri": "new"}}}})

    assert found["spec"] == {"predictor": {"min": 1, "max": 2, "model": {"uri": "old"}}}


def test_an_object_without_a_namespace_is_in_the_default_one_and_may_have_no_owners() -> None:
    previous = {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": {"a": 1}}

    assert restoring(previous, {"spec": {"a": 2}}, US) == {
        "apiVersion": "v1", "kind": "Thing", "metadata": {"name": "x", "namespace": "default"}, "spec": {"a": 1},
    }  # fmt: skip

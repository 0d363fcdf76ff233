"""What to apply so that an object becomes again what it was before we applied something else to it.

Server-side apply removes what a manager no longer lists and leaves alone what it never owned. So the object's former state is
applied again, cut down to the fields that are ours: those that we owned then, and those that we took over since.
"""

from typing import Any

from stagewright.components.runtime.documents import overlaid

Document = dict[str, Any]


def restoring(previous: Document, applied: Document, manager: str) -> Document:
    """The document that undoes `applied`.

    Args:
        previous: The object as the cluster had it before.
        applied: What was applied since.
        manager: Our name as a field manager.
    """
    identity = {
        "apiVersion": previous["apiVersion"],
        "kind": previous["kind"],
        "metadata": {"name": previous["metadata"]["name"], "namespace": previous["metadata"].get("namespace", "default")},
    }
    owned = _owned(previous, _fields(previous, manager))
    ours = overlaid(owned, _same_shape(previous, _content(applied), _all_fields(previous)))
    return overlaid(identity, _content(ours))


def _content(document: Document) -> Document:
    """The part that a person writes: labels, annotations and spec."""
    metadata = {key: value for key, value in document.get("metadata", {}).items() if key in {"labels", "annotations"} and value}
    return {**({"metadata": metadata} if metadata else {}), **({"spec": document["spec"]} if "spec" in document else {})}


def _fields(document: Document, manager: str) -> Document:
    """The `fieldsV1` of what a manager applied: keys `f:name` for fields, `.` for the thing itself."""
    for entry in document["metadata"].get("managedFields") or []:
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return dict(entry.get("fieldsV1") or {})
    return {}


def _all_fields(document: Document) -> Document:
    """The `fieldsV1` of every manager, put together."""
    together: Document = {}
    for entry in document["metadata"].get("managedFields") or []:
        together = overlaid(together, entry.get("fieldsV1") or {})
    return together


def _owned(value: Any, fields: Document) -> Any:
    """The fields of an object that are named; lists are taken whole, as the schema's atomic lists are owned whole."""
    named = {key[2:]: inner for key, inner in fields.items() if key.startswith("f:")}
    if not named or not isinstance(value, dict):
        return value
    return {key: _owned(value[key], inner) for key, inner in named.items() if key in value}


def _same_shape(value: Any, shape: Any, fields: Document | None) -> Any:
    """The fields of an object that another one has too; a map that somebody owned whole, such as nodeSelector, is taken whole.

    Args:
        fields: Who owned what of the object, as `fieldsV1`: `{}` for what is owned whole, None where that is not known.
    """
    if not isinstance(value, dict) or not isinstance(shape, dict) or fields == {}:
        return value
    return {
        key: _same_shape(value[key], inner, None if fields is None else fields.get(f"f:{key}"))
        for key, inner in shape.items()
        if key in value
    }

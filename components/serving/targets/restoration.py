"""The document that restores an object to its state before a server-side apply.

Server-side apply removes fields that a manager no longer lists, and leaves fields that it never owned. So the former state is
applied again, reduced to our fields: those that we owned then, and those that we took over since.
"""

from typing import Any

from stagewright.components.runtime.documents import overlaid

Document = dict[str, Any]


def restoring(previous: Document, applied: Document, manager: str) -> Document:
    """The document that undoes `applied`.

    Args:
        previous: The object before the change.
        applied: The document that was applied.
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
    """The user-defined part: labels, annotations and spec."""
    metadata = {key: value for key, value in document.get("metadata", {}).items() if key in {"labels", "annotations"} and value}
    return {**({"metadata": metadata} if metadata else {}), **({"spec": document["spec"]} if "spec" in document else {})}


def _fields(document: Document, manager: str) -> Document:
    """The `fieldsV1` of a manager: keys `f:name` for fields, `.` for the object itself."""
    for entry in document["metadata"].get("managedFields") or []:
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return dict(entry.get("fieldsV1") or {})
    return {}


def _all_fields(document: Document) -> Document:
    """The merged `fieldsV1` of all managers."""
    together: Document = {}
    for entry in document["metadata"].get("managedFields") or []:
        together = overlaid(together, entry.get("fieldsV1") or {})
    return together


def _owned(value: Any, fields: Document) -> Any:
    """The listed fields of an object; lists are taken whole, because the schema's atomic lists are owned whole."""
    named = {key[2:]: inner for key, inner in fields.items() if key.startswith("f:")}
    if not named or not isinstance(value, dict):
        return value
    return {key: _owned(value[key], inner) for key, inner in named.items() if key in value}


def _same_shape(value: Any, shape: Any, fields: Document | None) -> Any:
    """The fields of an object that another one also has; a map that is owned whole, such as nodeSelector, is taken whole.

    Args:
        fields: Owners of the object's fields, as `fieldsV1`: `{}` for a field that is owned whole, None if unknown.
    """
    if not isinstance(value, dict) or not isinstance(shape, dict) or fields == {}:
        return value
    return {
        key: _same_shape(value[key], inner, None if fields is None else fields.get(f"f:{key}"))
        for key, inner in shape.items()
        if key in value
    }

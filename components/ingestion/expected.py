"""A user-supplied schema: completed from the data, then enforced.

A schema may be partial: every field of a column except its name can be omitted. An omitted kind is inferred; any other omitted
field expects nothing. The list of columns is complete: a table column that it does not name is a violation, and so is a column
that the table lacks. Target and task may be omitted; they come from the parameters.
"""

from typing import Any

from stagewright.components.ingestion.profile import IMAGES, TENSORS, ColumnProfile, Profile
from stagewright.components.ingestion.type_inference import kind_of
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.schema import Column, ColumnKind, Schema, Task

_KINDS_OF = {
    "int64": {ColumnKind.NUMERIC, ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN, ColumnKind.IDENTIFIER},
    "float64": {ColumnKind.NUMERIC, ColumnKind.IDENTIFIER},
    "string": {ColumnKind.CATEGORICAL, ColumnKind.TEXT, ColumnKind.IDENTIFIER},
    "boolean": {ColumnKind.BOOLEAN, ColumnKind.CATEGORICAL},
    "date": {ColumnKind.DATETIME, ColumnKind.IDENTIFIER},
    "datetime": {ColumnKind.DATETIME, ColumnKind.IDENTIFIER},
    IMAGES: {ColumnKind.IMAGE, ColumnKind.TENSOR},
    TENSORS: {ColumnKind.TENSOR},
}


def completed(document: dict[str, Any], profile: Profile, target: str, task: Task) -> Schema:
    """The given schema with kinds, target and task filled in.

    Raises:
        InputError: If it is malformed, or its target or task differs from the parameters.
    """
    check_document(document)
    filled = [_with_kind(column, profile, target, task) for column in document["columns"]]
    for name, asked in (("target", target), ("task", task.value)):
        if document.get(name, asked) != asked:
            raise InputError(f"parameter 'expected' has {name} '{document[name]}', but this run has '{asked}'; make them agree")
    return Schema.parse(document | {"columns": filled, "target": target, "task": task.value}, source="parameter 'expected'")


def check_document(document: dict[str, Any]) -> None:
    """Check that a document has the form of a schema.

    Raises:
        InputError: If it has no list of columns.
    """
    columns = document.get("columns")
    if not isinstance(columns, list) or not columns:
        raise InputError(
            'parameter \'expected\' has no list of columns; expected {"columns": [{"name": ..., "kind": ...}, ...]}'
        )


def differences(schema: Schema, profile: Profile) -> list[str]:
    """How the table's columns differ from the schema's: missing, unexpected, of another type, or invalid for their kind."""
    found = [f"column '{name}' is missing" for name in schema.names if name not in profile.columns]
    found += [f"column '{name}' is not in the schema" for name in profile.columns if name not in schema.names]
    for column in schema.columns:
        figures = profile.columns.get(column.name)
        if figures is not None and figures.present:
            found += _type_differences(column, figures)
    return found


def _type_differences(column: Column, figures: ColumnProfile) -> list[str]:
    # A column of whole numbers is a valid column of decimal numbers.
    same = column.dtype in {None, figures.dtype} or (column.dtype, figures.dtype) in {
        ("float64", "int64"),
        ("datetime", "date"),
    }
    if not same:
        return [f"column '{column.name}' holds {figures.dtype} values, expected {column.dtype}"]
    if column.shape is not None and column.shape != list(figures.shape or ()):
        held = "single values" if figures.shape is None else f"arrays of shape {list(figures.shape)}"
        return [f"column '{column.name}' holds {held}, expected arrays of shape {column.shape}"]
    if column.kind not in _KINDS_OF[figures.dtype]:
        return [f"column '{column.name}' holds {figures.dtype} values, which cannot be {column.kind}"]
    if column.kind is ColumnKind.BOOLEAN and figures.dtype == "int64" and not (figures.minimum >= 0 and figures.maximum <= 1):
        return [f"column '{column.name}' is boolean, but holds whole numbers other than 0 and 1"]
    return []


def _with_kind(column: Any, profile: Profile, target: str, task: Task) -> Any:
    if not isinstance(column, dict) or "kind" in column or column.get("name") not in profile.columns:
        return column
    figures = profile.columns[column["name"]]
    return column | {"kind": kind_of(figures, target=figures.name == target, classes=task is not Task.REGRESSION)}

"""JSON Schemas of a model's rows, requests and responses, and a valid example."""

from math import prod
from typing import Any

from stagewright.components.predictor.wire.tensors import DATATYPES
from stagewright.components.runtime.signature import Input, Signature

Schema = dict[str, Any]

MOMENT = "2024-01-31T12:00:00Z"
EXAMPLE_VALUES = 4096  # a longer row would fill the page
SHOWN = 50

_TYPES: dict[str, list[str]] = {
    "numeric": ["number", "boolean"],
    "boolean": ["boolean", "integer"],
    "datetime": ["string"],
    "categorical": ["string", "number", "boolean"],
    "text": ["string", "number", "boolean"],
}
_NOTES = {
    "numeric": "A number.",
    "boolean": "true or false; 1 and 0 mean the same.",
    "datetime": "ISO 8601; UTC if it has no time zone.",
    "categorical": "A category of the training data; any other counts as unknown.",
    "text": "Text in any language.",
    "image": "Whole numbers from 0 to 255, nested by channel and line, or flat.",
    "tensor": "Numbers, nested by axis or flat.",
}


def value(given: Input) -> Schema:
    """Schema of a column's value in one row."""
    if given.kind not in _TYPES:
        return _nested(given) | {"description": f"{_NOTES[given.kind]} Shape {list(given.shape)}."}
    types = [*_TYPES[given.kind], *(["null"] if given.nullable else [])]
    schema: Schema = {"type": types, "description": _NOTES[given.kind]}
    if given.kind == "boolean":
        schema["enum"] = [True, False, 1, 0, *([None] if given.nullable else [])]
    if given.kind == "datetime":
        schema["format"] = "date-time"
    if given.categories:
        schema["examples"] = list(given.categories[:SHOWN])
    return schema


def row(signature: Signature) -> Schema:
    """Schema of one row as an object by column name."""
    return {
        "type": "object",
        "description": "One row by column name. Columns that are left out are missing values.",
        "properties": {given.name: value(given) for given in signature.inputs},
        "required": [given.name for given in signature.inputs if not given.nullable],
        "additionalProperties": False,
    }


def tensors(signature: Signature) -> Schema:
    """Schema of the tensors of a V2 request, one for each column."""
    return {"type": "array", "minItems": 1, "items": {"anyOf": [_tensor(given) for given in signature.inputs]}}


def predictions(signature: Signature) -> Schema:
    """Schema of V1's response."""
    properties: dict[str, Schema] = {"predictions": {"type": "array", "items": _label(signature)}}
    if signature.classes is not None:
        properties["probabilities"] = {
            "type": "array",
            "description": f"For each row, one for each of the classes {', '.join(map(str, signature.classes[:SHOWN]))}.",
            "items": {"type": "array", "items": {"type": "number"}, "minItems": len(signature.classes)},
        }
    named: dict[str, Schema] = {"model_name": {"type": "string"}, "model_version": {"type": "string"}}
    return {"type": "object", "properties": properties | named, "required": [*properties, "model_name"]}


def outputs(described: list[dict[str, Any]]) -> Schema:
    """Schema of V2's response, from the outputs of the model's metadata."""
    tensor = [
        {
            "type": "object",
            "title": output["name"],
            "properties": {
                "name": {"const": output["name"]},
                "datatype": {"type": "string", "examples": [output["datatype"]]},
                "shape": {"type": "array", "items": {"type": "integer"}, "examples": [output["shape"]]},
                "data": {"type": "array"},
            },
            "required": ["name", "datatype", "shape"],
        }
        for output in described
    ]
    properties: dict[str, Schema] = {
        "id": {"type": "string", "description": "The id of the request."},
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "outputs": {"type": "array", "items": {"anyOf": tensor}},
    }
    return {"type": "object", "properties": properties, "required": ["model_name", "outputs"]}


def example_row(signature: Signature) -> dict[str, Any] | None:
    """A valid row; None if it is too long to show."""
    if sum(prod(given.shape) for given in signature.inputs) > EXAMPLE_VALUES:
        return None
    return {given.name: _example(given) for given in signature.inputs}


def example_tensors(signature: Signature) -> list[dict[str, Any]] | None:
    """The same row as V2 tensors; None if it is too long to show."""
    if example_row(signature) is None:
        return None
    return [
        {
            "name": given.name,
            "datatype": given.datatype,
            "shape": [1, *given.shape],
            "data": [_example(given)] if given.shape == (1,) else [0] * prod(given.shape),
        }
        for given in signature.inputs
    ]


def _tensor(given: Input) -> Schema:
    return {
        "type": "object",
        "title": given.name,
        "properties": {
            "name": {"const": given.name},
            "datatype": {"enum": list(DATATYPES), "default": given.datatype},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "examples": [[1, *given.shape]]},
            "data": {"type": "array", "description": f"{_NOTES[given.kind]} Row by row, flat or nested."},
            "parameters": {"type": "object", "properties": {"binary_data_size": {"type": "integer", "minimum": 0}}},
        },
        "required": ["name", "datatype", "shape"],
    }


def _nested(given: Input) -> Schema:
    schema: Schema = {"type": "integer", "minimum": 0, "maximum": 255} if given.kind == "image" else {"type": "number"}
    for size in reversed(given.shape):
        schema = {"type": "array", "items": schema, "minItems": size, "maxItems": size}
    flat = {"type": "array", "items": {"type": "number"}, "minItems": prod(given.shape), "maxItems": prod(given.shape)}
    return {"anyOf": [schema, flat]}


def _label(signature: Signature) -> Schema:
    return {"type": "number"} if signature.classes is None else {"enum": list(signature.classes)}


def _example(given: Input) -> Any:
    if given.kind == "categorical":
        return next(iter(given.categories or ("a",)))
    simple = {"numeric": 1.0, "boolean": True, "datetime": MOMENT, "text": "some text"}
    if given.kind in simple:
        return simple[given.kind]
    nested: Any = 0
    for size in reversed(given.shape):
        nested = [nested] * size
    return nested

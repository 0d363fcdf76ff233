"""The OpenAPI 3.1 document, built from the signatures of the loaded models, and the page that shows it."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stagewright.components.predictor.http import openapi_schemas as schemas
from stagewright.components.predictor.inference.model import Model
from stagewright.components.predictor.wire.messages import Answer

PAGE = "openapi.html"
# The page loads nothing from other origins and sends nothing to them, whatever a model's or a column's name contains.
POLICY = b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'"

_TITLE = "Stagewright predictor"
_ERRORS = {
    400: "The request is invalid; the sentence names the error.",
    403: "Loading and unloading models is switched off.",
    404: "The server has no such model or version.",
    413: "The body or the number of rows is too large.",
    429: "The queue is full; try again after Retry-After seconds.",
    503: "The model is not loaded.",
    504: "The request's deadline has passed.",
}
_READS = {
    "/": ("alive", "Liveness of the process (V1)."),
    "/v1/models": ("models", "Names of the models (V1)."),
    "/v2": ("server", "The server's name, version and extensions."),
    "/v2/health/live": ("live", "Liveness of the process."),
    "/v2/health/ready": ("ready", "Readiness of all models; 503 until they are loaded."),
}


def page() -> Answer:
    """The HTML page that shows the document and sends its examples."""
    return Answer(200, _page(), b"text/html; charset=utf-8", ((b"content-security-policy", POLICY),))


def document(models: Iterable[Model], *, version: str, max_rows: int) -> dict[str, Any]:
    """The OpenAPI document.

    Args:
        models: The loaded models.
        version: Version of the server.
        max_rows: Most rows of a request.
    """
    paths: dict[str, Any] = {path: {"get": _read(name, summary, "server")} for path, (name, summary) in _READS.items()}
    paths["/metrics"] = {
        "get": _read("metrics", "Prometheus metrics.", "server", media="text/plain", schema={"type": "string"})
    }
    paths["/v2/repository/index"] = {"post": _change("index", "Models that are loaded or can be loaded.", "server", {})}
    components: dict[str, Any] = {"Error": {
        "type": "object", "properties": {"error": {"type": "string", "description": "One sentence."}}, "required": ["error"],
    }}  # fmt: skip
    tags = [{"name": "server", "description": "Health, metadata and metrics."}]
    for model in models:
        key = _key(model.name, components)
        components |= _components(model, key, max_rows)
        paths |= _model_paths(model, key)
        tags.append({"name": model.name, "description": _about(model)})
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": version, "description": "KServe's protocols V1 and V2 (Open Inference Protocol)."},
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths,
        "components": {"schemas": components, "responses": _error_responses()},
    }


@cache
def _page() -> bytes:
    return (Path(__file__).parent / PAGE).read_bytes()


def _about(model: Model) -> str:
    signature = model.signature
    task = "Regression" if signature.classes is None else f"Classification into {len(signature.classes)} classes"
    target = f" of '{signature.target}'" if signature.target else ""
    version = f", version {model.version}" if model.version else ""
    return f"{task}{target} from {len(signature.inputs)} columns{version}."


def _key(name: str, taken: dict[str, Any]) -> str:
    """A unique component name, with the allowed characters only."""
    key = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    while f"{key}.Row" in taken:
        key += "_"
    return key


def _components(model: Model, key: str, max_rows: int) -> dict[str, Any]:
    signature = model.signature
    rows = {"type": "array", "minItems": 1, "maxItems": max_rows}
    row = {"$ref": f"#/components/schemas/{key}.Row"}
    listed = {"type": "array", "description": "The values in the order of the columns.",
              "minItems": len(signature.inputs), "maxItems": len(signature.inputs)}  # fmt: skip
    instances = rows | {"description": "Rows.", "items": {"anyOf": [row, listed]}}
    columns = {given.name: rows | {"items": schemas.value(given)} for given in signature.inputs}
    by_column = {"type": "object", "description": "Values by column.", "properties": columns, "additionalProperties": False}
    return {
        f"{key}.Row": schemas.row(signature),
        f"{key}.PredictRequest": {
            "type": "object",
            "properties": {"instances": instances, "inputs": {"anyOf": [by_column, instances]}},
            "anyOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
        },
        f"{key}.PredictAnswer": schemas.predictions(signature),
        f"{key}.InferRequest": {
            "type": "object",
            "properties": {
                "id": {"type": "string", "description": "Returned in the response."},
                "inputs": schemas.tensors(signature),
                "outputs": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {
                    "name": {"enum": [output["name"] for output in model.outputs]}, "parameters": {"type": "object"}}}},
                "parameters": {"type": "object"},
            },
            "required": ["inputs"],
        },
        f"{key}.InferAnswer": schemas.outputs(model.outputs),
    }  # fmt: skip


def _model_paths(model: Model, key: str) -> dict[str, Any]:
    name, tag = quote(model.name, safe=""), model.name
    row, tensors = schemas.example_row(model.signature), schemas.example_tensors(model.signature)
    predict = _send("Predict rows (V1).", tag, f"{key}.Predict", row and {"instances": [row]})
    infer = _send("Predict tensors (V2, JSON or binary).", tag, f"{key}.Infer", tensors and {"inputs": tensors})
    paths = {
        f"/v1/models/{name}:predict": {"post": predict | {"operationId": f"predict.{key}"}},
        f"/v2/models/{name}/infer": {"post": infer | {"operationId": f"infer.{key}"}},
    }
    for path, identity, summary in (
        (f"/v2/models/{name}", "metadata", "Inputs and outputs of the model."),
        (f"/v2/models/{name}/ready", "ready", "Readiness of the model (V2)."),
        (f"/v1/models/{name}", "status", "Readiness of the model (V1)."),
        (f"/v2/models/{name}/config", "config", "Model configuration in Triton's format."),
        (f"/v2/models/{name}/stats", "stats", "Statistics in Triton's format."),
    ):
        paths[path] = {"get": _read(f"{identity}.{key}", summary, tag)}
    for action, summary in (("load", "Load the model, or its newest version."), ("unload", "Stop serving the model.")):
        path = f"/v2/repository/models/{name}/{action}"
        paths[path] = {"post": _change(f"{action}.{key}", summary, tag)}
    return paths


def _read(identity: str, summary: str, tag: str, *, media: str = "application/json", schema: Any = None) -> dict[str, Any]:
    answer = {"description": "The answer.", "content": {media: {"schema": schema or {"type": "object"}}}}
    errors = {} if tag == "server" else _refer(404, 503)
    return {"operationId": identity, "summary": summary, "tags": [tag], "responses": {"200": answer, **errors}}


def _change(identity: str, summary: str, tag: str, example: Any = None) -> dict[str, Any]:
    request: dict[str, Any] = {"schema": {"type": "object"}}
    if example is not None:
        request["examples"] = {"all": {"summary": "Without conditions.", "value": example}}
    body = {"requestBody": {"content": {"application/json": request}}}
    operation = _read(identity, summary, tag) | body
    return operation | {"responses": {"200": {"description": "Done."}, **_refer(400, 403, 404)}}


def _send(summary: str, tag: str, schema: str, example: Any) -> dict[str, Any]:
    request: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{schema}Request"}}
    if example:
        request["examples"] = {"row": {"summary": "One row.", "value": example}}
    given = {"schema": {"$ref": f"#/components/schemas/{schema}Answer"}}
    return {
        "summary": summary,
        "tags": [tag],
        "requestBody": {"required": True, "content": {"application/json": request}},
        "responses": {
            "200": {"description": "The predictions.", "content": {"application/json": given}},
            **_refer(*(status for status in _ERRORS if status != 403)),
        },
    }


def _refer(*statuses: int) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _error_responses() -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    responses = {str(status): {"description": sentence, "content": content} for status, sentence in _ERRORS.items()}
    responses["429"]["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return responses

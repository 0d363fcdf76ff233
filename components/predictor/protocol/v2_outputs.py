"""Requested outputs of an infer request, and the encoding of its response."""

from typing import Any, NamedTuple

import numpy as np
import orjson

from stagewright.components.predictor.inference.batch import ResultSlice
from stagewright.components.predictor.inference.model import Model
from stagewright.components.predictor.wire import tensors
from stagewright.components.predictor.wire.asgi import HEADER_LENGTH
from stagewright.components.predictor.wire.errors import RequestError, shown
from stagewright.components.predictor.wire.messages import Answer, json_bytes

BINARY = b"application/octet-stream"
SHARED_MEMORY = "shared_memory_"  # prefix of the parameters of Triton's extension, which is not supported


class RequestedOutput(NamedTuple):
    """A requested output.

    Attributes:
        name: Name of the output.
        binary: Whether the output is sent as bytes.
        classes: Number of the most probable classes to send instead of the probabilities; 0 sends the probabilities.
    """

    name: str
    binary: bool = False
    classes: int = 0


def encode(model: Model, wanted: tuple[RequestedOutput, ...], identity: str | None, result: ResultSlice) -> Answer:
    """Encode the response: JSON, followed by the bytes of outputs that were requested in binary form."""
    described, chunks = [], []
    datatypes = {output["name"]: output["datatype"] for output in model.outputs}
    for name, binary, classes in wanted:
        datatype = "BYTES" if classes else datatypes[name]
        array = _likeliest(model, result, classes) if classes else result.outputs[name]
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        if binary:
            chunks.append(tensors.bytes_from_array(datatype, array))
            tensor["parameters"] = {"binary_data_size": len(chunks[-1])}
        else:
            tensor["data"] = array.ravel().tolist() if array.dtype == object else orjson.Fragment(_data(result, name))
        described.append(tensor)
    document: dict[str, Any] = {"model_name": model.name}
    if model.version is not None:
        document["model_version"] = model.version
    if identity is not None:
        document["id"] = identity
    document["outputs"] = described
    header = json_bytes(document)
    if not chunks:
        return Answer(200, header)
    return Answer(200, b"".join((header, *chunks)), BINARY, ((HEADER_LENGTH, b"%d" % len(header)),))


def read_requested_outputs(requested: Any, names: list[str], binary_default: bool | None) -> tuple[RequestedOutput, ...]:
    """Read the requested outputs; all outputs if the request names none.

    Raises:
        RequestError: If an output is unknown, or a parameter is invalid.
    """
    if requested is None or requested == []:
        return tuple(RequestedOutput(name, bool(binary_default)) for name in names)
    if not isinstance(requested, list):
        raise RequestError(f"'outputs' is {shown(requested)}; expected a list")
    wanted: dict[str, RequestedOutput] = {}
    for at, output in enumerate(requested):
        if not isinstance(output, dict) or not isinstance(output.get("name"), str):
            raise RequestError(f"output {at} has no 'name'")
        name = output["name"]
        if name not in names:
            raise RequestError(f"the model has no output {shown(name)}; it answers {', '.join(names)}")
        parameters = read_parameters(output, f"output '{name}'")
        binary = read_flag(parameters, "binary_data")
        wanted[name] = RequestedOutput(name, bool(binary_default) if binary is None else binary, _classes(name, parameters))
    return tuple(wanted.values())


def read_parameters(owner: dict[str, Any], where: str) -> dict[str, Any]:
    """Read the optional `parameters` of a request or a tensor.

    Raises:
        RequestError: If they are not an object, or have a parameter that is not supported."""
    parameters = owner.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise RequestError(f"{where}: 'parameters' is {shown(parameters)}; expected an object")
    foreign = next((name for name in parameters if name.startswith(SHARED_MEMORY)), None)
    if foreign is not None:
        raise RequestError(f"{where}: parameter {shown(foreign)} is not taken: tensors are sent and answered, not shared")
    return parameters


def read_flag(parameters: dict[str, Any], name: str) -> bool | None:
    """Read an optional boolean parameter; None if it is not set.

    Raises:
        RequestError: If it is not a boolean."""
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise RequestError(f"parameter '{name}' is {shown(value)}; expected true or false")
    return value


def _data(result: ResultSlice, name: str) -> bytes:
    return b"[%b]" % b",".join(result.json(name))


def _likeliest(model: Model, result: ResultSlice, number: int) -> np.ndarray:
    """The most probable classes of each row as str objects "probability:index:label" [rows, number], as in Triton."""
    probabilities = result.outputs["probabilities"]
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :number]
    labels = model.signature.classes or ()
    best = [
        [f"{probabilities[row, at]}:{at}:{_text(labels[at])}" for at in places] for row, places in enumerate(order.tolist())
    ]
    return np.array(best, dtype=object)


def _classes(name: str, parameters: dict[str, Any]) -> int:
    number = parameters.get("classification")
    if number is None or (type(number) is int and number == 0):
        return 0
    if type(number) is not int or number < 0:
        raise RequestError(f"output '{name}': 'classification' is {shown(number)}; expected a number of classes")
    if name != "probabilities":
        raise RequestError(f"output '{name}' has no classes to choose from; ask 'probabilities' for a classification")
    return number


def _text(label: str | int | bool) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)

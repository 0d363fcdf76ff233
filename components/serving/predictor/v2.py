"""The Open Inference Protocol (V2) as pure functions, with the binary tensor extension."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stagewright.components.serving.predictor import tensors
from stagewright.components.serving.predictor.columns import Column, Columns, Feeds
from stagewright.components.serving.predictor.errors import BadTensor, RequestError, TooLarge, counted, listed, shown
from stagewright.components.serving.predictor.messages import Answer, json_answer, json_bytes, json_object
from stagewright.components.serving.predictor.model import OnnxModel, Outputs

BINARY = b"application/octet-stream"
HEADER_LENGTH = b"inference-header-content-length"
EXTENSIONS = ["binary_tensor_data"]


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A decoded infer request.

    Attributes:
        outputs: The outputs that are wanted, each with whether it is sent as bytes; in the order of the request.
    """

    feeds: Feeds
    rows: int
    id: str | None
    outputs: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    datatype: str
    shape: tuple[int, ...]
    values: list[Any] | None  # from JSON
    array: np.ndarray | None  # from bytes

    def feed(self, column: Column, position: int = 0, width: int = 1) -> np.ndarray:
        """One of the tensor's columns as the graph's input."""
        if self.array is not None:
            return column.from_array(self.datatype, np.ascontiguousarray(self.array[position::width]))
        return column.from_tensor(self.datatype, (self.values or [])[position::width])


def decode(
    columns: Columns, outputs: list[dict[str, Any]], body: bytes, header: bytes | None, *, max_rows: int
) -> InferRequest:
    """An infer request's meaning.

    Args:
        outputs: The model's outputs as metadata.
        header: Value of Inference-Header-Content-Length: how many bytes of the body are JSON, binary tensors follow.

    Raises:
        RequestError: Naming what is wrong, with the input and the row where there is one.
    """
    length = _header_length(header, len(body))
    document = json_object(memoryview(body)[:length] if header is not None else body, "the request's JSON")
    identity = document.get("id")
    if identity is not None and not isinstance(identity, str):
        raise RequestError(f"'id' is {shown(identity)}; expected a string")
    parameters = _parameters(document, "the request")
    given = _read_tensors(document.get("inputs"), memoryview(body)[length:])
    feeds, rows = _feeds(columns, given, max_rows)
    wanted = _wanted(document.get("outputs"), [output["name"] for output in outputs], _flag(parameters, "binary_data_output"))
    return InferRequest(feeds, rows, identity, wanted)


def encode(model: OnnxModel, request: InferRequest, outputs: Outputs) -> Answer:
    """The answer: JSON, or JSON followed by the bytes of the tensors that were asked for in binary form."""
    described, chunks = [], []
    datatypes = {output["name"]: output["datatype"] for output in model.outputs}
    for name, binary in request.outputs:
        array = outputs[name]
        tensor: dict[str, Any] = {"name": name, "datatype": datatypes[name], "shape": list(array.shape)}
        if binary:
            chunks.append(tensors.bytes_from_array(datatypes[name], array))
            tensor["parameters"] = {"binary_data_size": len(chunks[-1])}
        else:
            tensor["data"] = array.tolist() if array.dtype == object else array.ravel()
        described.append(tensor)
    document: dict[str, Any] = {"model_name": model.name}
    if model.version is not None:
        document["model_version"] = model.version
    if request.id is not None:
        document["id"] = request.id
    document["outputs"] = described
    if not chunks:
        return json_answer(document)
    header = json_bytes(document)
    return Answer(200, b"".join((header, *chunks)), BINARY, ((HEADER_LENGTH, str(len(header)).encode()),))


def metadata(model: OnnxModel) -> dict[str, Any]:
    """What the model takes and answers; `parameters` carry what tensors cannot say."""
    signature = model.signature
    parameters = {"task": signature.task, "framework": signature.framework, "classes": signature.classes}
    return {
        "name": model.name,
        "versions": [] if model.version is None else [model.version],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": column.name, "datatype": column.datatype, "shape": [-1, 1]} for column in signature.inputs],
        "outputs": model.outputs,
        "parameters": {name: value for name, value in parameters.items() if value is not None},
    }


def _header_length(header: bytes | None, size: int) -> int:
    if header is None:
        return size
    if not header.isdigit() or len(header) > 18:
        raise RequestError(f"Inference-Header-Content-Length is {shown(header.decode('latin-1'))}; expected a number of bytes")
    length = int(header)
    if length > size:
        raise RequestError(f"Inference-Header-Content-Length is {length}, but the body has only {counted(size, 'byte')}")
    return length


def _read_tensors(inputs: Any, binary: memoryview) -> list[_Tensor]:
    if not isinstance(inputs, list) or not inputs:
        raise RequestError("'inputs' must be a list of at least one tensor")
    given, position = [], 0
    for at, tensor in enumerate(inputs):
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
            raise RequestError(f"input {at} has no 'name'")
        name = tensor["name"]
        datatype = tensors.check_datatype(name, tensor.get("datatype"))
        shape = tensors.check_shape(name, tensor.get("shape"))
        size = _parameters(tensor, f"input {shown(name)}").get("binary_data_size")
        if size is None:
            if "data" not in tensor:
                raise BadTensor(name, "has neither 'data' nor the parameter 'binary_data_size'")
            given.append(_Tensor(name, datatype, shape, tensors.values_from_json(name, datatype, shape, tensor["data"]), None))
            continue
        if type(size) is not int or size < 0:
            raise BadTensor(name, f"binary_data_size is {shown(size)}; expected a number of bytes")
        if position + size > len(binary):
            raise BadTensor(name, f"binary_data_size is {size}, but only {len(binary) - position} are left after the JSON")
        array = tensors.array_from_bytes(name, datatype, shape, binary[position : position + size])
        given.append(_Tensor(name, datatype, shape, None, array))
        position += size
    if position != len(binary):
        raise RequestError(f"{len(binary) - position} bytes follow the JSON that no input's binary_data_size accounts for")
    return given


def _feeds(columns: Columns, given: list[_Tensor], max_rows: int) -> tuple[Feeds, int]:
    first = given[0]
    rows = first.shape[0]
    if rows > max_rows:
        raise TooLarge(f"the request has {rows} rows; this server takes at most {max_rows} at once")
    if len(given) == 1 and len(first.shape) == 2 and first.shape[1] > 1:
        return _table_feeds(columns, first), rows
    feeds: Feeds = {}
    for tensor in given:
        column = columns.find(tensor.name, noun="input")
        if tensor.name in feeds:
            raise BadTensor(tensor.name, "stands more than once")
        if len(tensor.shape) == 2 and tensor.shape[1] != 1:
            raise BadTensor(
                tensor.name, f"shape {list(tensor.shape)} has {tensor.shape[1]} columns; expected [rows] or [rows, 1]"
            )
        if tensor.shape[0] != rows:
            raise BadTensor(tensor.name, f"has {counted(tensor.shape[0], 'row')}, but input '{first.name}' has {rows}")
        feeds[tensor.name] = tensor.feed(column)
    return columns.complete(feeds, rows), rows


def _table_feeds(columns: Columns, table: _Tensor) -> Feeds:
    """One two-dimensional tensor with all columns in the signature's order, whatever its name."""
    width = table.shape[1]
    if not columns.numeric:
        raise BadTensor(
            table.name,
            f"shape {list(table.shape)} would hold all columns at once, which fits only a model whose columns are all numeric; "
            "send one tensor a column",
        )
    if width != len(columns):
        raise BadTensor(table.name, f"shape {list(table.shape)} has {width} columns; the model takes {len(columns)}: "
                        f"{listed(columns.names)}")  # fmt: skip
    return {column.name: table.feed(column, position, width) for position, column in enumerate(columns.all)}


def _wanted(requested: Any, names: list[str], binary_default: bool | None) -> tuple[tuple[str, bool], ...]:
    if requested is None or requested == []:
        return tuple((name, bool(binary_default)) for name in names)
    if not isinstance(requested, list):
        raise RequestError(f"'outputs' is {shown(requested)}; expected a list")
    wanted: dict[str, bool] = {}
    for at, output in enumerate(requested):
        if not isinstance(output, dict) or not isinstance(output.get("name"), str):
            raise RequestError(f"output {at} has no 'name'")
        name = output["name"]
        if name not in names:
            raise RequestError(f"the model has no output {shown(name)}; it answers {', '.join(names)}")
        binary = _flag(_parameters(output, f"output '{name}'"), "binary_data")
        wanted[name] = bool(binary_default) if binary is None else binary
    return tuple(wanted.items())


def _parameters(owner: dict[str, Any], where: str) -> dict[str, Any]:
    parameters = owner.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise RequestError(f"{where}: 'parameters' is {shown(parameters)}; expected an object")
    return parameters


def _flag(parameters: dict[str, Any], name: str) -> bool | None:
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise RequestError(f"parameter '{name}' is {shown(value)}; expected true or false")
    return value

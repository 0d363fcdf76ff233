"""The Open Inference Protocol (V2) as pure functions, with the binary tensor extension."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from stagewright.components.predictor.inference.batch import BatchInput
from stagewright.components.predictor.inference.columns import AnyColumn, Columns, Feeds
from stagewright.components.predictor.inference.model import Model
from stagewright.components.predictor.protocol.v2_outputs import (
    RequestedOutput,
    read_flag,
    read_parameters,
    read_requested_outputs,
)
from stagewright.components.predictor.wire import tensors
from stagewright.components.predictor.wire.errors import BadTensor, RequestError, TooLarge, counted, listed, shown
from stagewright.components.predictor.wire.messages import json_object

EXTENSIONS = ["binary_tensor_data", "classification", "schedule_policy"]


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A decoded infer request.

    Attributes:
        batch_input: The rows as graph inputs.
        id: Id of the request.
        timeout: Timeout of the request in seconds.
        outputs: Requested outputs in order.
    """

    batch_input: BatchInput
    id: str | None
    timeout: float | None
    outputs: tuple[RequestedOutput, ...]


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    datatype: str
    shape: tuple[int, ...]
    values: list[Any] | None  # from JSON
    array: np.ndarray | None  # from bytes

    def feed(self, column: AnyColumn) -> np.ndarray:
        """The tensor as a graph input [rows, ...]."""
        if self.array is not None:
            return column.from_array(self.datatype, self.array, self.shape)
        return column.from_tensor(self.datatype, self.values or [], self.shape)

    def part(self, column: AnyColumn, position: int, width: int) -> np.ndarray:
        """One of the tensor's columns as a graph input [rows, 1]."""
        if self.array is not None:
            return column.from_array(self.datatype, np.ascontiguousarray(self.array[position::width]), self.shape[:1])
        return column.from_tensor(self.datatype, (self.values or [])[position::width], self.shape[:1])


def decode(
    columns: Columns, outputs: list[dict[str, Any]], body: bytes, header: bytes | None, *, max_rows: int
) -> InferRequest:
    """Decode an infer request.

    Args:
        columns: Columns of the model.
        outputs: Outputs of the model's metadata.
        body: Request body.
        header: Value of Inference-Header-Content-Length: bytes of JSON at the start of the body, before binary tensors.
        max_rows: Most rows of a request.

    Raises:
        RequestError: If the request is invalid. The sentence names the input and the row, if there is one.
    """
    length = _header_length(header, len(body))
    document = json_object(memoryview(body)[:length] if header is not None else body, "the request's JSON")
    identity = document.get("id")
    if identity is not None and not isinstance(identity, str):
        raise RequestError(f"'id' is {shown(identity)}; expected a string")
    parameters = read_parameters(document, "the request")
    given = _read_tensors(document.get("inputs"), memoryview(body)[length:])
    feeds, rows = _feeds(columns, given, max_rows)
    wanted = read_requested_outputs(
        document.get("outputs"), [output["name"] for output in outputs], read_flag(parameters, "binary_data_output")
    )
    return InferRequest(BatchInput(rows, feeds=feeds), identity, _timeout(parameters), wanted)


def metadata(model: Model) -> dict[str, Any]:
    """Metadata of a model: inputs and outputs, and in `parameters` its task, framework and classes."""
    signature = model.signature
    parameters = {"task": signature.task, "framework": signature.framework, "classes": signature.classes}
    return {
        "name": model.name,
        "versions": [] if model.version is None else [model.version],
        "platform": model.platform,
        "inputs": [{"name": given.name, "datatype": given.datatype, "shape": [-1, *given.shape]} for given in signature.inputs],
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
        size = read_parameters(tensor, f"input {shown(name)}").get("binary_data_size")
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
    if len(given) == 1 and len(first.shape) == 2 and first.shape[1] > 1 and not columns.tensor:
        return _table_feeds(columns, first), rows
    feeds: Feeds = {}
    for tensor in given:
        column = columns.find(tensor.name, noun="input")
        if tensor.name in feeds:
            raise BadTensor(tensor.name, "stands more than once")
        if tensor.shape[0] != rows:
            raise BadTensor(tensor.name, f"has {counted(tensor.shape[0], 'row')}, but input '{first.name}' has {rows}")
        feeds[tensor.name] = tensor.feed(column)
    return columns.complete(feeds, rows), rows


def _table_feeds(columns: Columns, table: _Tensor) -> Feeds:
    """Graph inputs from one tensor [rows, columns] of any name, with all columns in the signature's order."""
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
    return {column.name: table.part(column, position, width) for position, column in enumerate(columns.all)}


def _timeout(parameters: dict[str, Any]) -> float | None:
    """Timeout in seconds from Triton's request parameter `timeout` in microseconds; None for 0."""
    given = parameters.get("timeout")
    if given is None or (type(given) is int and given == 0):
        return None
    if type(given) is not int or given < 0:
        raise RequestError(f"parameter 'timeout' is {shown(given)}; expected microseconds")
    return given / 1_000_000

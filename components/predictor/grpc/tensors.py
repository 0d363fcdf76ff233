"""Conversion between gRPC messages and V2's binary HTTP bodies: ModelInferRequest to body, body to ModelInferResponse.

A request becomes the body that an HTTP client would send: JSON, then the tensors' bytes. The binary response is split again. So
there is one decoder with one set of error sentences.
"""

from itertools import chain
from math import prod
from typing import Any, NamedTuple

import numpy as np
import orjson

from stagewright.components.predictor.grpc.messages import Message, ModelInferResponse
from stagewright.components.predictor.protocol.v2_outputs import read_parameters
from stagewright.components.predictor.wire import tensors
from stagewright.components.predictor.wire.errors import BadTensor, RequestError, counted, shown
from stagewright.components.predictor.wire.messages import json_bytes

CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_BINARY = frozenset(("binary_data", "binary_data_size", "binary_data_output"))  # set by this module


class Body(NamedTuple):
    """The HTTP body of an infer request.

    Attributes:
        content: The body.
        header_length: Bytes of JSON at the start of the content.
        raw: Whether the tensors came as bytes; the response then has bytes too.
    """

    content: bytes
    header_length: int
    raw: bool


def request_body(request: Message) -> Body:
    """Convert an infer request to V2's binary body.

    Raises:
        RequestError: If a tensor's contents do not fit its shape or datatype.
    """
    for tensor in request.inputs:
        read_parameters({"parameters": _parameters(tensor.parameters)}, f"input {shown(tensor.name)}")
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise RequestError(
            f"raw_input_contents has {len(raw)} tensors for {counted(len(request.inputs), 'input')}; send one each, or none"
        )
    chunks: list[bytes] = []
    described: list[dict[str, Any]] = []
    for at, tensor in enumerate(request.inputs):
        chunks.append(_raw(tensor, raw[at]) if raw else _from_contents(tensor))
        parameters = _parameters(tensor.parameters) | {"binary_data_size": len(chunks[-1])}
        described.append(
            {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape), "parameters": parameters}
        )
    document: dict[str, Any] = {
        "inputs": described,
        "parameters": _parameters(request.parameters) | {"binary_data_output": True},
    }
    if request.id:
        document["id"] = request.id
    if request.outputs:
        document["outputs"] = [
            {"name": output.name, "parameters": _parameters(output.parameters) | {"binary_data": True}}
            for output in request.outputs
        ]
    header = json_bytes(document)
    return Body(b"".join((header, *chunks)), len(header), bool(raw))


def response(content: bytes, header_length: int, *, raw: bool) -> Message:
    """Convert a binary response body to a message.

    Args:
        content: The response body.
        header_length: Bytes of JSON at its start.
        raw: Return the outputs as bytes instead of typed contents.
    """
    document = orjson.loads(memoryview(content)[:header_length])
    answer = ModelInferResponse(
        model_name=document["model_name"], model_version=document.get("model_version") or "", id=document.get("id") or ""
    )
    position = header_length
    for described in document["outputs"]:
        output = answer.outputs.add(name=described["name"], datatype=described["datatype"], shape=described["shape"])
        end = position + described["parameters"]["binary_data_size"]
        data, position = content[position:end], end
        if raw:
            answer.raw_output_contents.append(data)
        else:
            getattr(output.contents, CONTENTS[output.datatype]).extend(_elements(output.datatype, data))
    return answer


def _raw(tensor: Message, data: bytes) -> bytes:
    if tensor.HasField("contents"):
        raise BadTensor(tensor.name, "has both contents and raw_input_contents; send one of them")
    return data


def _from_contents(tensor: Message) -> bytes:
    """Convert a tensor's typed contents to raw bytes."""
    name, datatype = tensor.name, tensors.check_datatype(tensor.name, tensor.datatype)
    if datatype not in CONTENTS:
        raise BadTensor(name, f"datatype {datatype} has no typed contents; send it in raw_input_contents")
    shape = list(tensor.shape)
    if any(size < 0 for size in shape):
        raise BadTensor(name, "'shape' must be a list of sizes such as [2, 1]")
    values = getattr(tensor.contents, CONTENTS[datatype])
    if len(values) != prod(shape):
        raise BadTensor(
            name, f"shape {shape[:4]} needs {counted(prod(shape), 'value')} in {CONTENTS[datatype]}, got {len(values)}"
        )
    if datatype == "BYTES":
        return b"".join(chain.from_iterable((len(one).to_bytes(tensors.LENGTH_BYTES, "little"), one) for one in values))
    array = np.fromiter(
        values, np.int64 if CONTENTS[datatype] in ("int_contents", "uint_contents") else tensors.NUMPY[datatype]
    )
    if datatype in tensors.INTEGERS and array.dtype != tensors.NUMPY[datatype]:
        limits = np.iinfo(tensors.NUMPY[datatype])
        wrong = (array < limits.min) | (array > limits.max)
        if wrong.any():
            at = int(wrong.argmax())
            raise BadTensor(name, f"value {at} is {array[at]}, which does not fit {datatype} ({limits.min} to {limits.max})")
    return tensors.bytes_from_array(datatype, array)


def _elements(datatype: str, data: bytes) -> list[Any]:
    if datatype != "BYTES":
        return np.frombuffer(data, tensors.NUMPY[datatype]).tolist()
    elements, position = [], 0
    while position < len(data):
        start = position + tensors.LENGTH_BYTES
        position = start + int.from_bytes(data[position:start], "little")
        elements.append(data[start:position])
    return elements


def _parameters(given: Message) -> dict[str, Any]:
    chosen = {name: (value.WhichOneof("parameter_choice"), value) for name, value in given.items() if name not in _BINARY}
    return {name: getattr(value, choice) for name, (choice, value) in chosen.items() if choice is not None}

"""V2 tensors on the wire: JSON lists and little-endian bytes, checked against datatype and shape, independent of any model.

The datatypes and the binary layout are those of the Open Inference Protocol's "binary tensor data extension".
"""

from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import Any, NoReturn

import numpy as np

from stagewright.components.predictor.wire.errors import BadTensor, counted, shown

NUMPY: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "INT8": np.dtype("<i1"), "INT16": np.dtype("<i2"), "INT32": np.dtype("<i4"), "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"), "UINT16": np.dtype("<u2"), "UINT32": np.dtype("<u4"), "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"), "FP32": np.dtype("<f4"), "FP64": np.dtype("<f8"),
}  # fmt: skip
INTEGERS = tuple(name for name, dtype in NUMPY.items() if dtype.kind in "iu")
DATATYPES = (*NUMPY, "BF16", "BYTES")
DIMENSIONS = 8  # most dimensions of a tensor
LENGTH_BYTES = 4  # before each element of a BYTES tensor, an unsigned little-endian integer

_TYPES: dict[str, tuple[frozenset[type], str]] = {
    "BOOL": (frozenset((bool,)), "a boolean"),
    "BYTES": (frozenset((str,)), "a string"),
    **{name: (frozenset((int,)), "an integer") for name in INTEGERS},
    **{name: (frozenset((float, int)), "a number") for name in ("FP16", "BF16", "FP32", "FP64")},
}
_NULL = frozenset((type(None),))


def check_datatype(name: str, datatype: Any) -> str:
    """Return `datatype` if the protocol has it.

    Raises:
        BadTensor: If the protocol has no such datatype.
    """
    if isinstance(datatype, str) and datatype in DATATYPES:
        return datatype
    raise BadTensor(name, f"datatype {shown(datatype)} is not supported; expected one of {', '.join(DATATYPES)}")


def check_shape(name: str, shape: Any) -> tuple[int, ...]:
    """Return `shape` as a tuple of sizes, rows first.

    Raises:
        BadTensor: If it is not a list of positive sizes, or has too many dimensions.
    """
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size >= 0 for size in shape):
        raise BadTensor(name, "'shape' must be a list of sizes such as [2, 1]")
    if len(shape) > DIMENSIONS:
        raise BadTensor(name, f"shape {_short(shape)} has {len(shape)} dimensions; expected at most {DIMENSIONS}")
    if 0 in shape:
        raise BadTensor(name, f"shape {shape} is empty: send at least one row")
    return tuple(shape)


def values_from_json(name: str, datatype: str, shape: Sequence[int], data: Any) -> list[Any]:
    """Elements of a JSON tensor as a flat list in row-major order. Data may be flat or nested; null is a missing value.

    Raises:
        BadTensor: If the data do not fit the shape or the datatype.
    """
    if not isinstance(data, list):
        raise BadTensor(name, f"'data' is {shown(data)}; expected a list")
    flat = _flat(name, shape, data)
    needed = prod(shape)
    if len(flat) != needed:
        raise BadTensor(name, f"shape {_short(shape)} needs {counted(needed, 'value')}, got {len(flat)}")
    allowed, noun = _TYPES[datatype]
    if not (allowed | _NULL).issuperset(map(type, flat)):
        at, value = next((i, v) for i, v in enumerate(flat) if type(v) not in allowed and v is not None)
        raise BadTensor(name, f"value {at} is {shown(value)}, which is not {noun} (datatype {datatype})")
    if datatype in INTEGERS:
        _check_range(name, datatype, flat)
    return flat


def array_from_bytes(name: str, datatype: str, shape: Sequence[int], data: memoryview) -> np.ndarray:
    """Elements of a binary tensor as an array [prod(shape)]. BYTES become str objects, BF16 becomes float32.

    Raises:
        BadTensor: If the bytes do not fit the shape, or are not UTF-8 text.
    """
    count = prod(shape)
    if datatype == "BYTES":
        return _strings_from_bytes(name, count, data)
    width = 2 if datatype == "BF16" else NUMPY[datatype].itemsize
    if len(data) != count * width:
        raise BadTensor(
            name, f"binary_data_size is {len(data)}, but shape {_short(shape)} of {datatype} takes {count * width} bytes"
        )
    if datatype == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    array = np.frombuffer(data, NUMPY[datatype])
    if not array.flags.aligned:  # the JSON header may have any length
        array = array.copy()
    # A byte above 1 is true in the protocol but undefined as a NumPy bool.
    return array.view(np.uint8) != 0 if datatype == "BOOL" else array


def bytes_from_array(datatype: str, array: np.ndarray) -> bytes:
    """Bytes of a binary tensor for an array of any shape."""
    if datatype != "BYTES":
        return np.ascontiguousarray(array, dtype=NUMPY[datatype]).tobytes()
    encoded = [str(value).encode() for value in array.ravel().tolist()]
    return b"".join(chain.from_iterable((len(one).to_bytes(LENGTH_BYTES, "little"), one) for one in encoded))


def _flat(name: str, shape: Sequence[int], data: list[Any]) -> list[Any]:
    """The innermost values of flat data, or of lists nested like the shape."""
    for axis in range(1, len(shape) + 1):
        types = set(map(type, data))
        if list not in types:
            return data
        if axis == len(shape):
            if axis > 1:
                return data  # lists instead of numbers: the type check reports them
            raise BadTensor(name, f"'data' is nested, but shape {_short(shape)} has one dimension")
        if len(types) > 1:
            raise BadTensor(name, "'data' mixes lists and single values")
        if set(map(len, data)) != {shape[axis]}:
            _refuse_lengths(name, shape, data, axis)
        data = list(chain.from_iterable(data))
    return data


def _refuse_lengths(name: str, shape: Sequence[int], data: list[Any], axis: int) -> NoReturn:
    at = next(at for at, values in enumerate(data) if len(values) != shape[axis])
    got = counted(len(data[at]), "value")
    row = at // prod(shape[1:axis])
    inside = f" has a list of {got}" if axis > 1 else f" has {got}"
    raise BadTensor(name, f"row {row}{inside}, but shape {_short(shape)} needs {shape[axis]}")


def _check_range(name: str, datatype: str, values: list[Any]) -> None:
    limits = np.iinfo(NUMPY[datatype])
    given = values if None not in values else [value for value in values if value is not None]
    if given and (min(given) < limits.min or max(given) > limits.max):
        at, value = next(
            (i, v) for i, v in enumerate(values) if v is not None and not limits.min <= v <= limits.max
        )  # fmt: skip
        raise BadTensor(name, f"value {at} is {value}, which does not fit {datatype} ({limits.min} to {limits.max})")


def _strings_from_bytes(name: str, count: int, data: memoryview) -> np.ndarray:
    strings: list[str] = []
    position, end = 0, len(data)
    while position < end:
        start = position + LENGTH_BYTES
        position = start + int.from_bytes(data[position:start], "little")
        if start > end or position > end:
            raise BadTensor(name, f"element {len(strings)} of the binary data runs past its end")
        if len(strings) == count:
            raise BadTensor(name, f"the binary data hold more than the {counted(count, 'element')} of its shape")
        try:
            strings.append(str(data[start:position], "utf-8"))
        except UnicodeDecodeError:
            raise BadTensor(name, f"element {len(strings)} of the binary data is not UTF-8 text") from None
    if len(strings) != count:
        raise BadTensor(name, f"the binary data hold {counted(len(strings), 'element')}, but its shape needs {count}")
    array = np.empty(count, dtype=object)
    array[:] = strings
    return array


def _short(shape: Sequence[int]) -> str:
    sizes = [str(size) for size in shape[:4]]
    return f"[{', '.join(sizes)}{', ...' if len(shape) > 4 else ''}]"

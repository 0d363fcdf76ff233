"""The parts of ONNX's format that are needed to find the trees in a graph and to split it.

The model server's image has protobuf but not the onnx package. Fields that these messages do not declare are preserved when a
graph is serialized again.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_TYPES = {"str": 9, "bytes": 12, "int64": 3, "int32": 5, "float": 2}
# Message: field: (number, type, whether repeated); numbers are those of onnx.proto.
_MESSAGES: dict[str, dict[str, tuple[int, str, bool]]] = {
    "Model": {"graph": (7, "Graph", False)},
    "Graph": {"node": (1, "Node", True), "initializer": (5, "Tensor", True), "input": (11, "Value", True),
              "output": (12, "Value", True), "value_info": (13, "Value", True)},
    "Node": {"input": (1, "str", True), "output": (2, "str", True), "op_type": (4, "str", False),
             "attribute": (5, "Attribute", True), "domain": (7, "str", False)},
    "Attribute": {"name": (1, "str", False), "f": (2, "float", False), "i": (3, "int64", False), "s": (4, "bytes", False),
                  "floats": (7, "float", True), "ints": (8, "int64", True), "strings": (9, "bytes", True),
                  "type": (20, "int32", False)},
    "Tensor": {"name": (8, "str", False)},
    "Value": {"name": (1, "str", False), "type": (2, "Type", False)},
    "Type": {"tensor_type": (1, "TensorType", False)},
    "TensorType": {"elem_type": (1, "int32", False), "shape": (2, "Shape", False)},
    "Shape": {"dim": (1, "Size", True)},
    "Size": {"dim_value": (1, "int64", False), "dim_param": (2, "str", False)},
}  # fmt: skip
_FLOAT = 1
_PACKAGE = "stagewright.onnx"


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="stagewright/onnx.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            own = kind in _MESSAGES
            message.field.add(
                name=field, number=number, label=3 if repeated else 1, type=11 if own else _TYPES[kind],  # type: ignore[arg-type]
                type_name=f".{_PACKAGE}.{kind}" if own else None,
            )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call]
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES}


CLASS = _classes()


def attributes(node: Any) -> dict[str, Any]:
    """Values of a node's attributes by name; None for types that are not supported."""
    forms = {1: "f", 2: "i", 3: "s", 6: "floats", 7: "ints", 8: "strings"}
    return {one.name: getattr(one, forms[one.type]) if one.type in forms else None for one in node.attribute}


def matrix(name: str) -> Any:
    """Declaration of a float matrix [N, any]."""
    tensor = CLASS["TensorType"](elem_type=_FLOAT, shape=CLASS["Shape"](dim=[CLASS["Size"](), CLASS["Size"]()]))
    return CLASS["Value"](name=name, type=CLASS["Type"](tensor_type=tensor))

"""The signature of a served model: what goes in, what comes out. Read by the predictor, so nothing heavy is imported."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from stagewright.components.runtime.errors import InputError

# How a kind of column travels in a V2 request, and the element type of its input in the ONNX graph.
WIRE_DATATYPES = {
    "numeric": "FP32", "boolean": "BOOL", "datetime": "BYTES", "categorical": "BYTES", "text": "BYTES",
}  # fmt: skip
GRAPH_TYPES = {
    "numeric": "float", "boolean": "float", "datetime": "int64", "categorical": "string", "text": "string",
}  # fmt: skip
MISSING_STRING = ""  # a missing category or text, as the graph sees it; a missing number or boolean is NaN
MISSING_TIME = -(2**63)  # a missing time; other times are microseconds since 1970 in UTC
FILE = "signature.json"


@dataclass(frozen=True, slots=True)
class Input:
    """One raw column that the model takes, shape [-1, 1].

    Attributes:
        kind: numeric, boolean, datetime, categorical or text.
        nullable: Whether a missing value is accepted.
        categories: Values seen in training, most frequent first; others are accepted and treated as unseen.
    """

    name: str
    kind: str
    nullable: bool = True
    categories: tuple[str, ...] | None = None

    @property
    def datatype(self) -> str:
        return WIRE_DATATYPES[self.kind]


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs in their order and what the model answers.

    A classifier's graph has outputs `label` [-1] and `probabilities` [-1, classes]; a regressor's has `prediction` [-1].

    Attributes:
        task: binary, multiclass or regression.
        classes: Labels in the order of the probabilities; None for regression.
        threshold: Probability of the second class from which a binary model answers it.
    """

    task: str
    inputs: tuple[Input, ...]
    classes: tuple[str | int | bool, ...] | None = None
    threshold: float = 0.5
    target: str | None = None
    framework: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.inputs)

    @property
    def label_datatype(self) -> str:
        """V2 datatype of the label: BYTES, INT64 or BOOL."""
        first = (self.classes or ("",))[0]
        return "BOOL" if isinstance(first, bool) else "INT64" if isinstance(first, int) else "BYTES"

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """Outputs as V2 metadata: name, datatype, shape."""
        if self.classes is None:
            return [{"name": "prediction", "datatype": "FP32", "shape": [-1]}]
        return [
            {"name": "label", "datatype": self.label_datatype, "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(self.classes)]},
        ]

    def to_dict(self) -> dict[str, Any]:
        document = asdict(self)
        for column, given in zip(document["inputs"], self.inputs, strict=True):
            column |= {"datatype": given.datatype, "shape": [-1, 1]}
        return document | {"outputs": self.outputs}

    def write(self, folder: str | Path) -> None:
        (Path(folder) / FILE).write_text(json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """The signature in a folder.

        Raises:
            InputError: If the file is missing or malformed.
        """
        path = Path(folder) / FILE
        try:
            return cls.from_dict(json.loads(path.read_text()))
        except FileNotFoundError:
            raise InputError(f"no {FILE} in {folder}: this is not an exported model") from None
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is not a model signature: {error}") from None

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        return cls(
            task=document["task"],
            inputs=tuple(input_from_dict(column) for column in document["inputs"]),
            classes=_tuple(document.get("classes")),
            threshold=document.get("threshold", 0.5),
            target=document.get("target"),
            framework=document.get("framework"),
        )


def input_from_dict(document: dict[str, Any]) -> Input:
    """An Input from its JSON form; `datatype` and `shape` there are for readers and follow from the kind."""
    if document["kind"] not in WIRE_DATATYPES:
        raise ValueError(f"input '{document['name']}' has unknown kind '{document['kind']}'")
    return Input(document["name"], document["kind"], document.get("nullable", True), _tuple(document.get("categories")))


def _tuple(values: Sequence[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)

"""The signature of a served model: what goes in, what comes out. Read by the predictor, so nothing heavy is imported."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError

# How a kind of column travels in a V2 request, and the element type of its input in the ONNX graph.
WIRE_DATATYPES = {
    "numeric": "FP32", "boolean": "BOOL", "datetime": "BYTES", "categorical": "BYTES", "text": "BYTES",
    "image": "UINT8", "tensor": "FP32",
}  # fmt: skip
GRAPH_TYPES = {
    "numeric": "float", "boolean": "float", "datetime": "int64", "categorical": "string", "text": "string",
    "image": "uint8", "tensor": "float",
}  # fmt: skip
TENSOR_KINDS = frozenset(("image", "tensor"))  # kinds whose rows are more than one value
# Types in which a graph from elsewhere may want a number or a truth value: exactly so, and never missing unless it is a float.
EXACT_TYPES = {
    "FP64": "double", "FP16": "float16", "INT64": "int64", "INT32": "int32", "INT16": "int16", "INT8": "int8",
    "UINT64": "uint64", "UINT32": "uint32", "UINT16": "uint16", "UINT8": "uint8", "BOOL": "bool",
}  # fmt: skip
TOKENIZED = "int64"  # of a text that is fed as token ids
# What one inference of a network takes: it computes many numbers for each token of a text, and for each value of an image.
TOKENS_AT_ONCE, VALUES_AT_ONCE = 16_384, 2_097_152
MISSING_STRING = ""  # a missing category or text, as the graph sees it; a missing number or boolean is NaN
MISSING_TIME = -(2**63)  # a missing time; other times are microseconds since 1970 in UTC
ANSWERS = "FP32"  # of nearly every model
FILE = "signature.json"


@dataclass(frozen=True, slots=True)
class Input:
    """One raw column that the model takes; rows are the first axis of its tensor.

    Attributes:
        kind: numeric, boolean, datetime, categorical, text, image or tensor.
        nullable: Whether a missing value is accepted; an image or a tensor is never missing.
        categories: Values seen in training, most frequent first; others are accepted and treated as unseen.
        shape: Of one row's value: (1,) for a single value, (channels, height, width) for an image.
        tokenizer: File beside the signature that splits a text into token ids, in the format of Hugging Face's tokenizers;
            None for a text that the graph takes as it is.
        exact: V2 datatype that the graph takes a number or a truth value in, where it is not float32.
        max_tokens: A tokenized text is cut to this many ids, those that mark its begin and end included.
    """

    name: str
    kind: str
    nullable: bool = True
    categories: tuple[str, ...] | None = None
    shape: tuple[int, ...] = (1,)
    tokenizer: str | None = None
    max_tokens: int | None = None
    exact: str | None = None

    @property
    def datatype(self) -> str:
        """V2 datatype on the wire."""
        return self.exact or WIRE_DATATYPES[self.kind]

    @property
    def graph_type(self) -> str:
        """Element type of the graph's input: float, int64, string or uint8, or another that it wants exactly."""
        if self.exact is not None:
            return EXACT_TYPES[self.exact]
        return GRAPH_TYPES[self.kind] if self.tokenizer is None else TOKENIZED

    @property
    def graph_shape(self) -> tuple[int | None, ...]:
        """Shape of one row in the graph; None for the tokens of a text, as many as the longest of a batch has."""
        return self.shape if self.tokenizer is None else (None,)

    def to_dict(self) -> dict[str, Any]:
        """As JSON; what only tensors and tokens have is left out of others, so that their hashes stay what they were."""
        document: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "nullable": self.nullable,
            "categories": self.categories,
        }
        if self.shape != (1,):
            document["shape"] = [-1, *self.shape]
        if self.exact is not None:
            document["exact"] = self.exact
        if self.tokenizer is not None:
            document |= {"tokenizer": self.tokenizer, "max_tokens": self.max_tokens}
        return document


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs in their order and what the model answers.

    A classifier's graph has outputs `label` [-1] and `probabilities` [-1, classes]; a regressor's has `prediction` [-1].

    Attributes:
        task: binary, multiclass or regression.
        classes: Labels in the order of the probabilities; None for regression.
        answers: V2 datatype of the probabilities or the prediction: FP32, or FP64 for a graph from elsewhere.
        threshold: Probability of the second class from which a binary model answers it.
    """

    task: str
    inputs: tuple[Input, ...]
    classes: tuple[str | int | bool, ...] | None = None
    threshold: float = 0.5
    target: str | None = None
    framework: str | None = None
    answers: str = ANSWERS

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
            return [{"name": "prediction", "datatype": self.answers, "shape": [-1]}]
        return [
            {"name": "label", "datatype": self.label_datatype, "shape": [-1]},
            {"name": "probabilities", "datatype": self.answers, "shape": [-1, len(self.classes)]},
        ]

    def to_dict(self) -> dict[str, Any]:
        columns = [given.to_dict() | {"datatype": given.datatype, "shape": [-1, *given.shape]} for given in self.inputs]
        document = asdict(self) | {"inputs": columns, "outputs": self.outputs}
        if self.answers == ANSWERS:
            del document["answers"]
        return document

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
            return cls.from_dict(read_json(path.read_text()))
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
            answers=_answers(document.get("answers", ANSWERS)),
        )


def input_from_dict(document: dict[str, Any]) -> Input:
    """An Input from its JSON form: `datatype` there is for readers, `shape` is that of the whole tensor, [-1, 3, 32, 32].

    Raises:
        ValueError: For a kind, a shape or a tokenizer that there cannot be.
    """
    name, kind = document["name"], document["kind"]
    if kind not in WIRE_DATATYPES:
        raise ValueError(f"input '{name}' has unknown kind '{kind}'")
    shape = tuple(document.get("shape") or (-1, 1))
    if shape[0] != -1 or len(shape) < 2 or not all(type(size) is int and size > 0 for size in shape[1:]):
        raise ValueError(f"input '{name}' has shape {list(shape)}; expected [-1, ...] with sizes above 0")
    if kind not in TENSOR_KINDS and shape != (-1, 1):
        raise ValueError(f"input '{name}' is {kind} and has shape {list(shape)}; expected [-1, 1]")
    tokenizer, limit = document.get("tokenizer"), document.get("max_tokens")
    if tokenizer is not None and (kind != "text" or type(limit) is not int or limit < 1 or Path(tokenizer).name != tokenizer):
        raise ValueError(f"input '{name}' has a tokenizer, which takes kind text, a file's name and max_tokens above 0")
    exact = document.get("exact")
    if exact is not None and (kind not in ("numeric", "boolean") or exact not in EXACT_TYPES):
        raise ValueError(
            f"input '{name}' is {kind} of exact type '{exact}'; expected a number in one of {', '.join(EXACT_TYPES)}"
        )
    nullable, categories = document.get("nullable", True), _tuple(document.get("categories"))
    return Input(name, kind, nullable, categories, shape[1:], tokenizer, limit, exact)


def _answers(datatype: str) -> str:
    if datatype not in (ANSWERS, "FP64"):
        raise ValueError(f"the model's answers are {datatype}; expected FP32 or FP64")
    return datatype


def _tuple(values: Sequence[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)

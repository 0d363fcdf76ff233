"""The network of the framework torch: architecture, forward pass, ONNX graph."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import nn

from stagewright.components.training.frameworks._base import IR_VERSION, OPSETS, Split

if TYPE_CHECKING:
    from stagewright.components.runtime.feature_graph import Feature


@dataclass(frozen=True, slots=True)
class Embedding:
    """A column of codes 0 to cardinality - 1, each with a learned vector; row 0 of the table is for other values."""

    column: int
    cardinality: int
    size: int


@dataclass(frozen=True, slots=True)
class Architecture:
    """Description of a network without its weights.

    Attributes:
        numeric: Columns of the matrix that are used without an embedding.
        hidden: Units of each hidden layer.
        classes: Number of classes; 0 for regression.
        mean: Mean of the target, for regression; the network predicts (target - mean) / scale.
    """

    numeric: tuple[int, ...]
    embeddings: tuple[Embedding, ...]
    hidden: tuple[int, ...]
    dropout: float
    classes: int
    mean: float = 0.0
    scale: float = 1.0

    @property
    def width(self) -> int:
        """Number of columns of the matrix."""
        return len(self.numeric) + len(self.embeddings)

    @property
    def inputs(self) -> int:
        """Number of inputs of the first layer."""
        return len(self.numeric) + sum(embedding.size for embedding in self.embeddings)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        return cls(
            **dict(document)
            | {
                "numeric": tuple(document["numeric"]),
                "hidden": tuple(document["hidden"]),
                "embeddings": tuple(Embedding(**embedding) for embedding in document["embeddings"]),
            }
        )


def architecture(features: "Sequence[Feature]", train: Split, classes: int, params: Mapping[str, Any]) -> Architecture:
    """A network for these features; an embedding has about 1.6 * cardinality ** 0.56 units, at most 64 (fastai's rule)."""
    codes = {position: feature for position, feature in enumerate(features) if feature.kind == "code" and feature.cardinality}
    embeddings = tuple(
        Embedding(position, feature.cardinality, params["embedding_size"] or min(64, round(1.6 * feature.cardinality**0.56)))
        for position, feature in codes.items()
        if feature.cardinality
    )
    spread = 0.0 if classes else float(train.y.std())
    return Architecture(
        numeric=tuple(position for position in range(len(features)) if position not in codes),
        embeddings=embeddings,
        hidden=tuple(params["hidden"]),
        dropout=params["dropout"],
        classes=classes,
        mean=0.0 if classes else float(train.y.mean()),
        scale=spread or 1.0,
    )


class Network(nn.Module):
    """Embeddings beside numeric columns, then linear, batch normalization, ReLU and dropout for each hidden layer."""

    columns: torch.Tensor

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.shape = shape
        self.tables = nn.ModuleList(_silent_table(entry) for entry in shape.embeddings)
        sizes = (shape.inputs, *shape.hidden)
        self.linears = nn.ModuleList(nn.Linear(given, made) for given, made in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(made) for made in shape.hidden)
        self.dropout = nn.Dropout(shape.dropout)
        self.head = nn.Linear(sizes[-1], shape.classes or 1)
        self.register_buffer("columns", torch.tensor(shape.numeric, dtype=torch.int64), persistent=False)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Logits [N, C], or standardized values [N, 1]."""
        parts = [X.index_select(1, self.columns)]
        for entry, table in zip(self.shape.embeddings, self.tables, strict=True):
            code = X[:, entry.column].round().long() + 1
            parts.append(table(torch.where((code >= 1) & (code <= entry.cardinality), code, 0)))
        hidden = torch.cat(parts, dim=1)
        for linear, norm in zip(self.linears, self.norms, strict=True):
            hidden = self.dropout(torch.relu(norm(linear(hidden))))
        return self.head(hidden)

    def losses(self, X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Cross-entropy or squared error of each row, [N]."""
        raw = self(X)
        return nn.functional.cross_entropy(raw, y, reduction="none") if self.shape.classes else (raw[:, 0] - y) ** 2


def _silent_table(entry: Embedding) -> nn.Embedding:
    """Vectors of zeros: a code that does not occur in training keeps its zeros and has no effect."""
    return nn.Embedding.from_pretrained(torch.zeros(entry.cardinality + 1, entry.size), freeze=False)


def graph(network: Network) -> ModelProto:
    """The network as ONNX. Batch normalization is folded into the layer before it, so a layer is Gemm and Relu."""
    builder = _Builder()
    shape = network.shape
    hidden = _entrance(network, builder)
    for linear, norm in zip(network.linears, network.norms, strict=True):
        weight, bias = _folded(linear, norm)
        hidden = builder.add("Relu", builder.add("Gemm", hidden, builder.constant(weight), builder.constant(bias)))
    weight, bias = (_array(value) for value in (network.head.weight.T, network.head.bias))
    if shape.classes:
        raw = builder.add("Gemm", hidden, builder.constant(weight), builder.constant(bias))
        builder.add("Softmax", raw, output="probabilities", axis=1)
        output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, shape.classes])
    else:
        weight, bias = weight * np.float32(shape.scale), bias * np.float32(shape.scale) + np.float32(shape.mean)
        builder.add("Gemm", hidden, builder.constant(weight), builder.constant(bias), output="prediction")
        output = helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [None, 1])
    given = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, shape.width])
    made = helper.make_graph(builder.nodes, "mlp", [given], [output], initializer=builder.initializers)
    opsets = [helper.make_opsetid("", OPSETS[""])]
    return helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION)


class _Builder:
    """Nodes and constants of a graph, with generated names."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []

    def constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name


def _entrance(network: Network, builder: _Builder) -> str:
    """Inputs of the first layer: the numeric columns, then the embeddings."""
    shape = network.shape
    if not shape.embeddings:
        return "features"
    parts = []
    if shape.numeric:
        parts.append(builder.add("Gather", "features", builder.constant(np.array(shape.numeric, np.int64)), axis=1))
    zero, one = builder.constant(np.array(0, np.int64)), builder.constant(np.array(1, np.int64))
    columns = builder.constant(np.array([entry.column for entry in shape.embeddings], np.int64))
    highest = builder.constant(np.array([entry.cardinality for entry in shape.embeddings], np.int64))
    rounded = builder.add("Round", builder.add("Gather", "features", columns, axis=1))
    codes = builder.add("Add", builder.add("Cast", rounded, to=TensorProto.INT64), one)
    known = builder.add("And", builder.add("GreaterOrEqual", codes, one), builder.add("LessOrEqual", codes, highest))
    rows = builder.add("Where", known, codes, zero)
    for position, table in enumerate(network.tables):
        row = builder.add("Gather", rows, builder.constant(np.array(position, np.int64)), axis=1)
        parts.append(builder.add("Gather", builder.constant(_array(table.weight)), row, axis=0))
    return builder.add("Concat", *parts, axis=1)


def _folded(linear: Any, norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Weight [in, out] and bias of a linear layer together with the batch normalization after it."""
    mean, variance, gamma, beta = (
        _array(value).astype(np.float64) for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    factor = gamma / np.sqrt(variance + norm.eps)
    weight = _array(linear.weight).astype(np.float64).T * factor
    bias = (_array(linear.bias).astype(np.float64) - mean) * factor + beta
    return weight.astype(np.float32), bias.astype(np.float32)


def _array(value: Any) -> np.ndarray:
    made: np.ndarray = value.detach().cpu().numpy()
    return made

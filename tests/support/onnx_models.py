"""Small real models in the exported form (`model.onnx`, `signature.json`), made without a training run."""

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from stagewright.components.runtime.signature import MISSING_TIME, Input, Signature

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.base import BaseEstimator

OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]

MIXED = Signature(
    task="binary",
    inputs=(
        Input("tenure", "numeric"),
        Input("charges", "numeric", nullable=False),
        Input("contract", "categorical", categories=("Month-to-month", "One year", "1")),
        Input("senior", "boolean"),
        Input("since", "datetime"),
        Input("note", "text", nullable=False),
    ),
    classes=("No", "Yes"),
    target="churn",
    framework="sklearn",
)


def write_mixed(folder: Path, signature: Signature = MIXED) -> Path:
    """A logistic model of all five kinds of columns, each of which moves the probability; missing values have effects too."""
    names = {"numeric": TensorProto.FLOAT, "boolean": TensorProto.FLOAT, "datetime": TensorProto.INT64}
    inputs = [
        helper.make_tensor_value_info(given.name, names.get(given.kind, TensorProto.STRING), [None, 1])
        for given in MIXED.inputs
    ]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.STRING, [None]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]),
    ]
    constants = {"three": 3.0, "tenth": 0.1, "hundredth": 0.01, "year": 1e-15, "one": 1.0, "half": 0.5, "two": 2.0, "zero": 0.0}
    fixed = [helper.make_tensor(name, TensorProto.FLOAT, [1], [value]) for name, value in constants.items()]
    fixed += [
        helper.make_tensor("never", TensorProto.INT64, [1], [MISSING_TIME]),
        helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
    ]
    node = helper.make_node
    nodes = [
        *_filled("tenure", "three"), *_filled("senior", "half"),
        node("Mul", ["tenure_filled", "tenth"], ["by_tenure"]),
        node("Mul", ["charges", "hundredth"], ["by_charges"]),
        node("LabelEncoder", ["contract"], ["by_contract"], domain="ai.onnx.ml", default_float=-0.25,
             keys_strings=["Month-to-month", "One year", "1", "true", ""], values_floats=[1.0, -1.0, 2.0, 3.0, 0.5]),
        node("LabelEncoder", ["note"], ["by_note"], domain="ai.onnx.ml", default_float=0.0,
             keys_strings=["angry", "müde"], values_floats=[1.5, -1.5]),
        node("Cast", ["since"], ["since_float"], to=TensorProto.FLOAT),
        node("Mul", ["since_float", "year"], ["since_scaled"]),
        node("Equal", ["since", "never"], ["since_missing"]),
        node("Where", ["since_missing", "two", "since_scaled"], ["by_since"]),
        node("Sum", ["by_tenure", "by_charges", "by_contract", "by_note", "senior_filled", "by_since"], ["sum"]),
        node("Sub", ["sum", "three"], ["logit"]),
        node("Sigmoid", ["logit"], ["yes"]),
        node("Sub", ["one", "yes"], ["no"]),
        node("Concat", ["no", "yes"], ["probabilities"], axis=1),
        node("GreaterOrEqual", ["yes", "half"], ["is_yes"]),
        node("Reshape", ["is_yes", "flat"], ["is_yes_flat"]),
        node("Cast", ["is_yes_flat"], ["code"], to=TensorProto.INT64),
        node("LabelEncoder", ["code"], ["label"], domain="ai.onnx.ml", keys_int64s=[0, 1], values_strings=["No", "Yes"]),
    ]  # fmt: skip
    graph = helper.make_graph(nodes, "mixed", inputs, outputs, fixed)
    return _write(folder, helper.make_model(graph, opset_imports=OPSETS, ir_version=9), signature)


def write_wine(folder: Path) -> Path:
    """scikit-learn's logistic regression on its wines: 13 numeric columns, three integer classes."""
    from sklearn.datasets import load_wine
    from sklearn.linear_model import LogisticRegression

    bunch = load_wine(as_frame=True)
    data = bunch.data.rename(columns=lambda name: name.replace("/", "_"))  # skl2onnx would rename it inside the graph
    graph = _fit(data, bunch.target, LogisticRegression(max_iter=500), classifier=True)
    columns = tuple(Input(name, "numeric") for name in data.columns)
    return _write(folder, graph, Signature("multiclass", columns, classes=(0, 1, 2), target="cultivar", framework="sklearn"))


def write_diabetes(folder: Path) -> Path:
    """scikit-learn's histogram gradient boosting on its diabetes patients: 10 numeric columns, a number."""
    from sklearn.datasets import load_diabetes
    from sklearn.ensemble import HistGradientBoostingRegressor

    bunch = load_diabetes(as_frame=True)
    graph = _fit(bunch.data, bunch.target, HistGradientBoostingRegressor(max_iter=20), classifier=False)
    columns = tuple(Input(name, "numeric") for name in bunch.data.columns)
    return _write(folder, graph, Signature("regression", columns, target="progression", framework="sklearn"))


def write_slow(folder: Path, *, size: int = 1500, repeats: int = 20) -> Path:
    """A regressor of one column that takes about a second of real work for a row: a chain of large matrix products."""
    node = helper.make_node
    nodes = [
        node("ReduceMean", ["x"], ["mean"], keepdims=0),
        node("Mul", ["mean", "small"], ["seed"]),
        node("Expand", ["seed", "shape"], ["product_0"]),
        *chain.from_iterable(
            (node("MatMul", [f"product_{i}", f"product_{i}"], [f"raw_{i}"]), node("Tanh", [f"raw_{i}"], [f"product_{i + 1}"]))
            for i in range(repeats)
        ),
        node("ReduceMean", [f"product_{repeats}"], ["end"], keepdims=0),
        node("Mul", ["end", "zero"], ["nothing"]),
        node("Add", ["x", "nothing"], ["column"]),
        node("Reshape", ["column", "flat"], ["prediction"]),
    ]
    fixed = [
        helper.make_tensor("shape", TensorProto.INT64, [2], [size, size]),
        helper.make_tensor("small", TensorProto.FLOAT, [], [1e-3]),
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])
    y = helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [None])
    graph = helper.make_graph(nodes, "slow", [x], [y], fixed)
    model = helper.make_model(graph, opset_imports=OPSETS, ir_version=9)
    return _write(folder, model, Signature("regression", (Input("x", "numeric"),)))


def direct(folder: Path, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ONNX Runtime itself answers."""
    session = ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def _fit(table: "pd.DataFrame", target: "pd.Series", estimator: "BaseEstimator", *, classifier: bool) -> onnx.ModelProto:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    gathered = ColumnTransformer([("all", "passthrough", list(table.columns))])
    pipeline = make_pipeline(gathered, StandardScaler(), estimator)
    pipeline.fit(table.astype(np.float32), target)
    options = {id(estimator): {"zipmap": False}} if classifier else None
    model = convert_sklearn(
        pipeline, initial_types=[(name, FloatTensorType([None, 1])) for name in table.columns], options=options,
        target_opset={"": 18, "ai.onnx.ml": 3},
    )  # fmt: skip
    if not classifier:
        model.graph.node.append(helper.make_node("Identity", [model.graph.output[0].name], ["prediction"]))
        model.graph.output[0].name = "prediction"
    return model


def _write(folder: Path, model: onnx.ModelProto, signature: Signature) -> Path:
    onnx.checker.check_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    signature.write(folder)
    return folder


def _filled(name: str, default: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("IsNaN", [name], [f"{name}_missing"]),
        helper.make_node("Where", [f"{name}_missing", default, name], [f"{name}_filled"]),
    ]

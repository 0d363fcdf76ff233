"""A served network large enough to be worth quantizing, made in a moment: random features of digits, the last layer solved for.

Its graph has all that a quantizer must leave alone: a column of text, columns put together, a rule that makes a label.
"""

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import polars as pl
from onnx import TensorProto, helper, numpy_helper

from stagewright.components.export.import_model import import_model
from stagewright.components.runtime import tables
from stagewright.components.runtime.signature import Input, Signature

PIXELS = 64
HIDDEN = 512
CLASSES = tuple(range(10))
OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
COLUMNS = tuple(f"p{at}" for at in range(PIXELS))
LEARNED = 1200  # rows; the others are for measuring


@cache
def table() -> pl.DataFrame:
    """1,797 digits as 64 columns of numbers, the writer's hand as text, and `digit`."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = pl.DataFrame(bunch.data, schema=list(COLUMNS), orient="row")
    hand = pl.Series("hand", np.where(np.arange(pixels.height) % 3 == 0, "left", "right"))
    frame = pixels.with_columns(hand, pl.Series("digit", bunch.target))
    return frame[np.random.default_rng(0).permutation(frame.height)]


def measured() -> pl.DataFrame:
    """Rows that the network has not seen."""
    return table()[LEARNED:]


@cache
def graph() -> onnx.ModelProto:
    """The served graph: 65 columns -> label, probabilities; its estimator is two wide layers and a small one."""
    random = np.random.default_rng(0)
    features = _features(table())
    first = random.normal(0, 1 / 8, (PIXELS + 1, HIDDEN)).astype(np.float32)
    second = random.normal(0, HIDDEN**-0.5, (HIDDEN, HIDDEN)).astype(np.float32)
    bias = random.normal(0, 0.3, HIDDEN).astype(np.float32)
    hidden = np.maximum(np.maximum(features @ first + bias, 0) @ second, 0)[:LEARNED].astype(np.float64)
    wanted = np.eye(len(CLASSES))[table()["digit"].to_numpy()[:LEARNED]]
    last = np.linalg.solve(hidden.T @ hidden + np.eye(HIDDEN), hidden.T @ wanted) * 12
    weights = {"w1": first, "b1": bias, "w2": second, "w3": last.astype(np.float32), "b3": np.zeros(len(CLASSES), np.float32)}
    constants = [numpy_helper.from_array(value, f"estimator/{name}") for name, value in weights.items()]
    constants += [
        numpy_helper.from_array(np.float32(16), "sixteen"),
        numpy_helper.from_array(np.array(CLASSES), "head/classes"),
    ]
    node = helper.make_node
    nodes = [
        node(
            "LabelEncoder",
            ["hand"],
            ["coded"],
            domain="ai.onnx.ml",
            keys_strings=["left"],
            values_floats=[1.0],
            default_float=0.0,
        ),
        node("Concat", list(COLUMNS), ["pixels"], axis=1),
        node("Div", ["pixels", "sixteen"], ["scaled"]),
        node("Concat", ["scaled", "coded"], ["features"], axis=1),
        node("MatMul", ["features", "estimator/w1"], ["estimator/h1"]),
        node("Add", ["estimator/h1", "estimator/b1"], ["estimator/a1"]),
        node("Relu", ["estimator/a1"], ["estimator/r1"]),
        node("MatMul", ["estimator/r1", "estimator/w2"], ["estimator/h2"]),
        node("Relu", ["estimator/h2"], ["estimator/r2"]),
        node("Gemm", ["estimator/r2", "estimator/w3", "estimator/b3"], ["estimator/h3"]),
        node("Softmax", ["estimator/h3"], ["probabilities"], axis=1),
        node("ArgMax", ["probabilities"], ["head/class"], axis=1, keepdims=0),
        node("Gather", ["head/classes", "head/class"], ["label"], axis=0),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1]) for name in COLUMNS]
    inputs.append(helper.make_tensor_value_info("hand", TensorProto.STRING, ["N", 1]))
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(CLASSES)]),
    ]
    made = helper.make_graph(nodes, "digits", inputs, outputs, initializer=constants)
    model = helper.make_model(made, opset_imports=OPSETS, ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


SIGNATURE = Signature(
    task="multiclass",
    inputs=(*(Input(name, "numeric") for name in COLUMNS), Input("hand", "categorical", categories=("right", "left"))),
    classes=CLASSES,
    target="digit",
    framework="torch",
)


def write(folder: Path) -> Path:
    """The model as an exported folder without a record of its training."""
    serving = folder / "serving"
    serving.mkdir(parents=True)
    onnx.save(graph(), str(serving / "model.onnx"))
    SIGNATURE.write(serving)
    return folder


def write_forest(folder: Path) -> tuple[Path, Path]:
    """A random forest of the same digits, imported as a bare ONNX file, and rows for it."""
    import skl2onnx
    from sklearn.ensemble import RandomForestClassifier

    pixels, names = table().select(COLUMNS).to_numpy().astype(np.float32), list(COLUMNS)
    forest = RandomForestClassifier(60, random_state=0).fit(pixels[:LEARNED], table()["digit"].to_numpy()[:LEARNED])
    opsets = {opset.domain: opset.version for opset in OPSETS}
    made = skl2onnx.to_onnx(forest, pixels[:1], options={"zipmap": False}, target_opset=opsets)
    onnx.save(made, str(folder / "forest.onnx"))
    signature = import_model(str(folder / "forest.onnx"), folder / "forest")
    tables.write_table(measured().rename(dict(zip(names, signature.names, strict=True))), folder / "rows.parquet")
    return folder / "forest", folder / "rows.parquet"


def _features(frame: pl.DataFrame) -> np.ndarray:
    coded = (frame["hand"] == "left").to_numpy().astype(np.float32)
    return np.column_stack([frame.select(COLUMNS).to_numpy() / 16, coded]).astype(np.float32)

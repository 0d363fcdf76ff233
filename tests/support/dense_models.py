"""A model that is served badly on purpose: a network whose rows are many times cheaper together than one by one."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from onnx import TensorProto, checker, helper, numpy_helper

from stagewright.components.runtime.serving_settings import ServingSettings
from stagewright.components.runtime.signature import Input, Signature
from support import onnx_models

COLUMNS = ("length", "width", "height", "weight")
CLASSES = (0, 1, 2)
LAYERS, ROWS = 3, 60
BAD = ServingSettings(threads=1, concurrency=1, graph_optimization="disabled", batch_rows=1)


def write_badly_served(folder: Path, *, size: int = 2048) -> Path:
    """A classifier of four numbers by dense layers of random weights: reading 16 MiB a layer takes longer than computing.

    Its settings let every request wait for all before it, one inference each.

    Args:
        size: Of a layer.
    """
    random = np.random.default_rng(0)
    sizes = [len(COLUMNS), *[size] * (LAYERS + 1), len(CLASSES)]
    nodes = [helper.make_node("Concat", [*COLUMNS], ["hidden_0"], axis=1)]
    weights = []
    for at, (rows, columns) in enumerate(pairwise(sizes)):
        values = random.normal(0, rows**-0.5, (rows, columns)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"weights_{at}"))
        nodes.append(helper.make_node("MatMul", [f"hidden_{at}", f"weights_{at}"], [f"sum_{at}"]))
        nodes.append(helper.make_node("Tanh", [f"sum_{at}"], [f"hidden_{at + 1}"]))
    nodes.append(helper.make_node("Softmax", [f"hidden_{len(sizes) - 1}"], ["probabilities"], axis=1))
    nodes.append(helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0))
    graph = helper.make_graph(
        nodes, "dense", [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in COLUMNS],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, len(CLASSES)]),
        ],
        weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=onnx_models.OPSETS, ir_version=9)
    checker.check_model(model)
    serving = folder / "serving"
    serving.mkdir(parents=True)
    (serving / "model.onnx").write_bytes(model.SerializeToString())
    inputs = tuple(Input(name, "numeric", nullable=False) for name in COLUMNS)
    Signature("multiclass", inputs, classes=CLASSES, target="kind").write(serving)
    _write_baseline(serving, random)
    BAD.write(serving)
    return folder


def _write_baseline(serving: Path, random: np.random.Generator) -> None:
    feeds = {name: random.normal(0, 1, (ROWS, 1)).astype(np.float32) for name in COLUMNS}
    answers = onnx_models.direct(serving, feeds)
    columns = {name: values.reshape(-1) for name, values in feeds.items()}
    probabilities = {f"__probability_{at}__": answers["probabilities"][:, at] for at in range(len(CLASSES))}
    pl.DataFrame(columns | {"__label__": answers["label"]} | probabilities).write_parquet(serving / "baseline.parquet")

"""A row's answer is the same bytes alone and in any company, at any place in it, for any number of threads."""

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)

from stagewright.components.export import onnx_adapter
from stagewright.components.predictor.inference.session import Session
from stagewright.components.runtime.serving_settings import ServingSettings
from stagewright.components.training.frameworks._sklearn_trees import boosted_trees

SIZES = (1, 2, 3, 7, 16, 22, 23, 24, 25, 30, 64, 70, 127, 128, 129, 257)
ROWS = 600
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(ROWS, 6)).astype(np.float32)
BINARY = (X[:, 0] + RANDOM.normal(size=ROWS) > 0).astype(int)
MANY = np.digitize(X[:, 1] + RANDOM.normal(size=ROWS), [-1, 0, 1])
NUMBER = (X[:, 2] * 100 + RANDOM.normal(size=ROWS)).astype(np.float32)
FORESTS = {
    "forest": RandomForestClassifier(90, random_state=0).fit(X, BINARY),
    "forest of four classes": RandomForestClassifier(90, random_state=0).fit(X, MANY),
    "forest of a number": RandomForestRegressor(90, random_state=0).fit(X, NUMBER),
    "extra trees": ExtraTreesRegressor(90, random_state=0).fit(X, NUMBER),
    "boosted": GradientBoostingClassifier(n_estimators=90, random_state=0).fit(X, BINARY),
}


def imported(model: object) -> onnx.ModelProto:
    options = {id(model): {"zipmap": False}} if hasattr(model, "classes_") else None
    return onnx_adapter.adapt(to_onnx(model, X[:1], options=options, target_opset={"": 17, "ai.onnx.ml": 3}), source="here")[0]


def graphs() -> Iterator[tuple[str, onnx.ModelProto]]:
    for name, model in FORESTS.items():
        yield name, imported(model)
    for name, target in (("histogram boosting", BINARY), ("histogram boosting of four classes", MANY)):
        yield name, boosted_trees(HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(X, target))


def dense() -> onnx.ModelProto:
    random = np.random.default_rng(0)
    weights = [random.normal(size=size).astype(np.float32) for size in ((6, 64), (64, 3))]
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["a"]), helper.make_node("Tanh", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w1"], ["c"]), helper.make_node("Softmax", ["c"], ["probabilities"], axis=1),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "dense", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(one, f"w{at}") for at, one in enumerate(weights)],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


GRAPHS = dict(graphs())


def feeds(session: Session, rows: np.ndarray) -> dict[str, np.ndarray]:
    names = [given.name for given in session.runtime.get_inputs()]
    return {names[0]: rows} if len(names) == 1 else {name: rows[:, [at]] for at, name in enumerate(names)}


@pytest.mark.parametrize("engine", ["native", "onnxruntime"])
@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("name", GRAPHS)
def test_trees_answer_the_same_bytes_in_any_company(name: str, threads: int, engine: str) -> None:
    session = Session(GRAPHS[name].SerializeToString(), ServingSettings(threads=threads, tree_engine=engine))
    alone = [session.run(None, feeds(session, X[at : at + 1])) for at in range(ROWS)]
    expected = [np.concatenate(parts) for parts in zip(*alone, strict=True)]

    for size in SIZES:
        for start in (0, 1, 137, ROWS - size):
            answered = session.run(None, feeds(session, X[start : start + size]))
            for found, own in zip(answered, expected, strict=True):
                assert np.array_equal(found, own[start : start + size]), (size, start)


@pytest.mark.parametrize("threads", [1, 4])
def test_dense_networks_agree_to_rounding(threads: int) -> None:
    session = Session(dense().SerializeToString(), ServingSettings(threads=threads))
    (expected,) = session.run(None, {"x": X})

    for size in SIZES:
        (answered,) = session.run(None, {"x": X[:size]})
        np.testing.assert_allclose(answered, expected[:size], rtol=1e-5, atol=1e-7)


def test_the_kernel_answers_those_whose_node_says_nothing_but_scores() -> None:
    kernel = pytest.importorskip("stagewright.components.predictor.trees.kernel")
    assert kernel
    taken = [name for name, graph in GRAPHS.items() if Session(graph.SerializeToString(), ServingSettings()).trees is not None]

    assert taken == ["forest of a number", "extra trees", "histogram boosting", "histogram boosting of four classes"]

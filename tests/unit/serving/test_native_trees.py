"""The kernel's trees against ONNX Runtime's: the same answers for every ensemble that it takes, and none for others."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from support import trainings
from support.trainings import Data

from stagewright.components.export.export_model import export_model
from stagewright.components.predictor import model_source
from stagewright.components.predictor.inference.model import OnnxModel
from stagewright.components.predictor.inference.session import Session, open_session
from stagewright.components.predictor.trees import graph, native
from stagewright.components.predictor.trees.forest import Forest
from stagewright.components.predictor.trees.layout import Unsupported
from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.schema import Task
from stagewright.components.runtime.serving_settings import ServingSettings

pytestmark = pytest.mark.skipif(not native.available(), reason="no compiler was there when the package was installed")

FEATURES = 5
GRID = np.array([-2, -0.5, 0, 0.25, 1, 3], dtype=np.float32)


def grow(random: np.random.Generator, *, depth: int, modes: Sequence[str]) -> list[dict[str, Any]]:
    """A tree's nodes, the root first."""
    nodes: list[dict[str, Any]] = []

    def node(level: int) -> int:
        at = len(nodes)
        nodes.append({})
        if level == depth or (level and random.random() < 0.25):
            nodes[at] = {"mode": "LEAF", "true": 0, "false": 0, "feature": 0, "value": 0.0, "missing": 0}
        else:
            own = {"mode": random.choice(modes), "feature": random.integers(FEATURES), "value": random.choice(GRID)}
            true = node(level + 1)
            nodes[at] = own | {"true": true, "false": node(level + 1), "missing": random.integers(2)}
        return at

    node(0)
    return nodes


def attributes(trees: list[list[dict[str, Any]]]) -> tuple[dict[str, Any], list[tuple[int, int]]]:
    """The attributes of all nodes, and the trees and numbers of the leaves."""
    listed = [(tree, number, node) for tree, nodes in enumerate(trees) for number, node in enumerate(nodes)]
    names = {"modes": "mode", "truenodeids": "true", "falsenodeids": "false", "featureids": "feature", "values": "value"}
    found: dict[str, Any] = {f"nodes_{name}": [node[key] for _, _, node in listed] for name, key in names.items()}
    found["nodes_values"] = [float(value) for value in found["nodes_values"]]
    for name in ("truenodeids", "falsenodeids", "featureids"):
        found[f"nodes_{name}"] = [int(value) for value in found[f"nodes_{name}"]]
    found["nodes_modes"] = [str(mode) for mode in found["nodes_modes"]]
    found["nodes_treeids"] = [tree for tree, _, _ in listed]
    found["nodes_nodeids"] = [number for _, number, _ in listed]
    found["nodes_missing_value_tracks_true"] = [int(node["missing"]) for _, _, node in listed]
    return found, [(tree, number) for tree, number, node in listed if node["mode"] == "LEAF"]


def ensemble(
    seed: int, *, trees: int = 7, depth: int = 4, modes: Sequence[str] = ("BRANCH_LEQ",), classes: int = 2, dense: bool = False,
    positive: bool = False, **more: Any,
) -> onnx.ModelProto:  # fmt: skip
    """A graph of a random ensemble: a classifier of so many classes, or with 0 a regression."""
    random = np.random.default_rng(seed)
    nodes, leaves = attributes([grow(random, depth=depth, modes=modes) for _ in range(trees)])
    outputs = max(classes, more.get("n_targets", 1)) if dense or classes > 2 else 1
    entries = [(tree, node, output) for tree, node in leaves for output in (range(outputs) if dense else [tree % outputs])]
    weights = random.normal(size=len(entries))
    weights = (np.abs(weights) / 10 if positive else weights).astype(np.float32)
    prefix = "class" if classes else "target"
    own = {
        f"{prefix}_treeids": [tree for tree, _, _ in entries], f"{prefix}_nodeids": [node for _, node, _ in entries],
        f"{prefix}_ids": [output for _, _, output in entries], f"{prefix}_weights": weights.tolist(),
    }  # fmt: skip
    kind = "TreeEnsembleClassifier" if classes else "TreeEnsembleRegressor"
    own |= {"classlabels_int64s": list(range(classes))} if classes else {"n_targets": 1}
    names = ["label", "scores"] if classes else ["scores"]
    node = helper.make_node(kind, ["features"], names, domain="ai.onnx.ml", **nodes, **(own | more))
    made = helper.make_graph(
        [node], "trees", [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, FEATURES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, None])],
    )  # fmt: skip
    return helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=9
    )


def rows(seed: int, count: int, *, missing: bool) -> np.ndarray:
    """Rows on the thresholds, beside them and elsewhere; infinite and missing values too."""
    random = np.random.default_rng(seed)
    near = np.concatenate([GRID, np.nextafter(GRID, np.float32(9)), np.nextafter(GRID, np.float32(-9)), [np.inf, -np.inf]])
    found = random.choice(near.astype(np.float32), size=(count, FEATURES))
    if missing:
        found[random.random(found.shape) < 0.2] = np.nan
    return found


def runtime(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return open_session(model.SerializeToString(), ServingSettings())


def forest(model: onnx.ModelProto) -> Forest:
    cut = graph.cut(model.SerializeToString())
    assert cut is not None
    return Forest.from_node(cut.node)


def onnx_attribute(model: onnx.ModelProto, name: str) -> onnx.AttributeProto:
    (found,) = [one for one in model.graph.node[0].attribute if one.name == name]
    return found


MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_GTE")


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(0, 14), st.sampled_from([0, 2, 3, 5]), st.booleans(),
    st.booleans(), st.booleans(), st.sampled_from(["NONE", "LOGISTIC", "SOFTMAX"]), st.integers(1, 150),
    st.sets(st.sampled_from(MODES), min_size=1),
)  # fmt: skip
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_kernel_answers_as_onnx_runtime(
    seed: int, trees: int, depth: int, classes: int, dense: bool, positive: bool, missing: bool, transform: str, count: int,
    modes: set[str],
) -> None:  # fmt: skip
    more: dict[str, Any] = {"post_transform": transform if classes else "NONE"}
    if not classes:
        more["aggregate_function"] = "AVERAGE" if dense else "SUM"
        more |= {"base_values": [0.5]} if positive else {}
    given_dense = dense and classes > 2
    model = ensemble(
        seed, trees=trees, depth=depth, classes=classes, dense=given_dense, positive=positive, modes=sorted(modes), **more
    )
    given = rows(seed, count, missing=missing)
    expected = runtime(model).run(["scores"], {"features": given})[0]

    try:
        found = forest(model).predict_scores(given)
    except Unsupported:
        assert (classes, transform) == (2, "SOFTMAX")
        return

    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("base", [[0.25], [0.1, -0.2, 0.3]])
def test_base_values_are_added(base: list[float]) -> None:
    classes = 2 if len(base) == 1 else 3
    model = ensemble(3, classes=classes, post_transform="LOGISTIC", base_values=base)
    given = rows(3, 40, missing=True)

    expected = runtime(model).run(["scores"], {"features": given})[0]

    np.testing.assert_allclose(forest(model).predict_scores(given), expected, rtol=2e-6, atol=2e-6)


def test_a_tree_of_one_leaf_and_one_much_deeper() -> None:
    model = ensemble(11, trees=30, depth=18)
    given = rows(11, 300, missing=False)

    assert native.native_trees(model.SerializeToString(), lambda part: open_session(part, ServingSettings())) is not None
    expected = runtime(model).run(["scores"], {"features": given})[0]
    np.testing.assert_allclose(forest(model).predict_scores(given), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("seed", range(20))
def test_the_order_in_which_nodes_are_listed_means_nothing(seed: int) -> None:
    model, given = ensemble(seed, classes=3), rows(seed, 100, missing=True)
    expected = forest(model).predict_scores(given)
    order = np.random.default_rng(seed).permutation(len(onnx_attribute(model, "nodes_nodeids").ints))

    for name in ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids", "missing_value_tracks_true"):
        attribute = onnx_attribute(model, f"nodes_{name}")
        attribute.ints[:] = [attribute.ints[at] for at in order]
    values, modes = onnx_attribute(model, "nodes_values"), onnx_attribute(model, "nodes_modes")
    values.floats[:] = [values.floats[at] for at in order]
    modes.strings[:] = [modes.strings[at] for at in order]

    np.testing.assert_array_equal(forest(model).predict_scores(given), expected)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"post_transform": "PROBIT"}, "PROBIT"),
        ({"base_values": [0.1, 0.2, 0.3]}, "base values for other outputs"),
        ({"modes": ("BRANCH_EQ",)}, "a comparison other than"),
    ],
)
def test_what_the_kernel_cannot_do_is_left_to_onnx_runtime(change: dict[str, Any], why: str) -> None:
    model = ensemble(5, **change)

    with pytest.raises(Unsupported, match=why):
        forest(model)
    assert native.native_trees(model.SerializeToString(), lambda part: open_session(part, ServingSettings())) is None


def _spoil(model: onnx.ModelProto, name: str, change: Any) -> onnx.ModelProto:
    attribute = onnx_attribute(model, name)
    values = list(attribute.ints)
    change(values)
    attribute.ints[:] = values
    return model


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("nodes_featureids", lambda values: values.__setitem__(slice(None), [5000] * len(values)), "more columns"),
        ("nodes_truenodeids", lambda values: values.__setitem__(slice(None), [10**6] * len(values)), "a child that is not"),
        ("nodes_truenodeids", lambda values: values.__setitem__(slice(None), [0] * len(values)), "root|two parents"),
        ("nodes_nodeids", lambda values: values.__setitem__(slice(None), [3] * len(values)), "two nodes of one number"),
        ("class_nodeids", lambda values: values.__setitem__(0, 10**6), "a leaf that is not there"),
        ("class_treeids", lambda values: values.__setitem__(0, 999), "a leaf that is not there"),
        ("class_ids", lambda values: values.__setitem__(0, 7), "an output that is not there"),
        ("class_ids", lambda values: values.__setitem__(0, -1), "an output that is not there"),
    ],
)
def test_nodes_that_are_no_trees_never_reach_the_kernel(name: str, change: Any, why: str) -> None:
    with pytest.raises(Unsupported, match=why):
        forest(_spoil(ensemble(7), name, change))


def test_features_that_are_too_few_are_refused() -> None:
    made = forest(ensemble(8, trees=40))

    assert made.columns == FEATURES
    with pytest.raises(ValueError, match="features have 4 columns; the trees look at 5"):
        made.predict_scores(np.zeros((3, 4), dtype=np.float32))
    assert made.predict_scores(np.zeros((0, 5), dtype=np.float32)).shape == (0, 2)


@pytest.mark.parametrize("graph_bytes", [b"", b"nonsense", b"\x0a\xff\xff"])
def test_what_is_no_graph_has_no_trees(graph_bytes: bytes) -> None:
    assert graph.cut(graph_bytes) is None


def test_a_graph_whose_label_is_the_trees_own_stays_whole() -> None:
    model = ensemble(9)
    model.graph.output.append(helper.make_tensor_value_info("label", TensorProto.INT64, [None]))

    assert graph.cut(model.SerializeToString()) is None


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory, telco: pl.DataFrame) -> Data:
    return trainings.split(tmp_path_factory.mktemp("churn"), telco.head(3000), "churn", Task.BINARY)


@pytest.mark.parametrize(
    ("framework", "params", "taken"),
    [
        ("xgboost", {"n_estimators": 40}, True),
        ("lightgbm", {"n_estimators": 40}, True),
        ("sklearn", {"max_iter": 40}, True),
        ("sklearn", {"model": "random_forest", "n_estimators": 40}, True),
        ("sklearn", {"model": "linear"}, False),
    ],
)
def test_trained_models_answer_the_same_with_either_engine(
    tmp_path: Path, churn: Data, tracking: str, framework: str, params: dict[str, Any], taken: bool
) -> None:
    churn.model(tmp_path / "trained", framework, params)
    export_model(tmp_path / "trained", churn.validation, tmp_path / "exported")
    files = model_source.read(str(tmp_path / "exported"))
    ours = OnnxModel.load(files, "m")
    theirs = OnnxModel.load(files, "m", overrides={"tree_engine": "onnxruntime"})
    rows = tables.read_table(churn.validation).drop("churn")

    assert (ours.session.trees is not None, theirs.session.trees) == (taken, None)
    for count in (1, native.LEAST_ROWS - 1, native.LEAST_ROWS, len(rows)):
        feeds = ours.columns.feeds(rows.head(count).rows())
        found, expected = ours.run(feeds), theirs.run(feeds)
        assert found["label"].tolist() == expected["label"].tolist()
        np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-6)


def test_parts_that_answer_otherwise_than_the_whole_are_not_used(tmp_path: Path) -> None:
    session = Session(ensemble(4, post_transform="LOGISTIC").SerializeToString(), ServingSettings())
    feeds = {"features": rows(4, 64, missing=True)}
    session.prove(feeds)
    assert session.trees is not None

    session.trees.forest.values[:] += 1
    session.prove(feeds)

    assert session.trees is None
    np.testing.assert_array_equal(session.run(None, feeds)[0], session.runtime.run(None, feeds)[0])


def test_parts_that_fail_are_not_used() -> None:
    session = Session(ensemble(4).SerializeToString(), ServingSettings())
    assert session.trees is not None
    session.trees = dataclasses.replace(session.trees, forest=None)

    session.prove({"features": rows(4, 64, missing=False)})

    assert session.trees is None


def test_a_part_that_cannot_be_opened_leaves_the_whole() -> None:
    def refuse(_: bytes) -> None:
        raise RuntimeError("no session for this part")

    assert native.native_trees(ensemble(4).SerializeToString(), refuse) is None


def test_settings_name_the_engine(tmp_path: Path) -> None:
    ServingSettings(tree_engine="onnxruntime").check()
    with pytest.raises(InputError, match="tree_engine"):
        ServingSettings(tree_engine="abacus").check()

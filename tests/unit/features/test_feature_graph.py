"""Properties of fitted preprocessing as a whole."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.compose
import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from polars.testing.parametric import column, dataframes
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from stagewright.components.runtime import tables
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.feature_graph import FeatureGraph, session

KINDS = {
    "number": "numeric",
    "whole": "numeric",
    "flag": "boolean",
    "level": "categorical",
    "when": "datetime",
    "words": "text",
}
TABLES = dataframes(
    cols=[
        column("number", dtype=pl.Float64, allow_null=True),
        column("whole", dtype=pl.Int64, allow_null=True),
        column("flag", dtype=pl.Boolean, allow_null=True),
        column("level", dtype=pl.String, allow_null=True),
        column("when", dtype=pl.Datetime("us"), allow_null=True),
        column("words", dtype=pl.String, allow_null=True),
    ],
    min_size=1,
    max_size=25,
)
FRAMEWORKS = st.sampled_from([("xgboost", {}), ("torch", {}), ("sklearn", {"model": "linear"}), ("lightgbm", {})])
PATIENT = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def fitted_or_useless(fit: Any, table: pl.DataFrame, framework: str, params: dict[str, Any], **more: Any) -> FeatureGraph:
    try:
        return fit(table, framework=framework, params=params, **more, **KINDS)
    except InputError as error:
        assume("no column is left to learn from" not in str(error))
        raise


@PATIENT
@given(
    table=TABLES, chosen=FRAMEWORKS, cyclic=st.booleans(), transform=st.sampled_from(["none", "log1p", "yeo_johnson", "auto"])
)
def test_any_table_becomes_a_finite_matrix_and_so_does_any_other(
    fit: Any, table: pl.DataFrame, chosen: tuple[str, dict[str, Any]], cyclic: bool, transform: str
) -> None:
    specification = {"numeric": {"transform": transform}, "datetime": {"cyclic": cyclic}}
    features = fitted_or_useless(fit, table, *chosen, specification=specification)

    unseen = pl.DataFrame({
        "number": [None, 1e30, -7.5], "whole": [None, 2**62, -3], "flag": [None, True, False], "level": [None, "new", ""],
        "when": pl.Series([None, -(2**62), 2**62]).cast(pl.Datetime("us")), "words": [None, "never seen", "\u4e2d\u6587 \n"],
    })  # fmt: skip
    for given_table in (table, unseen, unseen.clear(), table.clear()):
        matrix = features.transform(given_table)
        assert matrix.dtype == np.float32
        assert matrix.shape == (given_table.height, len(features.outputs))
        assert np.isfinite(matrix).all()


@PATIENT
@given(table=TABLES, chosen=FRAMEWORKS, data=st.data())
def test_a_row_is_transformed_alike_alone_in_a_batch_and_in_any_order(
    fit: Any, table: pl.DataFrame, chosen: tuple[str, dict[str, Any]], data: st.DataObject
) -> None:
    features = fitted_or_useless(fit, table, *chosen)

    together = features.transform(table)

    alone = np.concatenate([features.transform(table.slice(row, 1)) for row in range(table.height)])
    np.testing.assert_array_equal(alone, together)
    order = data.draw(st.permutations(range(table.height)))
    np.testing.assert_array_equal(features.transform(table[order]), together[order])


def test_rows_beyond_one_batch_are_transformed_alike(fit: Any, telco: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    features = fit(telco, target="churn", framework="torch")
    together = features.transform(telco)

    monkeypatch.setattr("stagewright.components.runtime.feature_graph.BATCH_ROWS", 1000)

    np.testing.assert_array_equal(features.transform(telco), together)


def test_scaling_learned_in_batches_equals_scaling_learned_at_once(
    fit: Any, telco: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    specification = {"columns": {"tenure": {"scale": "robust"}, "monthly_charges": {"scale": "minmax"}}}
    together = fit(telco, target="churn", framework="torch", specification=specification).transform(telco)

    monkeypatch.setattr("stagewright.components.features.training_split.BATCH_ROWS", 500)
    in_batches = fit(telco, target="churn", framework="torch", specification=specification).transform(telco)

    np.testing.assert_allclose(in_batches, together, rtol=1e-6, atol=1e-6)


def test_fitting_twice_gives_the_same_bytes_and_hash(fit: Any, flights: pl.DataFrame) -> None:
    first, second = (fit(flights, target="arr_delay", framework="torch") for _ in range(2))

    assert (first.hash, first.graph) == (second.hash, second.graph)
    assert fit(flights, target="arr_delay").hash != first.hash


def test_columns_may_come_in_any_order_with_others_among_them(fit: Any, telco: pl.DataFrame) -> None:
    features = fit(telco, target="churn")
    other = telco.select(pl.lit("more").alias("other"), *reversed(telco.columns))

    np.testing.assert_array_equal(features.transform(other), features.transform(telco))
    assert "churn" not in {i.name for i in features.inputs}


def test_graph_keeps_to_the_opsets_that_estimators_are_converted_to(fit: Any) -> None:
    table = pl.DataFrame({"n": [1.0, None], "c": ["a", "b"], "t": ["two words", "three"], "d": [0, 1]}).with_columns(
        pl.col("d").cast(pl.Datetime("us"))
    )

    proto = fit(table, framework="torch", t="text").proto()

    onnx.checker.check_model(proto, full_check=True)
    assert {o.domain: o.version for o in proto.opset_import} == {"": 18, "ai.onnx.ml": 3, "com.microsoft": 1}
    assert proto.ir_version <= 10
    assert [i.name for i in proto.graph.input] == ["n", "c", "t", "d"]
    used = {name for node in proto.graph.node for name in node.input}
    assert {constant.name for constant in proto.graph.initializer} <= used
    shape = proto.graph.output[0].type.tensor_type.shape.dim
    assert (shape[0].dim_param, shape[1].dim_value) == ("N", len(fit(table, framework="torch", t="text").outputs))


def test_graph_merges_with_a_converted_estimator(fit: Any, telco: pl.DataFrame) -> None:
    features = fit(telco, target="churn", framework="sklearn", params={"model": "linear"})
    matrix = features.transform(telco)
    estimator = LogisticRegression(max_iter=200).fit(matrix, telco["churn"].to_numpy())
    converted = to_onnx(estimator, matrix[:1], target_opset={"": 18, "ai.onnx.ml": 3}, options={"zipmap": False})

    before = features.proto()
    # The converter declares the lowest versions that it used; operations mean the same in both.
    del converted.opset_import[:]
    converted.opset_import.extend(before.opset_import)
    converted.ir_version = before.ir_version
    merged = onnx.compose.merge_models(before, onnx.compose.add_prefix(converted, "estimator/"), [("features", "estimator/X")])
    probabilities = session(merged.SerializeToString()).run(["estimator/probabilities"], features.feeds(telco))[0]

    np.testing.assert_allclose(probabilities, estimator.predict_proba(matrix), atol=1e-6)


def test_feeds_have_the_types_and_missing_values_of_the_contract(fit: Any) -> None:
    table = pl.DataFrame({
        "n": [1.5, None], "b": [True, None], "c": ["a", None], "t": ["two words", None],
        "d": pl.Series([5, None]).cast(pl.Datetime("us")),
    })  # fmt: skip

    feeds = fit(table, t="text", specification={"columns": {"d": {"indicator": True}}}).feeds(table)

    assert {name: (array.dtype.kind, array.itemsize, array.shape) for name, array in feeds.items()} == {
        "n": ("f", 4, (2, 1)), "b": ("f", 4, (2, 1)), "c": ("O", 8, (2, 1)), "t": ("O", 8, (2, 1)), "d": ("i", 8, (2, 1)),
    }  # fmt: skip
    assert np.isnan([feeds["n"][1, 0], feeds["b"][1, 0]]).all()
    assert (feeds["c"][1, 0], feeds["t"][1, 0], feeds["d"][1, 0]) == ("", "", -(2**63))


def test_the_machines_language_changes_nothing(fit: Any, tmp_path: Path) -> None:
    table = pl.DataFrame({"t": ["ÄRGER über Größe", "ПРИВЕТ мир", "école ÉCOLE"]})
    features = fit(table, t="text")
    features.save(tmp_path)
    tables.write_table(table, tmp_path / "table.parquet")
    code = (
        "import sys; from stagewright.components.runtime import feature_graph, tables;"
        "table = tables.read_table(sys.argv[1] + '/table.parquet');"
        "print(feature_graph.FeatureGraph.load(sys.argv[1]).transform(table).tolist())"
    )

    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"LC_ALL": "C"},
    )

    assert json.loads(answer.stdout) == features.transform(table).tolist()


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"nummer": [1.0], "level": ["a"]}, "column 'number' is missing from the table (did you mean 'nummer'?)"),
        ({"number": ["1"], "level": ["a"]}, "column 'number' is to be numeric but holds String in the table; expected numbers"),
        ({"number": [1.0], "level": [[1]]}, "column 'level' is to be categorical but holds List(Int64)"),
    ],
)
def test_a_wrong_table_is_told_by_the_columns_name(fit: Any, table: dict[str, Any], sentence: str) -> None:
    features = fit(pl.DataFrame({"number": [1.0, 2.0], "level": ["a", "b"]}))

    for given_table in (pl.DataFrame(table), pl.DataFrame(table).clear()):
        with pytest.raises(InputError) as error:
            features.transform(given_table)
        assert sentence in str(error.value)


def test_wrong_values_of_booleans_and_times_are_told(fit: Any) -> None:
    features = fit(pl.DataFrame({"b": [True, False], "t": pl.Series([0, 1]).cast(pl.Datetime("us"))}))

    with pytest.raises(InputError, match="column 'b' is boolean but holds 2; expected true and false, or 1 and 0"):
        features.transform(pl.DataFrame({"b": [2], "t": pl.Series([0]).cast(pl.Datetime("us"))}))
    with pytest.raises(InputError, match="column 't' is to be datetime but holds String"):
        features.transform(pl.DataFrame({"b": [1], "t": ["2020-01-01"]}))


def test_useless_columns_are_dropped_with_their_reason(fit: Any) -> None:
    table = pl.DataFrame({
        "id": ["a", "b", "c"], "same": [1, 1, 1], "none": pl.Series([None] * 3, dtype=pl.String), "nan": [float("nan")] * 3,
        "one level": ["x"] * 3, "no words": ["!", "?", "."], "useful": [1, 2, 3],
    })  # fmt: skip

    features = fit(table, id="identifier", **{"no words": "text"})

    assert features.names == ("useful",)
    assert features.dropped == {
        "id": "identifier", "same": "constant", "none": "empty", "nan": "empty", "one level": "constant",
        "no words": "no words",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"a": [1, 1]}, "no column is left to learn from"),
        ({"a": pl.Series([], dtype=pl.Int64)}, "the training split has no rows"),
        ({"label": [1, 2]}, "column 'label' has a name that the model uses for its output"),
        ({"": [1, 2]}, "a column has no name"),
    ],
)
def test_a_table_that_nothing_can_be_learned_from_is_told(fit: Any, table: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        fit(pl.DataFrame(table))


def test_names_of_columns_never_meet_the_graphs_own(fit: Any) -> None:
    names = ["preprocessing/constant_0", "preprocessing//x", "a=b", "a is missing", "Ünï \u4e2d 'quoted' \"twice\"", "N"]
    table = pl.DataFrame({name: [1.0, None, float(index)] for index, name in enumerate(names)})

    assert np.isfinite(fit(table, framework="torch").transform(table)).all()


def test_features_that_are_not_there_or_were_changed_are_told(fit: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no features\.json in .*: these are not fitted features"):
        FeatureGraph.load(tmp_path)

    fit(pl.DataFrame({"a": [1.0, 2.0]})).save(tmp_path)
    description = json.loads((tmp_path / "features.json").read_text())
    description["outputs"][0]["name"] = "b"
    (tmp_path / "features.json").write_text(json.dumps(description))

    with pytest.raises(InputError, match="were changed after they were fitted"):
        FeatureGraph.load(tmp_path)
    (tmp_path / "features.json").write_text("[]")
    with pytest.raises(InputError, match="does not describe fitted features"):
        FeatureGraph.load(tmp_path)


def test_running_a_graph_imports_no_library_that_only_fitting_needs() -> None:
    code = (
        "import sys, stagewright.components.runtime.feature_graph;"
        "print({'onnx', 'sklearn', 'scipy', 'pandas', 'kfp'} & set(sys.modules))"
    )

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "set()"

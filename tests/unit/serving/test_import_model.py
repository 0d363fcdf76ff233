"""Existing models, from wherever they are."""

from pathlib import Path
from uuid import uuid4

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper
from skl2onnx import convert_sklearn, to_onnx
from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, StringTensorType
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from support import trainings
from support.exported_models import write_wine_model

from stagewright.components.export.export_model import export_model
from stagewright.components.export.import_model import import_model
from stagewright.components.predictor import model_source
from stagewright.components.predictor.inference.model import OnnxModel
from stagewright.components.registry.promote import promote
from stagewright.components.registry.register import register
from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.components.runtime.schema import Task
from stagewright.components.runtime.signature import Signature
from stagewright.components.runtime.storage import ObjectStore
from stagewright.components.serving.publish import publish

OPSETS = {"": 18, "ai.onnx.ml": 3}
LETTERS = np.array(["a", "b", "c"])


def export(path: Path, estimator: BaseEstimator, X: np.ndarray, *, zipmap: bool = False) -> Path:
    classifier = hasattr(estimator, "predict_proba")
    options = {id(estimator): {"zipmap": zipmap}} if classifier else None
    path.write_bytes(to_onnx(estimator, X[:1], options=options, target_opset=OPSETS).SerializeToString())
    return path


def answers(folder: Path, columns: dict[str, np.ndarray]) -> tuple[Signature, dict[str, np.ndarray]]:
    """What the predictor answers for an imported model."""
    model = OnnxModel.load(model_source.read(str(folder)), "imported")
    return model.signature, model.run(columns)


def by_column(signature: Signature, X: np.ndarray) -> dict[str, np.ndarray]:
    return {name: X[:, [at]] for at, name in enumerate(signature.names)}


@pytest.fixture(scope="module")
def wines() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_wine

    X, y = load_wine(return_X_y=True)
    return X.astype(np.float32), y


@pytest.mark.parametrize("label", ["integers", "strings", "booleans"])
@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(max_iter=20),
        RandomForestClassifier(5),
        KNeighborsClassifier(),
        HistGradientBoostingClassifier(max_iter=5),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_bare_classifier_answers_as_before(
    tmp_path: Path, wines: tuple[np.ndarray, np.ndarray], estimator: BaseEstimator, label: str
) -> None:
    X, y = wines
    target = {"integers": y + 5, "strings": LETTERS[y], "booleans": y == 1}[label]
    estimator.fit(X, target)

    signature = import_model(str(export(tmp_path / "model.onnx", estimator, X)), tmp_path / "imported")

    assert len(signature.inputs) == X.shape[1]
    assert {column.kind for column in signature.inputs} == {"numeric"}
    assert list(signature.classes or ()) == estimator.classes_.tolist()
    _, outputs = answers(tmp_path / "imported", by_column(signature, X))
    assert (outputs["label"] == estimator.predict(X)).all()
    np.testing.assert_allclose(outputs["probabilities"], estimator.predict_proba(X), atol=2e-5)


@pytest.mark.parametrize("estimator", [LinearRegression(), RandomForestRegressor(5)], ids=["linear", "forest"])
def test_a_bare_regressor_answers_as_before(
    tmp_path: Path, wines: tuple[np.ndarray, np.ndarray], estimator: BaseEstimator
) -> None:
    X, _ = wines
    estimator.fit(X[:, 1:], X[:, 0])

    signature = import_model(str(export(tmp_path / "model.onnx", estimator, X[:, 1:])), tmp_path / "imported")

    assert (signature.task, signature.classes) == ("regression", None)
    _, outputs = answers(tmp_path / "imported", by_column(signature, X[:, 1:]))
    np.testing.assert_allclose(outputs["prediction"], estimator.predict(X[:, 1:]).reshape(-1), rtol=1e-4)


def test_columns_of_other_types_are_taken_as_they_are(tmp_path: Path) -> None:
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    frame = pd.DataFrame({"age": [1, 2, 3, 4] * 10, "pay": [0.5, 1.5, 0.1, 3.0] * 10, "city": ["x", "y", "z", "x"] * 10})
    encode = ColumnTransformer([("city", OneHotEncoder(handle_unknown="ignore"), ["city"])], remainder="passthrough")
    estimator = make_pipeline(encode, LogisticRegression())
    estimator.fit(frame, frame["age"] > 2)
    types = [("age", Int64TensorType([None, 1])), ("pay", DoubleTensorType([None, 1])), ("city", StringTensorType([None, 1]))]
    options = {id(estimator): {"zipmap": False}}
    proto = convert_sklearn(estimator, initial_types=types, options=options, target_opset=OPSETS)
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())

    signature = import_model(str(tmp_path / "model.onnx"), tmp_path / "imported")

    assert [(column.name, column.kind) for column in signature.inputs] == [
        ("age", "numeric"), ("pay", "numeric"), ("city", "categorical"),
    ]  # fmt: skip
    fed = {
        "age": frame[["age"]].to_numpy(np.int64),
        "pay": frame[["pay"]].to_numpy(np.float64),
        "city": frame[["city"]].to_numpy(object),
    }
    _, outputs = answers(tmp_path / "imported", fed)
    assert (outputs["label"].astype(bool) == estimator.predict(frame)).all()


def test_a_graph_with_maps_is_told_how_to_export(tmp_path: Path, wines: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = wines
    path = export(tmp_path / "model.onnx", RandomForestClassifier(2).fit(X, y), X, zipmap=True)

    with pytest.raises(InputError, match="'output_probability' is not a tensor; export with zipmap=False"):
        import_model(str(path), tmp_path / "imported")


@pytest.mark.parametrize(
    ("inputs", "outputs", "sentence"),
    [
        (
            [("x", 1, [1, 3, 8, 8])],
            [("y", 1, ["N"])],
            r"input 'x' has shape \[1, 3, 8, 8\]; expected any number of rows, each of one fixed shape",
        ),
        ([("x", 1, ["N", "F"])], [("y", 1, ["N"])], r"input 'x' has shape \[N, F\]; expected one tensor"),
        ([("x", 14, ["N", 2])], [("y", 1, ["N"])], "input 'x' is of type complex64; expected numbers or strings"),
        ([("x", 1, ["N", 2])], [("y", 1, ["N", 2])], r"answers 'y' \[N, 2\], made by Identity; end a classifier"),
    ],
)
def test_graphs_that_cannot_be_served_are_told(tmp_path: Path, inputs: list, outputs: list, sentence: str) -> None:
    declare = helper.make_tensor_value_info
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "g", [declare(*given) for given in inputs], [declare(*given) for given in outputs])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(InputError, match=sentence):
        import_model(str(tmp_path / "model.onnx"), tmp_path / "imported")


def classifier(label: list[onnx.NodeProto], element: int, *constants: onnx.TensorProto) -> onnx.ModelProto:
    """Two probabilities as they are given, and a label by these nodes."""
    declare = helper.make_tensor_value_info
    nodes = [helper.make_node("Identity", ["x"], ["probabilities"]), *label]
    outputs = [declare("label", element, ["N"]), declare("probabilities", TensorProto.FLOAT, ["N", 2])]
    graph = helper.make_graph(nodes, "g", [declare("x", TensorProto.FLOAT, ["N", 2])], outputs, [*constants])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def imported(folder: Path, proto: onnx.ModelProto) -> tuple[Signature, list]:
    """Its signature, and its labels for a row of each class."""
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    signature = import_model(str(folder / "model.onnx"), folder / "imported")
    fed = {"x_0": np.array([[0.9], [0.1]], np.float32), "x_1": np.array([[0.1], [0.9]], np.float32)}
    return signature, answers(folder / "imported", fed)[1]["label"].tolist()


LIKELIEST = helper.make_node("ArgMax", ["x"], ["number"], axis=1, keepdims=0)
FROM_A_TABLE = helper.make_node("Gather", ["names", "number"], ["label"], axis=0)
UNREADABLE = [  # a label that is computed instead of picked
    helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0, axes=[1]),
    helper.make_node("Cast", ["top"], ["label"], to=TensorProto.STRING),
]


def test_labels_are_those_that_the_graph_picks_from(tmp_path: Path) -> None:
    names = helper.make_tensor("names", TensorProto.STRING, [2], [b"stays", b"leaves"])

    signature, labels = imported(tmp_path, classifier([LIKELIEST, FROM_A_TABLE], TensorProto.STRING, names))

    assert (signature.task, signature.classes) == ("binary", ("stays", "leaves"))
    assert labels == ["stays", "leaves"]


def test_labels_in_a_constant_node_and_behind_an_encoder_are_found(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["names"], value=helper.make_tensor("v", TensorProto.INT64, [2], [7, 3]))
    pick = helper.make_node("Gather", ["names", "number"], ["code"], axis=0)
    encode = helper.make_node(
        "LabelEncoder", ["code"], ["label"], domain="ai.onnx.ml", keys_int64s=[3, 7], values_strings=["three", "seven"]
    )

    signature, labels = imported(tmp_path, classifier([LIKELIEST, constant, pick, encode], TensorProto.STRING))

    assert signature.classes == ("seven", "three")
    assert labels == ["seven", "three"]


def test_labels_that_nobody_names_are_told(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(classifier(UNREADABLE, TensorProto.STRING).SerializeToString())

    sentence = r"the graph does not tell which labels its probabilities are for; name them, .* its metadata property 'classes'"
    with pytest.raises(InputError, match=sentence):
        import_model(str(tmp_path / "model.onnx"), tmp_path / "imported")


def test_labels_that_the_graph_does_not_tell_may_be_named(tmp_path: Path) -> None:
    proto = classifier(UNREADABLE, TensorProto.STRING)
    helper.set_model_props(proto, {"classes": '["no", "yes"]'})

    assert imported(tmp_path, proto)[0].classes == ("no", "yes")


def test_probabilities_alone_get_the_labels_that_are_named(tmp_path: Path) -> None:
    proto = classifier([], TensorProto.STRING)
    del proto.graph.output[0]
    proto.graph.node[0].op_type = "Softmax"
    helper.set_model_props(proto, {"classes": '["no", "yes"]'})

    signature, labels = imported(tmp_path, proto)

    assert signature.classes == ("no", "yes")
    assert labels == ["no", "yes"]


@pytest.mark.parametrize("value", ["no, yes", '["no"', '["no", 1]', "[]", '["no", "no"]', "{}"])
def test_names_that_are_no_list_of_labels_are_told(tmp_path: Path, value: str) -> None:
    proto = classifier(UNREADABLE, TensorProto.STRING)
    helper.set_model_props(proto, {"classes": value})
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())

    with pytest.raises(InputError, match=r"the metadata property 'classes' is .*; expected a JSON list of labels, such as"):
        import_model(str(tmp_path / "model.onnx"), tmp_path / "imported")


@pytest.mark.parametrize("method", ["linear", "xgboost", "torch"])
@pytest.mark.parametrize("target", ["text", "numbers"])
def test_a_graph_of_ours_taken_alone_keeps_its_labels(
    tracking: str, telco: pl.DataFrame, tmp_path: Path, method: str, target: str
) -> None:
    rows = telco.select("tenure", "monthly_charges", "contract", "churn").head(400)
    if target == "numbers":
        rows = rows.with_columns(churn=pl.when(pl.col("churn") == "Yes").then(20).otherwise(10))
    framework, params = trainings.METHODS[method]
    quick = {"xgboost": {"n_estimators": 5}, "torch": {"max_epochs": 2}}.get(method, params)
    data = trainings.split(tmp_path / "data", rows, "churn", Task.BINARY)
    export_model(data.model(tmp_path / "model", framework, quick), data.validation, tmp_path / "exported")
    full = OnnxModel.load(model_source.read(str(tmp_path / "exported")), "full")

    signature = import_model(str(tmp_path / "exported/serving/model.onnx"), tmp_path / "imported")

    assert signature.classes == full.signature.classes == (("No", "Yes") if target == "text" else (10, 20))
    fed = full.columns.feeds(rows.select(full.signature.names).rows())
    labels = answers(tmp_path / "imported", fed)[1]["label"]
    assert labels.tolist() == full.run(fed)["label"].tolist()


def test_a_damaged_graph_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not protobuf at all")

    with pytest.raises(InputError, match=r"model.onnx is not a usable ONNX model: "):
        import_model(str(tmp_path / "model.onnx"), tmp_path / "imported")


def test_a_model_folder_is_copied(tmp_path: Path) -> None:
    model = write_wine_model(tmp_path / "model")

    signature = import_model(str(model), tmp_path / "imported")

    assert signature.classes == (0, 1, 2)
    assert (tmp_path / "imported/model.json").read_bytes() == (model / "model.json").read_bytes()
    assert len(pl.read_parquet(tmp_path / "imported/serving/baseline.parquet")) > 50


@pytest.fixture
def store(object_store: str) -> ObjectStore:
    return ObjectStore.from_environment("the object store is needed by a test")


@pytest.fixture
def published(store: ObjectStore, tmp_path: Path) -> str:
    return publish(write_wine_model(tmp_path / "model"), store, name=f"wine-{uuid4().hex[:8]}", version="v1.0.0").uri


def test_a_published_model_is_imported_and_published_again_unchanged(
    store: ObjectStore, published: str, tmp_path: Path
) -> None:
    import_model(published, tmp_path / "imported")

    assert not (tmp_path / "imported/manifest.json").exists()
    again = publish(tmp_path / "imported", store, name=published.split("/")[3], version="v1.0.0")
    assert not again.changed


def test_a_published_file_that_changed_is_refused(store: ObjectStore, published: str, tmp_path: Path) -> None:
    store.write(f"{published}serving/model.onnx", b"something else")

    with pytest.raises(InputError, match=r"serving/model.onnx differs from its checksum in manifest.json: the copy is damaged"):
        import_model(published, tmp_path / "imported")


def test_a_downloaded_publication_is_checked_too(store: ObjectStore, published: str, tmp_path: Path) -> None:
    store.download_folder(published, tmp_path / "copy")
    (tmp_path / "copy/serving/baseline.parquet").unlink()

    with pytest.raises(InputError, match=r"baseline.parquet is named in manifest.json but missing: the copy is incomplete"):
        import_model(str(tmp_path / "copy"), tmp_path / "imported")


def test_a_manifest_that_leaves_its_folder_is_refused(store: ObjectStore, published: str, tmp_path: Path) -> None:
    manifest = store.read(f"{published}manifest.json").decode()
    store.write(f"{published}manifest.json", manifest.replace('"MLmodel"', '"../../../escaped"').encode())

    with pytest.raises(InputError, match=r"names a file outside the model: ../../../escaped"):
        import_model(published, tmp_path / "imported")


def test_nothing_published_is_told(store: ObjectStore, tmp_path: Path) -> None:
    store.ensure_bucket("models")

    with pytest.raises(InputError, match=r"no model is published at s3://models/nobody/v1.0.0/: there is no manifest.json"):
        import_model("s3://models/nobody/v1.0.0/", tmp_path / "imported")


@pytest.mark.parametrize("reference", ["@champion", "/v1.0.0", "/1"])
def test_a_registered_model_is_imported(tracking: str, tmp_path: Path, reference: str) -> None:
    register(write_wine_model(tmp_path / "model", run_id=""), name="wine")
    promote(name="wine", version="v1.0.0")

    assert import_model(f"models:/wine{reference}", tmp_path / "imported").classes == (0, 1, 2)


def test_a_bare_graph_registers_publishes_and_comes_back(
    tracking: str, store: ObjectStore, tmp_path: Path, wines: tuple[np.ndarray, np.ndarray]
) -> None:
    X, y = wines
    path = export(tmp_path / "model.onnx", RandomForestClassifier(3, random_state=0).fit(X, y), X)
    import_model(str(path), tmp_path / "imported")
    name = f"bare-{uuid4().hex[:8]}"

    version = register(tmp_path / "imported", name=name)
    uri = publish(tmp_path / "imported", store, name=name, version=version).uri

    assert version == "v1.0.0"
    assert import_model(uri, tmp_path / "back") == Signature.read(tmp_path / "imported/serving")
    onnx.checker.check_model(str(tmp_path / "back/serving/model.onnx"))


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("models:/wines@champion", r"model 'wines' is not in the registry \(did you mean 'wine'\?\); there are: wine"),
        ("models:/wine@champion", "model 'wine' has no alias 'champion' in the registry; there are: 1, v1.0.0, @challenger"),
        ("models:/wine/v2.0.0", "model 'wine' has no version 'v2.0.0' in the registry; there are: 1, v1.0.0, @challenger"),
        ("models:/wine", "'models:/wine' does not name a registered model; expected models:/NAME@ALIAS"),
        ("runs:/0123456789abcdef/model", "the files of runs:/0123456789abcdef/model cannot be read from MLflow: "),
    ],
)
def test_what_is_not_in_mlflow_is_told(tracking: str, tmp_path: Path, reference: str, sentence: str) -> None:
    register(write_wine_model(tmp_path / "model", run_id=""), name="wine")

    with pytest.raises(InputError, match=sentence):
        import_model(reference, tmp_path / "imported")


def test_an_mlflow_that_does_not_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")

    with pytest.raises(ServiceUnavailable, match=r"MLflow does not answer at http://127.0.0.1:1"):
        import_model("models:/wine@champion", tmp_path / "imported")


def test_other_folders_and_missing_ones_are_told(tmp_path: Path) -> None:
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled/model.pkl").write_bytes(b"...")

    with pytest.raises(
        InputError, match=r"is not an exported model \(it has no serving/model.onnx and no .onnx file\); export it"
    ):
        import_model(str(tmp_path / "pickled"), tmp_path / "imported")
    with pytest.raises(InputError, match=r"there is no model at '.*/nowhere'; expected a model folder, an .onnx file, s3://"):
        import_model(str(tmp_path / "nowhere"), tmp_path / "imported")

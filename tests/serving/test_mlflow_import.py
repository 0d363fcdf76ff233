"""MLflow models that are refused: whatever could hold code, and whatever nobody could send rows to."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC
from support import mlflow_models
from support.mlflow_models import save, wines

from stagewright.components.export.import_model import import_model
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.fingerprint import fingerprint


def refused(folder: Path, into: Path) -> str:
    with pytest.raises(InputError) as error:
        import_model(str(folder), into / "imported")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("serialization", ["pickle", "cloudpickle"])
def test_pickles_are_refused(tmp_path: Path, serialization: str) -> None:
    folder = mlflow_models.sklearn_pickle(tmp_path / "model", serialization)

    sentence = refused(folder, tmp_path)

    assert "model.pkl could hold a pickle, which runs code when it is loaded" in sentence
    assert "log the model with serialization_format='skops', or export it to ONNX" in sentence


def test_a_pickle_under_another_name_is_refused(tmp_path: Path) -> None:
    folder = mlflow_models.sklearn_pickle(tmp_path / "model", "pickle")
    marker = tmp_path / "ran"
    (folder / "model.skops").write_bytes(b"cposix\nsystem\n(S'touch %s'\ntR." % os.fsencode(marker))
    description = (folder / "MLmodel").read_text().replace("model.pkl", "model.skops").replace(": pickle", ": skops")
    (folder / "MLmodel").write_text(description)

    assert "cannot be loaded" in refused(folder, tmp_path)
    assert not marker.exists()


def test_a_python_model_is_refused(tmp_path: Path) -> None:
    class Echo(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: pd.DataFrame) -> Any:
            return model_input["x"]

    rows = pd.DataFrame({"x": [1.0]})
    mlflow.pyfunc.save_model(
        tmp_path / "model", python_model=Echo(), pip_requirements=[], signature=infer_signature(rows, rows["x"])
    )

    assert "is loaded by mlflow.pyfunc.model, which can run code from its files" in refused(tmp_path / "model", tmp_path)


def test_code_that_a_model_brings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("raise SystemExit('it ran')\n")
    X, y = wines()
    model = LogisticRegression(max_iter=50).fit(X, y)
    options = {"serialization_format": "skops", "code_paths": [str(tmp_path / "helper.py")]}
    folder = save(mlflow.sklearn, model, tmp_path / "model", X, **options)

    assert "brings code of its own" in refused(folder, tmp_path)


def test_a_type_that_is_not_known_is_refused_whatever_the_model_trusts(tmp_path: Path) -> None:
    X, y = wines()
    model = make_pipeline(FunctionTransformer(np.lib.npyio.NpzFile), LinearRegression())
    model.steps[1][1].fit(X, y)
    import skops.io

    folder = mlflow_models.wine_copy(tmp_path / "model")
    skops.io.dump(model, folder / "model.skops")
    foreign = skops.io.get_untrusted_types(file=folder / "model.skops")
    description = (folder / "MLmodel").read_text().replace("types: null", f"types: {foreign}")
    (folder / "MLmodel").write_text(description)

    assert "NpzFile, which is not known to be harmless; export the model to ONNX" in refused(folder, tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("loader_module: mlflow.sklearn", "loader_module: os"), "is loaded by os, which can run code"),
        (("model: model.skops", "model: ../model.skops"), "names no file of its own as the model"),
        (("model: model.skops", "model: gone.skops"), "gone.skops is missing: the model is incomplete"),
        (("format: skops", "format: pickle"), "could hold a pickle"),
        (("signature:", "unsigned:"), "has no signature, so its columns are unknown"),
        (('"double", "name": "alcohol"', '"binary", "name": "alcohol"'), "column 'alcohol' .* is of type binary"),
        (("flavors:", "flavours:"), "does not describe an MLflow model"),
    ],
)  # fmt: skip
def test_descriptions_that_say_too_much_or_too_little(tmp_path: Path, change: tuple[str, str], sentence: str) -> None:
    folder = mlflow_models.wine_copy(tmp_path / "model")
    description = (folder / "MLmodel").read_text()
    assert change[0] in description
    (folder / "MLmodel").write_text(description.replace(*change))

    with pytest.raises(InputError, match=sentence):
        import_model(str(folder), tmp_path / "imported")


def test_a_classifier_without_probabilities_is_told(tmp_path: Path) -> None:
    X, y = wines()
    folder = save(mlflow.sklearn, SVC().fit(X, y), tmp_path / "model", X, serialization_format="skops")

    assert "has no probabilities (predict_proba); wrap it in CalibratedClassifierCV" in refused(folder, tmp_path)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    folder = mlflow_models.xgboost_wine(tmp_path / "model")
    (folder / "model.ubj").write_bytes(b"{not a model")

    assert "cannot be loaded: XGBoostError" in refused(folder, tmp_path)


def test_a_clusterer_answers_numbers(tmp_path: Path) -> None:
    X, _ = wines()
    folder = save(
        mlflow.sklearn, KMeans(3, n_init=1, random_state=0).fit(X), tmp_path / "model", X, serialization_format="skops"
    )

    assert import_model(str(folder), tmp_path / "imported").task == "regression"


def test_a_model_that_takes_a_matrix_gets_a_column_for_each_of_its_own(tmp_path: Path) -> None:
    X, y = wines()
    matrix = X.to_numpy()
    model = LogisticRegression(max_iter=50).fit(matrix, y)
    folder = save(mlflow.sklearn, model, tmp_path / "model", matrix, serialization_format="skops", example=False)

    signature = import_model(str(folder), tmp_path / "imported")

    assert signature.names[:2] == ("input_0", "input_1")
    assert signature.classes == (0, 1, 2)
    assert not (tmp_path / "imported/serving/baseline.parquet").exists()


@pytest.mark.parametrize("make", [mlflow_models.xgboost_wine, mlflow_models.lightgbm_booster])
def test_the_same_model_saved_again_has_the_same_digest(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    for name in ("a", "b"):
        import_model(str(make(tmp_path / name)), tmp_path / f"imported-{name}")

    first, second = (fingerprint(tmp_path / f"imported-{name}") for name in ("a", "b"))
    assert first.digest == second.digest
    (tmp_path / "imported-b/serving/signature.json").write_text(
        (tmp_path / "imported-b/serving/signature.json").read_text().replace("alcohol", "spirit")
    )
    assert fingerprint(tmp_path / "imported-b").digest != first.digest

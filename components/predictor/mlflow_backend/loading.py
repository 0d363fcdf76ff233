"""Loading of MLflow models in allowed formats, directly by their libraries, and their predictions.

MLflow itself is not used, because it loads any code that `MLmodel` names. The predictions equal those of `mlflow.pyfunc`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from stagewright.components.predictor.mlflow_backend.formats import Field, Format
from stagewright.components.runtime.documents import read_json
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.harmless import check_archive, check_model
from stagewright.components.runtime.signature import MISSING_STRING, MISSING_TIME

# Types that skops does not trust by default. They are data and compiled code of the supported libraries.
TRUSTED_TYPES = frozenset({
    "collections.OrderedDict", "collections.defaultdict", "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRanker", "lightgbm.sklearn.LGBMRegressor", "numpy.dtype", "scipy.sparse._csr.csr_matrix",
    "sklearn._loss._loss.CyHalfBinomialLoss", "sklearn._loss._loss.CyHalfMultinomialLoss",
    "sklearn._loss._loss.CyHalfSquaredError", "sklearn.compose._column_transformer._RemainderColsList",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor", "sklearn.linear_model._sgd_fast.Hinge",
    "sklearn.linear_model._sgd_fast.Log", "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.EuclideanDistance32", "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.neighbors._ball_tree.BallTree64", "sklearn.neighbors._kd_tree.KDTree64", "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree", "sklearn.tree._tree.Tree",
})  # fmt: skip
_DTYPES = {"long": np.int64, "integer": np.int32, "float": np.float32, "double": np.float64}

Label = str | int | bool
Frame = Any  # a pandas data frame, or an array [N, width] for a model that takes a tensor
PredictFrame = Callable[[Frame], dict[str, np.ndarray]]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory.

    Attributes:
        format: Format of the model.
        framework: Name of the framework.
        classes: Labels in the order of the probabilities; None for a regression.
        predict_frame: From N rows to `label` [N] and `probabilities` [N, C], or `prediction` [N].
    """

    format: Format
    framework: str
    classes: tuple[Label, ...] | None
    predict_frame: PredictFrame

    @property
    def task(self) -> str:
        return "regression" if self.classes is None else "binary" if len(self.classes) == 2 else "multiclass"

    def predict(self, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Predict from columns [N, 1] as the server sends them: `label` [N] and `probabilities` [N, C], or `prediction` [N].

        Raises:
            Exception: If the model's library refuses the rows."""
        return self.predict_frame(frame(self.format, columns))

    def columns(self, rows: pd.DataFrame) -> dict[str, np.ndarray]:
        """Convert a data frame of N rows to columns [N, 1], as the server sends them."""
        return columns(self.format, rows)

    def example(self) -> pd.DataFrame | None:
        """The input example that was logged with the model; None if there is none or it cannot be read."""
        path = self.format.example
        if path is None or self.format.width is not None:
            return None
        try:
            document = read_json(path.read_text())
            rows = pd.DataFrame(document["data"], columns=document["columns"])
            return rows if set(rows.columns) == {field.name for field in self.format.fields} else None
        except (ValueError, KeyError, TypeError):
            return None


def load_format(found: Format) -> LoadedModel:
    """Load a model.

    Raises:
        InputError: If its files are damaged or contain forbidden types, its library is missing, or its outputs are unsupported.
    """
    try:
        return _LOAD[found.flavor](found)
    except ModuleNotFoundError as error:
        raise InputError(
            f"the MLflow model in {found.folder} needs the package '{error.name}', which is not installed here"
        ) from None
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged file can raise any exception
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"the MLflow model in {found.folder} cannot be loaded: {type(error).__name__}: {reason}") from None


def frame(found: Format, columns: Mapping[str, np.ndarray]) -> Frame:
    """Convert columns [N, 1] to the model's data frame, in the types of its signature."""
    if found.width is not None:
        return np.concatenate([columns[field.name] for field in found.fields], axis=1)
    return pd.DataFrame({field.name: _series(field, columns[field.name].reshape(-1)) for field in found.fields})


def columns(found: Format, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Convert a data frame of N rows to columns [N, 1]: the inverse of `frame`."""
    return {field.name: _column(field, rows[field.name]).reshape(-1, 1) for field in found.fields}


def _column(field: Field, values: pd.Series) -> np.ndarray:
    if field.type == "string":
        return np.array([MISSING_STRING if value is None or value != value else str(value) for value in values], dtype=object)  # noqa: PLR0124 - NaN
    if field.type == "datetime":
        moments = pd.to_datetime(values, utc=True).dt.tz_localize(None).to_numpy("datetime64[us]")
        return moments.astype(np.int64)  # "not a time" is MISSING_TIME
    return pd.to_numeric(values).to_numpy(np.float32 if field.type == "boolean" else np.float64)


def _series(field: Field, values: np.ndarray) -> Any:
    if field.type == "string":
        return values if field.required else _with_gaps(values, values == MISSING_STRING)
    if field.type == "datetime":
        gaps = values == MISSING_TIME
        return pd.Series(np.where(gaps, 0, values).astype("datetime64[us]").astype("datetime64[ns]")).mask(gaps)
    missing = np.isnan(values)
    if field.type == "boolean":
        return _with_gaps(values != 0, missing) if missing.any() else values != 0
    return values.astype(np.float64) if missing.any() else values.astype(_DTYPES[field.type])


def _with_gaps(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    objects = values.astype(object)
    objects[missing] = None
    return objects


def _sklearn(found: Format) -> LoadedModel:
    import skops.io

    check_archive(found.file)
    foreign = sorted(set(skops.io.get_untrusted_types(file=found.file)) - TRUSTED_TYPES)
    if foreign:
        raise InputError(f"{found.file} holds {foreign[0]}, which is not known to be harmless; export the model to ONNX")
    model = skops.io.load(found.file, trusted=sorted(TRUSTED_TYPES))
    check_model(model, str(found.file))
    return _estimator(found, model, "sklearn")


def _xgboost(found: Format) -> LoadedModel:
    import xgboost

    module, _, name = found.model_class.rpartition(".")
    model = getattr(import_module(module), name)()
    model.load_model(found.file)
    if not isinstance(model, xgboost.Booster):
        return _estimator(found, model, "xgboost")
    learner = json.loads(model.save_config())["learner"]
    objective, classes = learner["objective"]["name"], int(learner["learner_model_param"]["num_class"])
    return _booster(found, lambda rows: model.predict(xgboost.DMatrix(rows)), "xgboost", objective, classes)


def _lightgbm(found: Format) -> LoadedModel:
    if found.file.suffix == ".skops":
        loaded = _sklearn(found)
        return LoadedModel(found, "lightgbm", loaded.classes, loaded.predict_frame)
    import lightgbm

    model = lightgbm.Booster(model_file=str(found.file))
    objective = str(model.dump_model(num_iteration=1).get("objective", "")).partition(" ")[0]
    return _booster(found, model.predict, "lightgbm", objective, model.num_model_per_iteration())


def _stagewright(found: Format) -> LoadedModel:
    from stagewright.components.runtime.mlflow_flavor import Pyfunc
    from stagewright.components.runtime.model import Model

    model = Model.load(found.folder)
    served = Pyfunc(model)

    def answer(rows: pd.DataFrame) -> dict[str, np.ndarray]:
        answered = served.predict(rows)
        if model.metadata.classes is None:
            return {"prediction": answered["prediction"].to_numpy(np.float32)}
        return {"label": answered["label"].to_numpy(), "probabilities": answered.iloc[:, 1:].to_numpy(np.float32)}

    return LoadedModel(found, model.metadata.framework, model.metadata.classes, answer)


def _estimator(found: Format, model: Any, framework: str) -> LoadedModel:
    """A model with scikit-learn's estimator interface."""
    labels = getattr(model, "classes_", None)
    if labels is None:
        return LoadedModel(found, framework, None, lambda rows: _numbers(model.predict(rows)))
    if not hasattr(model, "predict_proba"):
        raise InputError(f"the classifier in {found.folder} has no probabilities (predict_proba); wrap it in "
                         "CalibratedClassifierCV or choose one that has")  # fmt: skip
    if isinstance(labels, list) or np.ndim(labels) != 1:
        raise InputError(f"the classifier in {found.folder} predicts several labels a row; only one is supported")
    classes = tuple(_label(value) for value in np.asarray(labels).tolist())
    kind = object if isinstance(classes[0], str) else None

    def answer(rows: Frame) -> dict[str, np.ndarray]:
        predicted = [_label(value) for value in np.asarray(model.predict(rows)).reshape(-1).tolist()]
        return {"label": np.array(predicted, dtype=kind), "probabilities": np.asarray(model.predict_proba(rows), np.float32)}

    return LoadedModel(found, framework, classes, answer)


def _booster(found: Format, predict: Callable[[Frame], Any], framework: str, objective: str, classes: int) -> LoadedModel:
    """A booster that predicts a number a row, the probability of the second class, or the probabilities of all classes."""
    if objective in ("binary:logistic", "binary", "cross_entropy"):
        return LoadedModel(found, framework, (0, 1), lambda rows: _two(np.asarray(predict(rows), np.float32).reshape(-1)))
    if objective in ("multi:softprob", "multiclass", "multiclassova"):
        return LoadedModel(found, framework, tuple(range(classes)), lambda rows: _many(np.asarray(predict(rows), np.float32)))
    return LoadedModel(found, framework, None, lambda rows: _numbers(predict(rows)))


def _two(second: np.ndarray) -> dict[str, np.ndarray]:
    return {"label": (second >= np.float32(0.5)).astype(np.int64), "probabilities": np.stack([1 - second, second], axis=1)}


def _many(probabilities: np.ndarray) -> dict[str, np.ndarray]:
    return {"label": probabilities.argmax(axis=1).astype(np.int64), "probabilities": probabilities}


def _numbers(predicted: Any) -> dict[str, np.ndarray]:
    values = np.asarray(predicted)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values.reshape(-1)
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise InputError(f"the model predicts {values.dtype} {list(values.shape)}; only one number a row is supported")
    return {"prediction": values.astype(np.float32)}


def _label(value: Any) -> Label:
    """A class label as in the signature; 1.0 becomes 1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, str | int | bool) else str(value)


_LOAD: dict[str, Callable[[Format], LoadedModel]] = {
    "sklearn": _sklearn, "xgboost": _xgboost, "lightgbm": _lightgbm, "stagewright": _stagewright,
}  # fmt: skip

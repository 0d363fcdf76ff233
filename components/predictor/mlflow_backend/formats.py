"""MLflow formats that may be loaded: only formats whose files cannot contain code.

An allow-list of this module decides. `MLmodel` is part of the untrusted model: loaders, classes and trusted types that it names
are only compared with the allow-list.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagewright.components.runtime.documents import Unreadable, read_json, read_yaml
from stagewright.components.runtime.errors import InputError, shortened
from stagewright.components.runtime.files import read_file
from stagewright.components.runtime.signature import Input

MLMODEL, MLFLOW_BACKEND = "MLmodel", "worker.json"
OWN = "stagewright.components.runtime.mlflow_flavor"
SAFE = "scikit-learn saved with serialization_format='skops', XGBoost, LightGBM, and models that Stagewright trained"
_LOADERS = {"mlflow.sklearn": "sklearn", "mlflow.xgboost": "xgboost", "mlflow.lightgbm": "lightgbm", OWN: "stagewright"}
_CLASSES = {
    "xgboost": {
        "xgboost.core.Booster", "xgboost.sklearn.XGBClassifier", "xgboost.sklearn.XGBRegressor", "xgboost.sklearn.XGBRanker",
        "xgboost.sklearn.XGBRFClassifier", "xgboost.sklearn.XGBRFRegressor",
    },
    "lightgbm": {
        "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier", "lightgbm.sklearn.LGBMRegressor",
        "lightgbm.sklearn.LGBMRanker",
    },
}  # fmt: skip
_BOOSTERS = ("xgboost.core.Booster", "lightgbm.basic.Booster")
_SUFFIXES = {"sklearn": (".skops",), "xgboost": (".ubj", ".json"), "lightgbm": (".lgb", ".txt", ".skops")}
_KINDS = {
    "double": "numeric", "float": "numeric", "long": "numeric", "integer": "numeric", "boolean": "boolean",
    "string": "categorical", "datetime": "datetime",
}  # fmt: skip
_FRACTIONAL = ("double", "float")


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the model's MLflow signature.

    Attributes:
        type: MLflow's: double, float, long, integer, boolean, string or datetime.
        name: Name of the column.
        required: Whether the column is required. Its numbers may still be NaN.
    """

    name: str
    type: str
    required: bool

    @property
    def input(self) -> Input:
        """The column in the server's signature."""
        return Input(self.name, _KINDS[self.type], nullable=not self.required or self.type in (*_FRACTIONAL, "string"))


@dataclass(frozen=True, slots=True)
class Format:
    """An MLflow model in an allowed format.

    Attributes:
        folder: Folder of the model.
        flavor: sklearn, xgboost, lightgbm or stagewright.
        model_class: Qualified name of the class to build, if the flavor has several.
        file: The model's file; the folder for Stagewright's flavor.
        fields: Columns in order.
        width: Number of columns if the model takes one numeric tensor [rows, width]; None if it takes a data frame.
        example: File of the input example, if there is one.
    """

    folder: Path
    flavor: str
    model_class: str
    file: Path
    fields: tuple[Field, ...]
    width: int | None = None
    example: Path | None = None


def is_mlflow(folder: Path) -> bool:
    """Whether a folder is a model in MLflow's format."""
    return (folder / MLMODEL).is_file()


def flavors(folder: Path) -> Mapping[str, Any]:
    """The flavors of a model by name.

    Raises:
        InputError: If there is no valid MLmodel file.
    """
    named: Mapping[str, Any] = _document(folder)["flavors"]
    return named


def read_format(folder: str | Path) -> Format:
    """Read the format of the model in a folder, without loading the model.

    Raises:
        InputError: If it is not an MLflow model, may contain code, or has no usable signature.
    """
    folder = Path(folder)
    document = _document(folder)
    given: Mapping[str, Any] = document["flavors"]
    function = given.get("python_function")
    if not isinstance(function, dict):
        raise InputError(f"the MLflow model in {folder} has no python_function flavour; log it with one of MLflow's flavours")
    loader = str(function.get("loader_module"))
    if loader not in _LOADERS:
        loader = shortened(loader, 100)
        raise InputError(f"the MLflow model in {folder} is loaded by {loader}, which can run code from its files; "
                         f"served are {SAFE}, and any model as ONNX")  # fmt: skip
    flavor = _LOADERS[loader]
    for name, one in given.items():
        if isinstance(one, dict) and (one.get("code") or one.get("model_code_path")):
            raise InputError(f"the MLflow model in {folder} brings code of its own ({name} has code_paths), which is not run; "
                             "log it without, or export it to ONNX")  # fmt: skip
    fields, width = _own_fields(folder) if flavor == "stagewright" else _fields(document, folder)
    own = given.get(flavor, {}) if flavor != "stagewright" else {}
    model_class = str(own.get("model_class", ""))
    file = folder if flavor == "stagewright" else _file(folder, flavor, own, function)
    if flavor in _CLASSES and model_class not in _CLASSES[flavor]:
        raise InputError(f"the MLflow model in {folder} is a {model_class or 'model without a class'}, which is not served; "
                         f"served are {', '.join(sorted(_CLASSES[flavor]))}")  # fmt: skip
    if flavor in ("sklearn", "lightgbm") and model_class not in _BOOSTERS:
        _check_skops(file, own)
    return Format(folder, flavor, model_class, file, fields, width, _example(document, folder))


def _document(folder: Path) -> dict[str, Any]:
    path = folder / MLMODEL
    try:
        document = read_yaml(read_file(path, inside=folder).decode())
        document["flavors"].items()
    except FileNotFoundError:
        raise InputError(f"there is no {MLMODEL} in {folder}: this is not an MLflow model") from None
    except Unreadable as error:
        raise InputError(f"{path} does not describe an MLflow model: {error}") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"{path} does not describe an MLflow model") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    return dict(document)


def _file(folder: Path, flavor: str, own: Mapping[str, Any], function: Mapping[str, Any]) -> Path:
    name = str(own.get("pickled_model") or own.get("data") or function.get("model_path") or function.get("data") or "")
    path = folder / name
    if not name or not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"the MLflow model in {folder} names no file of its own as the model")
    if path.suffix not in _SUFFIXES[flavor]:
        raise _unsafe(path)
    if not path.is_file():
        raise InputError(f"{path} is missing: the model is incomplete")
    return path


def _check_skops(path: Path, own: Mapping[str, Any]) -> None:
    if own.get("serialization_format") != "skops" or path.suffix != ".skops":
        raise _unsafe(path)


def _unsafe(path: Path) -> InputError:
    return InputError(f"{path} could hold a pickle, which runs code when it is loaded; "
                      "log the model with serialization_format='skops', or export it to ONNX")  # fmt: skip


def _fields(document: Mapping[str, Any], folder: Path) -> tuple[tuple[Field, ...], int | None]:
    signature = document.get("signature")
    if not isinstance(signature, dict) or not signature.get("inputs"):
        raise InputError(f"the MLflow model in {folder} has no signature, so its columns are unknown; "
                         "log it with signature=infer_signature(rows, predictions)")  # fmt: skip
    try:
        inputs = read_json(signature["inputs"])
        if len(inputs) == 1 and inputs[0]["type"] == "tensor":
            return _tensor(inputs[0], folder)
        fields = tuple(Field(str(one["name"]), str(one["type"]), bool(one.get("required", True))) for one in inputs)
    except (ValueError, KeyError, TypeError):
        raise InputError(f"the signature of the MLflow model in {folder} names no columns; log it with a frame's") from None
    for field in fields:
        if field.type not in _KINDS:
            raise InputError(f"column '{field.name}' of the MLflow model in {folder} is of type {field.type}; "
                             f"served are {', '.join(_KINDS)}")  # fmt: skip
    return fields, None


def _own_fields(folder: Path) -> tuple[tuple[Field, ...], None]:
    """Columns of a Stagewright model, from its fitted features, which are more exact than its MLflow signature."""
    path = folder / "features" / "features.json"
    types = {"numeric": "double", "boolean": "boolean", "datetime": "datetime", "categorical": "string", "text": "string"}
    try:
        given = [
            (str(one["name"]), types.get(one["kind"]), bool(one["nullable"])) for one in read_json(path.read_text())["inputs"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path} does not say what the model takes: this is not a model that train_model wrote") from None
    if any(kind is None for _, kind, _ in given):
        raise InputError(f"the model in {folder} takes images or tensors; run export_model, and it is served as ONNX")
    return tuple(Field(name, kind or "", required=not nullable) for name, kind, nullable in given), None


def _tensor(given: Mapping[str, Any], folder: Path) -> tuple[tuple[Field, ...], int | None]:
    """One column for each column of the tensor, with the same names as for an ONNX graph."""
    spec = given["tensor-spec"]
    shape = spec["shape"]
    if len(shape) != 2 or shape[1] < 1 or not str(spec["dtype"]).startswith(("float", "int")):
        raise InputError(
            f"the MLflow model in {folder} takes a tensor {shape} of {spec['dtype']}; served are numbers [-1, columns]"
        )
    name = given.get("name") or "input"
    return tuple(Field(f"{name}_{at}", "double", required=True) for at in range(shape[1])), int(shape[1])


def _example(document: Mapping[str, Any], folder: Path) -> Path | None:
    information = document.get("saved_input_example_info")
    name = str(information.get("artifact_path", "")) if isinstance(information, dict) else ""
    path = folder / name
    return path if name and path.resolve().is_relative_to(folder.resolve()) and path.is_file() else None

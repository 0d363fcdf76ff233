"""The folder of a trained model: MLflow's model format around the project's own files, without a pickle."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from stagewright.components.runtime.feature_graph import FeatureGraph
from stagewright.components.runtime.frameworks import FRAMEWORKS
from stagewright.components.runtime.learned import LearnedRows
from stagewright.components.runtime.model import ESTIMATOR, FEATURES, Estimator, ModelMetadata
from stagewright.components.runtime.signature import TENSOR_KINDS, Input

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

LOADER = "stagewright.components.runtime.mlflow_flavor"
EXAMPLE_FILE, EXAMPLE_ROWS = "input_example.json", 5
_ALWAYS = ("stagewright", "mlflow-skinny", "numpy", "onnx", "onnxruntime", "pandas", "polars")


def libraries(framework: str) -> dict[str, str]:
    """Versions of Python and of the packages that a model of this framework uses, by name."""
    found = {"python": platform.python_version()}
    row = FRAMEWORKS[framework]
    for package in (*_ALWAYS, *row.packages, *row.tools):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return dict(sorted(found.items()))


def write(
    folder: Path,
    *,
    metadata: ModelMetadata,
    features: FeatureGraph,
    estimator: Estimator,
    example: pl.DataFrame,
    learned: LearnedRows,
) -> None:
    """Write a model's files to an existing folder.

    Args:
        example: Some rows with the model's raw columns.
        learned: Fingerprints of the rows that it was trained on.
    """
    features.save(folder / FEATURES)
    (folder / ESTIMATOR).mkdir()
    estimator.save(folder / ESTIMATOR)
    metadata.write(folder)
    learned.write(folder)
    _write_mlmodel(folder, metadata, features, example)


def _write_mlmodel(folder: Path, metadata: ModelMetadata, features: FeatureGraph, example: pl.DataFrame) -> None:
    from mlflow.models import Model

    not_to_load = {"python", *FRAMEWORKS[metadata.framework].tools}
    pinned = [f"{package}=={number}" for package, number in metadata.libraries.items() if package not in not_to_load]
    (folder / "requirements.txt").write_text("\n".join(pinned) + "\n")
    python = f"python: {metadata.libraries['python']}\nbuild_dependencies: [pip]\ndependencies:\n- -r requirements.txt\n"
    (folder / "python_env.yaml").write_text(python)
    large = any(column.kind in TENSOR_KINDS for column in features.inputs)
    rows = example.select(column.name for column in features.inputs).head(1 if large else EXAMPLE_ROWS)
    document = {"columns": rows.columns, "data": [list(row) for row in rows.rows()]}
    (folder / EXAMPLE_FILE).write_text(json.dumps(document, default=str, ensure_ascii=False) + "\n")
    model = Model(
        run_id=metadata.run_id or None,
        signature=_signature(metadata, features.inputs, rows.schema),
        saved_input_example_info={"artifact_path": EXAMPLE_FILE, "type": "dataframe", "pandas_orient": "split"},
        metadata={"framework": metadata.framework, "algorithm": metadata.algorithm, "task": metadata.task},
    )
    # What mlflow.pyfunc.add_to_model writes; importing that costs a quarter of a second.
    environment = {"virtualenv": "python_env.yaml"}
    model.add_flavor("python_function", loader_module=LOADER, python_version=metadata.libraries["python"], env=environment)
    model.save(str(folder / "MLmodel"))


def _signature(metadata: ModelMetadata, inputs: tuple[Input, ...], dtypes: pl.Schema) -> "ModelSignature":
    """Inputs and outputs as MLflow checks them.

    Numbers have any type there: MLflow refuses an integer for a float column, and a missing value for an integer column, which
    the model accepts. The model itself refuses unusable values and names the column.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    def column(given: Input) -> ColSpec:
        kind: Any = "datetime" if given.kind == "datetime" else "string" if dtypes[given.name] == pl.String else AnyType()
        return ColSpec(kind, given.name, required=False)

    if metadata.classes is None:
        answers: list[Any] = [ColSpec("float", "prediction")]
    else:
        first = metadata.classes[0]
        label = "boolean" if isinstance(first, bool) else "long" if isinstance(first, int) else "string"
        answers = [ColSpec(label, "label"), *(ColSpec("float", f"probability_{name}") for name in metadata.classes)]
    return ModelSignature(inputs=Schema([column(given) for given in inputs]), outputs=Schema(answers))

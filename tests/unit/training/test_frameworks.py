"""What is particular to a framework: stopping early, thresholds, missing values, files that cannot be trusted."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import skops.io

from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.frameworks import framework_module
from stagewright.components.training.frameworks._base import Fit, Split, TrainingData, loss
from stagewright.components.training.frameworks._trees import floor32

BOOSTED = ("sklearn", "xgboost", "lightgbm")


@dataclass(frozen=True)
class Column:
    name: str
    kind: str = "numeric"
    cardinality: int | None = None


def made(classes: int, *, holes: str = "none", rows: int = 900, seed: int = 0) -> TrainingData:
    """Rows with signal, noise and, in one split or in both, missing values."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, 8)).astype(np.float32)
    X[:, 1] = np.round(X[:, 1] * 3)
    signal = X[:, 0] + X[:, 1] / 3 + random.normal(size=rows) * 0.5
    y = np.digitize(signal, np.quantile(signal, np.arange(1, classes) / classes)) if classes else signal.astype(np.float32)
    half = rows * 2 // 3
    for part in {"none": [], "both": [X], "validation": [X[half:]]}[holes]:
        part[random.random(part.shape) < 0.1] = np.nan
    columns = [Column(f"x{position}") for position in range(8)]
    return TrainingData(Split(X[:half], y[:half]), Split(X[half:], y[half:]), columns, classes)  # type: ignore[arg-type]


def fitted(name: str, data: TrainingData, **params: object) -> Fit:
    module = framework_module(name)
    return module.train(data, module.plan(params), seed=0)


def onnx_answers(fit: Fit, X: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(fit.estimator.to_onnx().SerializeToString())
    outputs = [output.name for output in session.get_outputs()]
    wanted = "probabilities" if "probabilities" in outputs else "prediction"
    return session.run([wanted], {"features": X})[0]


@pytest.mark.parametrize("name", BOOSTED)
@pytest.mark.parametrize("classes", [0, 2, 4])
@pytest.mark.parametrize("holes", ["none", "both", "validation"])
def test_boosted_trees_export_missing_values_exactly(name: str, classes: int, holes: str) -> None:
    data = made(classes, holes=holes)
    fit = fitted(name, data)

    native = fit.estimator.predict(data.validation.X)

    assert onnx_answers(fit, data.validation.X).reshape(native.shape) == pytest.approx(native, abs=1e-5)


@pytest.mark.parametrize("name", BOOSTED)
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_estimator_keeps_the_best_iteration_and_no_later_one(name: str, classes: int) -> None:
    data = made(classes)
    fit = fitted(name, data)
    history = fit.history["validation_log_loss" if classes else "validation_rmse"]

    assert fit.best_iteration == int(np.argmin(history)) + 1
    assert fit.best_iteration < len(history)
    assert loss(data.validation, fit.estimator.predict(data.validation.X)) == pytest.approx(min(history), rel=1e-5)


def test_network_keeps_the_best_epoch() -> None:
    data = made(2)
    fit = fitted("torch", data, max_epochs=60, patience=5, learning_rate=0.02)
    history = fit.history["validation_log_loss"]

    assert fit.best_iteration == int(np.argmin(history)) + 1 < len(history)
    assert loss(data.validation, fit.estimator.predict(data.validation.X)) == pytest.approx(min(history), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "params", "kept"),
    [
        ("xgboost", {"n_estimators": 12, "early_stopping_rounds": None}, 12),
        ("lightgbm", {"n_estimators": 12, "early_stopping_rounds": None}, 12),
        ("sklearn", {"max_iter": 12, "n_iter_no_change": None}, 12),
    ],
)
def test_null_patience_runs_to_the_end(name: str, params: dict[str, object], kept: int) -> None:
    assert fitted(name, made(2), **params).best_iteration == kept


def test_network_with_null_patience_trains_all_epochs_and_keeps_the_best() -> None:
    data = made(2)
    fit = fitted("torch", data, max_epochs=25, patience=None, learning_rate=0.02)
    history = fit.history["validation_log_loss"]

    assert len(history) == len(fit.history["train_log_loss"]) == 25
    assert fit.best_iteration == int(np.argmin(history)) + 1 < 25
    assert loss(data.validation, fit.estimator.predict(data.validation.X)) == pytest.approx(min(history), rel=1e-5)


def test_lightgbm_answers_as_its_float64_thresholds_did() -> None:
    """Features on both sides of every threshold, as near as float32 can be."""
    import lightgbm

    random = np.random.default_rng(1)
    grid = (np.float32(1) + np.arange(40, dtype=np.float32) * np.finfo(np.float32).eps).astype(np.float32)
    X = random.choice(grid, size=(2000, 3))
    y = (X[:, 0] > np.median(grid)).astype(np.int64)
    split = Split(X, y)
    data = TrainingData(split, split, [Column(name) for name in "abc"], 2)  # type: ignore[arg-type]
    fit = fitted("lightgbm", data, n_estimators=5, early_stopping_rounds=None)

    settings = {"objective": "binary", "learning_rate": 0.05, "subsample": 0.9, "subsample_freq": 1, "verbosity": -1}
    settings |= {"colsample_bytree": 0.9, "seed": 0, "deterministic": True, "force_row_wise": True, "num_threads": 1}
    original = lightgbm.train(settings, lightgbm.Dataset(X, y), 5)

    assert np.array_equal(fit.estimator.predict(X)[:, 1], original.predict(X).astype(np.float32))
    assert onnx_answers(fit, X) == pytest.approx(fit.estimator.predict(X), abs=1e-6)
    thresholds = [tree["tree_structure"]["threshold"] for tree in original.dump_model()["tree_info"]]
    assert any(float(np.float32(value)) > value for value in thresholds), "no threshold would have been rounded up"


def test_floor32_is_never_above() -> None:
    values = np.array([0.1, 1 / 3, -0.1, 1e300, -1e300, 0.0, 1e-35, 16777217.0])

    rounded = floor32(values)

    assert rounded.dtype == np.float32
    assert (rounded.astype(np.float64) <= values).all()
    assert (np.nextafter(rounded, np.float32(np.inf)).astype(np.float64) > values).all()


@pytest.mark.parametrize("name", ["sklearn", "xgboost", "lightgbm", "torch"])
@pytest.mark.parametrize("content", [None, b"", b"not a model", b"PK\x03\x04"])
def test_damaged_estimator_is_refused(name: str, content: bytes | None, tmp_path: Path) -> None:
    fitted(name, made(2)).estimator.save(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink() if content is None else path.write_bytes(content)

    with pytest.raises(InputError, match="cannot be read as an estimator"):
        framework_module(name).load(tmp_path)


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_truncated_estimator_is_refused(name: str, tmp_path: Path) -> None:
    fitted(name, made(2)).estimator.save(tmp_path)
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(InputError, match="cannot be read as an estimator"):
        framework_module(name).load(tmp_path)


def test_foreign_type_in_a_sklearn_file_is_not_built(tmp_path: Path) -> None:
    skops.io.dump(Column("x"), tmp_path / "model.skops")

    with pytest.raises(InputError, match="Column, which no supported estimator uses; it is not loaded"):
        framework_module("sklearn").load(tmp_path)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_rows_of_torch_count_as_much_as_their_weights_say(scale: float) -> None:
    """Also in batches that have light rows alone, of which there are many when batches are small."""
    plain = made(2)
    weights = np.where(plain.train.y == 1, scale, scale * 1e-6).astype(np.float32)
    weighted = TrainingData(Split(plain.train.X, plain.train.y, weights), plain.validation, plain.features, 2)

    fit = fitted("torch", weighted, batch_size=2, max_epochs=2, patience=None, dropout=0.0)

    assert (fit.estimator.predict(plain.validation.X).argmax(axis=1) == 1).mean() > 0.95


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    fitted("torch", made(2), max_epochs=1).estimator.save(tmp_path)
    np.savez(tmp_path / "weights.npz", weights=np.array([{"a": 1}], dtype=object))

    with pytest.raises(InputError, match="cannot be read as an estimator: Object arrays cannot be loaded"):
        framework_module("torch").load(tmp_path)


def test_no_gpu_is_one_sentence() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(InputError, match=r"params\.device is 'cuda' and no GPU is visible here"):
        fitted("torch", made(2), device="cuda")


def test_single_row_left_over_does_not_stop_the_network() -> None:
    data = made(2, rows=771)  # 514 rows to learn from: two batches of 256 and two rows; 513 leave one
    one_less = TrainingData(Split(data.train.X[:513], data.train.y[:513]), data.validation, data.features, data.classes)

    assert fitted("torch", one_less, max_epochs=2).best_iteration in {1, 2}


def test_regularization_of_the_other_task_is_refused() -> None:
    with pytest.raises(InputError, match="takes no parameter 'alpha' for a classifier; its regularization is 'C'"):
        fitted("sklearn", made(2), model="linear", alpha=2)
    with pytest.raises(InputError, match="takes no parameter 'C' for a regression; its regularization is 'alpha'"):
        fitted("sklearn", made(0), model="linear", C=2)


def test_constant_target_of_a_regression_is_answered() -> None:
    data = made(0)
    flat = TrainingData(
        Split(data.train.X, np.full_like(data.train.y, 3)), Split(data.validation.X, np.full_like(data.validation.y, 3)),
        data.features, 0,
    )  # fmt: skip

    for name in ("sklearn", "xgboost", "lightgbm", "torch"):
        fit = fitted(name, flat)
        assert fit.estimator.predict(flat.validation.X) == pytest.approx(3, abs=0.2), name
        assert onnx_answers(fit, flat.validation.X).ravel() == pytest.approx(fit.estimator.predict(flat.validation.X), abs=1e-5)

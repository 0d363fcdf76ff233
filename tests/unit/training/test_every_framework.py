"""Each method on each kind of target: trained, saved, loaded, exported, and the same answers everywhere."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.trainings import METHODS, Data

from stagewright.components.export.export_model import export_model
from stagewright.components.runtime import tables
from stagewright.components.runtime.model import Model

DATASETS = ("telco", "telco_bool", "wine_int", "wine_str", "diabetes")
CLASSES = {
    "telco": ("No", "Yes"),
    "telco_bool": (False, True),
    "wine_int": (0, 1, 2),
    "wine_str": ("barbera", "barolo", "grignolino"),
    "diabetes": None,
}
# What any of the methods must reach on the validation split: accuracy, or a root mean squared error below.
GOOD = {"telco": 0.78, "telco_bool": 0.75, "wine_int": 0.85, "wine_str": 0.85, "diabetes": 68.0}


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.usefixtures("recorded")
def test_model_is_trained_saved_loaded_and_exported(
    datasets: dict[str, Data], dataset: str, method: str, tmp_path: Path
) -> None:
    data, (framework, params) = datasets[dataset], METHODS[method]
    if framework == "torch" and not dataset.startswith("telco"):
        params = params | {"max_epochs": 100, "batch_size": 32}

    folder = data.model(tmp_path / "model", framework, params)
    exported = export_model(folder, data.validation, tmp_path / "exported", tolerance=1e-5)

    model, table = Model.load(folder), tables.read_table(data.validation)
    assert model.metadata.classes == CLASSES[dataset]
    assert [type(label) for label in model.metadata.classes or ()] == [type(label) for label in CLASSES[dataset] or ()]
    answers = model.predict(table)
    truth = table.get_column(data.target).to_numpy()
    if answers.labels is None:
        assert answers.values is not None
        assert answers.values.dtype == np.float32
        assert np.sqrt(np.mean((answers.values - truth) ** 2)) < GOOD[dataset]
    else:
        assert answers.probabilities is not None
        assert answers.probabilities.shape == (table.height, len(CLASSES[dataset] or ()))
        assert np.allclose(answers.probabilities.sum(axis=1), 1, atol=1e-5)
        assert np.mean(answers.labels == truth) > GOOD[dataset]
    assert exported.largest_difference <= 1e-5
    assert pickles(folder) == []


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.usefixtures("recorded")
def test_equal_seeds_make_equal_models(small: Data, method: str, tmp_path: Path) -> None:
    framework, params = METHODS[method]
    first, second = (Model.load(small.model(tmp_path / name, framework, params, seed=7)) for name in ("first", "second"))
    table = tables.read_table(small.validation)

    assert np.array_equal(first.predict(table).probabilities, second.predict(table).probabilities)
    assert first.metadata.recipe == second.metadata.recipe


@pytest.mark.parametrize("method", ["random_forest", "xgboost", "torch"])
@pytest.mark.usefixtures("recorded")
def test_another_seed_makes_another_model(small: Data, method: str, tmp_path: Path) -> None:
    framework, params = METHODS[method]
    first, second = (Model.load(small.model(tmp_path / str(seed), framework, params, seed=seed)) for seed in (0, 1))
    table = tables.read_table(small.validation)

    assert not np.array_equal(first.predict(table).probabilities, second.predict(table).probabilities)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.usefixtures("recorded")
def test_balanced_weights_answer_the_rare_class_more_often(small: Data, method: str, tmp_path: Path) -> None:
    framework, params = METHODS[method]
    table = tables.read_table(small.validation)

    def shares(class_weight: str) -> float:
        model = Model.load(small.model(tmp_path / class_weight, framework, params, class_weight=class_weight))
        return float(np.mean(model.predict(table).labels == "Yes"))

    assert shares("balanced") > shares("none")


def pickles(folder: Path) -> list[str]:
    """Files of a folder, and entries of archives in it, that are a pickle by name or by content."""
    found = []
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        entries = {path.name: path.read_bytes()}
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                entries |= {f"{path.name}/{name}": archive.read(name) for name in archive.namelist()}
        for name, content in entries.items():
            is_pickle = content[:1] == b"\x80" and content[1:2] in b"\x02\x03\x04\x05" and content[-1:] == b"."
            if is_pickle or name.endswith((".pkl", ".pickle", ".pt", ".pth", ".joblib")):
                found.append(name)
    return found

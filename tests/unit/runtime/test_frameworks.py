"""The table of frameworks: each row has a module, an image, defaults of preprocessing; everything else reads the table."""

import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from stagewright.components.features.specification import family
from stagewright.components.images import GROUPS
from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.frameworks import FRAMEWORKS, FrameworkSpec, framework_module, specification
from stagewright.components.runtime.schema import ColumnKind
from stagewright.pipelines.description import describe
from stagewright.pipelines.profiles import frameworks as images

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("row", FRAMEWORKS.values(), ids=list(FRAMEWORKS))
def test_a_row_fits_the_rest(row: FrameworkSpec) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    assert find_spec(f"stagewright.components.training.frameworks.{row.name}")
    assert row.image in GROUPS
    assert row.image in extras
    assert {row.family, *row.families.values()} <= {"tree", "linear", "network"}
    assert set(row.reads) <= {kind.value for kind in ColumnKind}


def test_every_module_has_a_row() -> None:
    modules = {path.stem for path in (ROOT / "components/training/frameworks").glob("[!_]*.py")}

    assert modules == set(FRAMEWORKS)


@pytest.mark.parametrize("name", ["train-model", "train_model", "fit_features"])
def test_choices_are_the_rows(name: str) -> None:
    parameter = next(parameter for parameter in describe(name).inputs if parameter.name == "framework")

    assert parameter.choices == tuple(FRAMEWORKS)
    assert "{" not in parameter.description


@pytest.mark.parametrize(
    ("framework", "params", "expected"),
    [
        ("sklearn", {}, "tree"),
        ("sklearn", {"model": "linear"}, "linear"),
        ("sklearn", {"model": "random_forest"}, "tree"),
        ("xgboost", {"model": "linear"}, "tree"),  # not a parameter of xgboost, which says so itself
        ("torch", {}, "network"),
        ("torch_vision", {}, "network"),
        ("transformers", {"model": "folder"}, "network"),
    ],
)
def test_family_sets_the_defaults(framework: str, params: dict[str, str], expected: str) -> None:
    assert family(framework, params) == expected


def test_unknown_methods_and_frameworks_are_refused() -> None:
    with pytest.raises(BadParameter, match="one of linear, random_forest, hist_gradient_boosting"):
        family("sklearn", {"model": "lasso"})
    with pytest.raises(BadParameter, match="one of linear, random_forest, hist_gradient_boosting"):
        family("sklearn", {"model": 3})
    with pytest.raises(BadParameter, match="did you mean 'xgboost'"):
        specification("xgbost")


def test_tolerances_of_networks_of_many_layers_are_wider() -> None:
    assert {name: row.tolerance for name, row in FRAMEWORKS.items() if row.tolerance} == {
        "torch_vision": 1e-4,
        "transformers": 1e-4,
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"framework": "torch"}, {"tabular": "torch"}),
        ({"framework": "xgboost"}, {}),
        ({"student": "vision"}, {"tabular": "torch"}),
        ({"student": "mlp"}, {"tabular": "torch"}),
        ({"student": "trees"}, {}),
        ({"student": ""}, {}),
        ({}, {}),
    ],
)
def test_image_follows_from_the_framework(arguments: dict[str, str], expected: dict[str, str]) -> None:
    assert images.images(arguments) == expected


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {
        "plain": FrameworkSpec("plain", ("absent",), module="absent_package"),
        "deep": FrameworkSpec("deep", ("absent",), image="torch", module="absent_package"),
    }
    monkeypatch.setattr("stagewright.components.runtime.frameworks.FRAMEWORKS", rows)

    with pytest.raises(InputError) as plain:
        framework_module("plain")
    with pytest.raises(InputError) as deep:
        framework_module("deep")

    found = "is not installed here (no package 'absent_package'); install"
    assert str(plain.value) == f"framework 'plain' {found} stagewright[tabular] to use it"
    assert str(deep.value) == f"framework 'deep' {found} stagewright[torch]; or compile with the torch profile"

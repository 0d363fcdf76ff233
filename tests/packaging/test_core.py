"""What the core can do alone: compile, list and describe need nothing of what the steps need."""

import subprocess
import sys
from pathlib import Path

import pytest

from stagewright.pipelines import catalog

# Modules of the extras; a machine that only compiles and submits has none of them.
OF_STEPS = (
    "PIL", "arro3", "grpc", "lightgbm", "matplotlib", "mlflow", "numpy", "onnx", "onnxruntime", "orjson", "pandas", "polars",
    "pyarrow", "scipy", "skl2onnx", "sklearn", "skops", "sqlalchemy", "timm", "tokenizers", "torch", "torchvision",
    "transformers", "uvicorn", "xgboost",
)  # fmt: skip

PROGRAM = f"""
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OF_STEPS!r}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)

sys.meta_path.insert(0, Refuse())
from stagewright.pipelines.cli.main import main
main()
"""


@pytest.mark.parametrize(
    "arguments", [["list"], ["describe", "train-model"], ["describe", "fit_features"], ["run", "train-model", "--help"]]
)
def test_core_answers_without_any_extra(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_core_compiles_without_any_extra(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "compile", "--output", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert {path.stem for path in tmp_path.iterdir()} == set(catalog.PIPELINES)


def test_run_without_the_extra_says_what_to_install() -> None:
    command = [sys.executable, "-c", PROGRAM, "run", "train-model", "--data", "x.csv", "--target", "y", "--name", "z"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: 'orjson' is not installed; install stagewright[local] to run, serve and predict\n"

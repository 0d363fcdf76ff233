"""The frameworks that train models: one row each. A new framework is a module of `training/frameworks/` and a row here.

Everything that depends on the framework is read from this table: the choices of parameters, the defaults of preprocessing, the
image of a step, the packages recorded with a model, the tolerance of its export. Nothing is imported before it is used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from stagewright.components.runtime.errors import InputError, one_of

_MODULES = "stagewright.components.training.frameworks"


@dataclass(frozen=True, slots=True)
class FrameworkSpec:
    """What the rest of the code must know about a framework.

    Attributes:
        name: Value of the parameter `framework`, and name of the module in `training/frameworks/`.
        packages: Distributions whose versions are recorded with a model. The first is the framework itself.
        tools: Distributions that only training and export use: recorded, but not required to load the model.
        image: Image group that has the packages; also the extra of stagewright that installs them.
        family: Defaults of preprocessing: tree, linear or network.
        families: Family by value of the parameter `model`, for a framework with several methods.
        reads: Kinds of the single column that it reads; empty for a table of any columns.
        tolerance: Smallest tolerance of the export: of a probability, or of a value as a share of the target's spread.
        student: Value of the parameter `student` that trains a student with it; empty if there is none.
        module: Full name of the module; default: `training/frameworks/NAME.py`.
    """

    name: str
    packages: tuple[str, ...]
    tools: tuple[str, ...] = ()
    image: str = "tabular"
    family: str = "tree"
    families: Mapping[str, str] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    tolerance: float = 0.0
    student: str = ""
    module: str = ""

    @property
    def module_name(self) -> str:
        """Full name of the framework's module."""
        return self.module or f"{_MODULES}.{self.name}"

    def load(self) -> Any:
        """Import the framework's module, see `training.frameworks._base.Framework`.

        Raises:
            ModuleNotFoundError: If a package is not installed.
        """
        return import_module(self.module_name)


# Float32 sums of thousands of terms, over many layers: another order of addition moves a probability by up to about 1e-5.
_MANY_LAYERS = 1e-4

_SKLEARN = {"linear": "linear", "random_forest": "tree", "hist_gradient_boosting": "tree"}
_ROWS = (
    FrameworkSpec("sklearn", ("scikit-learn", "skops"), tools=("skl2onnx",), families=_SKLEARN, student="linear"),
    FrameworkSpec("xgboost", ("xgboost",)),
    FrameworkSpec("lightgbm", ("lightgbm",), student="trees"),
    FrameworkSpec("torch", ("torch",), image="torch", family="network", student="mlp"),
    FrameworkSpec(
        "torch_vision", ("torch", "torchvision", "timm", "safetensors"), tools=("onnxscript",), image="torch", family="network",
        reads=("image", "tensor"), tolerance=_MANY_LAYERS, student="vision",
    ),
    FrameworkSpec(
        "transformers", ("torch", "transformers", "tokenizers", "safetensors"), tools=("onnxscript",), image="torch",
        family="network", reads=("text",), tolerance=_MANY_LAYERS, student="transformer",
    ),
)  # fmt: skip
FRAMEWORKS: Mapping[str, FrameworkSpec] = {row.name: row for row in _ROWS}


def specification(name: str) -> FrameworkSpec:
    """The row of a framework.

    Raises:
        BadParameter: If there is no such framework.
    """
    return FRAMEWORKS[one_of("framework", name, FRAMEWORKS)]


def framework_module(name: str) -> Any:
    """The module of a framework, imported now.

    Raises:
        BadParameter: If there is no such framework.
        InputError: If one of the framework's packages is not installed.
    """
    row = specification(name)
    try:
        return row.load()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("stagewright"):
            raise
        profile = " to use it" if row.image == "tabular" else f"; or compile with the {row.image} profile"
        raise InputError(
            f"framework '{name}' is not installed here (no package '{error.name}'); install stagewright[{row.image}]{profile}"
        ) from None

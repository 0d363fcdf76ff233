"""Which image a run's arguments ask for: networks need the one that holds torch, in every step that loads the model."""

from collections.abc import Mapping
from typing import Any

from stagewright.components.images import image
from stagewright.components.runtime.errors import InputError
from stagewright.pipelines.profiles.model import Profile

# Values of a parameter with which the steps need torch. By name: nothing heavier than this is imported to compile.
_NEED_TORCH = {
    "framework": ("torch", "torch_vision", "transformers"),
    "student": ("mlp", "vision", "transformer"),
}
_HOLD_TORCH = ("torch", "torch-gpu")
IMAGES = {"tabular": "torch"}  # a model of a network is also loaded by the steps after training


def images(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Image groups to be used in place of others for a run with these arguments.

    >>> images({"framework": "transformers"}), images({"framework": "xgboost"})
    ({'tabular': 'torch'}, {})
    """
    return dict(IMAGES) if _reason(arguments) else {}


def check(profile: Profile | None, arguments: Mapping[str, Any]) -> None:
    """Stop a run whose steps would find no torch, before it starts rather than when it trains.

    Raises:
        InputError: Naming the argument and the profile that holds torch.
    """
    reason = _reason(arguments)
    used = profile.group("fit_features", "tabular") if profile else "tabular"
    if reason and used not in _HOLD_TORCH:
        raise InputError(
            f"{reason} needs torch, which {image(used).split(':')[0].rpartition('/')[2]} lacks; use the profile torch or gpu, "
            "or one of yours with images: {tabular: torch}"
        )


def _reason(arguments: Mapping[str, Any]) -> str:
    """The argument that asks for torch; empty if none does."""
    for name, values in _NEED_TORCH.items():
        if arguments.get(name) in values:
            return f"{name}={arguments[name]}"
    return ""

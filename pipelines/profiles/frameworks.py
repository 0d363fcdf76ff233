"""The image that a run's arguments require: every step that loads a model needs the packages of its framework."""

from collections.abc import Mapping
from typing import Any

from stagewright.components.images import image
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.frameworks import FRAMEWORKS, FrameworkSpec
from stagewright.pipelines.profiles.model import Profile

USUAL = "tabular"  # the image of the steps that load a model, unless the framework needs another


def images(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Image groups to use in place of others for a run with these arguments.

    >>> images({"framework": "transformers"}), images({"framework": "xgboost"})
    ({'tabular': 'torch'}, {})
    """
    _, row = _special(arguments)
    return {USUAL: row.image} if row else {}


def check(profile: Profile | None, arguments: Mapping[str, Any]) -> None:
    """Check that the profile's images hold the framework that a run needs.

    Raises:
        InputError: Naming the argument, and the profiles whose images hold the framework.
    """
    argument, row = _special(arguments)
    used = profile.group("fit_features", USUAL) if profile else USUAL
    if row and used not in (row.image, f"{row.image}-gpu"):
        raise InputError(
            f"{argument} needs {row.packages[0]}, which {image(used).split(':')[0].rpartition('/')[2]} lacks; "
            f"use the profile {row.image} or gpu, or one of yours with images: {{{USUAL}: {row.image}}}"
        )


def _special(arguments: Mapping[str, Any]) -> tuple[str, FrameworkSpec | None]:
    """The argument that needs another image than the usual one, and the framework that it names."""
    for row in FRAMEWORKS.values():
        for name, value in (("framework", row.name), ("student", row.student)):
            if row.image != USUAL and value and arguments.get(name) == value:
                return f"{name}={value}", row
    return "", None

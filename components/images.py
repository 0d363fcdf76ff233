"""Names of the project's images: one for each dependency group, tagged with the version that was released."""

from importlib.metadata import version

GROUPS = ("base", "tabular", "torch", "torch-gpu", "predictor", "predictor-gpu", "monitoring", "mlflow")


def image(group: str, *, registry: str = "", tag: str = "") -> str:
    """The image of a group: `[REGISTRY/]stagewright-GROUP:TAG`, by default as built on this machine at this version."""
    if group not in GROUPS:
        raise ValueError(f"no image group '{group}'; there are {', '.join(GROUPS)}")
    prefix = f"{registry.rstrip('/')}/" if registry else ""
    return f"{prefix}stagewright-{group}:{tag or version('stagewright')}"

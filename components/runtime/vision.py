"""torchvision beside any build of PyTorch: its compiled operators need the very build they were made with.

Where they cannot load, torchvision itself cannot be imported, because it registers a fake implementation for each of two
operators that then do not exist. Their declarations are all that is missing: no classifier uses non-maximum suppression.
"""

from functools import cache
from typing import Any

_DECLARATIONS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def prepare_torchvision() -> Any:
    """Make `import torchvision` work, also inside timm and transformers; call it before any of them is imported.

    Returns:
        The library of declarations, which lives as long as the process; None where torchvision's operators load.
    """
    import importlib.util
    from pathlib import Path

    import torch

    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return None
    for compiled in Path(found.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(compiled)
        except OSError:
            continue
        return None
    library = torch.library.Library("torchvision", "DEF")
    for declaration in _DECLARATIONS:
        library.define(declaration)
    return library

"""Where a network is trained, and the same weights for the same seed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from stagewright.components.runtime.errors import InputError


def device(wanted: str) -> torch.device:
    """The GPU where there is one and it is not refused, or the CPU.

    Args:
        wanted: auto, cpu or cuda.

    Raises:
        InputError: If a GPU is asked for and none is visible.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("params.device is 'cuda' and no GPU is visible here; use 'auto' or 'cpu', or a GPU profile")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def reproducible(seed: int, threads: int, where: torch.device, *, strict: bool = True) -> Iterator[None]:
    """The same weights for the same seed; the process's own random state and settings are put back afterwards.

    Args:
        strict: Whether an operation that has no reproducible form on this device is an error.
    """
    if where.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS may sum in another order each time
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=not strict)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])

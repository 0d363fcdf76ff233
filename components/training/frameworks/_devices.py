"""Devices for training, and reproducible training on them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from stagewright.components.runtime.errors import InputError


def device(wanted: str) -> torch.device:
    """The device to use: with auto, the GPU if there is one, otherwise the CPU.

    Args:
        wanted: auto, cpu or cuda.

    Raises:
        InputError: If cuda is requested and no GPU is visible.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("params.device is 'cuda' and no GPU is visible here; use 'auto' or 'cpu', or a GPU profile")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def reproducible(seed: int, threads: int, where: torch.device, *, strict: bool = True) -> Iterator[None]:
    """Make training reproducible; the random state and settings of the process are restored afterwards.

    Args:
        strict: Whether an operation without a reproducible implementation on this device is an error.
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

"""Suppress the output of libraries whose warnings and log lines no user of the step can act on."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def suppress_output() -> Iterator[None]:
    """Suppress standard output, warnings and log lines below an error inside the block."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

"""Libraries that talk while they work: their warnings and log lines say nothing that a user of the step could act on."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def suppress_output() -> Iterator[None]:
    """Nothing is printed, nothing below an error is logged and nothing is warned of inside the block."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

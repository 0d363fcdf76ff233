"""Structured logs: one JSON object a line on standard error, or plain text with STAGEWRIGHT_LOG=text.

The command line reads the same lines to show what a run is doing, so events are the interface between a step and whoever
watches it: `step_started`, `step_finished`, `step_failed`, `progress`, and `notice`, a sentence for the person who started the
run.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

LOGGER = logging.getLogger("stagewright")


class JsonFormatter(logging.Formatter):
    """One JSON object a record; fields given as `extra={"fields": {...}}` become keys."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class TextFormatter(logging.Formatter):
    """`event  key=value ...`, for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in getattr(record, "fields", {}).items())
        return f"{record.levelname.lower():7} {record.getMessage()} {fields}".rstrip()


def configure() -> None:
    """Send our log lines to standard error, once; other libraries keep their own handlers."""
    if LOGGER.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter() if os.environ.get("STAGEWRIGHT_LOG") == "text" else JsonFormatter())
    LOGGER.addHandler(handler)
    LOGGER.setLevel(os.environ.get("STAGEWRIGHT_LOG_LEVEL", "INFO").upper())
    LOGGER.propagate = False


def event(name: str, /, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log one event with its fields."""
    LOGGER.log(level, name, extra={"fields": fields})


def notice(sentence: str) -> None:
    """Tell the person who started the run something that they should know although the step goes on.

    The local view prints the sentence under its step, `--json` lists it under `notices`, and a cluster's log holds it.

    Args:
        sentence: One whole sentence without a full stop: what was found, and what to do about it where something can be done.
    """
    event("notice", level=logging.WARNING, message=" ".join(sentence.split()))

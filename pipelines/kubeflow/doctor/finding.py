"""Result of a check."""

from dataclasses import dataclass

OK, MISSING, UNKNOWN = "ok", "missing", "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check.

    Attributes:
        what: The checked object: "Secret stagewright/stagewright-storage".
        state: ok, missing, or unknown if it cannot be checked.
        says: What was found.
        advice: How to fix it; empty if nothing is wrong.
    """

    what: str
    state: str
    says: str = ""
    advice: str = ""

    def to_dict(self) -> dict[str, str]:
        """The finding as `--json` prints it."""
        return {"what": self.what, "state": self.state, "says": self.says, "advice": self.advice}


def ok(what: str, says: str = "") -> Finding:
    """The object exists and is correct."""
    return Finding(what, OK, says)


def missing(what: str, says: str, advice: str) -> Finding:
    """The object is missing or incorrect."""
    return Finding(what, MISSING, says, advice)


def unknown(what: str, says: str, advice: str) -> Finding:
    """The object cannot be checked from here."""
    return Finding(what, UNKNOWN, says, advice)

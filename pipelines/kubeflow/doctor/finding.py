"""What an examination found: one line each."""

from dataclasses import dataclass

OK, MISSING, UNKNOWN = "ok", "missing", "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that runs need.

    Attributes:
        what: The thing: "Secret stagewright/stagewright-storage".
        state: ok, missing, or unknown where it cannot be looked at.
        says: What was seen.
        advice: What to do about it; empty if nothing is to be done.
    """

    what: str
    state: str
    says: str = ""
    advice: str = ""

    def to_dict(self) -> dict[str, str]:
        """As `--json` prints it."""
        return {"what": self.what, "state": self.state, "says": self.says, "advice": self.advice}


def ok(what: str, says: str = "") -> Finding:
    """It is there."""
    return Finding(what, OK, says)


def missing(what: str, says: str, advice: str) -> Finding:
    """It is not there, or not as it must be."""
    return Finding(what, MISSING, says, advice)


def unknown(what: str, says: str, advice: str) -> Finding:
    """It cannot be looked at from here."""
    return Finding(what, UNKNOWN, says, advice)

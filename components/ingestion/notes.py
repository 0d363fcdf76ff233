"""Notes on how files were read, collected by column; columns with the same note share one sentence."""

import json
import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

SHOWN = 3


@dataclass(slots=True)
class Notes:
    """Sentences in the making; columns with the same note share one."""

    _together: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    _alone: list[str] = field(default_factory=list)

    def of_column(self, column: str, what: str, remedy: str = "", *, detail: str = "") -> None:
        """Add a note `what` on a column, as the end of a sentence that begins with its name: "holds dates written %d.%m.%Y".

        Args:
            remedy: What to do about it, as a clause.
            detail: Detail on this column, in parentheses after its name.
        """
        self._together[what, remedy].append(f"'{column}'{f' ({detail})' if detail else ''}")

    def add(self, sentence: str) -> None:
        """Add a sentence, without a full stop."""
        if sentence not in self._alone:
            self._alone.append(sentence)

    def sentences(self) -> list[str]:
        """Each sentence, without a full stop."""
        told = [
            f"column{'s' * (len(columns) > 1)} {listed(columns)}: {what}{f'; {remedy}' if remedy else ''}"
            for (what, remedy), columns in self._together.items()
        ]
        return self._alone + told


def listed(items: Iterable[str], shown: int = SHOWN) -> str:
    """The first few of a list, and how many more there are.

    >>> listed(["a", "b"]), listed(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 others')
    """
    whole: Sequence[str] = list(items)
    rest = len(whole) - shown
    if rest <= 1:
        return ", ".join(whole)
    return f"{', '.join(whole[:shown])} and {rest} others"


def flag(values: Iterable[str]) -> str:
    """A list as a command-line value: quoted for the shell.

    >>> print(flag(["log_income"]))
    '["log_income"]'
    """
    return shlex.quote(json.dumps(list(values), ensure_ascii=False))

"""What was understood while reading that the user should know: gathered column by column, told in one sentence each kind."""

import json
import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

SHOWN = 3


@dataclass(slots=True)
class Notes:
    """Sentences in the making; columns of which the same is to be said share one."""

    _together: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    _alone: list[str] = field(default_factory=list)

    def of_column(self, column: str, what: str, remedy: str = "", *, detail: str = "") -> None:
        """Say `what` of a column, as the end of a sentence that begins with its name: "holds dates written %d.%m.%Y".

        Args:
            remedy: What may be done, as a clause.
            detail: About this column, in parentheses after its name.
        """
        self._together[what, remedy].append(f"'{column}'{f' ({detail})' if detail else ''}")

    def add(self, sentence: str) -> None:
        """Say a sentence, without a full stop."""
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
    """A list as it is typed after an option: quoted for the shell.

    >>> print(flag(["log_income"]))
    '["log_income"]'
    """
    return shlex.quote(json.dumps(list(values), ensure_ascii=False))

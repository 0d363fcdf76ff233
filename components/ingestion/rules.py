"""User-defined parsing rules of text: decimal and thousands separators, missing-value markers, dates, columns to drop."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stagewright.components.runtime.errors import BadParameter

AUTO, NONE = "auto", "none"
DECIMALS = {".": "point", ",": "comma"}
THOUSANDS = {",": "comma", ".": "point", " ": "blank", "'": "apostrophe"}
_DIRECTIVES = set("dmyYHMSbBfjzp")


@dataclass(frozen=True, slots=True)
class Rules:
    """Parsing rules.

    Attributes:
        decimal: "." or ","; None to infer it from the values.
        thousands: ",", ".", " " or "'"; "" for none; None to infer it from the values.
        missing: Texts that mean a missing value in every column.
        date_format: Date format in strftime notation; None to infer it from the values.
        drop: Columns to leave out.
        kinds: Input types of a model by column. If given, each value is parsed by its column's type and by itself, independent
            of other rows.
    """

    decimal: str | None = None
    thousands: str | None = None
    missing: tuple[str, ...] = ()
    date_format: str | None = None
    drop: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)


def rules(
    decimal: str = AUTO,
    thousands: str = AUTO,
    missing: Iterable[str] = (),
    date_format: str = AUTO,
    drop: Iterable[str] = (),
    kinds: Mapping[str, str] | None = None,
) -> Rules:
    """Checked rules; a separator may be given by its name: point, comma, blank, apostrophe.

    Raises:
        BadParameter: Naming the invalid parameter.
    """
    point = _sign("decimal", decimal, DECIMALS)
    group = "" if thousands == NONE else _sign("thousands", thousands, THOUSANDS)
    if point is not None and point == group:
        raise BadParameter("thousands", got=thousands, expected=f"another sign than decimal, which is '{decimal}'")
    return Rules(
        point, group, _texts("missing", missing, '["?", "n/a"]'), _date_format(date_format),
        _texts("drop", drop, '["customer", "notes"]'), kinds or {},
    )  # fmt: skip


def _sign(parameter: str, given: str, signs: Mapping[str, str]) -> str | None:
    if given == AUTO:
        return None
    by_name = {name: sign for sign, name in signs.items()}
    sign = by_name.get(given, given)
    if sign not in signs:
        shown = ", ".join(f"'{sign}' ({name})" for sign, name in signs.items())
        raise BadParameter(parameter, got=given, expected=f"auto{', none' * (parameter == 'thousands')} or one of {shown}")
    return sign


def _texts(parameter: str, given: Iterable[str], example: str) -> tuple[str, ...]:
    if isinstance(given, str) or not all(isinstance(text, str) for text in given):
        raise BadParameter(parameter, got=given, expected=f"a list of texts such as {example}")
    return tuple(text.strip() for text in given)


def _date_format(given: str) -> str | None:
    if given == AUTO:
        return None
    signs = re.findall(r"%(-?.)", given)
    day = {"d", "m", "b", "B", "j"} & set(signs) and {"y", "Y"} & set(signs)
    if not day or any(sign not in _DIRECTIVES for sign in signs):
        raise BadParameter(
            "date_format", got=given, expected="auto or a format of days, months and years such as %d.%m.%Y or %m/%d/%Y %H:%M"
        )
    return given

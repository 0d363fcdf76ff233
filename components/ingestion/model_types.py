"""Columns parsed by the input types of a model: each value is parsed by itself, independent of other rows, or refused."""

from stagewright.components.ingestion.dateforms import DateForm
from stagewright.components.ingestion.guess import Guess
from stagewright.components.ingestion.judge import LineOf, Settled, several_dates
from stagewright.components.ingestion.numberforms import NumberForm
from stagewright.components.ingestion.rules import Rules
from stagewright.components.ingestion.tally import Tally
from stagewright.components.ingestion.valuetypes import ValueType
from stagewright.components.runtime.errors import InputError

TEXTS = frozenset(("categorical", "text"))
_TRUTHS = ("true", "false", "0", "1")
_EXPECTED = {"numeric": "a number", "boolean": "true or false", "datetime": "a date"}
_TYPES = {
    "numeric": (None, ValueType.INTEGER, ValueType.FLOAT),
    "boolean": (None, ValueType.BOOLEAN, ValueType.INTEGER),
    "datetime": (None, ValueType.DATE, ValueType.DATETIME),
}


def second_look(kind: str, guess: Guess) -> bool:
    """Whether a column has values that its type does not accept in plain form."""
    return kind in _TYPES and guess.type not in _TYPES[kind]


def as_the_model_takes(name: str, rules: Rules, settled: Settled, tally: Tally, line_of: LineOf, *, semicolons: bool) -> None:
    """Refuse a column with a value that is not of its type, or that is ambiguous.

    Raises:
        InputError: Naming the column, a value and its line.
    """
    kind = rules.kinds[name]
    form = settled.form
    complete = form is not None and tally.full(form)
    if settled.type not in _TYPES[kind] or not complete:
        stray = _stray(tally, kind)
        if kind == "datetime" and (examples := several_dates(tally)):
            raise InputError(
                f"{line_of(name, examples[1])}: '{examples[1]}' in column '{name}' is a date in another form than "
                f"'{examples[0]}'; bring all of them to one"
            )
        if not stray:
            raise InputError(
                f"column '{name}' holds values such as '{_example(tally)}', which may be read in two ways or cannot be "
                "one column; set --decimal and --thousands, or --date-format"
            )
        raise InputError(
            f"{line_of(name, stray)}: '{stray}' in column '{name}' is not {_EXPECTED[kind]}, which the model takes there; "
            "correct it, or name what means a missing value with --missing"
        )
    if isinstance(form, DateForm) and form.swapped is not None and rules.date_format is None:
        raise InputError(
            f"column '{name}' holds dates such as '{tally.fits[form].example}', in which day and month may be swapped; "
            f"set --date-format '{form.format}' or '{form.swapped.format}'"
        )
    sure = rules.decimal or rules.thousands or (semicolons and form == NumberForm(",", ""))
    if isinstance(form, NumberForm) and tally.grouped and not sure and (form.thousands in {",", "."} or form.decimal == ","):
        raise InputError(
            f"column '{name}' holds values such as '{tally.fits[form].example}', whose sign may separate thousands or "
            "decimals; set --decimal and --thousands"
        )


def _stray(tally: Tally, kind: str) -> str:
    """The first value that the most likely format does not parse."""
    best = max(tally.fits.values() or tally.given_up, key=lambda fit: fit.count, default=None)
    fine = _TRUTHS if kind == "boolean" else ()
    return next((value for value in (best.strays if best else ()) if value.lower() not in fine), "")


def _example(tally: Tally) -> str:
    return next((fit.example for fit in tally.fits.values() if fit.example), "")

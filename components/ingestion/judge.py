"""How to read a column, from the counts of a tally: a format that fits all values, numbers with a few exceptions, or text."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from stagewright.components.ingestion.dateforms import DAY_FIRST, DateForm
from stagewright.components.ingestion.notes import Notes, flag
from stagewright.components.ingestion.numberforms import PLAIN, NumberForm
from stagewright.components.ingestion.rules import Rules
from stagewright.components.ingestion.tally import FEW, ISO, Fit, Form, Tally
from stagewright.components.ingestion.valuetypes import Known

STRAY_SHARE, MAX_STRAYS = 0.05, 3  # maximum share, and maximum number of different values, of exceptions among numbers
MIN_ROWS = 20  # maximum share of exceptions that are read as missing values
TOLD_SHARE = 0.9  # minimum share of numbers in a text column that is worth a notice
MAX_UNITS, MIN_MEASURES = 3, 5  # maximum units in a column of numbers; more units, or fewer values, may be codes such as 4a
MIN_GROUPED = 20  # number of values such as 1,234 that, with whole numbers below 1000, indicate a thousands comma
COMMA, COMMA_THOUSANDS, POINT_THOUSANDS = NumberForm(",", ""), NumberForm(".", ","), NumberForm(",", ".")
_CODE = re.compile(r"[0-9]+")

LineOf = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Settled:
    """How a column is read: its type, and the format of its text; None for plain values."""

    type: Known | None
    form: Form | None = None


@dataclass(frozen=True, slots=True)
class Conventions:
    """Conventions of the files, which decide a column that is ambiguous by itself.

    Attributes:
        comma: "decimal" or "thousands"; None if no column shows it.
        day_first: Whether the day precedes the month; None if no column shows it, or columns differ.
    """

    comma: str | None
    day_first: bool | None


def conventions(tallies: dict[str, Tally], rules: Rules, *, semicolons: bool) -> Conventions:
    """Conventions that the unambiguous columns and the delimiter show."""
    numbers = [only for tally in tallies.values() if (only := _only_number(tally)) is not None]
    if rules.thousands == "," or (rules.decimal is None and COMMA_THOUSANDS in numbers):
        comma = "thousands"
    elif rules.decimal == "," or semicolons or any(form.decimal == "," for form in numbers):
        comma = "decimal"
    else:
        comma = None
    orders = {form.format in DAY_FIRST for tally in tallies.values() for form in _dates(tally) if _told_apart(form, tally)}
    return Conventions(comma, orders.pop() if len(orders) == 1 else None)


def decide(name: str, tally: Tally, known: Conventions, notes: Notes, line_of: LineOf) -> Settled | None:
    """How a column is read; None if the result of the first pass stands."""
    if not tally.present:
        return None
    full = [form for form in tally.fits if tally.full(form)]
    if asked := next((form for form in full if isinstance(form, DateForm) and form.format == tally.rules.date_format), None):
        return _date(name, asked, tally, notes)
    if numbers := [form for form in full if isinstance(form, NumberForm)]:
        return _numbers(name, numbers, tally, known, notes)
    if dates := _dates(tally):
        return _dated(name, dates, tally, known, notes)
    if ISO in full:
        return None
    found = _with_strays(name, tally, notes, line_of)
    if found is None:
        _note_text_column(name, tally, notes)
    return found


def _numbers(name: str, full: list[NumberForm], tally: Tally, known: Conventions, notes: Notes) -> Settled | None:
    if odd := mixture(tally):
        notes.of_column(name, f"stays text, because {odd}", "bring its values to one form")
        return None
    form = _chosen(full, tally, known)
    if form is None:
        value = _grouped_example(tally)
        notes.of_column(
            name,
            "stays text, because its comma may separate thousands or decimals",
            "set --thousands , or --decimal ,",
            detail=f"'{value}' may be {value.replace(',', '')} or {value.replace(',', '.')}",
        )
        return None
    fit = tally.fits[form]
    if form is PLAIN and not (tally.percents or tally.negatives or any(tally.currencies)):
        return Settled(fit.type)
    notes.of_column(name, f"read as numbers {described(form, tally)}", detail=_example(form, fit))
    return Settled(fit.type, form)


def _chosen(full: list[NumberForm], tally: Tally, known: Conventions) -> NumberForm | None:
    """The format to use; None if two are possible."""
    if PLAIN in full:
        grouped = POINT_THOUSANDS in full and tally.grouped and (known.comma == "decimal" or tally.rules.thousands == ".")
        return POINT_THOUSANDS if grouped else PLAIN
    if COMMA in full and COMMA_THOUSANDS in full:
        if known.comma is None and not (tally.grouped >= MIN_GROUPED and tally.small):
            return None
        return COMMA if known.comma == "decimal" else COMMA_THOUSANDS
    return full[0]


def mixture(tally: Tally) -> str | None:
    """Why a column's numbers cannot form one column, as a clause; None if they can."""
    signs = sorted(sign for sign in tally.currencies if sign)
    if len(signs) > 1:
        return f"it holds amounts in several currencies ({', '.join(signs)})"
    if 0 < tally.percents < tally.present:
        return f"{tally.percents:,} of its {tally.present:,} values have a percent sign and the others have none"
    return None


def described(form: NumberForm, tally: Tally) -> str:
    """How a format differs from a plain number, as the end of a sentence."""
    parts = [] if form is PLAIN else [f"with {form}"]
    parts += [f"without the currency {sign}" for sign in tally.currencies if sign]
    parts += ["without the percent sign"] if tally.percents else []
    return ", ".join(parts) or "with another minus sign"


def _example(form: Form, fit: Fit) -> str:
    return f"'{fit.example}' is {form.plain(pl.Series([fit.example]))[0]}"


def _grouped_example(tally: Tally) -> str:
    return next((value for fit in tally.fits.values() for value in sorted(fit.strays) if "," in value), "1,234")


def _dates(tally: Tally) -> list[DateForm]:
    return [form for form in tally.fits if isinstance(form, DateForm) and form is not ISO and tally.full(form)]


def _told_apart(form: DateForm, tally: Tally) -> bool:
    return form.swapped is not None and not tally.full(form.swapped)


def _dated(name: str, full: list[DateForm], tally: Tally, known: Conventions, notes: Notes) -> Settled | None:
    clear = [form for form in full if form.swapped is None or _told_apart(form, tally)]
    if not clear and known.day_first is not None:
        clear = [form for form in full if (form.format in DAY_FIRST) == known.day_first]
    if clear:
        return _date(name, clear[0], tally, notes)
    formats = " or ".join(f"--date-format '{form.format}'" for form in full[:2])
    notes.of_column(
        name,
        "stays text, because day and month cannot be told apart",
        f"set {formats}",
        detail=f"'{tally.fits[full[0]].example}'",
    )
    return None


def _date(name: str, form: DateForm, tally: Tally, notes: Notes) -> Settled:
    fit = tally.fits[form]
    notes.of_column(name, f"read as dates written {form.format}", detail=_example(form, fit))
    return Settled(fit.type, form)


def _with_strays(name: str, tally: Tally, notes: Notes, line_of: LineOf) -> Settled | None:
    """A column of numbers or dates with a few other texts."""
    if not tally.fits:
        return None
    form, fit = max(tally.fits.items(), key=lambda item: item[1].count)
    others = tally.present - fit.count
    if any(_CODE.fullmatch(stray) for stray in fit.strays) or (isinstance(form, NumberForm) and mixture(tally)):
        return None  # codes, which keep their digits
    few = len(fit.strays) <= MAX_STRAYS
    varied = len(fit.varied) >= FEW
    what = "numbers" if isinstance(form, NumberForm) else "dates"
    first = next(iter(fit.strays))
    counted = f"{fit.count:,} of {tally.present:,} values are {what}, {line_of(name, first)} is '{first}'"
    remedy = f"--missing {flag(sorted(fit.strays))}"
    if few and varied and tally.present >= MIN_ROWS and others <= STRAY_SHARE * tally.present:
        notes.add(f"column '{name}': {counted}; what is none is taken as missing: correct it, or say so with {remedy}")
        return Settled(fit.type, None if form is ISO else form)
    if not several_dates(tally) and ((few and varied) or fit.count >= TOLD_SHARE * tally.present):
        way = f"if that means a missing value, set {remedy}" if few else "correct the others"
        notes.add(f"column '{name}' stays text: {counted} ({others:,} others in all); {way}")
    return None


def _note_text_column(name: str, tally: Tally, notes: Notes) -> None:
    """Report why dates or numbers stay text although they look like dates or numbers."""
    if examples := several_dates(tally):
        notes.of_column(
            name,
            "stays text, because its dates are written in several forms",
            "bring them to one",
            detail=", ".join(f"'{example}'" for example in examples),
        )
    elif tally.units.total() == tally.present and len(tally.units) <= MAX_UNITS and len(tally.measures) >= MIN_MEASURES:
        notes.of_column(
            name,
            "stays text, because a unit follows its numbers",
            "take the units away, and bring the values to one",
            detail=f"'{next(iter(sorted(tally.measures)))}'",
        )


def several_dates(tally: Tally) -> list[str]:
    """An example of each format if every value is a date but no single format fits all; empty otherwise."""
    return list(tally.dates.values()) if tally.dated == tally.present and len(tally.dates) > 1 else []


def _only_number(tally: Tally) -> NumberForm | None:
    full = [form for form in tally.fits if isinstance(form, NumberForm) and tally.full(form)]
    return full[0] if full and not {PLAIN} & set(full) and not {COMMA, COMMA_THOUSANDS} <= set(full) else None

"""Second pass over a column that may have numbers or dates in other formats: how many values match each format."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl

from stagewright.components.ingestion import dateforms, numberforms
from stagewright.components.ingestion.dateforms import DateForm
from stagewright.components.ingestion.numberforms import NumberForm
from stagewright.components.ingestion.rules import Rules
from stagewright.components.ingestion.valuetypes import MARKERS, ValueType, fits, read, trimmed, unmarked

FEW = 21  # different values that are kept to be counted or shown
SAMPLE = 64
MIN_SHARE = 0.5  # a format that matches fewer values is dropped
_MEASURE = r"^[+-]?[0-9][0-9.,]*\s*(\p{L}{1,9}(?:/\p{L}{1,3})?[\u00b2\u00b3]?|\u00b0\p{L}?)$"

Form = NumberForm | DateForm
ISO = DateForm("ISO")  # types of the plain parser: dates and times by ISO 8601


@dataclass(slots=True)
class Fit:
    """How a format fits a column.

    Attributes:
        count: Number of values that match.
        strays: The first few values that do not match, with their row counts; more than `FEW` are not distinguished.
        type: The narrowest type of the matching values.
        varied: Different matching values, at most `FEW`.
    """

    count: int = 0
    strays: Counter[str] = field(default_factory=Counter)
    type: ValueType | None = None
    varied: set[str] = field(default_factory=set)
    example: str = ""


@dataclass
class Tally:
    """Counts over a whole column.

    Attributes:
        present: Values that are neither missing nor a marker.
        grouped: Values with one separator before exactly three final digits: thousands or decimals.
        small: Whole numbers of at most three digits without a separator.
        currencies: Currencies with their value counts, "" for none.
        percents: Values with a percent sign.
        given_up: Fit of dropped formats.
        dated: Values that are dates in any format, counted if a format other than ISO 8601 occurs.
        dates: An example of each date format that is needed to parse all of them.
        units: Words that follow plain numbers, with their value counts.
        measures: Different values with a unit, at most `FEW`.
    """

    rules: Rules
    present: int = 0
    fits: dict[Form, Fit] = field(default_factory=dict)
    markers: Counter[str] = field(default_factory=Counter)
    grouped: int = 0
    small: int = 0
    currencies: Counter[str] = field(default_factory=Counter)
    percents: int = 0
    negatives: int = 0
    given_up: list[Fit] = field(default_factory=list)
    dated: int = 0
    dates: dict[DateForm, str] = field(default_factory=dict)
    units: Counter[str] = field(default_factory=Counter)
    measures: set[str] = field(default_factory=set)
    _foreign: tuple[DateForm, ...] = ()
    _begun: bool = False

    @cached_property
    def numbers(self) -> tuple[NumberForm, ...]:
        """The number formats that the rules allow."""
        decimal, thousands = self.rules.decimal, self.rules.thousands
        return tuple(
            form
            for form in numberforms.FORMS
            if form is numberforms.PLAIN
            or (
                decimal in {None, form.decimal}
                and thousands != form.decimal
                and (thousands is None or form.thousands in {"", thousands})
            )
        )

    def add(self, text: pl.Series) -> None:
        """Count further values of the column."""
        values = trimmed(text, self.rules.missing)
        marked = values.filter(values.is_in(MARKERS))
        if len(marked):
            self.markers.update(marked.to_list())
        present = unmarked(values).drop_nulls()
        if not len(present):
            return
        if not self._begun:
            self._begin(present)
        self.present += len(present)
        bare = numberforms.bare(present)
        self._look(bare)
        self._look_for_units(present.filter(bare.amount.is_null()))
        self._look_for_dates(present)
        for form in list(self.fits):
            fit = self.fits[form]
            if form is ISO:
                plain = _iso(present)
            elif isinstance(form, NumberForm):
                taken = form.fits(bare)
                plain = form.plain(present) if taken.any() else pl.Series(present.name, [None] * len(present), dtype=pl.String)
            else:
                plain = form.plain(present)
            _count(fit, present, plain)
            if fit.count < MIN_SHARE * self.present:
                self.given_up.append(self.fits.pop(form))

    def full(self, form: Form) -> bool:
        """Whether a format matches every value."""
        return form in self.fits and self.fits[form].count == self.present

    def _begin(self, present: pl.Series) -> None:
        self._begun = True
        asked = self.rules.date_format
        others = present.filter(_iso(present).is_null())
        dates = (DateForm(asked),) if asked else dateforms.likely(pl.concat([present.head(SAMPLE), others.head(SAMPLE)]))
        self._foreign = dates
        forms: tuple[Form, ...] = (*self.numbers, ISO, *dates)
        self.fits = {form: Fit() for form in forms}

    def _look(self, bare: numberforms.Bare) -> None:
        amounts = bare.amount.drop_nulls()
        self.grouped += int(amounts.str.contains(r"^[1-9][0-9]{0,2}[.,][0-9]{3}$").sum())
        self.small += int(amounts.str.contains(r"^[0-9]{1,3}$").sum())
        known = bare.currency.filter(bare.amount.is_not_null())
        self.currencies.update(dict(known.value_counts().iter_rows()) if known.n_unique() < FEW else {})
        self.percents += int(bare.percent.sum())
        self.negatives += int((bare.negative & bare.amount.is_not_null()).sum())

    def _look_for_dates(self, present: pl.Series) -> None:
        taken = pl.repeat(value=False, n=len(present), eager=True)
        for form in (ISO, *self._foreign) if self._foreign else ():
            plain = _iso(present) if form is ISO else form.plain(present)
            further = plain.is_not_null() & ~taken
            if further.any():
                self.dates.setdefault(form, present.filter(further)[0])
                taken |= further
        self.dated += int(taken.sum())

    def _look_for_units(self, texts: pl.Series) -> None:
        unit = texts.str.extract(_MEASURE)
        self.units.update(unit.drop_nulls().to_list())
        if len(self.measures) < FEW:
            self.measures.update(texts.filter(unit.is_not_null()).unique(maintain_order=True).head(FEW).to_list())


def _iso(text: pl.Series) -> pl.Series:
    taken = read(text, ValueType.DATETIME).is_not_null()
    return text.set(~taken, None)


def _count(fit: Fit, present: pl.Series, plain: pl.Series) -> None:
    readable = plain.drop_nulls()
    if len(readable):
        kinds = (ValueType.INTEGER, ValueType.FLOAT, ValueType.DATE, ValueType.DATETIME)
        known = [kind for kind in kinds if fit.type is None or kinds.index(kind) >= kinds.index(fit.type)]
        fitting = next((kind for kind in known if fits(readable, kind)), None)
        if fitting is None:  # whole numbers beyond 64 bits
            plain, readable = plain.clear(len(plain)), readable.clear()
        else:
            fit.type = fitting
    fit.count += len(readable)
    if not fit.example and len(readable):
        fit.example = present.filter(plain.is_not_null())[0]
    if len(fit.varied) < FEW:
        fit.varied.update(readable.unique().head(FEW).to_list())
    if len(readable) < len(present) and len(fit.strays) < FEW:
        fit.strays.update(present.filter(plain.is_null()).head(10_000).to_list())

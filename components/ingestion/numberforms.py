"""Number formats: 43.195,04 and 43 195.04, $1,200.50, 12,5 %, (300.00), 5-. Each format converts values to 43195.04.

A format is a decimal separator and a thousands separator. The digits may have a currency, a percent sign (12.5% is 12.5), a
minus sign before or after them, or the parentheses of an accounting negative. Codes keep their zeros: 007 is not a number in
any format.
"""

import re
from dataclasses import dataclass

import polars as pl

MINUS = "\u2212\u2013\uff0d\ufe63"
BLANKS = " \u00a0\u2007\u2009\u202f"
APOSTROPHES = "'\u2019\u02bc"
_CODES = [
    "USD",
    "EUR",
    "GBP",
    "CHF",
    "JPY",
    "CNY",
    "INR",
    "SEK",
    "NOK",
    "DKK",
    "PLN",
    "CZK",
    "HUF",
    "RON",
    "BGN",
    "TRY",
    "RUB",
    "UAH",
    "ZAR",
    "BRL",
    "MXN",
    "ARS",
    "CLP",
    "COP",
    "CAD",
    "AUD",
    "NZD",
    "HKD",
    "SGD",
    "KRW",
    "TWD",
    "THB",
    "IDR",
    "MYR",
    "PHP",
    "VND",
    "ILS",
    "AED",
    "SAR",
    "EGP",
    "NGN",
    "KES",
    "RMB",
]
_CURRENCY = rf"(?:[A-Z]{{0,3}}\p{{Sc}}|(?i:{'|'.join(_CODES)})|Fr\.|kr\.?|z\u0142|K\u010d|Ft|lei|Rs\.?|R\$)"
_SPACE = f"[{BLANKS}]*"
_SIGN = rf"[+\-{MINUS}]?"
_AMOUNT = rf"[0-9.,{BLANKS}{APOSTROPHES}]*[0-9][0-9.,{BLANKS}{APOSTROPHES}]*(?:[eE][+-]?[0-9]+)?"
# sign, currency, sign, amount, sign, currency or percent: at most one sign and one currency, which `Bare` checks.
_WHOLE = (
    rf"^(?P<open>\(?){_SPACE}(?P<before>{_SIGN}){_SPACE}(?P<prefix>{_CURRENCY}?){_SPACE}(?P<inner>{_SIGN}){_SPACE}"
    rf"(?P<amount>{_AMOUNT}?){_SPACE}(?P<after>[\-{MINUS}]?){_SPACE}(?P<suffix>(?:{_CURRENCY}|%)?){_SPACE}(?P<close>\)?)$"
)
_NO_CENTS = "([0-9])[.,][\\-\u2013\u2014]{1,2}([^0-9]*)$"  # 5.- is 5.00
_GROUPS = {
    "": r"(?:0|[1-9][0-9]*)",
    ",": r"(?:0|[1-9][0-9]*|[1-9][0-9]{0,2}(?:,[0-9]{2,3})*,[0-9]{3})",
    ".": r"(?:0|[1-9][0-9]*|[1-9][0-9]{0,2}(?:\.[0-9]{3})+)",
    " ": rf"(?:0|[1-9][0-9]*|[1-9][0-9]{{0,2}}(?:[{BLANKS}][0-9]{{3}})+)",
    "'": rf"(?:0|[1-9][0-9]*|[1-9][0-9]{{0,2}}(?:[{APOSTROPHES}][0-9]{{3}})+)",
}
_NAMES = {",": "comma", ".": "point", " ": "blank", "'": "apostrophe"}


@dataclass(frozen=True, slots=True)
class Bare:
    """Numbers without signs, currencies and percent signs, [N] each.

    Attributes:
        amount: Digits and separators; null if the value is not a number in any format.
        negative: Whether the number is below zero.
        currency: Currency of each, else "".
        percent: Whether a percent sign follows.
    """

    amount: pl.Series
    negative: pl.Series
    currency: pl.Series
    percent: pl.Series


def bare(text: pl.Series) -> Bare:
    """Strip signs, currencies and percent signs from numbers; `text` is trimmed."""
    whole = pl.col("text").str.replace(_NO_CENTS, "$1$2")
    parts = pl.DataFrame({"text": text}).select(whole.str.extract_groups(_WHOLE).alias("parts")).unnest("parts")
    closed = (pl.col("open") == "(") == (pl.col("close") == ")")
    signs = [pl.col(name) != "" for name in ("before", "inner", "after")]
    in_account = (pl.col("open") == "(").cast(pl.Int8)
    once = (pl.sum_horizontal(sign.cast(pl.Int8) for sign in signs) + in_account) <= 1
    one_currency = (pl.col("prefix") == "") | (pl.col("suffix") == "")
    minus = pl.any_horizontal(
        pl.col("open") == "(", *((pl.col(name) != "") & (pl.col(name) != "+") for name in ("before", "inner", "after"))
    )
    percent = pl.col("suffix") == "%"
    found = parts.select(
        pl.when(closed & once & one_currency).then(pl.col("amount").str.strip_chars()).alias("amount"),
        minus.fill_null(value=False).alias("negative"),
        pl.when(percent).then(pl.col("prefix")).otherwise(pl.col("prefix") + pl.col("suffix")).fill_null("").alias("currency"),
        percent.fill_null(value=False).alias("percent"),
    )
    return Bare(*found.get_columns())


@dataclass(frozen=True, slots=True)
class NumberForm:
    """Decimal separator and thousands separator ("" for none)."""

    decimal: str
    thousands: str

    @property
    def pattern(self) -> str:
        point = re.escape(self.decimal)
        exponent = "(?:[eE][+-]?[0-9]+)?" if not self.thousands else ""
        return rf"^(?:{_GROUPS[self.thousands]}(?:{point}[0-9]*)?|{point}[0-9]+){exponent}$"

    def fits(self, numbers: Bare) -> pl.Series:
        """Which numbers match this format, [N]."""
        return numbers.amount.str.contains(self.pattern).fill_null(value=False)

    def plain(self, text: pl.Series) -> pl.Series:
        """Trimmed text as plain numbers with a decimal point; null where a value does not match."""
        numbers = bare(text)
        amount = numbers.amount.set(~self.fits(numbers), None)
        if self.thousands:
            amount = amount.str.replace_all(f"[{_class(self.thousands)}]", "")
        if self.decimal == ",":
            amount = amount.str.replace(",", ".", literal=True)
        return pl.DataFrame({"a": amount, "n": numbers.negative}).select(
            pl.when("n").then(pl.lit("-") + pl.col("a")).otherwise("a").alias(text.name)
        ).to_series()  # fmt: skip

    def __str__(self) -> str:
        words = [] if self.decimal == "." and self.thousands else [f"a decimal {_NAMES[self.decimal]}"]
        return " and ".join([*words, *([f"{_article(_NAMES[self.thousands])} between thousands"] if self.thousands else [])])


PLAIN = NumberForm(".", "")
FORMS = (
    PLAIN, NumberForm(",", ""), NumberForm(".", ","), NumberForm(",", "."), NumberForm(".", " "), NumberForm(",", " "),
    NumberForm(".", "'"), NumberForm(",", "'"),
)  # fmt: skip


def _class(thousands: str) -> str:
    return {" ": BLANKS, "'": APOSTROPHES}.get(thousands, re.escape(thousands))


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"

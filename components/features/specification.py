"""What is done with each column: defaults by kind and framework, overridden by a small specification.

A specification names settings for a kind of column, for single columns, or both; a column's own settings win::

    {"numeric": {"impute": "mean"},
     "columns": {"tenure": {"transform": "log1p", "scale": "standard"},
                 "PaymentMethod": {"encode": "ordinal", "min_frequency": 0.01},
                 "comment": {"kind": "text", "max_features": 500},
                 "customerID": {"drop": true}}}

Settings by kind (the classes below say what each means): numeric `impute fill indicator transform scale`; boolean `impute fill
indicator`; categorical `encode min_frequency max_levels`; datetime `parts cyclic impute indicator scale`; text `max_features
min_documents sublinear norm`. A column also takes `kind`, which overrides the schema's, and `drop`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stagewright.components.runtime.errors import BadParameter, InputError, did_you_mean, one_of
from stagewright.components.runtime.schema import Column, ColumnKind, Schema

Part = Literal["year", "month", "day", "weekday", "hour", "minute", "day_of_year", "is_weekend", "elapsed_days"]
Scale = Literal["standard", "robust", "minmax", "none"]
_SOURCE = "features specification"


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NumericOptions(_Options):
    """Settings of numeric columns.

    Attributes:
        impute: What a missing value becomes; none leaves NaN, for models that take it.
        fill: The value of `impute: constant`.
        indicator: Whether a feature tells that the value was missing; None: if any is missing in the training split.
        transform: log1p is sign(x) log(1 + |x|); yeo_johnson is fitted by maximum likelihood; auto is yeo_johnson for a
            strongly skewed column and none for others.
        scale: standard is mean and standard deviation, robust is median and interquartile range, minmax is the range 0 to 1.
    """

    impute: Literal["median", "mean", "most_frequent", "constant", "none"] = "median"
    fill: Annotated[float, Field(allow_inf_nan=False, ge=-3e38, le=3e38)] = 0.0
    indicator: bool | None = None
    transform: Literal["none", "log1p", "yeo_johnson", "auto"] = "none"
    scale: Scale = "none"


class BooleanOptions(_Options):
    """Settings of boolean columns, which become 0 and 1; see NumericOptions."""

    impute: Literal["most_frequent", "mean", "median", "constant", "none"] = "most_frequent"
    fill: Annotated[float, Field(ge=0, le=1)] = 0.0
    indicator: bool | None = None


class CategoricalOptions(_Options):
    """Settings of categorical columns.

    Attributes:
        encode: one_hot, ordinal (codes by falling frequency), or auto: one_hot up to 8 levels.
        min_frequency: A level seen in fewer rows is rare: a count from 1, or a share of the rows below 1.
        max_levels: Most levels kept; the others are rare. None: 50 for one_hot, 1000 for ordinal.
    """

    encode: Literal["auto", "one_hot", "ordinal"] = "auto"
    min_frequency: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_levels: Annotated[int, Field(ge=1)] | None = None


class DatetimeOptions(_Options):
    """Settings of datetime columns; times are in UTC.

    Attributes:
        parts: Which parts become features; weekday is 0 on Monday, elapsed_days counts from the first training time.
        cyclic: Also the sine and cosine of month, day, weekday, hour, minute and day_of_year, of those in `parts`.
        impute: What a missing time becomes.
        indicator, scale: As for numeric columns.
    """

    parts: Annotated[tuple[Part, ...], Field(min_length=1)] = (
        "year", "month", "day", "weekday", "hour", "day_of_year", "is_weekend", "elapsed_days",
    )  # fmt: skip
    cyclic: bool = False
    impute: Literal["median", "none"] = "median"
    indicator: bool | None = None
    scale: Scale = "none"


class TextOptions(_Options):
    """Settings of text columns: TF-IDF of lower-case words of two or more letters, digits or underscores.

    Attributes:
        max_features: Words kept, the most frequent first.
        min_documents: A word must stand in this many rows.
        sublinear: 1 + log(count) in place of the count.
        norm: l2 makes each row's vector one long.
    """

    max_features: Annotated[int, Field(ge=1)] = 200
    min_documents: Annotated[int, Field(ge=1)] = 1
    sublinear: bool = False
    norm: Literal["l2", "none"] = "l2"


Options = NumericOptions | BooleanOptions | CategoricalOptions | DatetimeOptions | TextOptions
OPTIONS: dict[str, type[Options]] = {
    "numeric": NumericOptions, "boolean": BooleanOptions, "categorical": CategoricalOptions, "datetime": DatetimeOptions,
    "text": TextOptions,
}  # fmt: skip

_TREE_MODELS = ("random_forest", "hist_gradient_boosting")
_SKLEARN_MODELS = ("linear", *_TREE_MODELS)
_DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "tree": {},
    "linear": {
        "numeric": {"transform": "auto", "scale": "standard"},
        "categorical": {"encode": "one_hot"},
        "datetime": {"scale": "standard"},
    },
    "network": {
        "numeric": {"transform": "auto", "scale": "standard"},
        "categorical": {"encode": "ordinal"},
        "datetime": {"scale": "standard"},
    },
}


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """What is to be done with one raw column."""

    name: str
    kind: str
    options: Options


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with a table: the columns used, in the schema's order, and why others are not."""

    columns: tuple[ColumnPlan, ...]
    dropped: dict[str, str]

    def resolved(self) -> dict[str, Any]:
        """Every setting of every column, defaults included, as JSON values."""
        return {c.name: {"kind": c.kind, **c.options.model_dump(mode="json")} for c in self.columns}


def family(framework: str, params: Mapping[str, Any]) -> str:
    """Which defaults fit a framework's model: tree, linear or network.

    Raises:
        BadParameter: If there is no such framework or algorithm.
    """
    one_of("framework", framework, ("sklearn", "xgboost", "lightgbm", "torch"))
    if framework == "torch":
        return "network"
    if framework == "sklearn":
        model = params.get("model", "hist_gradient_boosting")
        if not isinstance(model, str):
            raise BadParameter("params.model", got=model, expected=f"one of {', '.join(_SKLEARN_MODELS)}")
        return "linear" if one_of("params.model", model, _SKLEARN_MODELS) == "linear" else "tree"
    return "tree"


def plan(schema: Schema, framework: str, params: Mapping[str, Any], specification: Mapping[str, Any]) -> Plan:
    """Decide what is done with each column of a table.

    Raises:
        InputError: If the specification names an unknown column, kind or setting, or a value that a setting cannot have.
    """
    defaults = _DEFAULTS[family(framework, params)]
    by_kind, by_column = _sections(specification)
    for kind, settings in by_kind.items():
        _validated(kind, settings, where=kind)
    _check_columns(schema, by_column)

    used, dropped = [], {}
    for column in schema.columns:
        if column.name == schema.target:
            continue
        own = dict(by_column.get(column.name, {}))
        drop, kind = _choice(column, own)
        if drop:
            dropped[column.name] = drop
            _validated(kind, own, where=f"columns.{column.name}")
            continue
        merged = {**defaults.get(kind, {}), **by_kind.get(kind, {}), **own}
        used.append(ColumnPlan(column.name, kind, _validated(kind, merged, where=f"columns.{column.name}")))
    return Plan(tuple(used), dropped)


def _sections(specification: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    allowed = (*OPTIONS, "columns")
    for name, section in specification.items():
        if name not in allowed:
            raise InputError(f"{_SOURCE}: no section '{name}'; expected {', '.join(allowed)}{did_you_mean(name, allowed)}")
        if not isinstance(section, Mapping):
            raise InputError(f"{_SOURCE}: {name} is {section!r}; expected an object of settings")
    by_kind = {name: dict(section) for name, section in specification.items() if name != "columns"}
    return by_kind, dict(specification.get("columns", {}))


def _check_columns(schema: Schema, by_column: Mapping[str, Any]) -> None:
    for name, settings in by_column.items():
        if name not in schema.names:
            raise InputError(f"{_SOURCE}: no column '{name}' in the data{did_you_mean(name, schema.names)}")
        if name == schema.target:
            raise InputError(f"{_SOURCE}: column '{name}' is the target; it is never a feature")
        if not isinstance(settings, Mapping):
            raise InputError(f"{_SOURCE}: columns.{name} is {settings!r}; expected an object of settings")


def _choice(column: Column, own: dict[str, Any]) -> tuple[str | None, str]:
    """Why a column is not used, or None, and its kind; both settings are taken out of `own`."""
    where = f"columns.{column.name}"
    drop, kind = own.pop("drop", False), own.pop("kind", column.kind.value)
    if not isinstance(drop, bool):
        raise InputError(f"{_SOURCE}: {where}.drop is {drop!r}; expected true or false")
    kinds = [*OPTIONS, ColumnKind.IDENTIFIER.value]
    if kind not in kinds:
        raise InputError(f"{_SOURCE}: {where}.kind is {kind!r}; expected one of {', '.join(kinds)}{did_you_mean(kind, kinds)}")
    if drop:
        return "dropped by the specification", kind
    if kind == ColumnKind.IDENTIFIER:
        if own:
            raise InputError(f"{_SOURCE}: column '{column.name}' is an identifier; give its kind to use it as a feature")
        return "identifier", kind
    return None, kind


def _validated(kind: str, settings: Mapping[str, Any], *, where: str) -> Options:
    options = OPTIONS.get(kind, CategoricalOptions)  # an identifier that is dropped has no settings of its own
    try:
        return options.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        field = f"{where}.{'.'.join(str(part) for part in first['loc'])}"
        if first["type"] == "extra_forbidden":
            names = ["kind", "drop", *options.model_fields] if where.startswith("columns.") else list(options.model_fields)
            known = f"a {kind} column takes {', '.join(names)}"
            raise InputError(f"{_SOURCE}: {field} is not a setting; {known}{did_you_mean(name, names)}") from None
        if first["type"] == "literal_error":
            near = did_you_mean(
                str(first["input"]),
                [choice.strip("'") for choice in first["ctx"]["expected"].replace(" or ", ", ").split(", ")],
            )
            raise InputError(f"{_SOURCE}: {field} is {first['input']!r}; expected {first['ctx']['expected']}{near}") from None
        raise InputError(f"{_SOURCE}: {field} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}") from None

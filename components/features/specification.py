"""Preprocessing of each column: defaults by kind and framework, overridden by a specification.

A specification has settings for a column kind, for single columns, or both; settings of a column take precedence::

    {"numeric": {"impute": "mean"},
     "columns": {"tenure": {"transform": "log1p", "scale": "standard"},
                 "PaymentMethod": {"encode": "ordinal", "min_frequency": 0.01},
                 "comment": {"kind": "text", "max_features": 500},
                 "customerID": {"drop": true}}}

Settings by kind (explained in `options`): numeric `impute fill indicator transform scale`; boolean
`impute fill indicator`; categorical `encode min_frequency max_levels`; datetime `parts cyclic impute indicator scale`; text
`max_features min_documents sublinear norm`; image and tensor `normalize`. A column also takes `kind`, which overrides the
schema's, and `drop`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stagewright.components.features.options import OPTIONS, SOURCE, Options, validated
from stagewright.components.runtime import frameworks
from stagewright.components.runtime.errors import BadParameter, InputError, did_you_mean, one_of
from stagewright.components.runtime.schema import Column, ColumnKind, Schema
from stagewright.components.runtime.signature import TENSOR_KINDS

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
    """Preprocessing of one raw column."""

    name: str
    kind: str
    options: Options


@dataclass(frozen=True, slots=True)
class Plan:
    """Preprocessing of a table: the columns used, in the schema's order, and the reason for each column that is dropped."""

    columns: tuple[ColumnPlan, ...]
    dropped: dict[str, str]

    def resolved(self) -> dict[str, Any]:
        """All settings of each column, including defaults, as JSON values."""
        return {c.name: {"kind": c.kind, **c.options.model_dump(mode="json")} for c in self.columns}


def family(framework: str, params: Mapping[str, Any]) -> str:
    """Family of a framework's model, which sets the defaults: tree, linear or network.

    Raises:
        BadParameter: If there is no such framework or algorithm.
    """
    row = frameworks.specification(framework)
    if not row.families or "model" not in params:
        return row.family
    model = params["model"]
    if not isinstance(model, str):
        raise BadParameter("params.model", got=model, expected=f"one of {', '.join(row.families)}")
    return row.families[one_of("params.model", model, row.families)]


def plan(schema: Schema, framework: str, params: Mapping[str, Any], specification: Mapping[str, Any]) -> Plan:
    """Choose the preprocessing of each column of a table.

    Raises:
        BadParameter: If there is no such framework or algorithm.
        InputError: If the specification has an unknown column, kind or setting, or an invalid value.
    """
    defaults = _DEFAULTS[family(framework, params)]
    by_kind, by_column = _sections(specification)
    for kind, settings in by_kind.items():
        validated(kind, settings, where=kind)
    _check_columns(schema, by_column)

    used, dropped = [], {}
    for column in schema.columns:
        if column.name == schema.target:
            continue
        own = dict(by_column.get(column.name, {}))
        drop, kind = _choice(column, own)
        if drop:
            dropped[column.name] = drop
            validated(kind, own, where=f"columns.{column.name}")
            continue
        if kind in TENSOR_KINDS and kind not in frameworks.specification(framework).reads:
            dropped[column.name] = f"{framework} reads no {kind}s"
            continue
        merged = {**defaults.get(kind, {}), **by_kind.get(kind, {}), **own}
        used.append(ColumnPlan(column.name, kind, validated(kind, merged, where=f"columns.{column.name}")))
    return Plan(tuple(used), dropped)


def check_specification(specification: Mapping[str, Any]) -> None:
    """Check a specification as far as possible without a schema: sections, settings of kinds, settings of columns with a kind.

    Raises:
        InputError: For the first invalid setting.
    """
    by_kind, by_column = _sections(specification)
    for kind, settings in by_kind.items():
        validated(kind, settings, where=kind)
    for name, settings in by_column.items():
        if not isinstance(settings, Mapping):
            raise InputError(f"{SOURCE}: columns.{name} is {settings!r}; expected an object of settings")
        own = dict(settings)
        if "kind" in own:
            _, kind = _choice(Column.model_validate({"name": name, "kind": ColumnKind.CATEGORICAL}), own)
            validated(kind, own, where=f"columns.{name}")


def _sections(specification: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    allowed = (*OPTIONS, "columns")
    for name, section in specification.items():
        if name not in allowed:
            raise InputError(f"{SOURCE}: no section '{name}'; expected {', '.join(allowed)}{did_you_mean(name, allowed)}")
        if not isinstance(section, Mapping):
            raise InputError(f"{SOURCE}: {name} is {section!r}; expected an object of settings")
    by_kind = {name: dict(section) for name, section in specification.items() if name != "columns"}
    return by_kind, dict(specification.get("columns", {}))


def _check_columns(schema: Schema, by_column: Mapping[str, Any]) -> None:
    for name, settings in by_column.items():
        if name not in schema.names:
            raise InputError(f"{SOURCE}: no column '{name}' in the data{did_you_mean(name, schema.names)}")
        if name == schema.target:
            raise InputError(f"{SOURCE}: column '{name}' is the target; it is never a feature")
        if not isinstance(settings, Mapping):
            raise InputError(f"{SOURCE}: columns.{name} is {settings!r}; expected an object of settings")


def _choice(column: Column, own: dict[str, Any]) -> tuple[str | None, str]:
    """Why a column is dropped, or None, and its kind; removes both settings from `own`."""
    where = f"columns.{column.name}"
    drop, kind = own.pop("drop", False), own.pop("kind", column.kind.value)
    if not isinstance(drop, bool):
        raise InputError(f"{SOURCE}: {where}.drop is {drop!r}; expected true or false")
    kinds = [*OPTIONS, ColumnKind.IDENTIFIER.value]
    if kind not in kinds:
        raise InputError(f"{SOURCE}: {where}.kind is {kind!r}; expected one of {', '.join(kinds)}{did_you_mean(kind, kinds)}")
    if drop:
        return "dropped by the specification", kind
    if kind == ColumnKind.IDENTIFIER:
        if own:
            raise InputError(f"{SOURCE}: column '{column.name}' is an identifier; give its kind to use it as a feature")
        return "identifier", kind
    return None, kind

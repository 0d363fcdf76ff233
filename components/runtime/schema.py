"""The schema of a table: what each column is and what it may hold. Inferred once, reviewed, then enforced."""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stagewright.components.runtime.errors import InputError, did_you_mean


class ColumnKind(StrEnum):
    """What a column means, which decides how it is checked, encoded and served."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    BOOLEAN = "boolean"
    DATETIME = "datetime"
    TEXT = "text"
    IMAGE = "image"
    TENSOR = "tensor"
    IDENTIFIER = "identifier"


class Task(StrEnum):
    """What is predicted."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class Column(BaseModel):
    """One column. Every field but name and kind is an expectation; None expects nothing.

    Attributes:
        dtype: How the values are stored: int64, float64, string, boolean, datetime, date, uint8 array, float32 array.
        shape: Of each value of an image, [channels, height, width], or of a tensor.
        max_null_share: Highest share of missing values, 0 to 1.
        values: The only values allowed.
        pattern: Regular expression that each whole value must match.
        increasing: Values never decrease from one row to the next (a time axis).
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    kind: ColumnKind
    dtype: str | None = None
    shape: list[int] | None = None
    nullable: bool = True
    max_null_share: float | None = Field(None, ge=0, le=1)
    minimum: float | str | None = None
    maximum: float | str | None = None
    values: list[Any] | None = None
    pattern: str | None = None
    unique: bool = False
    increasing: bool = False


class Schema(BaseModel):
    """A table's columns in their order, its target and task, and expectations of the table as a whole."""

    model_config = ConfigDict(extra="forbid")

    target: str | None = None
    task: Task | None = None
    columns: list[Column]
    max_duplicate_share: float | None = Field(None, ge=0, le=1)
    minimum_rows: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _names_are_consistent(self) -> Self:
        names = self.names
        twice = sorted(name for name, times in Counter(names).items() if times > 1)
        if twice:
            raise ValueError(f"column {', '.join(twice)} stands more than once")
        if self.target is not None and self.target not in names:
            raise ValueError(f"target '{self.target}' is not among the columns{did_you_mean(self.target, names)}")
        return self

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def features(self) -> list[Column]:
        """Columns a model may learn from: all but the target and the identifiers."""
        return [c for c in self.columns if c.name != self.target and c.kind is not ColumnKind.IDENTIFIER]

    def column(self, name: str) -> Column:
        """The column of this name.

        Raises:
            InputError: If there is none, naming the nearest.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise InputError(f"no column '{name}' in the schema{did_you_mean(name, self.names)}")

    @classmethod
    def parse(cls, document: Any, *, source: str = "schema") -> Self:
        """A schema from JSON text or a mapping.

        Raises:
            InputError: Naming the field that is wrong.
        """
        try:
            return cls.model_validate_json(document) if isinstance(document, str | bytes) else cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InputError(f"{source}: {where + ': ' if where else ''}{first['msg']}") from None

    @classmethod
    def read(cls, path: str | Path) -> Self:
        return cls.parse(Path(path).read_text(), source=str(path))

    def write(self, path: str | Path) -> None:
        Path(path).write_text(self.model_dump_json(indent=2, exclude_defaults=True) + "\n")

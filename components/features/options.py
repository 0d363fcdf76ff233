"""Settings of each column kind, and the error for an invalid setting."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stagewright.components.runtime.errors import InputError, did_you_mean

Part = Literal["year", "month", "day", "weekday", "hour", "minute", "day_of_year", "is_weekend", "elapsed_days"]
Scale = Literal["standard", "robust", "minmax", "none"]
SOURCE = "features specification"


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NumericOptions(_Options):
    """Settings of numeric columns.

    Attributes:
        impute: Replacement of missing values; none keeps NaN, for models that accept it.
        fill: The value of `impute: constant`.
        indicator: Whether a feature marks missing values. Default: if the training split has missing values.
        transform: log1p is sign(x) log(1 + |x|); yeo_johnson is fitted by maximum likelihood; auto is yeo_johnson for a
            strongly skewed column, otherwise none.
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
        min_frequency: Smallest number of rows (from 1) or fraction of rows (below 1) of a level; less frequent levels are
            grouped as rare.
        max_levels: Maximum number of levels; the others are grouped as rare. Default: 50 for one_hot, 1000 for ordinal.
    """

    encode: Literal["auto", "one_hot", "ordinal"] = "auto"
    min_frequency: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_levels: Annotated[int, Field(ge=1)] | None = None


class DatetimeOptions(_Options):
    """Settings of datetime columns; times are in UTC.

    Attributes:
        parts: Parts that become features; weekday is 0 on Monday, elapsed_days counts from the earliest time in training.
        cyclic: Whether to add sine and cosine of the parts month, day, weekday, hour, minute and day_of_year.
        impute: Replacement of missing times.
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
        max_features: Maximum number of words; the most frequent are kept.
        min_documents: Smallest number of rows that contain a word.
        sublinear: Whether to use 1 + log(count) instead of the count.
        norm: l2 scales each row's vector to length 1.
    """

    max_features: Annotated[int, Field(ge=1)] = 200
    min_documents: Annotated[int, Field(ge=1)] = 1
    sublinear: bool = False
    norm: Literal["l2", "none"] = "l2"


class ImageOptions(_Options):
    """Settings of images.

    Attributes:
        normalize: standard scales each channel to mean 0 and standard deviation 1 over the training split; imagenet uses the
            constants that pretrained networks expect; unit divides by 255; none keeps 0 to 255; auto is imagenet if
            params.weights is set, otherwise standard.
    """

    normalize: Literal["auto", "standard", "imagenet", "unit", "none"] = "auto"


class TensorOptions(_Options):
    """Settings of tensors; see ImageOptions."""

    normalize: Literal["standard", "none"] = "standard"


Options = NumericOptions | BooleanOptions | CategoricalOptions | DatetimeOptions | TextOptions | ImageOptions | TensorOptions
OPTIONS: dict[str, type[Options]] = {
    "numeric": NumericOptions, "boolean": BooleanOptions, "categorical": CategoricalOptions, "datetime": DatetimeOptions,
    "text": TextOptions, "image": ImageOptions, "tensor": TensorOptions,
}  # fmt: skip


def validated(kind: str, settings: Mapping[str, Any], *, where: str) -> Options:
    """The settings of a kind of column.

    Args:
        where: Place in the specification, such as "numeric" or "columns.tenure", for the error.

    Raises:
        InputError: For an invalid setting, naming it and its allowed values.
    """
    options = OPTIONS.get(kind, CategoricalOptions)  # an identifier that is dropped has no settings of its own
    try:
        return options.model_validate(dict(settings))
    except ValidationError as error:
        raise InputError(f"{SOURCE}: {_sentence(error, kind, options, where)}") from None


def _sentence(error: ValidationError, kind: str, options: type[Options], where: str) -> str:
    first = error.errors()[0]
    given = first["input"]
    place = ".".join([where, *(str(part) for part in first["loc"])])
    if first["type"] == "extra_forbidden":
        of_column = ["kind", "drop"] if where.startswith("columns.") else []
        names = [*of_column, *options.model_fields]
        near = did_you_mean(str(first["loc"][-1]), names)
        return f"{place} is not a setting; a {kind} column takes {', '.join(names)}{near}"
    if first["type"] == "literal_error":
        expected = first["ctx"]["expected"]
        near = did_you_mean(str(given), re.findall(r"'(.+?)'", expected))
        return f"{place} is {given!r}; expected {expected}{near}"
    return f"{place} is {given!r}: {first['msg'][0].lower()}{first['msg'][1:]}"

"""Numeric and boolean columns: imputation, indicators, transforms, scaling. NaN and infinity count as missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from sklearn.preprocessing import PowerTransformer

from stagewright.components.features.graph import Block, Graph
from stagewright.components.features.options import BooleanOptions, NumericOptions
from stagewright.components.features.specification import ColumnPlan
from stagewright.components.runtime import logs
from stagewright.components.runtime.feature_graph import Feature

TRANSFORMS = ("none", "log1p", "yeo_johnson")
STRONG_SKEW = 2.0
FEW_VALUES = 10  # a column with fewer distinct values is a code or a small count: a power transform makes no sense
POWER_ROWS = 200_000  # with more rows, the maximum-likelihood exponent is estimated from an even sample
_SMALLEST_EXPONENT = 1e-6
_LARGEST = float(np.finfo(np.float32).max)

# Centre and factor of a feature: scaled = (value - centre) * factor.
Scaling = Mapping[Feature, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class NumericFit:
    """What was learned from one column.

    Attributes:
        fill: Replacement of missing values; NaN keeps them.
        indicator: Whether a feature marks missing values.
        transform: none, log1p or yeo_johnson.
        exponent: The lambda of yeo_johnson.
    """

    name: str
    fill: float
    indicator: bool
    transform: str
    exponent: float
    scale: str

    @property
    def plain(self) -> bool:
        """Whether the imputed value is the feature, without transform and scaling."""
        return self.transform == "none" and self.scale == "none"


def fit(plan: ColumnPlan, values: pl.Series) -> NumericFit:
    """Learn imputation and transform of one column.

    Args:
        values: Values of the training split, [N] Float32, NaN where missing; at least one is finite.

    Raises:
        TypeError: If the column is not numeric.
    """
    options = plan.options
    if not isinstance(options, NumericOptions | BooleanOptions):
        raise TypeError(f"{plan.name} is not numeric")
    finite = values.filter(values.is_finite()).cast(pl.Float64)
    fill = _fill(options, finite)
    indicator = len(finite) < len(values) if options.indicator is None else options.indicator
    if isinstance(options, BooleanOptions):
        return NumericFit(plan.name, fill, indicator, "none", 1.0, "none")
    transform = options.transform
    if transform == "auto":
        transform = "yeo_johnson" if _strongly_skewed(finite) else "none"
    exponent = 1.0
    if transform == "yeo_johnson":
        learned = finite if np.isnan(fill) else values.cast(pl.Float64).set(~values.is_finite(), fill)
        exponent = _exponent(learned)
        if not np.isfinite(exponent):
            logs.event("transform_skipped", column=plan.name, transform=transform, reason="no exponent could be estimated")
            transform, exponent = "none", 1.0
    return NumericFit(plan.name, fill, indicator, transform, exponent, options.scale)


def write(graph: Graph, fits: Sequence[NumericFit], scaling: Scaling) -> tuple[list[Block], list[Block]]:
    """Write all numeric columns as one matrix operation each.

    Returns:
        Blocks of the values, and blocks of the indicators.
    """
    if not fits:
        return [], []
    # Columns with equal treatment stand next to each other: then a slice of the matrix is one operation.
    fits = sorted(fits, key=lambda fit: (not fit.plain, TRANSFORMS.index(fit.transform)))
    raw = graph.side_by_side([fit.name for fit in fits])
    missing = graph.apply("Or", graph.apply("IsNaN", raw), graph.apply("IsInf", raw))
    filled = graph.apply("Where", missing, graph.constant([[fit.fill for fit in fits]], np.float32), raw)

    blocks = []
    plain = [fit for fit in fits if fit.plain]
    if plain:
        tensor = filled if len(plain) == len(fits) else _slice(graph, filled, 0, len(plain))
        blocks.append(Block(tensor, tuple(Feature(fit.name, fit.name, "numeric") for fit in plain)))
    changed = fits[len(plain) :]
    if changed:
        # Powers and differences of large numbers lose digits in float32: exact in float64, rounded once at the end.
        wide = graph.cast(_slice(graph, filled, len(plain), len(fits)) if plain else filled, np.float64)
        features = tuple(Feature(fit.name, fit.name, "numeric") for fit in changed)
        blocks.append(Block(scaled(graph, _transformed(graph, wide, changed), features, scaling), features))

    told = [index for index, fit in enumerate(fits) if fit.indicator]
    if not told:
        return blocks, []
    features = tuple(Feature(f"{fits[index].name} is missing", fits[index].name, "indicator") for index in told)
    chosen = missing if len(told) == len(fits) else graph.select(missing, told)
    return blocks, [Block(graph.cast(chosen, np.float32), features)]


def scaled(graph: Graph, wide: str, features: Sequence[Feature], scaling: Scaling) -> str:
    """A float64 tensor [N, features], centred, scaled and rounded to finite float32; features without scaling are unchanged."""
    pairs = [scaling.get(feature, (0.0, 1.0)) for feature in features]
    if any(pair != (0.0, 1.0) for pair in pairs):
        wide = graph.apply("Sub", wide, graph.constant([[centre for centre, _ in pairs]], np.float64))
        wide = graph.apply("Mul", wide, graph.constant([[factor for _, factor in pairs]], np.float64))
    bounded = graph.apply("Clip", wide, graph.constant(-_LARGEST, np.float64), graph.constant(_LARGEST, np.float64))
    return graph.cast(bounded, np.float32)


def _transformed(graph: Graph, wide: str, fits: Sequence[NumericFit]) -> str:
    parts, start = [], 0
    for transform in TRANSFORMS:
        group = [fit for fit in fits if fit.transform == transform]
        if group:
            tensor = wide if len(group) == len(fits) else _slice(graph, wide, start, start + len(group))
            parts.append(_apply(graph, transform, tensor, group))
            start += len(group)
    return graph.side_by_side(parts)


def _apply(graph: Graph, transform: str, wide: str, fits: Sequence[NumericFit]) -> str:
    if transform == "log1p":
        return _log(graph, wide)
    return _power(graph, wide, fits) if transform == "yeo_johnson" else wide


def _log(graph: Graph, wide: str) -> str:
    grown = graph.apply("Add", graph.apply("Abs", wide), graph.constant(1.0, np.float64))
    return graph.apply("Mul", graph.apply("Sign", wide), graph.apply("Log", grown))


def _power(graph: Graph, wide: str, fits: Sequence[NumericFit]) -> str:
    """Yeo and Johnson (2000), "A new family of power transformations", with exponents kept away from 0 and 2.

    Each branch is 0 where the other applies, so their sum is the result.
    """
    upper = np.array([[_away_from_zero(fit.exponent) for fit in fits]])
    lower = np.array([[_away_from_zero(2.0 - fit.exponent) for fit in fits]])
    return graph.apply("Sub", _branch(graph, wide, upper), _branch(graph, graph.apply("Neg", wide), lower))


def _branch(graph: Graph, wide: str, exponents: np.ndarray) -> str:
    one = graph.constant(1.0, np.float64)
    base = graph.apply("Add", graph.apply("Max", wide, graph.constant(0.0, np.float64)), one)
    power = graph.apply("Pow", base, graph.constant(exponents, np.float64))
    return graph.apply("Div", graph.apply("Sub", power, one), graph.constant(exponents, np.float64))


def _away_from_zero(exponent: float) -> float:
    # (b ** e - 1) / e tends to log(b); at this e it differs from it by less than float32 can show.
    return exponent if abs(exponent) >= _SMALLEST_EXPONENT else _SMALLEST_EXPONENT


def _slice(graph: Graph, tensor: str, start: int, end: int) -> str:
    bounds = [graph.constant([value], np.int64) for value in (start, end, 1)]
    return graph.apply("Slice", tensor, *bounds)


def _fill(options: NumericOptions | BooleanOptions, finite: pl.Series) -> float:
    match options.impute:
        case "none":
            return float("nan")
        case "constant":
            return options.fill
        case "most_frequent":
            return float(finite.mode().min())  # type: ignore[arg-type]  # of equally frequent values the smallest
        case "mean":
            return float(finite.mean())  # type: ignore[arg-type]
        case _:
            return float(finite.median())  # type: ignore[arg-type]


def _strongly_skewed(finite: pl.Series) -> bool:
    skew = finite.skew()
    return skew is not None and abs(skew) > STRONG_SKEW and finite.n_unique() > FEW_VALUES


def _exponent(values: pl.Series) -> float:
    sample = values.gather_every(max(1, -(-len(values) // POWER_ROWS))).to_numpy().reshape(-1, 1)
    try:
        with np.errstate(all="ignore"):
            return float(PowerTransformer(method="yeo-johnson", standardize=False).fit(sample).lambdas_[0])
    except ValueError:  # scipy's search found no finite likelihood
        return float("nan")

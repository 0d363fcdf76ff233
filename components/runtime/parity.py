"""Whether two answers of one model are the same, up to what float32 arithmetic in another order makes of them.

One rule for an export, a smoke test, a quantized variant and a measured setting. Probabilities are compared as they are. Values
are compared by the spread of the target: 0.5 is much for a price of 3 and nothing for one of 30,000, and where terms of 30,000
cancel out to 0.1, no export can answer 0.1 more exactly than 30,000.
"""

from dataclasses import dataclass

import numpy as np

from stagewright.components.runtime.errors import BadParameter
from stagewright.components.runtime.model import Predictions
from stagewright.components.runtime.positive import THRESHOLD

TOLERANCE = 1e-5
# Columns of a baseline, the same in each row: how its answers were judged when it was written.
TOLERANCE_COLUMN, SPREAD_COLUMN, THRESHOLD_COLUMN = "__tolerance__", "__spread__", "__threshold__"
QUANTILES = (0.05, 0.95)
# Of a value: sums of a thousand trees that begin at the target's mean were seen to differ by 27 steps of float32, 2**-19.
ROUNDING = 2.0**-18


@dataclass(frozen=True, slots=True)
class Parity:
    """How two models' answers for the same rows differ.

    Attributes:
        largest: Largest difference of a probability, or of a value as a share of the target's spread.
        row: Where that is.
        flipped: Rows with another label although the model was not in two minds.
        ties: Rows with another label where the model itself is within the tolerance of the border between the two classes:
            there, float32 arithmetic in any other order decides otherwise.
        spread: Of the target; 1 for classes.
    """

    largest: float
    row: int
    flipped: tuple[int, ...]
    ties: tuple[int, ...]
    spread: float = 1.0

    def failures(self, native: Predictions, exported: Predictions, tolerance: float) -> list[str]:
        """One clause for each way in which the answers differ too much."""
        found = []
        if not self.largest <= tolerance:  # not a number must fail
            what, own, other = worst(native, exported, self.row)
            share = "" if native.values is None else f" of the target's spread, {self.spread:.6g}"
            found.append(
                f"{what} of validation row {self.row} differs by {self.largest:.3g}{share} (model {own}, export {other}), "
                f"more than the tolerance of {tolerance:g}"
            )
        if self.flipped and native.labels is not None and exported.labels is not None:
            row = self.flipped[0]
            found.append(
                f"the label differs in {len(self.flipped)} validation rows, first in row {row} "
                f"(model {native.labels[row]!s}, export {exported.labels[row]!s})"
            )
        return found


def check_tolerance(tolerance: float, *, name: str = "tolerance") -> None:
    """Refuse a tolerance that cannot be.

    Raises:
        BadParameter: If it is below 0 or 1 and more: then anything would pass.
    """
    if not 0 <= tolerance < 1:
        raise BadParameter(name, got=tolerance, expected="a number of at least 0 and below 1")


def spread(values: np.ndarray) -> float:
    """How far the values of a target lie apart: from its 5 % to its 95 % quantile.

    Outliers do not count, unless nearly all other values are equal: then it is the standard deviation. A constant has its own
    size, and 0 has 1.

    >>> spread(np.arange(101.0)), spread(np.array([7.0])), spread(np.zeros(3))
    (90.0, 7.0, 1.0)

    Args:
        values: Numbers, [N]; what is not finite is left out.

    Returns:
        A number above 0.
    """
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return 1.0
    if finite.min() == finite.max():
        return abs(float(finite[0])) or 1.0
    low, high = np.quantile(finite, QUANTILES)
    return float(high - low) or float(finite.std())


def difference(own: np.ndarray, other: np.ndarray, spread: float) -> np.ndarray:
    """How far values, [N], are from the model's own, as shares of the target's spread.

    What float32 rounds off a value does not count. What is not a number on either side is infinitely far.
    """
    own, other = np.asarray(own, np.float64), np.asarray(other, np.float64)
    with np.errstate(invalid="ignore"):
        beyond = np.maximum(0.0, np.abs(own - other) - ROUNDING * np.abs(own)) / spread
    return np.where(np.isfinite(beyond), beyond, np.inf)


def compare(
    native: Predictions, exported: Predictions, tolerance: float, *, spread: float = 1.0, threshold: float = THRESHOLD
) -> Parity:
    """Compare two models' answers row by row.

    Args:
        native: The model's own.
        tolerance: For labels: a flip between two classes whose probabilities are within two tolerances is a tie.
        spread: Of the target, for values; see `spread`.
        threshold: Probability of the second class from which a binary model answers it.
    """
    if native.values is not None and exported.values is not None:
        return Parity(*_worst(difference(native.values, exported.values, spread)), (), (), spread)
    if native.probabilities is None or exported.probabilities is None:
        raise ValueError("a classifier is compared with a regressor")
    own, other = (np.asarray(answered.probabilities, np.float64) for answered in (native, exported))
    differs = np.flatnonzero(np.asarray(native.labels).astype(object) != np.asarray(exported.labels).astype(object))
    tied = _tied(own[differs], other[differs], tolerance, threshold)
    distances = np.nan_to_num(np.abs(own - other), nan=np.inf).max(axis=1)
    return Parity(*_worst(distances), tuple(differs[~tied].tolist()), tuple(differs[tied].tolist()))


def rule_columns(tolerance: float, *, spread: float | None, threshold: float) -> dict[str, float]:
    """Columns that a baseline carries so that its answers are judged elsewhere as they were here.

    Args:
        spread: Of the target; None for classes.
        threshold: Of a binary model; told where it is not one half.
    """
    found = {TOLERANCE_COLUMN: tolerance}
    if spread is not None:
        found[SPREAD_COLUMN] = spread
    if threshold != THRESHOLD:
        found[THRESHOLD_COLUMN] = threshold
    return found


def margin(probabilities: np.ndarray, threshold: float = THRESHOLD) -> np.ndarray:
    """How far the answered class is from the next one, [N]: where the threshold is not one half, twice the distance to it."""
    if probabilities.shape[1] == 2:
        return np.asarray(2 * np.abs(probabilities[:, 1].astype(np.float64) - threshold))
    top = np.sort(probabilities.astype(np.float64), axis=1)
    return np.asarray(top[:, -1] - top[:, -2])


def worst(native: Predictions, exported: Predictions, row: int) -> tuple[str, str, str]:
    """What differs most in a row, as the model and as the export answers it."""
    if native.values is not None and exported.values is not None:
        return "the value", f"{native.values[row]:.9g}", f"{exported.values[row]:.9g}"
    own, other = np.asarray(native.probabilities)[row], np.asarray(exported.probabilities)[row]
    column = int(np.argmax(np.nan_to_num(np.abs(own - other), nan=np.inf)))
    return "a probability", f"{own[column]:.9g}", f"{other[column]:.9g}"


def _tied(own: np.ndarray, other: np.ndarray, tolerance: float, threshold: float) -> np.ndarray:
    """Whether the model is in two minds about rows whose labels differ, [N]; never where both call for the same class."""
    if own.shape[1] == 2:
        chosen, theirs = (np.asarray(answered[:, 1], np.float32) >= np.float32(threshold) for answered in (own, other))
        apart = margin(own, threshold)
    else:
        rows = np.arange(len(own))
        chosen, theirs = own.argmax(axis=1), other.argmax(axis=1)
        apart = own[rows, chosen] - own[rows, theirs]
    return np.asarray((chosen != theirs) & (apart <= 2 * tolerance))


def _worst(differences: np.ndarray) -> tuple[float, int]:
    row = int(np.argmax(differences))
    return float(differences[row]), row

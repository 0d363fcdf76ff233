"""Centre and factor of each scaled feature, learned batch by batch."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from stagewright.components.features.numeric import Scaling
from stagewright.components.runtime.feature_graph import Feature

_CONSTANT = 10 * float(np.finfo(np.float32).eps)  # a spread smaller than this share of the values is rounding


class Moments:
    """Count, mean, sum of squared differences, minimum and maximum of each column; NaN is ignored.

    Batches are combined by Chan, Golub and LeVeque (1979), "Updating formulae and a pairwise algorithm for computing sample
    variances".
    """

    def __init__(self, columns: int) -> None:
        self.count, self.mean, self.squares = np.zeros(columns), np.zeros(columns), np.zeros(columns)
        self.least, self.most = np.full(columns, np.inf), np.full(columns, -np.inf)

    def add(self, matrix: np.ndarray) -> None:
        """Add a batch of shape [N, columns]."""
        values = matrix.astype(np.float64)
        known = ~np.isnan(values)
        values[~known] = 0.0
        count = known.sum(axis=0)
        mean = values.sum(axis=0) / np.maximum(count, 1)
        squares = (np.where(known, values - mean, 0.0) ** 2).sum(axis=0)
        total = self.count + count
        apart = mean - self.mean
        self.squares += squares + apart**2 * self.count * count / np.maximum(total, 1)
        self.mean += apart * count / np.maximum(total, 1)
        self.count = total
        self.least = np.minimum(self.least, np.where(known, values, np.inf).min(axis=0, initial=np.inf))
        self.most = np.maximum(self.most, np.where(known, values, -np.inf).max(axis=0, initial=-np.inf))

    @property
    def deviation(self) -> np.ndarray:
        return np.sqrt(self.squares / np.maximum(self.count, 1))


def learn_scaling(
    features: Sequence[Feature], batches: Iterable[np.ndarray], methods: Mapping[Feature, str]
) -> tuple[Scaling, set[Feature]]:
    """Learn the scaling of features.

    Args:
        features: Columns of the batches.
        batches: Unscaled matrices of shape [N, features].
        methods: standard, robust, minmax or none, by feature.

    Returns:
        Centre and factor of each feature in `methods`, and the constant features.
    """
    moments = Moments(len(features))
    robust = [index for index, feature in enumerate(features) if methods.get(feature) == "robust"]
    kept = []
    for batch in batches:
        moments.add(batch)
        if robust:
            kept.append(batch[:, robust])
    centres, spreads = moments.mean.copy(), moments.deviation
    for index, feature in enumerate(features):
        if methods.get(feature) == "minmax":
            centres[index], spreads[index] = moments.least[index], moments.most[index] - moments.least[index]
    if robust:
        lower, middle, upper = np.nanquantile(np.concatenate(kept).astype(np.float64), [0.25, 0.5, 0.75], axis=0)
        centres[robust], spreads[robust] = middle, upper - lower
    # A feature that hardly varies is only centred: dividing by its spread would blow up rounding errors.
    factors = np.where(spreads > _CONSTANT * np.abs(centres), 1 / np.where(spreads > 0, spreads, 1.0), 1.0)
    scaling = {
        feature: (float(centres[index]), float(factors[index]))
        for index, feature in enumerate(features)
        if methods.get(feature, "none") != "none"
    }
    return scaling, {feature for index, feature in enumerate(features) if moments.least[index] == moments.most[index]}

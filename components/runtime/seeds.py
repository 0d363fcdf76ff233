"""The random seed of a run: what every library that is seeded with it takes."""

from stagewright.components.runtime.errors import BadParameter

SMALLEST_SEED, LARGEST_SEED = 0, 2**31 - 1  # of the narrowest library


def checked_seed(seed: int) -> int:
    """The seed, if every library takes it.

    Raises:
        BadParameter: If it is below SMALLEST_SEED or above LARGEST_SEED.
    """
    if not SMALLEST_SEED <= seed <= LARGEST_SEED:
        expected = f"a whole number of at least {SMALLEST_SEED} and at most {LARGEST_SEED}"
        raise BadParameter("seed", got=seed, expected=expected)
    return seed

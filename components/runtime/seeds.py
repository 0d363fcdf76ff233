"""The random seed of a run: what every library that is seeded with it takes."""

from stagewright.components.runtime.errors import BadParameter

LARGEST_SEED = 2**31 - 1  # of the narrowest library


def checked_seed(seed: int) -> int:
    """The seed, if every library takes it.

    Raises:
        BadParameter: If it is negative or above 2147483647.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise BadParameter("seed", got=seed, expected=f"a whole number of at least 0 and at most {LARGEST_SEED}")
    return seed

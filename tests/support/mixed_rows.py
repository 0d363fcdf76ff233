"""Four rows for the mixed model as JSON carries them, and the same rows as its graph takes them."""

import numpy as np

from stagewright.components.runtime.signature import MISSING_TIME

ROWS = [
    {"tenure": 12, "charges": 70.35, "contract": "One year", "senior": True, "since": "2019-03-01T00:00:00Z", "note": "müde"},
    {"tenure": None, "charges": 20, "contract": None, "senior": None, "since": None, "note": "calm"},
    {"tenure": 1.5, "charges": 99.9, "contract": 1, "senior": 0, "since": "2024-02-29", "note": "angry"},
    {"tenure": 72, "charges": 0.1, "contract": True, "senior": 1, "since": "1969-12-31T23:00:00-01:00", "note": "angry"},
]
FEEDS = {
    "tenure": np.array([[12], [np.nan], [1.5], [72]], np.float32),
    "charges": np.array([[70.35], [20], [99.9], [0.1]], np.float32),
    "contract": np.array([["One year"], [""], ["1"], ["true"]], object),
    "senior": np.array([[1], [np.nan], [0], [1]], np.float32),
    "since": np.array([[1551398400000000], [MISSING_TIME], [1709164800000000], [0]], np.int64),
    "note": np.array([["müde"], ["calm"], ["angry"], ["angry"]], object),
}

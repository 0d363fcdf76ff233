"""Old address of `stagewright.components.predictor.inference.session`, kept until 0.2."""

import sys

from stagewright.components.predictor.inference import session

sys.modules[__name__] = session

"""Old address of `stagewright.components.predictor.mlflow_backend.formats`, kept until 0.2."""

import sys

from stagewright.components.predictor.mlflow_backend import formats

sys.modules[__name__] = formats

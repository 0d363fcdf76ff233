"""Old address of `stagewright.pipelines.local.services`, kept until 0.2."""

import sys

from stagewright.pipelines.local import services

sys.modules[__name__] = services

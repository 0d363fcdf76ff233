"""`python -m stagewright.components.serving.predictor --model DIR --name NAME`."""

import sys
from collections.abc import Sequence

from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import StagewrightError
from stagewright.components.serving.predictor import beside
from stagewright.components.serving.predictor.arguments import parse
from stagewright.components.serving.predictor.server import serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; what a user can mend is one sentence on standard error and an exit code."""
    logs.configure()
    try:
        serve(parse(sys.argv[1:] if arguments is None else arguments))
    except StagewrightError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    beside.end(main())

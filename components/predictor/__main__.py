"""`python -m stagewright.components.predictor --model DIR --name NAME`."""

import sys
from collections.abc import Sequence

from stagewright.components.predictor.arguments import parse
from stagewright.components.predictor.inference import run_in_thread
from stagewright.components.predictor.server import serve
from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import StagewrightError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server. User errors are printed as one sentence; returns the exit code."""
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
    run_in_thread.end(main())

"""`python -m support.registering NAME FOLDER GO`: register a model in the very moment at which the file GO appears."""

import sys
import time
from pathlib import Path

from stagewright.components.registry import register as registering
from stagewright.components.runtime import tracking


def main(name: str, folder: str, go: str) -> None:
    tracking.client("a test registers")  # whatever takes long the first time is done before
    print("ready", flush=True)
    while not Path(go).exists():
        time.sleep(0.001)
    print(registering.register(folder, name=name), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

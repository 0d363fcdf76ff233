"""Runs the commands of SHARED/cases: small inputs on which the product once failed, each with what is right."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

CASES = Path(os.environ.get("SHARED", Path(__file__).parents[2] / "../shared")) / "cases"
BIN = Path(sys.executable).parent


class Cases:
    """A copy of the cases that their commands may write to.

    Args:
        folder: Empty folder for the copy and for the homes of the commands.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / "cases"
        shutil.copytree(CASES, self.path, copy_function=shutil.copyfile)
        for path in [self.path, *self.path.rglob("*")]:
            path.chmod(0o755)

    def run(self, name: str, *, timeout: float = 300, **environment: str) -> str:
        """What a case's `cmd.sh` prints, its services and models ended afterwards."""
        home = self._folder / f"home-{name}"
        settings = {**os.environ, "STAGEWRIGHT_BIN": str(BIN), "STAGEWRIGHT_HOME": str(home), **environment}
        try:
            done = subprocess.run(
                ["bash", str(self.path / name / "cmd.sh")],
                env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                timeout=timeout, check=False,
            )  # fmt: skip
        finally:
            subprocess.run([BIN / "stagewright", "down"], env=settings, capture_output=True, check=False)
        return done.stdout

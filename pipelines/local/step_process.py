"""A step as a process of this machine: kfp's own executor, which finds the object store in the run's folder.

On a cluster the launcher puts what lies at `s3://BUCKET/...` to `/s3/BUCKET/...`. Only root may make such a folder here, so kfp
is told another one; what a step gets and what it calls stay the same.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stagewright.pipelines.local.backend_form import Form, backend_form
from stagewright.pipelines.local.step_life import end_with_the_run, run_step

if TYPE_CHECKING:
    from kfp.local import SubprocessRunner

MOUNT = "STAGEWRIGHT_STEP_STORE"
_EXECUTOR, _OURS = "-m kfp.dsl.executor_main", f"-m {__name__}"


@contextmanager
def processes(steps: Path) -> Iterator["SubprocessRunner"]:
    """Let kfp.local start a run's steps by this module, in the backend's form.

    Args:
        steps: The folder that the run's steps write to.
    """
    from kfp import local
    from kfp.local import subprocess_task_handler

    form = Form(steps, mount=steps.parent)
    theirs = subprocess_task_handler.run_local_subprocess
    temporary = steps.parent / "tmp"

    def ours(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        command = [part.replace(_EXECUTOR, _OURS) if at == 2 else part for at, part in enumerate(full_command)]
        code = run_step(command, {**(env_vars or {}), MOUNT: str(form.mount)}, folder=temporary)
        return code or form.check(full_command)

    subprocess_task_handler.run_local_subprocess = ours
    try:
        with backend_form(form):
            yield local.SubprocessRunner(use_venv=False)
    finally:
        subprocess_task_handler.run_local_subprocess = theirs
        shutil.rmtree(temporary, ignore_errors=True)


def main() -> None:
    end_with_the_run()
    from kfp.dsl import executor_main
    from kfp.dsl.types import artifact_types

    artifact_types._S3_LOCAL_MOUNT_PREFIX = f"{Path(os.environ[MOUNT])}/"
    executor_main.executor_main()


if __name__ == "__main__":
    main()

"""A step as a process of this machine: kfp's own executor, which finds the object store in the run's folder.

On a cluster the launcher puts what lies at `s3://BUCKET/...` to `/s3/BUCKET/...`. Only root may make such a folder here, so kfp
is told another one; what a step gets and what it calls stay the same.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from stagewright.pipelines.local.backend_form import Form, backend_form
from stagewright.pipelines.local.step_life import Started, end_with_the_run, run_step
from stagewright.pipelines.local.warm import WarmServer, warm_server

if TYPE_CHECKING:
    from kfp.local import SubprocessRunner

MOUNT = "STAGEWRIGHT_STEP_STORE"
_MODULE = "stagewright.pipelines.local.step_process"  # `__name__` is another one in the step itself
_EXECUTOR, _OURS = "-m kfp.dsl.executor_main", f"-m {_MODULE}"
# What kfp makes of a component in Python that installs nothing; the source and the arguments follow.
_LAUNCHER = (
    'program_path=$(mktemp -d) printf "%s" "$0" > "$program_path/ephemeral_component.py" _KFP_RUNTIME=true {python} '
    f'{_OURS} --component_module_path "$program_path/ephemeral_component.py" "$@"'
)


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
        forked = _Forked(server, command) if server and is_launched_by_kfp(command) else None
        code = run_step(command, {**(env_vars or {}), MOUNT: str(form.mount)}, folder=temporary, fork=forked)
        return code or form.check(full_command)

    subprocess_task_handler.run_local_subprocess = ours
    try:
        with backend_form(form), warm_server() as server:
            yield local.SubprocessRunner(use_venv=False)
    finally:
        subprocess_task_handler.run_local_subprocess = theirs
        shutil.rmtree(temporary, ignore_errors=True)


class _Forked:
    """How a step is forked from the server instead of being started by its command."""

    def __init__(self, server: WarmServer, command: Sequence[str]) -> None:
        self._server, self._command = server, command

    def __call__(self, environment: Mapping[str, str], lifeline: int) -> Started | None:
        """The step, or None if it must be started by its command; a server that failed is reported once."""
        broken = self._server.fault
        source, arguments = self._command[3], self._command[4:]
        program = Path(tempfile.mkdtemp(prefix="tmp.", dir=environment["TMPDIR"])) / "ephemeral_component.py"
        program.write_text(source, encoding="utf-8")
        step = self._server.start(
            _MODULE, ["--component_module_path", str(program), *arguments], {**environment, "_KFP_RUNTIME": "true"}, lifeline
        )
        if self._server.fault and not broken:
            report_server_fault(self._server.fault)
        return step


def is_launched_by_kfp(command: Sequence[str]) -> bool:
    """Whether a command does nothing but run a component's source, which stands in it."""
    if list(command[:2]) != ["sh", "-ec"] or len(command) < 4:
        return False
    return " ".join(command[2].split()) == _LAUNCHER.format(python=sys.executable)


def report_server_fault(fault: str) -> None:
    """Tell who started the run, under the step that is about to start, why it starts slowly."""
    message = f"steps start slowly, because the process that they are forked from failed: {fault}"
    entry = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": "warning", "event": "notice"}
    print(json.dumps({**entry, "message": message}))  # noqa: T201  the run's log takes it


def main() -> None:
    """Run the step that this process is for, by kfp's own executor."""
    end_with_the_run()
    from kfp.dsl import executor_main
    from kfp.dsl.types import artifact_types

    artifact_types._S3_LOCAL_MOUNT_PREFIX = f"{Path(os.environ[MOUNT])}/"
    executor_main.executor_main()


if __name__ == "__main__":
    main()

"""Run a pipeline on this machine with kfp.local, and tell what happens step by step instead of KFP's raw log."""

import contextlib
import io
import json
import logging
import os
import re
import secrets
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagewright.components.runtime import logs
from stagewright.components.runtime.errors import StagewrightError
from stagewright.components.runtime.folders import file_mode
from stagewright.pipelines import catalog, nulls
from stagewright.pipelines.local import services, warm, warm_modules
from stagewright.pipelines.local.backend_form import BUCKET
from stagewright.pipelines.local.step_process import processes
from stagewright.pipelines.watch import FAILED, SUCCEEDED, Step, Watch

if TYPE_CHECKING:
    from kfp.dsl.graph_component import GraphComponent

_COLOR = re.compile(r"\x1b\[\d+m")
_STARTED = re.compile(r"Executing task '(.+)'$")
_FINISHED = re.compile(r"Task '(.+)' finished with status (\w+)$")


@dataclass(slots=True)
class Run:
    """A run of a pipeline: its steps in the order they began, and where it keeps what they made.

    `outputs` holds what was produced outside the steps' folder, by its public name.
    """

    pipeline: str
    run_id: str
    folder: Path
    steps: list[Step] = field(default_factory=list)
    status: str = "running"
    seconds: float = 0.0
    outputs: dict[str, Any] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.folder / "run.log"

    @property
    def failed_step(self) -> Step | None:
        return next((step for step in self.steps if step.status == FAILED), None)


def run(
    name: str,
    arguments: Mapping[str, Any],
    *,
    watch: Watch | None = None,
    pipeline: "GraphComponent | None" = None,
    runner: Callable[[Path], AbstractContextManager[Any]] = processes,
) -> Run:
    """Run a pipeline to its end, each step in a process of its own.

    Args:
        name: The pipeline's name.
        arguments: Its parameters, by name.
        watch: Called with a step and an event whenever something happens to it: `started`, `progress`, `finished`.
        pipeline: The pipeline, if it is not the catalogue's.
        runner: Gives one of kfp.local's runners for as long as the run lasts, made for the folder that the steps write to.

    Returns:
        The finished run, succeeded or failed; a failed step carries the sentence that explains it.
    """
    from kfp import local

    pipeline = pipeline or catalog.pipeline(name)
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    this = Run(name, run_id, services.runs() / run_id)
    this.folder.mkdir(parents=True)
    os.environ.update(services.environment())
    began = time.perf_counter()
    # Training data is in there. The user of a container must be able to read what another one left.
    rights = file_mode(0o077) if runner is processes else contextlib.nullcontext()
    with rights, this.log.open("w", encoding="utf-8") as log:
        follower = _Follower(this, log, watch)
        with _quiet(), contextlib.redirect_stdout(follower), contextlib.redirect_stderr(follower):
            steps = this.folder / BUCKET
            with warm.warm_server() as server, runner(steps) as chosen, nulls.kept(), _one_at_a_time(pipeline):
                if server is not None and runner is processes:
                    server.preload(warm_modules.modules(pipeline, arguments))
                # kfp makes a workspace, and leaves it behind, unless it is given one.
                workspace = this.folder / "workspace"
                local.init(chosen, pipeline_root=str(steps), workspace_root=str(workspace), raise_on_error=False)
                pipeline(**arguments)
        _forget(follower)
        follower.close()
    this.seconds = time.perf_counter() - began
    this.status = FAILED if follower.failed or this.failed_step else SUCCEEDED
    return this


@contextlib.contextmanager
def step(run: Run, name: str, watch: Watch | None) -> Iterator[None]:
    """A step that is not the pipeline's: what is done for a run after it. An expected error fails the step, and so the run."""
    began = time.perf_counter()
    this = Step(name)
    run.steps.append(this)
    if watch is not None:
        watch(this, {"event": "started"})
    handler = logging.FileHandler(run.log, encoding="utf-8")
    logging.getLogger().addHandler(handler)
    listener = _Notices(this)
    logs.LOGGER.addHandler(listener)
    try:
        yield
        this.status = SUCCEEDED
    except StagewrightError as error:
        this.status, this.error, this.exit_code = FAILED, str(error), error.exit_code
        run.status = FAILED
    finally:
        logs.LOGGER.removeHandler(listener)
        logging.getLogger().removeHandler(handler)
        handler.close()
    this.seconds = time.perf_counter() - began
    run.seconds += this.seconds
    if watch is not None:
        watch(this, {"event": "finished"})


class _Notices(logging.Handler):
    """Hears what a step that runs in this process says to the person who started the run."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self._step = step

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "notice":
            self._step.notices.append(getattr(record, "fields", {})["message"])


def _forget(stream: io.TextIOBase) -> None:
    """Take out the log handlers that were made while standard error was this stream; kfp leaves one."""
    logger = logging.getLogger()
    for handler in list(logger.handlers):
        if getattr(handler, "stream", None) is stream:
            logger.removeHandler(handler)


@contextlib.contextmanager
def _one_at_a_time(pipeline: "GraphComponent") -> Iterator[None]:
    """Let loops run one iteration after the other: two would share this machine, and what measures it would see that."""
    spec = pipeline.pipeline_spec
    graphs = [spec.root.dag, *(one.dag for one in spec.components.values())]
    loops = [task for graph in graphs for task in graph.tasks.values() if task.WhichOneof("iterator")]
    before = [task.iterator_policy.parallelism_limit for task in loops]
    for task in loops:
        task.iterator_policy.parallelism_limit = 1
    try:
        yield
    finally:
        for task, limit in zip(loops, before, strict=True):
            if limit:
                task.iterator_policy.parallelism_limit = limit
            else:
                task.ClearField("iterator_policy")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # kfp guesses from an image's name whether it holds Python; ours do.
        warnings.filterwarnings("ignore", message="You may be attemping to run a task", category=RuntimeWarning)
        # What a profile asks of a cluster has no meaning here, and kfp says so for each task.
        warnings.filterwarnings("ignore", category=UserWarning, module="kfp")
        yield


class _Follower(io.TextIOBase):
    """Takes what kfp.local and the steps print, writes it to the log, and reads from it what happens."""

    def __init__(self, run: Run, log: io.TextIOBase, watch: Watch | None) -> None:
        self._run, self._log, self._watch = run, log, watch
        self._rest = ""
        self._began = time.perf_counter()
        self.failed = False

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        self._log.write(_COLOR.sub("", text))
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._read(_COLOR.sub("", line).strip())
        return len(text)

    def flush(self) -> None:
        self._log.flush()

    def close(self) -> None:
        self.flush()

    def _read(self, line: str) -> None:
        if line.startswith('{"time"'):
            with contextlib.suppress(ValueError):
                self._event(json.loads(line))
        elif match := _STARTED.search(line):
            self._began = time.perf_counter()
            self._run.steps.append(Step(match[1]))
            self._tell({"event": "started"})
        elif match := _FINISHED.search(line):
            self._finish(match[2])
        elif "Pipeline '" in line and "finished with status FAILURE" in line:
            self.failed = True

    def _event(self, event: dict[str, Any]) -> None:
        if not self._run.steps:
            return
        step = self._run.steps[-1]
        if event["event"] == "step_finished":
            step.work_seconds = event["seconds"]
        elif event["event"] == "step_failed":
            step.work_seconds, step.error, step.exit_code = event["seconds"], event["error"], event["exit_code"]
        elif event["event"] == "progress":
            self._tell(event)
        elif event["event"] == "notice":
            step.notices.append(event["message"])

    def _finish(self, status: str) -> None:
        step = self._run.steps[-1]
        step.seconds = time.perf_counter() - self._began
        if status == "SUCCESS":
            step.status = SUCCEEDED
        else:
            step.status = FAILED
            step.exit_code = step.exit_code or 1
            step.error = step.error or "the step ended without saying why (out of memory, perhaps); its log has the rest"
        self._tell({"event": "finished"})

    def _tell(self, event: Mapping[str, Any]) -> None:
        if self._watch is not None:
            self._watch(self._run.steps[-1], event)

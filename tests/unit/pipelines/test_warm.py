"""A step that is forked from a warm process is what one in a new interpreter is; nothing that it does reaches another."""

import contextlib
import importlib.util
import io
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from kfp.local.subprocess_task_handler import replace_python_executable
from support.backend_form import command_of

from stagewright.components.runtime.frameworks import FRAMEWORKS
from stagewright.pipelines import catalog
from stagewright.pipelines.local import step_life, step_process, warm, warm_modules

JOBS = "support.warm_jobs"
TESTS = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str]]


def until(found: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of modules that a server can import, as it can the jobs."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "marks.py").write_text("from pathlib import Path\nPath(__file__).with_suffix('.done').touch()\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{TESTS}:{folder}")
        yield folder


def begun(jobs: Path, modules: Iterable[str]) -> warm.WarmServer:
    """A server that has imported modules, or has ended over it."""
    done = jobs / "marks.done"
    done.unlink(missing_ok=True)
    server = warm.WarmServer()
    server.preload([*modules, "marks"])
    until(lambda: done.exists() or not is_running(server.pid), 300)
    return server


@pytest.fixture(scope="module")
def server(jobs: Path) -> Iterator[warm.WarmServer]:
    """One for all tests that do it no harm, with all that is imported before a pipeline is known."""
    server = begun(jobs, [*warm_modules.FIRST, JOBS])
    yield server
    server.close()


@pytest.fixture
def other_server(jobs: Path) -> Iterator[warm.WarmServer]:
    server = begun(jobs, [JOBS])
    yield server
    server.close()


def started(server: warm.WarmServer | None, folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of a job: forked if there is a server, else in a new interpreter."""
    fork = partial(server.start, JOBS, arguments) if server else None
    command = [sys.executable, "-m", JOBS, *arguments]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        number = step_life.run_step(command, {}, folder=folder / "tmp", fork=fork)
    return number, printed.getvalue()


@pytest.fixture(params=["forked", "new"])
def run(request: pytest.FixtureRequest, server: warm.WarmServer, tmp_path: Path) -> Run:
    return partial(started, server if request.param == "forked" else None, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("code", "0"), 0),
        (("code", "3"), 3),
        (("code", "255"), 255),
        (("code_at_once", "7"), 7),
        (("killed", str(int(signal.SIGKILL))), -signal.SIGKILL),
        (("killed", str(int(signal.SIGSEGV))), -signal.SIGSEGV),
        (("killed", str(int(signal.SIGTERM))), -signal.SIGTERM),
        (("raises",), 1),
        (("fills_memory",), 1),
    ],
)
def test_exit_code(run: Run, server: warm.WarmServer, tmp_path: Path, arguments: tuple[str, ...], expected: int) -> None:
    number, printed = run(*arguments)

    assert number == expected
    assert ("RuntimeError: a defect" in printed) == (arguments[0] == "raises")
    assert ("MemoryError" in printed) == (arguments[0] == "fills_memory")
    assert started(server, tmp_path, "code", "4") == (4, "\n\n")
    assert server.fault is None


def test_output(run: Run) -> None:
    lines = ["standard output", "standard error: \u00e4\u00f6\u00fc", "bytes \ufffd that are no text", "from a shell", "", ""]
    assert run("prints") == (0, "\n".join([*lines, ""]))


def test_a_fork_is_what_a_new_interpreter_is(server: warm.WarmServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("STAGEWRIGHT_TEST", "\u00e4 \udcff")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    processors, mask = os.sched_getaffinity(0), os.umask(0o027)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
        os.sched_setaffinity(0, {max(processors)})
        forked, new = (json.loads(started(one, tmp_path, "surroundings")[1]) for one in (server, None))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.sched_setaffinity(0, processors)
        os.umask(mask)

    assert forked == new
    assert (forked["umask"], forked["processors"], forked["open"]) == (0o027, [max(processors)], ["pipe"])
    assert forked["folder"] == str(tmp_path / "elsewhere")
    assert forked["environment"]["STAGEWRIGHT_TEST"] == "\u00e4 \udcff"


def test_a_step_leaves_no_trace_in_the_next(server: warm.WarmServer, tmp_path: Path) -> None:
    before = started(server, tmp_path, "surroundings")
    assert started(server, tmp_path, "leaves_traces", str(tmp_path))[0] == 0
    assert started(server, tmp_path, "surroundings") == before
    assert list((tmp_path / "tmp").iterdir()) == []


def test_each_step_has_its_own_chance(server: warm.WarmServer, tmp_path: Path) -> None:
    first, second = (json.loads(started(server, tmp_path, "chance")[1]) for _ in range(2))
    assert [one != other for one, other in zip(first, second, strict=True)] == [True, True, True]


def test_libraries_with_threads_work_in_a_fork(run: Run) -> None:
    assert json.loads(run("parallel")[1]) == [300.0**3, 4_999_950_000, [2, 3]]


def test_nothing_stays_open_in_the_server(server: warm.WarmServer, tmp_path: Path) -> None:
    def opened() -> int:
        return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))

    started(server, tmp_path, "code", "0")
    before = opened()
    ours = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        started(server, tmp_path, "code", "0")
    assert (opened(), len(list(Path("/proc/self/fd").iterdir()))) == (before, ours)


def test_a_step_that_hangs_is_killed_with_its_children(
    plain_interrupt: None, run: Run, server: warm.WarmServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_life, "GRACE_SECONDS", 0.3)
    marker = tmp_path / "pids"

    def interrupt() -> None:
        until(lambda: marker.exists() and len(marker.read_text().split()) == 2)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run("hangs", str(marker))

    until(lambda: not any(is_running(int(pid)) for pid in marker.read_text().split()))
    assert started(server, tmp_path, "code", "4")[0] == 4


@pytest.fixture
def plain_interrupt() -> Iterator[None]:
    """Ctrl-C as a program without polars has it: polars' handler does not interrupt what waits."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_an_interrupted_step_undoes_what_it_began(plain_interrupt: None, run: Run, tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def interrupt() -> None:
        until(begun.exists)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run("interrupted", str(begun))
    assert not begun.exists()


def test_one_step_killed_changes_nothing_for_another(server: warm.WarmServer, tmp_path: Path) -> None:
    ready, codes = tmp_path / "go", []
    other = threading.Thread(target=lambda: codes.append(started(server, tmp_path / "b", "waits_for", str(ready), "5")[0]))
    other.start()
    until(Path(f"{ready}.ready").exists)

    assert started(server, tmp_path / "a", "killed", "9")[0] == -9
    ready.touch()
    other.join()
    assert codes == [5]


def test_a_step_outlives_its_server_and_the_next_has_none(other_server: warm.WarmServer, tmp_path: Path) -> None:
    ready, codes = tmp_path / "go", []
    running = threading.Thread(target=lambda: codes.append(started(other_server, tmp_path, "waits_for", str(ready), "5")[0]))
    running.start()
    until(Path(f"{ready}.ready").exists)

    os.kill(other_server.pid, signal.SIGKILL)
    until(lambda: not is_running(other_server.pid))
    assert started(other_server, tmp_path / "b", "code", "6")[0] == 6  # a new interpreter
    assert other_server.fault == "it has ended"
    ready.touch()
    running.join()
    assert codes == [5]


def test_a_server_that_imports_for_ever_is_given_up(
    other_server: warm.WarmServer, jobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "began"
    (jobs / "sleeps.py").write_text(f"import time\nopen({str(mark)!r}, 'w').close()\ntime.sleep(300)\n")
    monkeypatch.setattr(warm, "START_SECONDS", 1.0)
    other_server.preload(["sleeps"])
    until(mark.exists)

    assert started(other_server, tmp_path, "code", "6")[0] == 6
    assert other_server.fault == "it did not start a step within 1 s"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("from threading import Event, Thread\nThread(target=Event().wait, daemon=True).start()", "threads are running"),
        ("import os\nos._exit(5)", "it has ended"),
        ("raise SystemExit(3)", None),
        ("import nothing_of_that_name", None),
        ("import warnings\nprint('x' * 1_000_000)\nwarnings.warn('y')", None),
    ],
    ids=["thread", "crash", "exit", "missing", "noise"],
)
def test_what_an_import_does_to_the_server(jobs: Path, tmp_path: Path, text: str, fault: str | None) -> None:
    (jobs / "strange.py").write_text(text)
    server = begun(jobs, ["strange"])
    try:
        assert [started(server, tmp_path, "code", "4")[0] for _ in range(2)] == [4, 4]
        assert (server.fault or "").startswith(fault or "")
        assert (server.fault is None) == (fault is None)
    finally:
        server.close()


@pytest.mark.parametrize(("name", "forks"), [("OMP_NUM_THREADS", False), ("AWS_REGION", True), ("MLFLOW_TRACKING_URI", True)])
def test_a_variable_that_libraries_read_when_imported_needs_a_new_interpreter(
    server: warm.WarmServer, tmp_path: Path, name: str, forks: bool
) -> None:
    read, write = os.pipe()
    step = server.start(JOBS, ["code", "0"], {**os.environ, name: "other", "TMPDIR": str(tmp_path)}, read)
    assert (step is not None) == forks
    assert server.fault is None
    if step is not None:
        assert step.wait(60) == 0
        step.stdout.close()
    os.close(read)
    os.close(write)


def test_what_polars_spills_is_removed_with_the_step(jobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_OOC_MEMORY_BUDGET_MB", "1")
    server = begun(jobs, ["polars"])
    try:
        groups, place, files = json.loads(started(server, tmp_path, "spills")[1])
    finally:
        server.close()
    assert groups == 300_007
    assert place.startswith(str(tmp_path / "tmp"))
    assert files > 0
    assert list((tmp_path / "tmp").iterdir()) == []


def test_blocks_share_a_server_that_ends_with_the_outer() -> None:
    with warm.warm_server() as outer:
        with warm.warm_server() as inner:
            assert inner is outer is warm.current_server()
        assert outer is not None
        assert is_running(outer.pid)
    assert warm.current_server() is None
    assert not is_running(outer.pid)


def test_setting_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEWRIGHT_WARM_STEPS", "false")
    with warm.warm_server() as server:
        assert server is None


def test_server_ends_with_a_killed_run() -> None:
    text = (
        "import time\nfrom stagewright.pipelines.local import warm\n"
        "with warm.warm_server() as s:\n    print(s.pid, flush=True)\n    time.sleep(300)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    pid = int(run.stdout.readline())
    run.kill()
    run.wait()
    run.stdout.close()
    until(lambda: not is_running(pid))


def launched(made: Any) -> list[str]:
    """The command with which kfp would start a component, as `step_process` changes it."""
    command = replace_python_executable(command_of(made), sys.executable)
    return [part.replace("-m kfp.dsl.executor_main", "-m stagewright.pipelines.local.step_process") for part in command]


@pytest.mark.parametrize("name", catalog.COMPONENTS)
def test_every_component_can_be_forked(name: str) -> None:
    assert step_process.is_launched_by_kfp(launched(catalog.component(name)))


def test_a_component_that_installs_something_is_not_forked() -> None:
    @dsl.component(packages_to_install=["six"])
    def installs() -> None:
        pass

    assert not step_process.is_launched_by_kfp(launched(installs))
    assert not step_process.is_launched_by_kfp(["sh", "-ec"])
    assert not step_process.is_launched_by_kfp(["python", "-ec", "", ""])


@pytest.mark.parametrize("name", catalog.PIPELINES)
def test_modules_exist_and_come_in_the_order_of_the_steps(name: str) -> None:
    found = warm_modules.modules(catalog.pipeline(name), {})
    assert [module for module in found if importlib.util.find_spec(module) is None] == []
    assert tuple(found[: len(warm_modules.FIRST)]) == warm_modules.FIRST


def test_modules_of_train_model() -> None:
    pipeline = catalog.pipeline("train-model")
    found = warm_modules.modules(pipeline, {})
    assert found == warm_modules.modules(pipeline, {"framework": "xgboost"})
    order = ["stagewright.components.ingestion.validate", "matplotlib.figure", "mlflow"]
    assert sorted(order, key=found.index) == order
    lightgbm = warm_modules.modules(pipeline, {"framework": "lightgbm"})
    assert set(found) ^ set(lightgbm) == {
        f"stagewright.components.training.frameworks.{one}" for one in ("xgboost", "lightgbm")
    }


@pytest.mark.slow
def test_no_module_of_ours_starts_a_thread_or_leaves_something_open(jobs: Path, tmp_path: Path) -> None:
    modules = [row.module_name for row in FRAMEWORKS.values()]
    for name in catalog.PIPELINES:
        modules += warm_modules.modules(catalog.pipeline(name), {})
    server = begun(jobs, [JOBS, *dict.fromkeys(modules)])
    try:
        forked, new = (json.loads(started(one, tmp_path, "surroundings")[1]) for one in (server, None))
    finally:
        server.close()
    assert server.fault is None
    del forked["path"], new["path"]  # onnxruntime.transformers adds its folder, as in a step that imports it
    assert forked == new

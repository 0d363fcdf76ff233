"""`make mutants`: change the modules that decide in one place at a time, and see which changes their tests do not notice.

Each mutant is tried in a process of its own, forked from one that has imported what its tests need; only the changed module and
what imports it are imported again. Nothing is written to the working tree.
"""

import argparse
import gc
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
HOOK = Path(__file__).parent / "hook"
sys.path[:0] = [str(HOOK), str(REPOSITORY / "tests")]

import sitecustomize as hook  # noqa: E402  ours, not the system's

from mutation.imports import dependents, forget, module_name  # noqa: E402
from mutation.mutate import Mutant, mutants  # noqa: E402
from mutation.table import MODULES, Module  # noqa: E402

RESULTS = REPOSITORY / "build" / "mutants.json"
LEAST_SECONDS, TIMES_BASELINE = 20.0, 5.0  # a mutant whose tests take longer never ends
KILLED, SURVIVED, BROKEN, UNTRIED = "killed", "survived", "broken", "not tried"
GOAL = 85
_PYTEST = (
    "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:warnings", "-p", "mutation.plugin", "--no-header",
    "--tb=no",
)  # fmt: skip
_MARK, _TESTS = "modules:", ("unit.", "serving.", "tests.", "test", "conftest", "__main__")
_ENDS = {0: SURVIVED, 1: KILLED, 2: BROKEN}  # pytest's exit codes: all passed, some failed, the tests could not be read


@dataclass(slots=True)
class Trial:
    """One mutant, or the module as it is, and what came of its tests."""

    module: Module
    mutant: Mutant | None
    outcome: str = UNTRIED
    seconds: float = 0.0
    output: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the score, and end with 1 below the goal."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.survivors and not RESULTS.is_file():
        parser.error(f"there is no earlier run: {RESULTS} is missing")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and so end the trials
    chosen = [module for module in MODULES if not options.module or any(part in module.name for part in options.module)]
    deadline = time.monotonic() + 60 * options.minutes
    _preload(chosen)
    before = {module.tests: Trial(module, None) for module in chosen}
    for trial in _run(before.values(), options.processes, defaultdict(lambda: 600.0), deadline):
        if trial.outcome != SURVIVED:
            print(f"the tests of {trial.module.name} fail without any change:\n{trial.output[-3000:]}", file=sys.stderr)
            return 2
    limits = {module.name: max(LEAST_SECONDS, TIMES_BASELINE * before[module.tests].seconds) for module in chosen}
    trials = _trials(chosen, options)
    for number, trial in enumerate(_run(trials, options.processes, limits, deadline), 1):
        if options.verbose:
            line = trial.mutant.line if trial.mutant else 0
            print(f"{number}/{len(trials)} {trial.outcome} {trial.seconds:.1f} s {trial.module.path}:{line}", flush=True)
    return _report(chosen, trials)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--module", action="append", help="only modules with this in their name; may be given again")
    parser.add_argument("--minutes", type=float, default=60, help="no mutant is begun after this time; the rest is not tried")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--most", type=int, help="try no more mutants of a module than this, drawn at random")
    parser.add_argument("--survivors", action="store_true", help="only those that survived the last run")
    parser.add_argument("--verbose", action="store_true")
    return parser


def _trials(modules: Iterable[Module], options: argparse.Namespace) -> list[Trial]:
    """The mutants in a random order, module by module in turns, so that a run that is cut off has tried some of each."""
    again = {(e["path"], e["change"], e["line"]) for e in json.loads(RESULTS.read_text())} if options.survivors else None
    columns = []
    for module in modules:
        found = mutants(module.path, (REPOSITORY / module.path).read_text())
        random.Random(0).shuffle(found)
        if again is not None:
            found = [one for one in found if (one.path, one.change, one.line) in again]
        columns.append([Trial(module, mutant) for mutant in found[: options.most]])
    longest = max(map(len, columns), default=0)
    return [column[row] for row in range(longest) for column in columns if row < len(column)]


def _preload(modules: Iterable[Module]) -> None:
    """Import what the tests import, by collecting them in another process; what is forked then has it already."""
    files = sorted({part for module in modules for part in module.tests if part.endswith(".py")})
    code = f"import pytest, sys; pytest.main(sys.argv[1:]); print({_MARK!r}, *sys.modules, sep='\\n')"
    command = [sys.executable, "-c", code, "--collect-only", "-q", *_PYTEST, *files]
    told = subprocess.run(command, cwd=REPOSITORY, env=_environment(), capture_output=True, text=True, check=False)
    for name in told.stdout.partition(_MARK)[2].split():
        if all(part.isidentifier() for part in name.split(".")) and not name.startswith(_TESTS):
            with suppress(BaseException):  # what cannot be imported by itself is imported by its users
                __import__(name)
    gc.collect()
    gc.freeze()  # what is there now is never garbage: no child looks at it


def _environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(HOOK), str(REPOSITORY / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, **more}


def _run(trials: Iterable[Trial], processes: int, limits: dict[str, float], deadline: float) -> Iterator[Trial]:
    """Try mutants, some at a time, and give each as it is done; none is begun after the deadline."""
    waiting = iter(trials)
    running: dict[int, tuple[Trial, float, Path]] = {}
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        try:
            while True:
                while len(running) < processes and time.monotonic() < deadline and (trial := next(waiting, None)):
                    own = Path(tempfile.mkdtemp(dir=folder))
                    running[_fork(trial, own)] = (trial, time.monotonic(), own)
                if not running:
                    return
                for pid in [pid for pid, (trial, began, _) in running.items() if _is_done(pid, trial, began, limits)]:
                    trial, _, own = running.pop(pid)
                    trial.output = (own / "output").read_text(errors="replace")
                    shutil.rmtree(own, ignore_errors=True)
                    yield trial
                time.sleep(0.01)
        finally:
            for pid in running:
                _end(pid)


def _is_done(pid: int, trial: Trial, began: float, limits: dict[str, float]) -> bool:
    """Whether a trial has ended, by itself or because its time is over; then it has its outcome."""
    done, status = os.waitpid(pid, os.WNOHANG)
    trial.seconds = time.monotonic() - began
    if done:
        code = os.waitstatus_to_exitcode(status)
        trial.outcome = _ENDS.get(code, KILLED if code < 0 else BROKEN)
    elif trial.seconds >= limits[trial.module.name]:
        _end(pid)
        trial.outcome = KILLED
    return trial.outcome != UNTRIED


def _fork(trial: Trial, folder: Path) -> int:
    module = module_name(trial.module.path)
    closure = dependents(REPOSITORY, module)
    pid = os.fork()
    if pid:
        return pid
    code = 3
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sink = os.open(folder / "output", os.O_WRONLY | os.O_CREAT)
        for descriptor in (1, 2):
            os.dup2(sink, descriptor)
        if trial.mutant is not None:
            file = folder / "mutant.py"
            file.write_text(trial.mutant.source)
            os.environ[hook.VARIABLE] = f"{module}={file}"
            forget(closure)
            hook.install()
        os.environ.update(_environment(TMPDIR=str(folder)))
        tempfile.tempdir = str(folder)
        os.chdir(REPOSITORY)
        import pytest

        code = int(pytest.main([*_PYTEST, f"--basetemp={folder / 'pytest'}", *trial.module.tests]))
        sys.stdout.flush()
    finally:
        os._exit(code)


def _end(pid: int) -> None:
    """End a process and all below it."""
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _report(modules: Sequence[Module], trials: Sequence[Trial]) -> int:
    """Print each module's score, the total, and the survivors; 0 if the goal is reached."""
    width = max(len(module.name) for module in modules)
    total: dict[str, int] = defaultdict(int)
    for module in modules:
        counts: dict[str, int] = defaultdict(int)
        for trial in trials:
            if trial.module is module:
                counts[trial.outcome] += 1
                total[trial.outcome] += 1
        print(_line(module.name, counts, width))
    print(_line("total", total, width))
    survivors = [trial.mutant for trial in trials if trial.outcome == SURVIVED and trial.mutant]
    for mutant in sorted(survivors, key=lambda mutant: (mutant.path, mutant.line)):
        print(f"\nsurvived: {mutant.path}:{mutant.line} ({mutant.operator})\n{mutant.change}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([_entry(mutant) for mutant in survivors], indent=1))
    return int(_score(total) < GOAL)


def _line(name: str, counts: dict[str, int], width: int) -> str:
    tried = counts[KILLED] + counts[SURVIVED]
    rest = "".join(f", {counts[what]} {what}" for what in (BROKEN, UNTRIED) if counts[what])
    return f"{name:{width}}  {counts[KILLED]:4} of {tried:4} killed  {_score(counts):5.1f}%{rest}"


def _score(counts: dict[str, int]) -> float:
    tried = counts[KILLED] + counts[SURVIVED]
    return 100 * counts[KILLED] / tried if tried else 0.0


def _entry(mutant: Mutant) -> dict[str, Any]:
    return {"path": mutant.path, "line": mutant.line, "operator": mutant.operator, "change": mutant.change}


if __name__ == "__main__":
    sys.exit(main())

"""What Stagewright itself costs: a run against its calls in one process, a step beyond its work, importing all components.

Usage: python benchmarks/overhead.py [--json]

- The command `stagewright run train-model` on Telco churn, from its start to its end, and its twelve calls one after another in
  one new process (`one_process.py`): both with their imports, in turn, each with its own model name. The services run before.
- A step's overhead is its wall time, from kfp handing it over to kfp taking it back, less the time between the first and the
  last line of the stage's own code.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from stagewright.components.runtime import tracking
from stagewright.components.runtime.errors import StagewrightError
from stagewright.pipelines import catalog
from stagewright.pipelines.cli import demo
from stagewright.pipelines.cli.run_command import execute, prepare

IMPORTS = 7
GOAL_RATIO, GOAL_STEP, GOAL_IMPORT = 1.6, 0.5, 0.3


def import_seconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def measure_imports() -> dict[str, float]:
    """Median seconds of importing kfp, and of importing kfp and every component after it; taken in turn."""
    modules = sorted({place.partition(":")[0] for place in catalog.COMPONENTS.values()})
    everything = "import kfp, " + ", ".join(modules)
    pairs = [(import_seconds("import kfp"), import_seconds(everything)) for _ in range(IMPORTS)]
    return {
        "kfp": statistics.median(kfp for kfp, _ in pairs),
        "added_by_components": statistics.median(ours - kfp for kfp, ours in pairs),
    }


def measure_run(repetitions: int) -> dict[str, float]:
    """Median seconds of the command and of its calls in one process, and the median of the ratios."""
    prepare()
    tracking.client("runs are recorded there")  # the first client makes the database's tables
    given = demo.arguments()
    options = [f"--{name}={json.dumps(value) if isinstance(value, list) else value}" for name, value in given.items()]
    command = [str(Path(sys.executable).parent / "stagewright"), "run", "train-model", "--json", *options]
    alone = [sys.executable, str(Path(__file__).parent / "one_process.py"), given["data"]]
    pairs = []
    for number in range(repetitions):
        name = f"overhead-{int(time.time())}-{number}"
        pairs.append((seconds([*command, f"--name={name}-a"]), seconds([*alone, f"{name}-b"])))
    return {
        "command": statistics.median(run for run, _ in pairs),
        "one_process": statistics.median(calls for _, calls in pairs),
        "ratio": statistics.median(run / calls for run, calls in pairs),
    }


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def measure_steps() -> list[dict[str, float | str]]:
    """Wall and work seconds of each step of the main job."""
    run, _ = execute("train-model", demo.arguments(), Console(quiet=True))
    if run.failed_step:
        raise StagewrightError(f"{run.failed_step.name}: {run.failed_step.error}")
    worked = [(step, step.work_seconds or 0.0) for step in run.steps]
    return [{"step": step.name, "wall": step.seconds, "work": work, "overhead": step.seconds - work} for step, work in worked]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--output", type=Path, help="also write the JSON object to this file")
    parser.add_argument("--repetitions", type=int, default=3, help="runs of the command, and of its calls in one process")
    options = parser.parse_args()
    run, imports, steps = measure_run(options.repetitions), measure_imports(), measure_steps()
    overhead = statistics.mean(float(step["overhead"]) for step in steps)
    print(f"{'step':<20}{'wall s':>9}{'work s':>9}{'overhead s':>12}")
    for step in steps:
        print(f"{step['step']:<20}{step['wall']:>9.2f}{step['work']:>9.2f}{step['overhead']:>12.2f}")
    print(
        f"stagewright run train-model: {run['command']:.1f} s; the same calls in one process: {run['one_process']:.1f} s; "
        f"ratio {run['ratio']:.2f} (goal: at most {GOAL_RATIO})"
    )
    print(f"overhead a step: {overhead:.2f} s (goal: under {GOAL_STEP} s)")
    print(f"importing kfp: {imports['kfp']:.2f} s; components add {imports['added_by_components']:.2f} s (goal: {GOAL_IMPORT})")
    result = {"run": run, "steps": steps, "overhead_a_step": overhead, "imports": imports}
    if options.output:
        options.output.write_text(json.dumps(result, indent=2) + "\n")
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()

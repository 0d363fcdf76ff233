"""The images: their sizes, what building took, what a step costs in a container, and a predictor's start to its first answer.

Usage: python benchmarks/images.py [--write]      after `make images`; --write renews benchmarks/images.json and images.md

A start is measured from `docker run` to the first answered prediction of a published model that is read from the object store,
with the limits of a deployment (half a gigabyte of memory, no capability, a file system that cannot be written to).
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from stagewright.components.images import GROUPS
from stagewright.components.runtime import processes
from stagewright.components.runtime.errors import InputError, StagewrightError
from stagewright.components.serving import client
from stagewright.pipelines.cli import demo
from stagewright.pipelines.cli.run_command import example_row, execute, prepare
from stagewright.pipelines.local import docker_steps

HERE = Path(__file__).parent
BUILT = HERE.parent / "build" / "images"
STARTS, GOAL_SECONDS = 7, 3.0


def built() -> list[dict[str, Any]]:
    """What images/build.py noted of each image."""
    found = [json.loads(path.read_text()) for group in GROUPS if (path := BUILT / f"{group}.json").is_file()]
    if not found:
        raise InputError("no image was built yet; run 'make images' first")
    return found


def measure_run() -> tuple[list[dict[str, Any]], str, dict[str, Any]]:
    """The main job in containers: seconds of each step and of the stage's own work in it; the model, and a row to ask it."""
    prepare(server=True)
    run, outputs = execute("train-model", demo.arguments() | {"deploy_to": "none"}, Console(quiet=True), runner="docker")
    if run.failed_step:
        raise StagewrightError(f"{run.failed_step.name}: {run.failed_step.error}")
    steps = [{"step": step.name, "wall": round(step.seconds, 2), "work": step.work_seconds} for step in run.steps]
    return steps, outputs["model_uri"], example_row(run) or {}


def measure_starts(model_uri: str, row: dict[str, Any]) -> list[float]:
    """Seconds from `docker run` to the first answer, each time a new container."""
    return [first_answer(model_uri, row) for _ in range(STARTS)]


def first_answer(model_uri: str, row: dict[str, Any]) -> float:
    """Seconds until a new container has answered one prediction."""
    port = processes.free_port()
    log = Path(os.environ.get("TMPDIR", "/tmp")) / f"predictor-{port}.log"
    began = time.perf_counter()
    process = processes.start(docker_steps.predictor_command(demo.NAME, "v1.0.0", model_uri, port), log=log)
    try:
        client.wait_until_ready(f"http://127.0.0.1:{port}", demo.NAME, 60.0, poll=0.02)
        client.predict(f"http://127.0.0.1:{port}", demo.NAME, [row])
        return time.perf_counter() - began
    finally:
        processes.stop(process, grace=40.0)
        log.unlink(missing_ok=True)


def text(result: dict[str, Any]) -> str:
    """The result as a page."""
    lines = ["# Images, measured", "", f"On {result['machine']}. Made by `python benchmarks/images.py --write`.", ""]
    lines += ["| image | MB | Python and Debian packages | build s |", "|---|---:|---:|---:|"]
    for one in result["images"]:
        lines.append(f"| {one['image']} | {one['megabytes']:.0f} | {one['packages']} | {one['build_seconds']:.0f} |")
    start = result["predictor_start"]
    lines += ["", "MB as Docker counts them, uncompressed, the base included. Build times are those that the last build noted."]
    slowest = f"slowest {max(start['seconds']):.2f} s (goal: under {GOAL_SECONDS:g} s)."
    lines += [
        "",
        f"Predictor, start to first answer: median {start['median']:.2f} s of {len(start['seconds'])} starts, {slowest}",
    ]
    lines += ["", "| step of `train-model` in a container | s | of it the stage's own work, s |", "|---|---:|---:|"]
    lines += [f"| {step['step']} | {step['wall']:.1f} | {step['work']:.1f} |" for step in result["steps"]]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="renew images.json and images.md beside this file")
    options = parser.parse_args()
    try:
        images = built()
        steps, model_uri, row = measure_run()
        starts = measure_starts(model_uri, row)
    except StagewrightError as error:
        sys.exit(f"error: {error}")
    result = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}",
        "images": images,
        "predictor_start": {"median": statistics.median(starts), "seconds": [round(start, 3) for start in starts]},
        "steps": steps,
    }
    print(text(result))
    if options.write:
        (HERE / "images.json").write_text(json.dumps(result, indent=2) + "\n")
        (HERE / "images.md").write_text(text(result))
    else:
        print(json.dumps(result))


if __name__ == "__main__":
    main()

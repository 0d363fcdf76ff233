"""How fast a served model answers, beside the least that a server does, KServe's own server, and ONNX Runtime without a server.

Usage: python benchmarks/serving.py [--seconds N] [--json] [--models DIR]

Telco churn, XGBoost with 200 trees and a random forest with 100, both trained, exported and served by this project. Four
servers, each one process on this machine (ours with one worker, its defaults): ours; a bare uvicorn application that only
parses the JSON; `kserve.ModelServer` with scikit-learn's pipeline; and the same with the ONNX graph that ours serves. Two loads
in V1's JSON, lists of the 19 mixed columns: single rows, and batches of 1,000 rows. Batches of 1,000 rows of the numeric
columns in V2's binary form are compared with ONNX Runtime called directly on the same rows, in a loop, with its default options
or with one thread, whichever is faster.

The load generator keeps 1, 16 and 64 connections busy, each with one request under way. Servers take turns in short rounds. A
model's `ratio_to_...` compares capacities: the most requests per second that ours answered at any of these numbers of
connections, by the most that the other did. The ratios beside the figures of one number of connections are medians of the
rounds' own, so what else the machine does changes them little; absolute figures are of a machine on which generator and server
share the cores. `half_peak` is an open loop at
half of the largest rate that was measured, its latencies counted from the moment at which a request was due.

With `--json` the last line is one JSON object: for each model `single_row` and `batch`, each with the servers' figures by
number of connections and the ratios.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from rich.console import Console
from rich.table import Table
from servers import bodies, models, processes

from stagewright.components.measurement.load.generator import Load, run_load
from stagewright.components.runtime.signature import Signature

CONNECTIONS = (1, 16, 64)
ROUND_SECONDS, WARMUP_SECONDS = 1.0, 0.2
GOALS = {
    "single_row.ratio_to_bare": 0.5, "single_row.ratio_to_kserve_onnx": 8.0, "batch.ratio_to_onnxruntime": 0.85,
    "batch.ratio_to_kserve_sklearn": 3.0, "batch.ratio_to_kserve_onnx": 3.0,
}  # fmt: skip
GOAL_P99_MS = 5.0

Measured = dict[str, list[Load]]


def measure(servers: Mapping[str, Callable[[], Load]], seconds: float) -> Measured:
    """Rounds in which every server has its turn, the first in each round another one."""
    rounds = max(2, round(seconds / ROUND_SECONDS))
    found: Measured = {name: [] for name in servers}
    names = list(servers)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            found[name].append(servers[name]())
    return found


def loads(addresses: Mapping[str, str], sent: Sequence[bytes], connections: int) -> dict[str, Callable[[], Load]]:
    """One round of each server."""

    def load(address: str) -> Load:
        return run_load(address, sent, connections=connections, seconds=ROUND_SECONDS, warmup=WARMUP_SECONDS)

    return {name: lambda address=address: load(address) for name, address in addresses.items()}


def directly(folder: Path, tables: Sequence[np.ndarray]) -> Callable[[], Load]:
    """One round of ONNX Runtime with nothing around it: the faster of its defaults and a single thread."""
    names = Signature.read(folder / "serving").names
    feeds = [{name: np.ascontiguousarray(table[:, [at]]) for at, name in enumerate(names)} for table in tables]
    single = ort.SessionOptions()
    single.intra_op_num_threads = single.inter_op_num_threads = 1
    sessions = [ort.InferenceSession(folder / "serving" / "model.onnx", options) for options in (None, single)]

    def load(session: ort.InferenceSession) -> Load:
        times: list[float] = []
        until = time.perf_counter() + ROUND_SECONDS / len(sessions)
        while (began := time.perf_counter()) < until:
            session.run(None, feeds[len(times) % len(feeds)])
            times.append(time.perf_counter() - began)
        p50, p90, p99, most = np.quantile(times, (0.5, 0.9, 0.99, 1.0)) * 1000
        return Load(len(times) / sum(times), p50, p90, p99, most, {}, 0, sum(times), len(times))

    return lambda: max(map(load, sessions), key=lambda one: one.requests_per_second)


def summary(rounds: Sequence[Load]) -> dict[str, Any]:
    """Medians over the rounds, and every answer by its status."""
    figures = {
        name: round(statistics.median(getattr(one, name) for one in rounds), 3)
        for name in ("requests_per_second", "p50_ms", "p99_ms")
    }
    statuses: dict[str, int] = {}
    for one in rounds:
        for status, number in one.statuses.items():
            statuses[str(status)] = statuses.get(str(status), 0) + number
    return figures | {"statuses": statuses, "errors": sum(one.errors for one in rounds)}


def ratio(found: Measured, to: str) -> float:
    """Ours to another one, round by round."""
    pairs = zip(found["ours"], found[to], strict=True)
    return round(statistics.median(ours.requests_per_second / max(other.requests_per_second, 1e-9) for ours, other in pairs), 3)


def compared(found: Measured) -> dict[str, Any]:
    """Every server's figures, and how ours compares with each other one."""
    figures: dict[str, Any] = {name: summary(rounds) for name, rounds in found.items()}
    return figures | {f"ratio_to_{name}": ratio(found, name) for name in found if name != "ours"}


def capacity(by_connections: Mapping[str, Any], server: str) -> float:
    """The most requests per second that a server answered."""
    return max(float(figures[server]["requests_per_second"]) for figures in by_connections.values())


def capacity_ratio(by_connections: Mapping[str, Any], to: str) -> float:
    """What ours can answer by what another one can."""
    return round(capacity(by_connections, "ours") / capacity(by_connections, to), 3)


def compare(addresses: Mapping[str, str], sent: Sequence[bytes], seconds: float) -> dict[str, Any]:
    """All servers under one load at every number of connections."""
    report: dict[str, Any] = {"connections": {}}
    for connections in CONNECTIONS:
        found = measure(loads(addresses, sent, connections), seconds)
        report["connections"][str(connections)] = compared(found)
    return report | {f"ratio_to_{name}": capacity_ratio(report["connections"], name) for name in addresses if name != "ours"}


def half_peak(address: str, sent: Sequence[bytes], single: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Latencies at half of the largest rate."""
    peak = capacity(single["connections"], "ours")
    rounds = [
        run_load(address, sent, connections=max(CONNECTIONS), seconds=ROUND_SECONDS, rate=peak / 2)
        for _ in range(max(2, round(seconds / ROUND_SECONDS)))
    ]
    return {"rate": round(peak / 2)} | summary(rounds)


def measure_model(name: str, prepared: models.Models, seconds: float) -> dict[str, Any]:
    """Everything about one model."""
    rows, numeric = prepared.rows("mixed"), prepared.rows("numeric")
    with processes.running(processes.commands(prepared.mixed(name))) as addresses:
        sent = bodies.single_rows(rows)
        single = compare(addresses, sent, seconds)
        single["half_peak"] = half_peak(addresses["ours"], sent, single, seconds)
        batch = compare(addresses, bodies.batches(rows), seconds)
    with processes.running({"ours": processes.predictor(prepared.numeric(name))}) as addresses:
        direct = directly(prepared.numeric(name), bodies.matrices(numeric))
        batch["binary"] = {"connections": {}}
        for connections in CONNECTIONS:
            turns = loads(addresses, bodies.binary_batches(numeric), connections) | {"onnxruntime": direct}
            batch["binary"]["connections"][str(connections)] = compared(measure(turns, seconds))
        batch["ratio_to_onnxruntime"] = capacity_ratio(batch["binary"]["connections"], "onnxruntime")
    return {"single_row": single, "batch": batch}


def show(console: Console, name: str, report: Mapping[str, Any]) -> None:
    """One model's figures as tables."""
    parts = {"single rows": report["single_row"], "batches of 1,000": report["batch"]}
    parts["batches of 1,000, binary"] = report["batch"]["binary"]
    for load, part in parts.items():
        table = Table("connections", "server", "requests/s", "p50 ms", "p99 ms", title=f"{name}: {load}")
        for connections, servers in part["connections"].items():
            for server, figures in servers.items():
                if isinstance(figures, dict):
                    numbers = [f"{figures[one]:,.2f}" for one in ("requests_per_second", "p50_ms", "p99_ms")]
                    table.add_row(connections, server, *numbers)
        console.print(table)
    for key, goal in GOALS.items():
        part, _, one = key.partition(".")
        console.print(f"{name}: {key} {report[part][one]:.2f} (goal: at least {goal:g})")
    peak = report["single_row"]["half_peak"]
    console.print(
        f"{name}: p99 at half of the peak, {peak['rate']} requests/s: {peak['p99_ms']:.2f} ms (goal: {GOAL_P99_MS:g})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="of every server under every load (default: 6)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--models", type=Path, help="where the trained models lie or are put (default: trained anew)")
    options = parser.parse_args()
    console = Console(stderr=options.json)
    with tempfile.TemporaryDirectory() as scratch:
        prepared = models.prepare(options.models or Path(scratch))
        report: dict[str, Any] = {"cpus": os.cpu_count(), "seconds": options.seconds}
        for name in models.PARAMETERS:
            report[name] = measure_model(name, prepared, options.seconds)
            show(console, name, report[name])
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()

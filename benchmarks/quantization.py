"""What eight bits win and lose once they are served: a CNN that reads digits, a MiniLM transformer that judges reviews.

Usage: python benchmarks/quantization.py [--seconds N] [--json] [--models DIR]

Both models are trained by the project's own code. The whole pipeline `quantize` runs for each on this machine, with services of
its own: it measures candidates, publishes the best one as the variant `cpu-int8` of its version and deploys it. What was
published is then served twice, the float model and the variant, each by a predictor of its own with its defaults, and asked in
turns over V2's JSON: one row a request on one connection and on 16, and batches (64 images, 16 texts) on one. Ratios are
medians of the rounds' own, so what else the machine does changes them little. Generator and servers share the machine.

The rows are divided in three: those that the model learns from, those that the pipeline is given, and those that neither has
seen. On the last, accuracy is measured through the server, one row a request, for the variant from the process that the
pipeline deployed; the difference has a 95% interval by a paired bootstrap over rows.

A last run of the pipeline asks for a method that the transformer does not bear, static ranges: the gate must reject it.

With `--json` the last line is one JSON object. With `--models` the models and the pipeline's reports are kept there.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from quantization_runs import FASTER, POINTS, SMALLER, SUBJECTS, Prepared, laptop, prepare, quantize, reject
from rich.console import Console
from rich.table import Table

from stagewright.components.measurement import server_process
from stagewright.components.measurement.model_rows import ModelRows
from stagewright.components.measurement.processor import cpu_name
from stagewright.components.optimization.quantization import end_to_end
from stagewright.components.optimization.quantization.comparison import FLOAT, VARIANT, Traffic
from stagewright.components.optimization.quantization.quality import measures, quality, truth_of
from stagewright.components.optimization.quantization.variant import RECORD
from stagewright.components.runtime.errors import ServiceUnavailable
from stagewright.components.runtime.model import Predictions
from stagewright.components.runtime.signature import Signature
from stagewright.components.runtime.storage import ObjectStore
from stagewright.components.serving.targets import local as deployments

CONNECTIONS = (1, 16)


def measure(prepared: Prepared, seconds: float, scratch: Path, reports: Path) -> dict[str, Any]:
    """The pipeline, and then what it published: size, speed, accuracy."""
    began = time.perf_counter()
    outputs = quantize(prepared, reports)
    took = time.perf_counter() - began
    subject, published = prepared.subject, scratch / prepared.subject.name
    store = ObjectStore.from_environment("the benchmark serves what was published")
    store.download_folder(outputs["model_uri"], published)
    variant = published / "variants" / "cpu-int8"
    sizes = {FLOAT: graph_bytes(published), VARIANT: graph_bytes(variant)}
    rows = ModelRows(published, Signature.read(published / "serving"), prepared.kept)
    traffics = [Traffic(1, connections) for connections in CONNECTIONS] + [Traffic(subject.batch, 1)]
    with end_to_end.side_by_side(published, variant, rows, scratch) as addresses:
        lost = accuracy((addresses[FLOAT], server_process.NAME), (outputs["endpoint"], subject.name), rows, subject.target)
        deployments.stop(subject.name)
        compared = end_to_end.take_turns(addresses, rows, traffics, seconds=seconds)
    record = json.loads((variant / RECORD).read_text())
    return {
        "method": record["method"], "bytes": sizes, "size_ratio": sizes[FLOAT] / sizes[VARIANT],
        "served": {one.name: one.to_dict() for one in compared}, "accuracy": lost,
        "pipeline": {"seconds": took, "candidates": outputs["candidates"], "served": record["served"]},
    }  # fmt: skip


def graph_bytes(folder: Path) -> int:
    """Of the graph that is served."""
    return sum(path.stat().st_size for path in (folder / "serving").glob("model.onnx*"))


def accuracy(own: tuple[str, str], variant: tuple[str, str], rows: ModelRows, target: str) -> dict[str, Any]:
    """Accuracy of both as served, and what is lost.

    Args:
        own: Address and name of the float model.
        variant: Address and name of the variant.
    """
    floats, bits = (ask(address, name, rows) for address, name in (own, variant))
    truth = truth_of(rows.table.get_column(target).to_list(), rows.signature.classes, floats)
    found = quality(bits, floats, truth)
    return {
        "rows": len(truth.values), FLOAT: measures(floats, truth), VARIANT: found.metrics, "points_lost": found.by_metric,
        "intervals": found.intervals, "labels_changed": found.changed,
    }  # fmt: skip


def ask(address: str, name: str, rows: ModelRows) -> Predictions:
    """What a server answers for the rows, each asked alone."""
    labels, probabilities = [], []
    for request in rows.requests(name, rows=1, count=rows.table.height):
        status, body = server_process.answer(address, request)
        if status != 200:
            raise ServiceUnavailable(
                f"{address} answered {status} to a row of '{name}': {body[:200].decode('utf-8', 'replace')}"
            )
        outputs = {output["name"]: output["data"] for output in json.loads(body)["outputs"]}
        labels.append(outputs["label"][0])
        probabilities.append(outputs["probabilities"])
    return Predictions(labels=np.array(labels), probabilities=np.array(probabilities, np.float32))


def show(console: Console, name: str, report: Mapping[str, Any]) -> None:
    """One model's figures, each with its goal."""
    table = Table("load", "server", "requests/s", "p50 ms", "p99 ms", title=f"{name}: float and {report['method']}")
    for one in report["served"].values():
        for server in (FLOAT, VARIANT):
            numbers = [f"{one[server][figure]:,.2f}" for figure in ("requests_per_second", "p50_ms", "p99_ms")]
            table.add_row(str(Traffic(one["rows"], one["connections"])), server, *numbers)
    console.print(table)
    for line in said(name, report):
        console.print(line, soft_wrap=True)


def said(name: str, report: Mapping[str, Any]) -> Iterator[str]:
    """What was reached of each goal."""
    yield f"{name}: {report['size_ratio']:.2f} times smaller (goal: at least {SMALLER:g})"
    for one in report["served"].values():
        low, high = one["speedup_range"]
        faster = f"{one['speedup']:.2f} times as fast ({low:.2f} to {high:.2f})"
        yield f"{name}: {faster}, {Traffic(one['rows'], one['connections'])} (goal: at least {FASTER:g})"
    lost = report["accuracy"]
    low, high = lost["intervals"]["accuracy"]
    points = f"{lost['points_lost']['accuracy']:.2f} points lost ({low:.2f} to {high:.2f})"
    both = f"accuracy {lost[FLOAT]['accuracy']:.4f} and {lost[VARIANT]['accuracy']:.4f} on {lost['rows']} rows"
    yield f"{name}: {both}, {points} (goal: at most {POINTS:g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each server under each load (default: 10)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--models", type=Path, help="where the trained models lie or are put (default: trained anew)")
    options = parser.parse_args()
    console = Console(stderr=options.json)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        kept = (options.models or scratch / "models").absolute()
        prepared = [prepare(subject, kept / subject.name) for subject in SUBJECTS]
        report: dict[str, Any] = {"cpus": os.cpu_count(), "processor": cpu_name(), "seconds": options.seconds}
        with laptop(scratch / "home"):
            for one in prepared:
                report[one.subject.name] = measure(one, options.seconds, scratch, kept / "reports")
                show(console, one.subject.name, report[one.subject.name])
            report["rejected"] = reject(prepared[-1], kept / "reports")
        verdict = "rejected" if report["rejected"]["rejected"] else "NOT rejected"
        line = f"{report['rejected']['method']} for reviews was {verdict} by the gate: {report['rejected']['error']}"
        console.print(line, soft_wrap=True)
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()

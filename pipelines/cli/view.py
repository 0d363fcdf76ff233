"""Terminal view of a run: one line per step, then outputs and how to use them."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from stagewright.pipelines.local.runner import Run
from stagewright.pipelines.watch import SUCCEEDED, Step, Watch

DOCUMENT_LABELS = {
    "report": "report", "quantization_report": "quantization", "distillation_report": "distillation",
    "benchmark_report": "measured", "cost_report": "cost", "patch": "patch", "data_report": "data", "model_card": "model card",
    "manifest": "manifest", "schema": "schema", "evaluation": "evaluation",
}  # fmt: skip
HEADLINE = ("roc_auc", "accuracy", "f1", "log_loss", "r2", "rmse", "mae")


@contextmanager
def watching(console: Console) -> Iterator[Watch]:
    """Show a line for each finished step and, on a terminal, a spinner for the current one."""
    live = Live(console=console, transient=True, redirect_stdout=False, redirect_stderr=False, refresh_per_second=8)

    def watch(step: Step, event: Mapping[str, Any]) -> None:
        if event["event"] == "finished":
            live.update("")
            console.print(step_line(step), soft_wrap=True)
        elif console.is_terminal:
            live.update(Spinner("dots", Text(f"{step.name}{_share(event)}", style="bold")))

    if not console.is_terminal:
        yield watch
        return
    with live:
        yield watch


def step_line(step: Step) -> Text:
    """Format a step: `✔ ingest-data    0.8 s`, followed by its notices and error message."""
    good = step.status == SUCCEEDED
    line = Text.assemble(
        ("✔ " if good else "✘ ", "green" if good else "bold red"), f"{step.name:<18}", f" {step.seconds:6.1f} s"
    )
    for notice in step.notices:
        line.append(f"\n  {notice}", style="yellow")
    if step.error:
        line.append(f"\n  {step.error}", style="red")
    return line


def summary(console: Console, run: Run, outputs: Mapping[str, Any], example: Mapping[str, Any] | None, name: str) -> None:
    """Print a run's outputs and an example request."""
    if run.status != SUCCEEDED:
        console.print(Text(f"\n{run.pipeline} failed after {run.seconds:.1f} s", style="bold red"))
        _rows(console, [("log", str(run.log)), *_documents(outputs)])
        return
    title = " ".join(part for part in (name, outputs.get("version", "")) if part) or run.pipeline
    console.print(Text(f"\n{title}: done in {run.seconds:.1f} s", style="bold green"))
    rows = [("test", text)] if (text := headline(outputs.get("metrics", {}).get("test", {}))) else []
    rows += [("model", outputs["model_uri"])] if "model_uri" in outputs else []
    rows += [("endpoint", outputs["endpoint"])] if outputs.get("endpoint") else []
    if "cost_per_million" in outputs:
        rows.append(("predictions", f"{outputs['cost_per_million']:.4g} per million, in the price table's currency"))
    _rows(console, [*rows, *_documents(outputs), ("log", str(run.log))])
    if example and str(outputs.get("endpoint", "")).startswith("http"):
        console.print(Text("\nExample request:", style="bold"))
        console.out(curl(outputs["endpoint"], name, example), highlight=False)


def headline(metrics: Mapping[str, Any]) -> str:
    """The main metrics in one line."""
    return "  ".join(f"{metric} {metrics[metric]:.4g}" for metric in HEADLINE if metrics.get(metric) is not None)


def curl(endpoint: str, name: str, row: Mapping[str, Any]) -> str:
    """A curl command that predicts one row."""
    body = orjson.dumps({"instances": [dict(row)]}).decode()
    address = f"{endpoint.rstrip('/')}/v1/models/{name}:predict"
    return f"curl -s {shlex.quote(address)} -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def _documents(outputs: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(label, outputs[key]) for key, label in DOCUMENT_LABELS.items() if key in outputs]


def _rows(console: Console, rows: list[tuple[str, str]]) -> None:
    grid = Table.grid(padding=(0, 2))
    for label, value in rows:
        # Addresses are wrapped, not truncated, so that they can be copied.
        grid.add_row(Text(f"  {label}", style="dim"), Text(value, overflow="fold"))
    console.print(grid)


def _share(event: Mapping[str, Any]) -> str:
    if event["event"] != "progress":
        return ""
    done, total = event["done"], event["total"]
    return f"  {event['what']}: {done / total:.0%}" if total else f"  {event['what']}: {done:,.0f} {event['unit']}"

"""Settings in words, and as a section of the model card."""

from stagewright.components.optimization.serving_settings.result import Benchmark
from stagewright.components.predictor.inference.batching import BATCH_MILLISECONDS, BATCH_ROWS
from stagewright.components.runtime.serving_settings import ServingSettings


def compared(before: ServingSettings, after: ServingSettings, cpus: int) -> list[tuple[str, str, str]]:
    """Every setting by name, as it was and as it is; what the model leaves open is what the predictor does by itself.

    >>> compared(ServingSettings(), ServingSettings(threads=1), 4)[0]
    ('threads in an inference', '4', '1')
    """
    defaults = {
        "threads": cpus, "concurrency": max(2, cpus), "batch_rows": BATCH_ROWS, "batch_milliseconds": BATCH_MILLISECONDS,
    }  # fmt: skip
    names = {
        "threads": "threads in an inference", "concurrency": "inferences at once", "batch_rows": "rows put together, at most",
        "batch_milliseconds": "ms to wait for others", "graph_optimization": "graph optimization",
    }  # fmt: skip

    def shown(settings: ServingSettings, name: str) -> str:
        value = getattr(settings, name)
        value = defaults.get(name) if value is None else value
        return value if isinstance(value, str) else f"{value:g}"

    return [(text, shown(before, name), shown(after, name)) for name, text in names.items()]


def card(original: str, found: Benchmark) -> str:
    """The model card with what was chosen as its last section, in place of an earlier one."""
    heading = "## Serving settings"
    kept = original.partition(f"\n{heading}\n")[0].rstrip()
    before, after = found.proof.before, found.proof.after
    lines = [
        f"Measured on {found.cpu} with {found.cpus} CPUs; objective: p99 within {found.plan.objective_ms:g} ms.",
        "",
        "| | As it was | Chosen |",
        "|---|---|---|",
    ]
    for name, was, now in compared(found.existing, found.settings, found.cpus):
        lines.append(f"| {name[0].upper()}{name[1:]} | {was} | {now} |")
    if after:
        rate, p99 = (f"{before.requests_per_second:,.0f}", f"{before.p99_ms:.3g} ms") if before else ("none", "-")
        lines.append(f"| Requests/s within the objective | {rate} | {after.requests_per_second:,.0f} |")
        lines.append(f"| p99 there | {p99} | {after.p99_ms:.3g} ms |")
    if not found.changed:
        lines += ["", "Nothing that was tried was proved to be better."]
    return f"{kept}\n\n{heading}\n\n" + "\n".join(lines) + "\n"

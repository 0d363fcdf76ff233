"""The component that tunes how a model is served, as Kubeflow Pipelines sees it."""

from kfp import dsl

from stagewright.components.authoring import component


@component(group="tabular", cacheable=False)  # what it measures is the machine of the day
def benchmark_model(
    model: dsl.Input[dsl.Model],
    optimized: dsl.Output[dsl.Model],
    card: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    results: dsl.Output[dsl.Artifact],
    data: str = "",
    objective_ms: float = 20.0,
    batch_sizes: list = [1, 2, 4, 8, 32, 128, 512],  # noqa: B006
    threads: list = [],  # noqa: B006
    batch_milliseconds: list = [0.5, 8],  # noqa: B006
    request_rows: int = 1,
    seconds: float = 0.5,
    rounds: int = 5,
) -> bool:
    """Find how a model is served best on this CPU, prove it on the real predictor, and write it into the model.

    The graph alone settles the level of optimizations and what is worth trying; the predictor is then asked for rising rates
    with each. The best bears the most requests a second within the objective, and is measured anew beside the model as it was.
    The gate: answers equal the model's own, and p99 meets the objective at some rate. The report is written before it fails.

    Args:
        model: Exported model.
        optimized: The model with serving/settings.json; with the settings it had where none is proved to be better.
        card: The model's card with the settings and what was measured.
        metrics: The largest rate within the objective and its p99, as it was and with the settings.
        report: Page with the latency/throughput curves and every stage.
        results: Everything that was measured, as JSON.
        data: Rows to measure with, anything that ingest_data reads; by default the model's own baseline.
        objective_ms: Milliseconds within which 99 of 100 requests must be answered.
        batch_sizes: Batch sizes to try.
        threads: Numbers of threads of one inference to try; none: 1, 2, 4 and so on up to the CPUs.
        batch_milliseconds: Longest waits of a request for others to try beside the predictor's own 2.
        request_rows: Rows in each request that is sent.
        seconds: How long each rate is asked for; up to three times as long for a slow model.
        rounds: How often the largest rate is looked for in the proof; at least 5, and 8 can bear one that was disturbed.

    Returns:
        Whether a better setting was found.
    """
    from stagewright.components.runtime.step import step

    with step("benchmark_model"):
        import json
        from pathlib import Path

        from stagewright.components.optimization.serving_settings import benchmark
        from stagewright.components.optimization.serving_settings import result as benchmark_result
        from stagewright.components.optimization.serving_settings.page import page
        from stagewright.components.optimization.serving_settings.plan import Plan
        from stagewright.components.optimization.serving_settings.settings_text import card as describe
        from stagewright.components.runtime import logs

        sizes, inside = (benchmark_result.whole(values) for values in (batch_sizes, threads))
        plan = Plan(objective_ms, sizes, inside, tuple(batch_milliseconds), request_rows, seconds, rounds)
        found = benchmark.benchmark(model.path, data=data, plan=plan)
        page(found).write(report.path)
        Path(results.path).write_text(json.dumps(benchmark_result.as_dict(found), indent=2) + "\n")
        for figure, number in benchmark_result.figures(found).items():
            metrics.log_metric(figure, number)
        before = Path(model.path) / "README.md"
        Path(card.path).write_text(describe(before.read_text() if before.is_file() else "", found))
        benchmark.write(model.path, optimized.path, found)
        for notice in found.notices():
            logs.notice(notice)
        optimized.metadata["changed"] = found.changed
        optimized.metadata["settings"] = json.dumps(found.settings.measured)
        return found.changed

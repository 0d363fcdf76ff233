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
    """Tune serving settings for this CPU, verify them on the model server and save them with the model.

    A search on the graph alone selects the optimization level and a few candidates. The model server then serves each candidate
    under a rising request rate. The best candidate, with the highest rate within the latency objective, is measured again next
    to the current settings. The gate: predictions equal the model's own, and p99 meets the objective at some rate. The report
    is written before the step fails.

    Args:
        model: Exported model.
        optimized: The model with serving/settings.json; the current settings stay unless others are verified to be better.
        card: The model card with the settings and their measurements.
        metrics: Highest request rate within the objective and its p99, before and after.
        report: Page with latency and throughput curves and every stage of the search.
        results: All measurements, as JSON.
        data: Rows to send, in any form that ingest_data reads. Default: the model's baseline.
        objective_ms: Largest allowed p99 latency of a request, in milliseconds.
        batch_sizes: Batch sizes to try.
        threads: Threads per inference to try. Default: 1, 2, 4 and so on up to the number of CPUs.
        batch_milliseconds: Longest waits for a batch to try, in addition to the server's default of 2.
        request_rows: Rows in each request.
        seconds: Seconds for each request rate; up to three times as long for a slow model.
        rounds: Rounds of the verification: at least 5; with 8, one disturbed round does no harm.

    Returns:
        Whether better settings were found.
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

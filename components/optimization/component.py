"""Components of the optimization stage, as Kubeflow Pipelines sees them."""

from kfp import dsl

from stagewright.components.authoring import component
from stagewright.components.optimization.cost.component import measure_size, optimize_cost, plan_sizes

__all__ = [
    "benchmark_model", "distill_model", "export_model", "measure_size", "optimize_cost", "plan_sizes", "quantize_model",
]  # fmt: skip


@component(group="tabular", cacheable=True)
def export_model(
    model: dsl.Input[dsl.Model],
    validation: dsl.Input[dsl.Dataset],
    exported: dsl.Output[dsl.Model],
    tolerance: float = 1e-5,
) -> float:
    """Export a model with its preprocessing as one ONNX graph; fail if it does not answer as the model does.

    Args:
        model: Folder of a trained model.
        validation: Validation split as Parquet; every row is answered by both and compared.
        exported: The model's folder with serving/ added: model.onnx, signature.json, baseline.parquet.
        tolerance: Largest difference allowed: of a probability, or of a value as a share of the target's spread, the distance
            from its 5% to its 95% quantile in the training rows.

    Returns:
        The largest difference found.
    """
    from stagewright.components.runtime.step import step

    with step("export_model"):
        from stagewright.components.optimization.export import export_model

        result = export_model(model.path, validation.path, exported.path, tolerance=tolerance)
        exported.metadata["framework"] = result.metadata.framework
        exported.metadata["algorithm"] = result.metadata.algorithm
        exported.metadata["task"] = result.metadata.task
        exported.metadata["run_id"] = result.metadata.run_id
        exported.metadata["largest_difference"] = result.largest_difference
        exported.metadata["onnx_bytes"] = result.bytes
        return result.largest_difference


# Never from the cache: the student's run is recorded in MLflow, and its speed is measured on the machine of the day.
@component(group="tabular", cacheable=False)
def distill_model(
    teacher: dsl.Input[dsl.Model],
    train: dsl.Input[dsl.Dataset],
    validation: dsl.Input[dsl.Dataset],
    test: dsl.Input[dsl.Dataset],
    schema: dsl.Input[dsl.Artifact],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    distillation: dsl.Output[dsl.Artifact],
    name: str,
    student: str = "auto",
    params: dict = {},  # noqa: B006
    features: dict = {},  # noqa: B006
    augmentation: float = 4.0,
    temperature: float = 1.0,
    hard_weight: float = 0.0,
    hidden_weight: float = 0.0,
    keep_inputs: bool = True,
    metric: str = "auto",
    tolerance: float = 1.0,
    minimum_agreement: float = 0.9,
    maximum_divergence: float = 0.1,
    minimum_speedup: float = 2.0,
    load: str = "batch",
    maximum_size: float = 1.0,
    seed: int = 0,
) -> str:
    """Teach small models what a large one knows, and take the fastest that does as well; fail if none does.

    The teacher labels the training rows and others made from them; students of several kinds and sizes learn its
    probabilities. The choice falls on the validation rows, the gate on the test rows: quality, fidelity, speed, size.

    Args:
        teacher: Folder of an exported model, whatever made it.
        train: Training split, whose rows are labelled and multiplied.
        validation: Validation split, by which a student is chosen.
        test: Test split, on which the chosen student is judged.
        schema: Schema of the data, with the target and the task.
        model: Folder of the student, as train_model would write it; absent if the gate fails.
        metrics: The student's loss of quality, agreement, speed-up and size.
        report: Page that shows teacher and student side by side.
        distillation: JSON of everything that was measured.
        name: Name of the student's model, and of the experiment in MLflow.
        student: What to teach. One of auto, trees, linear, mlp, vision, transformer.
        params: Parameters of the one student to try, of its framework (lightgbm, sklearn, torch,
            torch_vision, transformers), for a transformer also `layers`; none: several sizes.
        features: Specification of the student's preprocessing, as fit_features takes it.
        augmentation: Rows made for each training row.
        temperature: Of a network's soft targets; above 1, unlikely classes count for more.
        hard_weight: Share of the truth in the labels of real rows, 0 to 1.
        hidden_weight: Weight of the hidden layer's loss, for a network that learns from a network.
        keep_inputs: Whether a student of few columns still takes the others, so that the teacher's clients can call it; without
            them it is faster on single rows.
        metric: Quality metric; auto is ROC AUC, or RMSE for values.
        tolerance: Points of a hundred of the metric that may be lost; percent of it for an error.
        minimum_agreement: Share of rows with the teacher's answer; for values, the R² against the teacher's.
        maximum_divergence: Mean Kullback-Leibler divergence from the teacher's probabilities, in nats.
        minimum_speedup: How many times faster the student must be.
        load: What must be that much faster. One of batch, single_row, both.
        maximum_size: Share of the teacher's size that the student may have.
        seed: Equal seeds and equal inputs make equal students.

    Returns:
        Id of the MLflow run.
    """
    from stagewright.components.runtime.step import step

    with step("distill_model"):
        from stagewright.components.optimization.distillation.compare import Limits
        from stagewright.components.optimization.distillation.distill import distill_model
        from stagewright.components.optimization.distillation.page import page
        from stagewright.components.optimization.distillation.teach import Options
        from stagewright.components.runtime import logs

        found = distill_model(
            teacher.path,
            train=train.path,
            validation=validation.path,
            test=test.path,
            schema=schema.path,
            model=model.path,
            name=name,
            student=student,
            params=params,
            limits=Limits(
                tolerance=tolerance,
                minimum_agreement=minimum_agreement,
                maximum_divergence=maximum_divergence,
                minimum_speedup=minimum_speedup,
                load=load,
                maximum_size=maximum_size,
                metric=metric,
            ),
            options=Options(
                augmentation=augmentation,
                temperature=temperature,
                hard_weight=hard_weight,
                hidden_weight=hidden_weight,
                keep_inputs=keep_inputs,
                specification=features,
            ),
            seed=seed,
        )
        page(found).write(report.path)
        found.write(distillation.path)
        for metric_name, number in found.figures().items():
            metrics.log_metric(metric_name, number)
        for notice in found.notices():
            logs.notice(notice)
        found.require()
        for key, value in found.summary().items():
            model.metadata[key] = value
        return found.run_id


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

        from stagewright.components.optimization.benchmarking import benchmark
        from stagewright.components.optimization.benchmarking import result as benchmark_result
        from stagewright.components.optimization.benchmarking.page import page
        from stagewright.components.optimization.benchmarking.settings_text import card as describe
        from stagewright.components.runtime import logs

        sizes, inside = (benchmark_result.whole(values) for values in (batch_sizes, threads))
        plan = benchmark_result.Plan(objective_ms, sizes, inside, tuple(batch_milliseconds), request_rows, seconds, rounds)
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


@component(group="tabular", cacheable=False)  # what it measures is the machine of the day
def quantize_model(
    model: dsl.Input[dsl.Model],
    data: dsl.Input[dsl.Dataset],
    quantized: dsl.Output[dsl.Model],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
    results: dsl.Output[dsl.Artifact],
    variant: str = "cpu-int8",
    methods: list = [],  # noqa: B006
    target: str = "",
    tolerance: float = 1.0,
    minimum_speedup: float = 1.1,
    minimum_size_ratio: float = 1.0,
    calibration_rows: int = 256,
    rows: int = 2000,
    batch_rows: int = 32,
    threads: int = 0,
    seconds: float = 20.0,
    require: bool = False,
    seed: int = 0,
) -> bool:
    """Make an exported model smaller and faster with fewer bits, and let only that pass which loses next to nothing.

    Every candidate is measured for speed, size and quality on the same rows in one run. The fastest that passes becomes the
    variant, and is asked beside the float model in the real predictor. A model with nothing to quantize, such as an ensemble of
    trees, is told so with figures and passes without one. What was found is written before the gate fails.

    Args:
        model: Exported model.
        data: Rows that it was not trained on: its raw columns and, for quality against the truth, its target.
        quantized: The model with the smaller graph, a baseline of that graph's own answers and quantization.json; absent if
            nothing is to be gained.
        report: Page with every candidate and plots of size, latency and loss.
        metrics: What the variant wins and loses.
        results: Everything that was measured, as JSON.
        variant: What to make. One of cpu-int8, gpu-fp16.
        methods: Methods to try; none: those that suit the model. Others are static-reduced, dynamic-reduced, weights-2,
            torch-dynamic, torch-static.
        target: Column with the true values; by default the one that the model names.
        tolerance: Points that may be lost: hundredths of accuracy and a binary model's ROC AUC, percent of a regressor's RMSE.
        minimum_speedup: How many times faster a variant for CPUs must be, for single rows and for batches.
        minimum_size_ratio: How many times smaller it must be.
        calibration_rows: Rows on which the ranges of activations are found; no quality is measured on these.
        rows: Most rows on which quality is measured.
        batch_rows: Rows of the batch whose speed is measured.
        threads: Threads of one inference when speed is measured; 0: as the predictor serves this model.
        seconds: Time for measuring speed; asking both as served takes some seconds more.
        require: Whether a model with nothing to gain fails the step too.
        seed: Of the choice of rows and of resamples.

    Returns:
        Whether there is a variant; there is none where nothing is to be gained.
    """
    from stagewright.components.runtime.step import step

    with step("quantize_model"):
        from stagewright.components.optimization.quantization.gate import Limits
        from stagewright.components.optimization.quantization.page import page
        from stagewright.components.optimization.quantization.quantize import quantize
        from stagewright.components.optimization.quantization.result import Request
        from stagewright.components.optimization.quantization.through_server import compared
        from stagewright.components.optimization.quantization.variant import write
        from stagewright.components.runtime import logs

        request = Request(
            variant=variant,
            methods=tuple(methods),
            limits=Limits(tolerance, minimum_speedup, minimum_size_ratio),
            calibration_rows=calibration_rows,
            rows=rows,
            batch_rows=batch_rows,
            threads=threads or None,
            seconds=seconds,
            target=target,
            seed=seed,
        )
        found = quantize(model.path, data.path, request)
        page(found).write(report.path)
        found.write(results.path)
        for name, value in found.figures().items():
            metrics.log_metric(name, value)
        found.require(gain=require)
        winner = found.winner
        for notice in found.notices():
            logs.notice(notice)
        if winner is None:
            return False
        found = compared(found, model.path, data.path)
        page(found).write(report.path)
        found.write(results.path)
        for one in found.served:
            metrics.log_metric(f"served_{one.name}", one.speedup)
        effect = write(found, model.path, data.path, quantized.path)
        quantized.metadata.update({"variant": variant, "method": winner.name, "batch_effect": effect.batch})
        return True

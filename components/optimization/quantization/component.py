"""The component that quantizes a model, as Kubeflow Pipelines sees it."""

from kfp import dsl

from stagewright.components.authoring import component


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
    """Quantize an exported model to make it smaller and faster, behind gates of quality, speed and size.

    The step measures speed, size and quality of every candidate on the same rows. The fastest candidate that passes the gates
    becomes the variant, and is compared with the float model on the model server. A model that quantization cannot help, such
    as an ensemble of trees, passes without a variant; the report shows why. The report is written before the step fails.

    Args:
        model: Exported model.
        data: Rows that the model was not trained on: its raw columns and, to measure quality, the target.
        quantized: The model with the quantized graph, a baseline of its predictions and quantization.json; absent without a
            variant.
        report: Page with every candidate and plots of size, latency and loss.
        metrics: Speed-up, size and loss of quality of the variant.
        results: All measurements, as JSON.
        variant: Variant to make. One of cpu-int8, gpu-fp16.
        methods: Methods to try. Default: those that suit the model. Others are static-reduced, dynamic-reduced, weights-2,
            torch-dynamic, torch-static.
        target: Column with the true values. Default: the model's target.
        tolerance: Maximum loss: percentage points of accuracy and of a binary model's ROC AUC, percent of a regressor's RMSE.
        minimum_speedup: Minimum speed-up of a variant for CPUs, for single rows and for batches.
        minimum_size_ratio: Minimum ratio of the float model's size to the variant's.
        calibration_rows: Rows that calibrate the ranges of activations; quality is not measured on them.
        rows: Maximum number of rows on which quality is measured.
        batch_rows: Rows in the batch whose speed is measured.
        threads: Threads per inference when speed is measured; 0 takes the model's serving settings.
        seconds: Seconds for measuring speed; the comparison on the model server takes some seconds more.
        require: Whether the step fails for a model that quantization cannot help.
        seed: Random seed.

    Returns:
        Whether there is a variant.
    """
    from stagewright.components.runtime.step import step

    with step("quantize_model"):
        from stagewright.components.optimization.quantization.end_to_end import compared
        from stagewright.components.optimization.quantization.gate import Limits
        from stagewright.components.optimization.quantization.page import page
        from stagewright.components.optimization.quantization.quantize import quantize
        from stagewright.components.optimization.quantization.result import Request
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

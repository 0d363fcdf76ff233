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

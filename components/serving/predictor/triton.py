"""What Triton's clients ask beyond the protocol: a model's configuration and its statistics, extensions of V2."""

from collections.abc import Iterable
from typing import Any

from stagewright.components.serving.predictor.batching import BATCH_MILLISECONDS, BATCH_ROWS
from stagewright.components.serving.predictor.metrics import Metrics
from stagewright.components.serving.predictor.model import Model

EXTENSIONS = ["model_repository", "model_configuration", "statistics"]

_NANOSECONDS = 1e9
_READ = {
    "stagewright_rows_total": "rows",
    "stagewright_inference_seconds_count": "inferences",
    "stagewright_inference_seconds_sum": "inference_seconds",
    "stagewright_request_seconds_sum": "request_seconds",
}


def configuration(model: Model, *, max_rows: int) -> dict[str, Any]:
    """The model as Triton's configuration would describe it; sizes are those of one row.

    Args:
        max_rows: Most rows of a request.
    """
    settings = model.settings
    wait = settings.batch_milliseconds or BATCH_MILLISECONDS
    return {
        "name": model.name,
        "platform": model.platform,
        "backend": model.platform.partition("_")[0],
        "max_batch_size": max_rows,
        "input": [_tensor(column.name, column.datatype, column.shape) for column in model.signature.inputs],
        "output": [_tensor(output["name"], output["datatype"], output["shape"][1:] or [1]) for output in model.outputs],
        "dynamic_batching": {
            "preferred_batch_size": [settings.batch_rows or BATCH_ROWS],
            "max_queue_delay_microseconds": int(wait * 1000),
        },
    }


def statistics(models: Iterable[Model], metrics: Metrics) -> dict[str, Any]:
    """What was counted since the process began, over all its workers; times are sums in nanoseconds.

    A request that failed takes its time from `success` too: it is counted by status, and timed by model.
    """
    found: dict[str, dict[str, float]] = {model.name: {} for model in models}
    for family in metrics.registry.collect():
        for sample in family.samples:
            numbers = found.get(sample.labels.get("model", ""))
            if numbers is None:
                continue
            key = _READ.get(sample.name)
            if sample.name == "stagewright_requests_total":
                key = "succeeded" if sample.labels["status"] == "200" else "failed"
            if key is not None:
                numbers[key] = numbers.get(key, 0.0) + sample.value
    return {"model_stats": [_statistics(model, found[model.name]) for model in models]}


def _statistics(model: Model, numbers: dict[str, float]) -> dict[str, Any]:
    def number(key: str) -> int:
        return int(numbers.get(key, 0))

    def nanoseconds(key: str) -> int:
        return int(numbers.get(key, 0.0) * _NANOSECONDS)

    return {
        "name": model.name,
        "version": model.version or "",
        "inference_count": number("rows"),
        "execution_count": number("inferences"),
        "inference_stats": {
            "success": {"count": number("succeeded"), "ns": nanoseconds("request_seconds")},
            "fail": {"count": number("failed")},
            "compute_infer": {"count": number("inferences"), "ns": nanoseconds("inference_seconds")},
        },
    }


def _tensor(name: str, datatype: str, shape: Iterable[int]) -> dict[str, Any]:
    return {"name": name, "data_type": f"TYPE_{'STRING' if datatype == 'BYTES' else datatype}", "dims": list(shape)}

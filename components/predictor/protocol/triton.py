"""Triton's extensions of V2: model configuration and statistics."""

from collections.abc import Iterable
from typing import Any

from stagewright.components.predictor.inference.batching import BATCH_MILLISECONDS, BATCH_ROWS
from stagewright.components.predictor.inference.model import Model
from stagewright.components.predictor.telemetry.metrics import Metrics, Times

EXTENSIONS = ["model_repository", "model_configuration", "statistics"]

_NANOSECONDS = 1e9


def configuration(model: Model, *, max_rows: int) -> dict[str, Any]:
    """A model's configuration in Triton's format. Shapes are those of one row.

    Args:
        model: The model.
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
    """Statistics of each model's predictions in Triton's format, summed over all workers. Times are nanoseconds.

    A request's time has four parts: queue, conversion of inputs, inference, and encoding of outputs. The requests of a batch
    share one inference, whose time counts for each of them.
    """
    served = list(models)
    counted = metrics.times(model.name for model in served)
    return {"model_stats": [_statistics(model, counted[model.name]) for model in served]}


def _statistics(model: Model, times: Times) -> dict[str, Any]:
    def duration(count: float, seconds: float) -> dict[str, int]:
        return {"count": int(count), "ns": int(seconds * _NANOSECONDS)}

    answered = times.answered
    return {
        "name": model.name,
        "version": model.version or "",
        "last_inference": int(times.last),
        "inference_count": int(times.rows),
        "execution_count": int(times.inferences),
        "inference_stats": {
            "success": duration(answered, times.seconds),
            "fail": duration(times.failed, times.failed_seconds),
            "queue": duration(answered, times.queue),
            "compute_input": duration(answered, times.convert),
            "compute_infer": duration(answered, times.infer),
            "compute_output": duration(answered, times.encode),
            "cache_hit": duration(0, 0),
            "cache_miss": duration(0, 0),
        },
        "batch_stats": [],
    }


def _tensor(name: str, datatype: str, shape: Iterable[int]) -> dict[str, Any]:
    return {"name": name, "data_type": f"TYPE_{'STRING' if datatype == 'BYTES' else datatype}", "dims": list(shape)}

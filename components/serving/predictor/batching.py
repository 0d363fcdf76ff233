"""Inference off the event loop: the way of every prediction from its decoded inputs to the model's outputs."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from stagewright.components.serving.predictor.columns import Feeds
from stagewright.components.serving.predictor.metrics import Metrics
from stagewright.components.serving.predictor.model import OnnxModel, Outputs


class Batcher:
    """Runs one model's inferences.

    Args:
        model: What answers.
        pool: Threads in which models compute, shared by all models of the process.
        metrics: Where rows and seconds are counted.
    """

    def __init__(self, model: OnnxModel, pool: ThreadPoolExecutor, metrics: Metrics) -> None:
        self.model, self.pool = model, pool
        self._metrics = metrics

    async def run(self, feeds: Feeds, rows: int) -> Outputs:
        """One inference, off the event loop."""
        outputs, seconds = await asyncio.get_running_loop().run_in_executor(self.pool, self._timed, feeds)
        self._metrics.predicted(self.model.name, rows, seconds)
        return outputs

    def _timed(self, feeds: Feeds) -> tuple[Outputs, float]:
        started = perf_counter()
        return self.model.run(feeds), perf_counter() - started

"""A finished run of a pipeline, and the claim that what it serves is what it trained."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stagewright.components.runtime.model import Model
from stagewright.components.serving import client
from stagewright.pipelines.local import results, runner

TOLERANCE = 1e-5
# What train-model does before it deploys.
STEPS = [
    "ingest-data", "validate-data", "split-data", "fit-features", "train-model", "evaluate-model", "export-model",
    "write-model-card", "register-model", "publish-model",
]  # fmt: skip


@dataclass(frozen=True)
class Finished:
    """A run that ended, with what it produced."""

    run: runner.Run
    outputs: dict[str, Any]

    @property
    def steps(self) -> list[str]:
        return [step.name for step in self.run.steps]

    @property
    def error(self) -> str:
        failed = self.run.failed_step
        return f"{failed.name}: {failed.error}" if failed else ""

    @property
    def model(self) -> Path:
        folder = results.model_folder(self.run)
        assert folder is not None
        return folder


def assert_served_equals_own(finished: Finished, name: str, rows: pl.DataFrame) -> None:
    """The endpoint's answers are the model's own: labels equal, numbers within 1e-5."""
    model = Model.load(finished.model)
    own = model.predict(rows)
    names = [column.name for column in model.features.inputs]
    served = client.predict(finished.outputs["endpoint"], name, rows.select(names).to_dicts())
    if own.values is not None:
        np.testing.assert_allclose(served.predictions, own.values, rtol=TOLERANCE, atol=TOLERANCE)
        return
    assert served.predictions == list(own.labels)
    np.testing.assert_allclose(np.asarray(served.probabilities), own.probabilities, rtol=0, atol=TOLERANCE)

"""The winner as a folder that can be published: the model's own files with another graph, and answers of its own."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stagewright.components.export.table_answers import rule
from stagewright.components.measurement import graph_speed
from stagewright.components.optimization.quantization import inference
from stagewright.components.optimization.quantization.result import Quantization
from stagewright.components.runtime import folders, logs, tables
from stagewright.components.runtime.errors import GateFailed
from stagewright.components.runtime.fingerprint import BASELINE, GRAPH, fingerprint
from stagewright.components.runtime.model import ESTIMATOR, SERVING, Predictions
from stagewright.components.runtime.parity import TOLERANCE, margin, rule_columns
from stagewright.components.runtime.signature import Signature

RECORD = "quantization.json"
BASELINE_ROWS = 1000
SMOKE_ROWS = 100  # asked at once by a smoke test
# Files that load the float estimator, whose answers are not the variant's.
_LEFT_BEHIND = (
    ESTIMATOR,
    "MLmodel",
    "input_example.json",
    "requirements.txt",
    "python_env.yaml",
    "conda.yaml",
    "serving_input_example.json",
)


@dataclass(frozen=True, slots=True)
class Effect:
    """How far a variant's answers for the same rows are from each other and from the float model's.

    Differences of probabilities, or of values as shares of the target's spread.

    Attributes:
        batch: Largest difference between a row's answer alone and among others.
        error: Root mean square of the differences from the float model.
    """

    batch: float
    error: float

    @property
    def tolerance(self) -> float:
        """How far an answer that is served may be from one that was measured.

        Another CPU rounds to a neighbouring 8-bit number now and then, which moves an answer as far as quantizing did.
        """
        return max(TOLERANCE, 2 * self.batch, 4 * self.error)


def write(found: Quantization, model: str | Path, data: str | Path, folder: str | Path) -> Effect:
    """Write the winner as a model folder: the model's with another `serving/model.onnx`, baseline and quantization.json.

    Args:
        model: The model that was quantized.
        data: The table that it was measured on, whose rows make the baseline where the model has none.
        folder: Folder to write; it appears when complete.

    Raises:
        GateFailed: If hardly a row is answered alike alone and among others.
    """
    winner = found.winner
    if winner is None:
        raise ValueError("nothing won")
    model = Path(model)
    signature = found.signature
    session = graph_speed.session(winner.graph, threads=0)
    own = graph_speed.session((model / SERVING / GRAPH).read_bytes(), threads=0)
    feeds = inference.feeding(model)
    rows, truth = _rows(model, data, signature)
    together = inference.answer(session, feeds, rows, signature, rows=SMOKE_ROWS)
    floats = inference.answer(own, feeds, rows, signature, rows=SMOKE_ROWS)
    _, spread = rule(model, floats)
    moved = inference.distance(inference.numbers(together), inference.numbers(floats), spread)
    effect = Effect(
        batch=inference.batch_effect(session, feeds, rows, signature, together, spread),
        error=float(np.sqrt(np.mean(moved**2))),
    )
    kept = _certain(together, effect.tolerance, signature.threshold)
    if len(kept) < min(rows.height, 2):
        raise GateFailed(
            f"method '{winner.name}'", [f"its answers move by {effect.tolerance:.3g}, which leaves no row certain"]
        )
    record = _record(found, model, effect)
    with folders.atomic_folder(folder) as made:
        shutil.copytree(model, made, dirs_exist_ok=True, ignore=lambda at, _: _LEFT_BEHIND if Path(at) == model else ())
        for old in (made / SERVING).glob(f"{GRAPH}*"):
            old.unlink()
        (made / SERVING / GRAPH).write_bytes(winner.graph)
        wide = spread if signature.classes is None else None
        judged = rule_columns(effect.tolerance, spread=wide, threshold=signature.threshold)
        tables.write_table(_baseline(rows, truth, together, kept, judged), made / SERVING / BASELINE)
        (made / RECORD).write_text(json.dumps(record, indent=2) + "\n")
    logs.event("variant_written", method=winner.name, bytes=winner.size, batch_effect=effect.batch, tolerance=effect.tolerance)
    return effect


def _rows(model: Path, data: str | Path, signature: Signature) -> tuple[pl.DataFrame, list[pl.Series]]:
    """Raw rows for the baseline and, as `__target__`, what is true of them: the model's own baseline's, or the data's."""
    path = model / SERVING / BASELINE
    table = tables.read_table(path) if path.is_file() else tables.read_table(data).head(BASELINE_ROWS)
    target = "__target__" if "__target__" in table.columns else signature.target
    truth = [table.get_column(target).alias("__target__")] if target in table.columns else []
    return table.select(signature.names), truth


def _certain(answered: Predictions, tolerance: float, threshold: float) -> np.ndarray:
    """Rows whose label no difference within the tolerance can turn."""
    if answered.probabilities is None:
        return np.arange(len(answered))
    return np.flatnonzero(margin(answered.probabilities, threshold) > 2 * tolerance)


def _baseline(
    rows: pl.DataFrame, truth: list[pl.Series], answered: Predictions, kept: np.ndarray, judged: Mapping[str, float]
) -> pl.DataFrame:
    """Rows, answers and truth; with `judged`, the rule by which served answers are compared with these."""
    if answered.probabilities is None:
        columns = {"__prediction__": np.asarray(answered.values)}
    else:
        columns = {"__label__": np.asarray(answered.labels)}
        columns |= {f"__probability_{at}__": answered.probabilities[:, at] for at in range(answered.probabilities.shape[1])}
    frame = rows.with_columns(*(pl.Series(name, values) for name, values in columns.items()), *truth)
    return frame[kept].with_columns(**{name: pl.lit(value) for name, value in judged.items()})


def _record(found: Quantization, model: Path, effect: Effect) -> dict[str, Any]:
    document = found.to_dict()
    winner = document["winner"]
    chosen = next(candidate for candidate in document["candidates"] if candidate["method"] == winner)
    return {
        "variant": document["variant"],
        "method": winner,
        "of": fingerprint(model).digest,
        "figures": chosen,
        "float": document["float"],
        "limits": document["limits"],
        "measured": document["measured"],
        "served": document["served"],
        "batch_effect": effect.batch,
        "smoke_test_tolerance": effect.tolerance,
    }

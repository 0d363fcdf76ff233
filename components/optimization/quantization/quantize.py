"""Make a served model smaller and faster: try several ways, measure each beside the float model, keep one that loses nothing.

The data's rows are divided in two: ranges are calibrated on some, speed and quality are measured on the others.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import polars as pl

from stagewright.components.export.table_answers import rule
from stagewright.components.measurement import graph_speed
from stagewright.components.measurement.graph_speed import Answer, Speed
from stagewright.components.measurement.processor import cpu_name, saturates
from stagewright.components.optimization.quantization import inference, methods, torch_ao
from stagewright.components.optimization.quantization.gate import Candidate, choose
from stagewright.components.optimization.quantization.graph import divide
from stagewright.components.optimization.quantization.inference import Feeds
from stagewright.components.optimization.quantization.methods import Method
from stagewright.components.optimization.quantization.potential import measure_potential
from stagewright.components.optimization.quantization.quality import Truth, measures, quality, truth_of
from stagewright.components.optimization.quantization.result import Quantization, Request
from stagewright.components.runtime import logs, tables
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.fingerprint import GRAPH
from stagewright.components.runtime.model import SERVING, Model, Predictions
from stagewright.components.runtime.progress import progress
from stagewright.components.runtime.serving_settings import FILE as SETTINGS
from stagewright.components.runtime.serving_settings import ServingSettings
from stagewright.components.runtime.signature import Signature

LEAST_ROWS = 20
SINGLE_ROWS = 8
Made = tuple[Candidate, Answer | None]  # a candidate with its quality, and how it is asked where its speed is measured
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def quantize(model: str | Path, data: str | Path, request: Request) -> Quantization:
    """Try ways to quantize an exported model and measure them.

    Args:
        model: Folder with `serving/`.
        data: Parquet file with the model's raw columns and, where known, its target.

    Raises:
        BadParameter: For a request that cannot be.
        InputError: If the model is not exported or the table is too small or has other columns.
    """
    request.check()
    return _Workbench(Path(model), tables.read_table(data), request).run()


class _Workbench:
    """A model, its rows, and what is made and measured with them."""

    def __init__(self, folder: Path, table: pl.DataFrame, request: Request) -> None:
        if not (folder / SERVING / GRAPH).is_file():
            raise InputError(
                f"no {SERVING}/{GRAPH} in {folder}: the model is not exported; run export_model or import_model first"
            )
        self.folder, self.request = folder, request
        self.signature = Signature.read(folder / SERVING)
        self.feeds = inference.feeding(folder)
        self.divided = divide(onnx.load(str(folder / SERVING / GRAPH)))
        self.target = request.target or self.signature.target or ""
        self.calibrated, self.rows = _halves(_known(table, self.target), request)
        self.threads = request.threads or _threads(folder)
        self.spread = 1.0  # of the target, once the float model has answered
        self.size = sum(path.stat().st_size for path in (folder / SERVING).glob(f"{GRAPH}*"))

    def run(self) -> Quantization:
        limits = self.request.limits
        with progress("looking at where time and bytes are"):
            potential = measure_potential(self.divided, self.feeds(self.rows.head(self.request.batch_rows)))
        nothing = "" if self.request.methods else potential.nothing()  # what is asked for by name is tried
        own = self._answers(self._session(self.divided.whole.SerializeToString()))
        _, self.spread = rule(self.folder, own)
        truth = truth_of(self._truth(), self.signature.classes, own)
        facts = {"bytes": self.size, "metrics": measures(own, truth)}
        measured = self._measured(truth)
        if nothing:
            logs.event("nothing_to_gain", reason=nothing)
            return Quantization(self.request, self.signature, potential, nothing, own=facts, measured=measured)
        candidates, speeds = self._candidates(own, truth)
        winner = choose(candidates, limits, self.request.variant)
        facts["speed"] = {load: latency.median for load, latency in speeds.latency.items()}
        for candidate in candidates:
            logs.event("candidate_measured", **_facts(candidate))
        logs.event("quantization_done", winner=winner.name if winner else None, candidates=len(candidates))
        return Quantization(
            self.request, self.signature, potential, nothing, tuple(candidates), winner, facts, speeds, measured
        )

    def _candidates(self, own: Predictions, truth: Truth) -> tuple[list[Candidate], Speed]:
        """Every candidate, measured, and how fast the float model is."""
        reference = torch_ao.network_of(self.folder)
        names = self.request.methods or self._names(reference is not None)
        made: list[Made] = []
        with progress("making candidates", total=len(names), unit="candidates") as advance:
            for name in names:
                made.append(self._made(name, reference, own, truth))
                advance()
        runs = {"float32": self._caller(self.divided.whole.SerializeToString())}
        runs |= {candidate.name: call for candidate, call in made if call is not None}
        with progress("measuring speed"):
            speeds = graph_speed.compare(runs, self._loads(), seconds=self.request.seconds)
        on_gpu = self._on_gpu(made)
        found = [replace(candidate, speed=(speeds | on_gpu).get(candidate.name)) for candidate, _ in made]
        return found, speeds["float32"]

    def _names(self, torch: bool) -> list[str]:
        names = methods.names_for(self.divided.body, saturates=saturates())
        if torch:
            names.append("torch-static" if any(name.startswith("static-entropy") for name in names) else "torch-dynamic")
        return names

    def _made(self, name: str, reference: Model | None, own: Predictions, truth: Truth) -> Made:
        """A candidate with its quality, and how it is asked for its speed; None where that is not measured."""
        method = methods.find(name)
        try:
            if method.make is None:
                return self._made_by_torch(method, reference, own, truth)
            graph = self.divided.with_body(method.make(self.divided.body, self._calibration())).SerializeToString()
            session = self._session(graph)
            answered = self._answers(session)
            found = quality(answered, own, truth, seed=self.request.seed)
            effect = inference.batch_effect(session, self.feeds, self.rows, self.signature, answered, self.spread)
        except Exception as error:  # noqa: BLE001  quantizers raise errors of many kinds for graphs they do not understand
            return Candidate(method, error=_reason(error)), None
        candidate = Candidate(method, graph, len(graph), self.size / len(graph), found, batch_effect=effect)
        return candidate, self._caller(graph) if method.variant == methods.CPU else None

    def _made_by_torch(self, method: Method, reference: Model | None, own: Predictions, truth: Truth) -> Made:
        if reference is None:
            raise ValueError("the model folder holds no torch network, or torch is not installed here")
        import torch

        torch.set_num_threads(self.threads)
        size = inference.ANSWERED_ROWS
        made = torch_ao.make(method.name, reference, [self.feeds(part) for part in inference.batches(self.calibrated, 32)])
        answered = made.predictions([self.feeds(part) for part in inference.batches(self.rows, size)])
        found = quality(answered, own, truth, seed=self.request.seed)
        return Candidate(method, b"", made.size, self.size / made.size, found), made

    def _on_gpu(self, made: Sequence[Made]) -> dict[str, Speed]:
        """Speeds of candidates for a GPU against the float model on the same GPU, where there is one."""
        gpu = [candidate for candidate, _ in made if candidate.graph and candidate.method.variant == methods.GPU]
        if not gpu or CUDA not in onnxruntime.get_available_providers():
            return {}
        graphs = {candidate.name: candidate.graph for candidate in gpu}
        runs = {"float32": self._caller(self.divided.whole.SerializeToString(), CUDA)}
        runs |= {name: self._caller(graph, CUDA) for name, graph in graphs.items()}
        return graph_speed.compare(runs, self._loads(), seconds=self.request.seconds)

    def _answers(self, session: onnxruntime.InferenceSession) -> Predictions:
        return inference.answer(session, self.feeds, self.rows, self.signature)

    def _session(self, graph: bytes) -> onnxruntime.InferenceSession:
        return graph_speed.session(graph, threads=0)

    def _caller(self, graph: bytes, provider: str = CPU) -> Answer:
        opened = graph_speed.session(graph, threads=self.threads, provider=provider)
        return lambda feeds: opened.run(None, dict(feeds))

    def _calibration(self) -> list[Feeds]:
        graph = self.divided.features()
        features = self._session(graph.SerializeToString()) if graph.graph.output else None
        return inference.calibration(features, self.divided.before, self.feeds, self.calibrated)

    def _loads(self) -> dict[str, list[Feeds]]:
        singles = np.linspace(0, self.rows.height - 1, min(SINGLE_ROWS, self.rows.height)).round().astype(np.int64)
        batch = self.rows.head(self.request.batch_rows)
        return {"single": [self.feeds(self.rows.slice(int(row), 1)) for row in singles], "batch": [self.feeds(batch)]}

    def _truth(self) -> list[Any] | None:
        return self.rows.get_column(self.target).to_list() if self.target in self.rows.columns else None

    def _measured(self, truth: Truth) -> dict[str, Any]:
        return {
            "rows": self.rows.height, "calibration_rows": self.calibrated.height, "true_values": truth.known,
            "batch_rows": min(self.request.batch_rows, self.rows.height), "threads": self.threads,
            "processor": cpu_name(), "cores": os.cpu_count(), "onnxruntime": version("onnxruntime"),
            "seed": self.request.seed,
        }  # fmt: skip


def _known(table: pl.DataFrame, target: str) -> pl.DataFrame:
    """Rows whose target is known, or all where there is none."""
    if target not in table.columns:
        return table
    column = table[target]
    return table.filter(column.is_not_null() & column.is_not_nan() if column.dtype.is_float() else column.is_not_null())


def _halves(table: pl.DataFrame, request: Request) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows to calibrate on and rows to measure on, none in both, each in the table's order.

    Raises:
        InputError: If there are too few.
    """
    if table.height < LEAST_ROWS:
        raise InputError(f"the data has {table.height} usable rows; at least {LEAST_ROWS} are needed to measure what is lost")
    order = np.random.default_rng(request.seed).permutation(table.height)
    calibrating = min(request.calibration_rows, table.height // 2)
    measuring = order[calibrating : calibrating + request.rows]
    return table[np.sort(order[:calibrating])], table[np.sort(measuring)]


def _threads(folder: Path) -> int:
    """Threads that the predictor gives this model."""
    path = folder / SERVING / SETTINGS
    settings = ServingSettings.parse(path.read_bytes(), str(path)) if path.is_file() else ServingSettings()
    return settings.threads or 1


def _reason(error: Exception) -> str:
    """The first line of an error of any library."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _facts(candidate: Candidate) -> dict[str, Any]:
    """What whoever watches the run should know of a candidate."""
    if candidate.quality is None or candidate.size_ratio is None:
        return {"method": candidate.name, "error": candidate.error}
    factor = f"{candidate.speed.gain:.2f}" if candidate.speed else None
    return {
        "method": candidate.name, "speedup": factor, "size_ratio": f"{candidate.size_ratio:.2f}",
        "points_lost": f"{candidate.quality.lost:.3f}",
    }  # fmt: skip

"""The float model and its variant in the real predictor, asked in turns over HTTP."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime

from stagewright.components.measurement import server_process
from stagewright.components.measurement.load.generator import Load, run_load
from stagewright.components.measurement.model_rows import ModelRows
from stagewright.components.optimization.quantization import methods
from stagewright.components.optimization.quantization.comparison import FLOAT, VARIANT, Answered, Comparison, Traffic
from stagewright.components.optimization.quantization.result import Quantization
from stagewright.components.runtime import logs, tables
from stagewright.components.runtime.errors import GateFailed
from stagewright.components.runtime.files import place
from stagewright.components.runtime.fingerprint import GRAPH
from stagewright.components.runtime.model import SERVING
from stagewright.components.runtime.progress import progress
from stagewright.components.runtime.signature import Signature

CUDA = "CUDAExecutionProvider"
LEAST_ROUNDS, MOST_ROUNDS = 3, 41
ROUND_SECONDS, WARMUP_SECONDS = 0.5, 0.15
ANSWERS, ROUND_ANSWERS = 3, 6  # of a connection and of all, at least, within a round: a slow model's rate is more than chance
DISTINCT, MOST_VALUES = 200, 1_000_000  # requests that differ; values in one of them and, about, in all of them
SHARE = 0.25  # of the time for measuring speed that the comparison takes in a pipeline


def compared(found: Quantization, model: str | Path, data: str | Path) -> Quantization:
    """What was found, and the winner beside the float model as callers see them.

    Where the predictor would compute on another processor than the variant is for, nothing is added.

    Raises:
        GateFailed: If a predictor does not come up, or does not answer every request.
    """
    winner, request = found.winner, found.request
    on_gpu = CUDA in onnxruntime.get_available_providers()
    if winner is None or winner.speed is None or on_gpu != (request.variant == methods.GPU):
        return found
    model = Path(model)
    signature = Signature.read(model / SERVING)
    needed = [given.name for given in signature.inputs if not given.nullable]
    rows = ModelRows(model, signature, tables.read_table(data).drop_nulls(needed))
    traffics = (Traffic(1, 1), Traffic(1, 16), Traffic(_fitting(rows, request.batch_rows), 1))
    seconds = SHARE * request.seconds / (2 * len(traffics))
    with TemporaryDirectory(prefix="served-") as scratch:
        variant = _with_graph(model, Path(scratch) / "variant", winner.graph)
        with side_by_side(model, variant, rows, Path(scratch)) as addresses:
            made = take_turns(addresses, rows, traffics, seconds=seconds)
    for one in made:
        logs.event("served_beside_float", load=str(one.traffic), speedup=f"{one.speedup:.2f}")
    return replace(found, served=tuple(made))


@contextmanager
def side_by_side(own: Path, variant: Path, rows: ModelRows, logs_folder: Path) -> Iterator[dict[str, str]]:
    """Addresses of two predictors until the block ends: FLOAT serves one model folder, VARIANT the other.

    Args:
        rows: Of these the first is asked, and must be answered.

    Raises:
        GateFailed: If a predictor does not come up.
    """
    first = requests(rows, Traffic(1, 1))[0]
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(server_process.predictor(folder, first, log=logs_folder / f"{name}.log")).address
            for name, folder in ((FLOAT, own), (VARIANT, variant))
        }


def take_turns(
    addresses: Mapping[str, str], rows: ModelRows, traffics: Sequence[Traffic], *, seconds: float
) -> list[Comparison]:
    """Ask both predictors the same, in rounds.

    Args:
        addresses: See side_by_side.
        seconds: How long each is asked under each traffic; longer where that is too short for some answers in each round.

    Raises:
        GateFailed: If a request was not answered with success.
    """
    found = []
    with progress("asking both as served", total=len(traffics), unit="loads") as advance:
        for traffic in traffics:
            found.append(_turns(addresses, requests(rows, traffic), traffic, seconds))
            _check(found[-1])
            advance()
    return found


def _turns(addresses: Mapping[str, str], sent: Sequence[bytes], traffic: Traffic, seconds: float) -> Comparison:
    rounds, window = _rounds(seconds, traffic, _latency(addresses[FLOAT], sent[0]))
    loads: dict[str, list[Load]] = {FLOAT: [], VARIANT: []}
    for turn in range(rounds):
        for name in (FLOAT, VARIANT) if turn % 2 else (VARIANT, FLOAT):
            done = run_load(addresses[name], sent, connections=traffic.connections, seconds=window, warmup=WARMUP_SECONDS)
            loads[name].append(done)
    return Comparison(traffic, *(Answered(name, tuple(loads[name])) for name in (FLOAT, VARIANT)))


def _with_graph(model: Path, folder: Path, graph: bytes) -> Path:
    """The model, served as it is, with another graph."""
    serving = folder / SERVING
    serving.mkdir(parents=True)
    for file in (model / SERVING).iterdir():
        if not file.name.startswith(GRAPH):
            place(file, serving / file.name)
    (serving / GRAPH).write_bytes(graph)
    return folder


def requests(rows: ModelRows, traffic: Traffic) -> list[bytes]:
    """As many requests with rows of their own as the table has, within reason."""
    count = min(rows.table.height // traffic.rows, MOST_VALUES // (traffic.rows * _values(rows)), DISTINCT)
    return rows.requests(server_process.NAME, rows=traffic.rows, count=max(1, count))


def _fitting(rows: ModelRows, batch: int) -> int:
    """Rows of a batch that one request takes."""
    return max(1, min(batch, rows.table.height, MOST_VALUES // _values(rows)))


def _values(rows: ModelRows) -> int:
    return sum(prod(given.shape) for given in rows.signature.inputs)


def _latency(address: str, request: bytes) -> float:
    """Seconds that one answer takes when nothing else is asked; the second of two, for the first warms what is lazy."""
    server_process.answer(address, request)
    began = time.perf_counter()
    server_process.answer(address, request)
    return time.perf_counter() - began


def _rounds(seconds: float, traffic: Traffic, latency: float) -> tuple[int, float]:
    """How many rounds, and seconds of each.

    >>> _rounds(6.0, Traffic(1, 1), 0.001)
    (12, 0.5)
    """
    rounds = int(np.clip(round(seconds / ROUND_SECONDS), LEAST_ROUNDS, MOST_ROUNDS))
    return rounds, max(seconds / rounds, max(ANSWERS * traffic.connections, ROUND_ANSWERS) * latency)


def _check(found: Comparison) -> None:
    """Refuse figures of a server that does not answer everything.

    Raises:
        GateFailed: With how many requests failed and how.
    """
    for one in (found.own, found.variant):
        asked = sum(load.requests + load.errors for load in one.loads)
        if one.failed or not one.rates.any():
            statuses = sorted({status for load in one.loads for status in load.statuses if not 200 <= status < 300})
            how = f"with status {', '.join(map(str, statuses))}" if statuses else "without an answer in time"
            says = f"of {asked} requests to the {one.server} model's predictor {one.failed} failed {how} ({found.traffic})"
            raise GateFailed("the comparison of model and variant as served", [f"{says}; measure where less else runs"])

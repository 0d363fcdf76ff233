"""The potential of quantization: the share of time and of bytes in the parts of a graph that it could improve."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from stagewright.components.measurement.graph_speed import session
from stagewright.components.optimization.quantization.graph import Divided, layers, weight_bytes

Feeds = Mapping[str, np.ndarray]
PROFILED_RUNS = 20
WORTH = 1.25  # times faster that a model without its layers must be for quantizing them to be tried
_MOST = 0.999  # share of a graph that layers take at most, so that a bound is a number


@dataclass(frozen=True, slots=True)
class Potential:
    """Where a graph spends its time and bytes.

    Attributes:
        time: Share of the time by operation, largest first, of a batch.
        layers: Weights of the layers that a method can quantize, by operation.
        quantizable_time: Share of the time in such layers.
        quantizable_bytes: Share of the file in their weights.
        ensemble_time: Share of the time in ensembles of trees.
        ensemble_bytes: Share of the file in them.
    """

    time: dict[str, float]
    layers: dict[str, int]
    quantizable_time: float
    quantizable_bytes: float
    ensemble_time: float
    ensemble_bytes: float

    @property
    def most_speedup(self) -> float:
        """Amdahl's law: so many times faster if layers took no time at all."""
        return 1 / (1 - min(self.quantizable_time, _MOST))

    def nothing(self) -> str:
        """Why no method can help enough; empty if one might."""
        if not self.layers:
            if self.ensemble_bytes:
                return (
                    "the model is an ensemble of trees: comparisons with thresholds, no products to make in fewer bits. "
                    f"{self.ensemble_time:.0%} of the time and {self.ensemble_bytes:.0%} of the bytes are in the ensemble, "
                    "which no method touches"
                )
            busiest = ", ".join(f"{name} {share:.0%}" for name, share in list(self.time.items())[:3])
            return f"the model has no layer of weights that a method could quantize; its time is in {busiest}"
        if self.most_speedup < WORTH:
            return (
                f"layers that can be quantized take only {self.quantizable_time:.0%} of the time and "
                f"{self.quantizable_bytes:.0%} of the bytes: without them the model would be {self.most_speedup:.2f} times "
                "faster, too little to begin with"
            )
        return ""


def measure_potential(divided: Divided, feeds: Feeds) -> Potential:
    """Profile a graph on a batch of rows and count its bytes."""
    total = len(divided.whole.SerializeToString())
    found = layers(divided.body)
    time, of_nodes = _profile(divided.whole, feeds)
    ensembles = [node for node in divided.whole.graph.node if node.op_type.startswith("TreeEnsemble")]
    by_operation: dict[str, int] = defaultdict(int)
    for layer in found:
        by_operation[layer.operator] += layer.weights
    names = {layer.name for layer in found}
    spent = sum(of_nodes.values()) or 1
    return Potential(
        time=dict(sorted(time.items(), key=lambda item: -item[1])),
        layers=dict(by_operation),
        quantizable_time=sum(share for name, share in of_nodes.items() if _layer(name, names)) / spent,
        quantizable_bytes=weight_bytes(divided.body, names) / total,
        ensemble_time=sum(share for name, share in time.items() if name.startswith("TreeEnsemble")),
        ensemble_bytes=sum(node.ByteSize() for node in ensembles) / total,
    )


def _profile(whole: onnx.ModelProto, feeds: Feeds) -> tuple[dict[str, float], dict[str, float]]:
    """Share of the time by operation, and microseconds by node."""
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        opened = session(whole.SerializeToString(), profile=str(Path(folder) / "run"))
        for _ in range(PROFILED_RUNS):
            opened.run(None, dict(feeds))
        events = json.loads(Path(opened.end_profiling()).read_text())
    durations: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            durations[event["args"]["op_name"], name.removesuffix("_kernel_time")].append(event["dur"])
    by_operation: dict[str, float] = defaultdict(float)
    typical = {key: float(np.median(found)) for key, found in durations.items()}  # one slow run must not tell where time goes
    for (operation, _), spent in typical.items():
        by_operation[operation] += spent
    total = sum(by_operation.values()) or 1
    return {name: spent / total for name, spent in by_operation.items()}, {name: spent for (_, name), spent in typical.items()}


def _layer(name: str, names: set[str]) -> bool:
    """Whether a node of the profiled graph is a layer: where ONNX Runtime fuses, a name stays a part of the new one."""
    return any(known in name for known in names)

"""The modules that decide, and the tests that must notice when one of them decides otherwise.

Tests are given as to pytest, without those that start servers or take long: each runs once for every mutant.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Module:
    """A module and its tests.

    Attributes:
        name: As the report calls it.
        path: Of its file, from the root of the repository.
        tests: Arguments for pytest: files, and `-k` with an expression.
    """

    name: str
    path: str
    tests: tuple[str, ...]


EVALUATION, INGESTION, REGISTRY, SERVING = (
    "tests/unit/evaluation",
    "tests/unit/ingestion",
    "tests/unit/registry",
    "tests/unit/serving",
)
REGISTERING = (
    f"{REGISTRY}/test_catalog.py",
    f"{REGISTRY}/test_register.py",
    f"{REGISTRY}/test_register_together.py",
    "-k",
    "not different_models and not one_model_gets and not however_many_pages",
)

MODULES = (
    Module("gate of a model", "components/evaluation/gate.py", (f"{EVALUATION}/test_gate.py",)),
    Module(
        "gate of a quantized model", "components/optimization/quantization/gate.py",
        ("tests/unit/optimization/test_quantize_gate.py",),
    ),
    Module("versions", "components/registry/versions.py", (f"{REGISTRY}/test_versions.py",)),
    Module("registry: catalog", "components/registry/catalog.py", REGISTERING),
    Module("registry: origin", "components/registry/origin.py", REGISTERING),
    Module("registry: promote", "components/registry/promote.py", REGISTERING),
    Module("registry: published", "components/registry/published.py", REGISTERING),
    Module("registry: register", "components/registry/register.py", REGISTERING),
    Module("readiness", "components/serving/targets/readiness.py", (f"{SERVING}/test_readiness.py",)),
    Module("restoration", "components/serving/targets/restoration.py", (f"{SERVING}/test_restoration.py",)),
    Module("parity", "components/runtime/parity.py", ("tests/unit/runtime/test_parity.py",)),
    Module("splits: allocation", "components/ingestion/allocation.py", (f"{INGESTION}/test_allocation.py",)),
    Module("splits: split", "components/ingestion/split.py", (f"{INGESTION}/test_split.py",)),
    Module("leakage", "components/ingestion/leakage.py", (f"{INGESTION}/test_leakage.py",)),
    Module(
        "worker pool", "components/predictor/processes/worker_pool.py",
        tuple(f"{SERVING}/test_worker_pool{part}.py" for part in ("", "_joining", "_repository")),
    ),
    Module("batching", "components/predictor/inference/batching.py", (f"{SERVING}/test_batcher.py",)),
    Module("scaling", "components/features/scaling.py", ("tests/unit/features/test_scaling.py",)),
)  # fmt: skip

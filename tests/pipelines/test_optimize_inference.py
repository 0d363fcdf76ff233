"""A model that is served, measured and served with what was found."""

import json
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
from support.dense_models import BAD, write_badly_served
from support.exported_models import write_wine_model
from support.runs import Finished

from stagewright.components.predictor.inference.batching import BATCH_ROWS
from stagewright.components.runtime.serving_settings import ServingSettings
from stagewright.components.runtime.storage import ObjectStore
from stagewright.components.serving import client
from stagewright.components.serving.targets import local as deployments

pytestmark = pytest.mark.slow

Run = Callable[..., Finished]
STEPS = ["import-model", "benchmark-model", "register-model", "publish-model", "deploy-model", "promote-model"]
QUICK = {"seconds": 0.06, "objective_ms": 100.0, "batch_sizes": [1, 32], "threads": [1], "batch_milliseconds": []}


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wine_model(tmp_path_factory.mktemp("models") / "wine", run_id="")


def test_a_badly_served_model_gets_better_settings_as_a_patch_that_is_served(
    run_pipeline: Run, object_store: str, tmp_path: Path
) -> None:
    """Its own settings compute rows one by one; together they are many times cheaper, so the gain is no matter of luck."""
    name = "badly-served"
    model = write_badly_served(tmp_path / "model")
    published = run_pipeline("serving-setup", model=str(model), name=name, deploy_to="none")
    assert published.error == ""
    assert published.outputs["version"] == "v1.0.0"

    finished = run_pipeline("optimize-inference", model=published.outputs["model_uri"], name=name, **QUICK)

    assert finished.error == ""
    assert finished.steps == STEPS
    assert finished.outputs["version"] == "v1.0.1"
    store = ObjectStore.from_environment("the test")
    before, after = (_settings(store, f"s3://models/{name}/{version}") for version in ("v1.0.0", "v1.0.1"))
    assert before == BAD
    assert (after.batch_rows or BATCH_ROWS) >= 32
    assert after.measured["objective_ms"] == QUICK["objective_ms"]
    assert after.measured["ratio"] > 1
    assert after.measured["after"]["requests_per_second"] > after.measured["before"]["requests_per_second"]
    manifest = json.loads(store.read(f"s3://models/{name}/v1.0.1/manifest.json"))
    assert manifest["version"] == "v1.0.1"
    assert "serving/settings.json" in {file["path"] for file in manifest["files"]}
    assert b"## Serving settings" in store.read(f"s3://models/{name}/v1.0.1/README.md")
    assert "A better setting was found" in Path(finished.outputs["benchmark_report"]).read_text()

    running = next(one for one in deployments.services() if one.name == name)
    assert running.version == "v1.0.1"
    with urlopen(f"{running.endpoint}/v2/models/{name}/config") as answered:
        assert json.load(answered)["dynamic_batching"]["preferred_batch_size"] == [after.batch_rows or BATCH_ROWS]
    assert client.smoke_test(finished.outputs["endpoint"], name, model / "serving/baseline.parquet").rows > 0


def test_a_model_that_is_served_well_keeps_its_version(run_pipeline: Run, wine: Path) -> None:
    published = run_pipeline("serving-setup", model=str(wine), name="measured-wine", deploy_to="none")
    assert published.error == ""

    finished = run_pipeline("optimize-inference", model=published.outputs["model_uri"], name="measured-wine", **QUICK)

    assert finished.error == ""
    assert finished.steps == STEPS
    # The same version, unless chance let the same settings win every round on this machine at this moment.
    assert finished.outputs["version"] in ("v1.0.0", "v1.0.1")
    assert client.smoke_test(finished.outputs["endpoint"], "measured-wine", wine / "serving/baseline.parquet").rows > 0
    assert "<svg" in Path(finished.outputs["benchmark_report"]).read_text()


def test_what_an_objective_rules_out_is_not_published(run_pipeline: Run, wine: Path) -> None:
    finished = run_pipeline("optimize-inference", model=str(wine), name="slow-wine", **QUICK | {"objective_ms": 0.0001})

    assert finished.steps == STEPS[:2]
    assert "no load was answered within 0.0001 ms" in finished.error


def _settings(store: ObjectStore, uri: str) -> ServingSettings:
    return ServingSettings.parse(store.read(f"{uri}/serving/settings.json"), uri)

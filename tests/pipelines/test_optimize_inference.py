"""A model that is served, measured and served with what was found."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.exported_models import write_wine_model
from support.runs import Finished

from stagewright.components.serving import client

pytestmark = pytest.mark.slow

Run = Callable[..., Finished]
STEPS = ["import-model", "benchmark-model", "register-model", "publish-model", "deploy-model", "promote-model"]
QUICK = {"seconds": 0.1, "rounds": 2, "objective_ms": 1000.0, "batch_sizes": [1, 32], "connections": [1, 8]}


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wine_model(tmp_path_factory.mktemp("models") / "wine", run_id="")


def test_a_published_model_gets_its_settings_as_a_patch(run_pipeline: Run, wine: Path) -> None:
    published = run_pipeline("serving-setup", model=str(wine), name="measured-wine", deploy_to="none")
    assert published.error == ""

    finished = run_pipeline("optimize-inference", model=published.outputs["model_uri"], name="measured-wine", **QUICK)

    assert finished.error == ""
    assert finished.steps == STEPS
    # A patch if a faster setting was found on this machine at this moment, the same version if not.
    assert finished.outputs["version"] in ("v1.0.0", "v1.0.1")
    assert client.smoke_test(finished.outputs["endpoint"], "measured-wine", wine / "serving/baseline.parquet").rows > 0
    assert "<svg" in Path(finished.outputs["benchmark_report"]).read_text()


def test_what_an_objective_rules_out_is_not_published(run_pipeline: Run, wine: Path) -> None:
    finished = run_pipeline("optimize-inference", model=str(wine), name="slow-wine", **QUICK | {"objective_ms": 0.0001})

    assert finished.steps == STEPS[:2]
    assert "no load was answered within 0.0001 ms" in finished.error

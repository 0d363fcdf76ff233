"""Settings to serve with are a part of what a model is; what was measured is not."""

from pathlib import Path

import pytest
from support.exported_models import write_wine_model

from stagewright.components.registry.versions import Registered, decide
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.fingerprint import fingerprint
from stagewright.components.runtime.naming import Version
from stagewright.components.runtime.serving_settings import ServingSettings


@pytest.fixture
def wine(tmp_path: Path) -> Path:
    return write_wine_model(tmp_path / "wine", run_id="")


def test_other_settings_alone_make_a_patch(wine: Path) -> None:
    before = fingerprint(wine)
    ServingSettings(threads=1, batch_rows=64).write(wine / "serving")
    after = fingerprint(wine)
    assert after.digest != before.digest
    known = Registered("wine", "1", Version(1, 2, 3), before.digest, before.signature, before.recipe, "")
    decision = decide(after, [known])
    assert (str(decision.version), decision.change) == ("v1.2.4", "patch")


def test_measuring_again_makes_no_other_model(wine: Path) -> None:
    ServingSettings(threads=1, measured={"p99_ms": 3.0}).write(wine / "serving")
    first = fingerprint(wine).digest
    ServingSettings(threads=1, measured={"p99_ms": 3.1}).write(wine / "serving")
    assert fingerprint(wine).digest == first
    ServingSettings(threads=2, measured={"p99_ms": 3.1}).write(wine / "serving")
    assert fingerprint(wine).digest != first


def test_settings_that_choose_nothing_change_nothing(wine: Path) -> None:
    before = fingerprint(wine)
    ServingSettings(measured={"ratio": 1.0}).write(wine / "serving")
    assert fingerprint(wine) == before


def test_settings_that_cannot_be_read_are_told(wine: Path) -> None:
    (wine / "serving/settings.json").write_text('{"threads": -1}')
    with pytest.raises(InputError, match="does not hold serving settings"):
        fingerprint(wine)

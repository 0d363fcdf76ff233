"""The registry's components: wrappers called as a runner calls them, and what their specs promise."""

import json
from pathlib import Path

import pytest
from kfp import dsl
from support.exported_models import write_wine_model

from stagewright.components.registry import catalog
from stagewright.components.registry.component import promote_model, register_model


@pytest.fixture
def inputs(tmp_path: Path, tracking: str) -> dict[str, dsl.Artifact]:
    write_wine_model(tmp_path / "model", run_id="")
    (tmp_path / "evaluation.json").write_text(json.dumps({"metrics": {"test": {"accuracy": 0.9}}}))
    (tmp_path / "card.md").write_text("# Wine\n")
    return {
        "model": dsl.Model(name="model", uri=str(tmp_path / "model")),
        "evaluation": dsl.Artifact(name="evaluation", uri=str(tmp_path / "evaluation.json")),
        "card": dsl.Markdown(name="card", uri=str(tmp_path / "card.md")),
    }


def test_register_then_promote(inputs: dict[str, dsl.Artifact]) -> None:
    version = register_model.python_func(**inputs, name="wine")
    promote_model.python_func(name="wine", version=version)

    champion = catalog.champion("wine")
    assert champion is not None
    assert str(champion.version) == version == "v1.0.0"
    assert champion.aliases == ("challenger", "champion")


def test_what_a_user_did_wrong_ends_with_exit_code_2(inputs: dict[str, dsl.Artifact]) -> None:
    with pytest.raises(SystemExit) as ended:
        promote_model.python_func(name="wine", version="v1.0.0")
    assert ended.value.code == 2


@pytest.mark.parametrize("component", [register_model, promote_model])
def test_effects_outside_the_run_are_never_cached(component) -> None:
    assert component.cacheable is False
    assert component.group == "base"

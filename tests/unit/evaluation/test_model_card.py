import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stagewright.components.evaluation.evaluate import evaluate
from stagewright.components.evaluation.model_card.card import SECTIONS, write_card
from stagewright.components.evaluation.model_card.markdown import escape, table, to_html
from stagewright.components.evaluation.model_card.sections import _dropped
from stagewright.components.runtime.errors import InputError


@pytest.fixture(scope="module")
def evaluated(churn_model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("evaluation") / "evaluation.json"
    evaluate(
        churn_model.model, **churn_model.splits, name="churn", minimum={"f1": 0.9}, slice_columns=["contract"],
        compare_with_champion=False,
    ).write(path)  # fmt: skip
    return path


def card(trained, evaluation: Path, folder: Path, **changes) -> tuple[str, str]:
    sources = {
        "model": trained.model, "evaluation": evaluation, "schema": trained.schema, "name": "churn", "deploy_to": "",
        "intended_use": "",
    } | changes  # fmt: skip
    write_card(folder / "card.md", folder / "card.html", **sources)
    return (folder / "card.md").read_text(), (folder / "card.html").read_text()


def test_card_has_every_section_in_both_forms(churn_model, evaluated: Path, tmp_path: Path) -> None:
    markdown, html = card(churn_model, evaluated, tmp_path)

    assert re.findall(r"^## (.*)$", markdown, flags=re.MULTILINE) == list(SECTIONS)
    assert re.findall(r"<h2>(.*?)</h2>", html) == list(SECTIONS)
    assert markdown.startswith("# Model card: churn\n")


def test_card_tells_what_was_measured(churn_model, evaluated: Path, tmp_path: Path) -> None:
    markdown, html = card(churn_model, evaluated, tmp_path)
    document = json.loads(evaluated.read_text())
    test, (low, high) = document["metrics"]["test"]["roc_auc"], document["intervals"]["test"]["roc_auc"]

    assert f"Reference for its performance: roc_auc {test:#.4g} ({low:#.4g} to {high:#.4g}) on test." in markdown
    assert f"{test:#.4g} | {low:#.4g} to {high:#.4g}" in markdown
    assert "The model did not pass its gate:" in markdown
    assert escape(document["gate"]["failures"][0]) in markdown
    assert "| contract | Month-to-month |" in markdown
    assert "4,930" in markdown
    assert "It is weaker where contract is Month-to-month" in markdown
    assert "<td>Month-to-month</td>" in html


def test_what_only_the_owner_knows_is_left_open(churn_model, evaluated: Path, tmp_path: Path) -> None:
    without, html = card(churn_model, evaluated, tmp_path)
    given, _ = card(churn_model, evaluated, tmp_path, intended_use="Retention calls; *not* pricing.", deploy_to="cluster")

    assert without.count("**For the owner to fill in:**") == 6
    assert html.count("<blockquote>") == 6
    assert given.count("**For the owner to fill in:**") == 5
    assert r"Retention calls; \*not\* pricing." in given
    assert "KServe InferenceService" in given
    assert "The model has not been exported for serving." in given


def test_card_of_each_task_is_complete(churn_model, wine_model, diabetes_model, tmp_path: Path) -> None:
    for trained, kind in ((wine_model, "a multiclass classifier"), (diabetes_model, "a regressor")):
        path = tmp_path / "evaluation.json"
        evaluate(trained.model, **trained.splits, name="m", compare_with_champion=False).write(path)

        markdown, _ = card(trained, path, tmp_path, name="m")

        assert f"`m` is {kind}" in markdown
        assert "None" not in markdown
        assert "nan" not in markdown.split()


def test_card_needs_neither_scikit_learn_nor_a_framework(churn_model, evaluated: Path, tmp_path: Path) -> None:
    arguments = {
        "model": churn_model.model, "evaluation": evaluated, "schema": churn_model.schema, "name": "churn", "deploy_to": "",
        "intended_use": "",
    }  # fmt: skip
    given = {name: str(value) for name, value in arguments.items()}
    program = f"""
import sys
for package in ("sklearn", "scipy", "pandas", "onnx", "onnxruntime", "xgboost", "mlflow", "torch"):
    sys.modules[package] = None
from stagewright.components.evaluation.model_card.card import write_card
write_card({str(tmp_path / "a.md")!r}, {str(tmp_path / "a.html")!r}, **{given!r})
"""
    subprocess.run([sys.executable, "-c", program], check=True)

    assert (tmp_path / "a.md").read_text().startswith("# Model card")


def test_missing_and_wrong_files_are_named(churn_model, evaluated: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "broken.json").write_text("{")

    with pytest.raises(InputError, match=r"no file .*nothing.json, which should hold an evaluation"):
        card(churn_model, tmp_path / "nothing.json", tmp_path)
    with pytest.raises(InputError, match=r"other.json does not hold an evaluation: it has no metrics and gate"):
        card(churn_model, tmp_path / "other.json", tmp_path)
    with pytest.raises(InputError, match=r"broken.json does not hold an evaluation"):
        card(churn_model, tmp_path / "broken.json", tmp_path)
    with pytest.raises(InputError, match=r"is not a model that train_model wrote"):
        card(churn_model, evaluated, tmp_path, model=tmp_path)
    with pytest.raises(InputError, match=r"no file .*nothing.json, which should hold a schema"):
        card(churn_model, evaluated, tmp_path, schema=tmp_path / "nothing.json")


@pytest.mark.parametrize("name", ["<b>x</b>", "a|b", "*a* _b_ `c`", "[a](http://b)", "# a", "a\nb", "~~a~~", r"\*", "&lt;"])
def test_escaped_text_reads_as_it_was_written(name: str) -> None:
    shown = re.sub(r"</?(p|div|table|thead|tbody|tr|th|td)[^>]*>", "", to_html(table(["x"], [[name]]))).split("\n")
    text = "".join(shown).removeprefix("x")

    assert text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == " ".join(name.split())


def test_columns_left_out_are_told_by_reason_and_not_all_named() -> None:
    many = {f"c{number}": "constant" for number in range(9)} | {"key": "identifier"}

    assert _dropped(many) == [
        "c0, c1, c2, c3, c4, c5, c6, c7 and 1 more; `features/features.json` in the model's folder holds all: constant",
        "key: identifier",
    ]
    assert _dropped(dict(list(many.items())[1:])) == ["c1, c2, c3, c4, c5, c6, c7, c8: constant", "key: identifier"]

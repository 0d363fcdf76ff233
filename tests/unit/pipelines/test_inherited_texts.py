"""A pipeline's parameter has the description of the component that it is passed to."""

import docstring_parser
import pytest

from stagewright.components.authoring import component
from stagewright.pipelines import catalog
from stagewright.pipelines.description import describe
from stagewright.pipelines.inherited_texts import described_by


@component(group="base", cacheable=True)
def first_step(rows: int, label: str) -> int:
    """Make rows.

    Args:
        rows: Number
            of rows.
        label: Label of the rows. One of plain, loud.
    """
    return rows


@component(group="base", cacheable=True)
def second_step(label: str, seed: int) -> int:
    """Count rows.

    Args:
        label: Label of the count.
        seed: Random seed.
    """
    return seed


def descriptions(function: object) -> dict[str, str | None]:
    return {entry.arg_name: entry.description for entry in docstring_parser.parse(function.__doc__ or "").params}


def test_missing_descriptions_come_from_the_first_component_that_has_them() -> None:
    @described_by(first_step, second_step)
    def small(rows: int, label: str, seed: int) -> int:
        """Make and count rows.

        Args:
            seed: Seed of the rows.

        Returns:
            The count.
        """
        return rows

    assert descriptions(small) == {
        "rows": "Number of rows.",
        "label": "Label of the rows. One of plain, loud.",
        "seed": "Seed of the rows.",
    }
    parsed = docstring_parser.parse(small.__doc__ or "")
    assert parsed.short_description == "Make and count rows."
    assert parsed.returns
    assert parsed.returns.description == "The count."


def test_parameter_that_nothing_describes_is_refused() -> None:
    def small(rows: int, colour: str) -> int:
        """Make rows.

        Args:
            rows: Number of rows.
        """
        return rows

    with pytest.raises(ValueError, match=r"^pipeline small: no component describes parameter 'colour'$"):
        described_by(first_step)(small)


def test_docstring_without_arguments_is_refused() -> None:
    def small(rows: int) -> int:
        """Make rows."""
        return rows

    with pytest.raises(ValueError, match=r"^pipeline small: the docstring has no section 'Args:'$"):
        described_by(first_step)(small)


# kfp has no place for the choices of a text parameter, so they are read from its description: "One of a, b, c." (ADR 0010).
# The command line, the checks before a run and the documentation depend on the exact wording.
CHOICES = {
    "train-model": {
        "task": "auto, binary, multiclass, regression",
        "framework": "sklearn, xgboost, lightgbm, torch, torch_vision, transformers",
        "format": "auto, csv, tsv, jsonl, parquet, npz, excel, images",
        "on_bad_row": "error, quarantine",
        "image_colours": "auto, grey, rgb",
        "leakage": "error, warn",
        "split": "stratified, random, time, group",
        "class_weight": "none, balanced",
        "deploy_to": "local, cluster, gitops, none",
        "mode": "Standard, Knative",
    },
    "distill": {
        "task": "auto, binary, multiclass, regression",
        "student": "auto, trees, linear, mlp, vision, transformer",
        "load": "batch, single_row, both",
        "format": "auto, csv, tsv, jsonl, parquet",
        "on_bad_row": "error, quarantine",
        "leakage": "error, warn",
        "split": "stratified, random, time, group",
        "deploy_to": "local, cluster, gitops, none",
        "mode": "Standard, Knative",
    },
    "quantize": {
        "variant": "cpu-int8, gpu-fp16",
        "format": "auto, csv, tsv, jsonl, parquet",
        "deploy_to": "local, cluster, gitops, none",
        "mode": "Standard, Knative",
    },
    "optimize-inference": {"deploy_to": "local, cluster, gitops, none", "mode": "Standard, Knative"},
    "cost-optimize": {"mode": "Standard, Knative"},
    "serving-setup": {"deploy_to": "local, cluster, gitops, none", "mode": "Standard, Knative"},
}


@pytest.mark.parametrize("name", catalog.PIPELINES)
def test_every_parameter_is_described_and_its_choices_are_known(name: str) -> None:
    parameters = describe(name).inputs

    assert [entry.name for entry in parameters if not entry.description] == []
    assert {entry.name: ", ".join(entry.choices) for entry in parameters if entry.choices} == CHOICES[name]

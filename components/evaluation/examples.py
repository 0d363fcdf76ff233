"""Worst mistakes of a classifier of images or texts: misclassified rows with the highest probability."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from stagewright.components.metrics.outcome import Label, Outcome
from stagewright.components.runtime import columns
from stagewright.components.runtime.report import INK, MUTED, draw_picture, label, paragraph, table
from stagewright.components.runtime.signature import Input

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES, TEXTS = 24, 10
SHOWN_CHARACTERS = 300
_ACROSS = 8


@dataclass(frozen=True, slots=True)
class Mistake:
    """A misclassified row.

    Attributes:
        row: Its index among the rows with a known target.
        probability: Probability of the prediction.
    """

    row: int
    true: Label
    answered: Label
    probability: float


@dataclass(frozen=True, slots=True)
class Examples:
    """Mistakes, the most confident first.

    Attributes:
        column: The displayed column.
        mistakes: Total number of mistakes.
        pictures: [N, C, H, W] of bytes, for images.
        texts: For texts.
    """

    column: str
    mistakes: int
    shown: tuple[Mistake, ...]
    pictures: np.ndarray | None = None
    texts: tuple[str, ...] = ()


def worst_mistakes(outcome: Outcome, rows: pl.DataFrame, inputs: Sequence[Input]) -> Examples | None:
    """The worst mistakes in a split; None unless the model's input is one image or one text.

    Args:
        rows: The rows of the outcome.
    """
    shown = next((given for given in inputs if given.kind == "image" or given.tokenizer is not None), None)
    if shown is None or outcome.classes is None:
        return None
    probabilities = outcome.class_probabilities.max(axis=1)
    wrong = np.flatnonzero(outcome.truth != outcome.predicted)
    surest = wrong[np.argsort(-probabilities[wrong], kind="stable")][: PICTURES if shown.kind == "image" else TEXTS]
    mistakes = tuple(
        Mistake(
            int(row), outcome.classes[outcome.truth[row]], outcome.classes[outcome.predicted[row]], float(probabilities[row])
        )
        for row in surest
    )
    values = rows.get_column(shown.name)[surest]
    if shown.kind == "image":
        return Examples(shown.name, len(wrong), mistakes, pictures=columns.arrays(values, shown.kind, shown.shape))
    texts = tuple(str(value or "")[:SHOWN_CHARACTERS] for value in values.to_list())
    return Examples(shown.name, len(wrong), mistakes, texts=texts)


def description(examples: Examples) -> str:
    """A paragraph on the examples."""
    if not examples.mistakes:
        return paragraph("The model made no mistake on the test split.")
    share = f"the {len(examples.shown)} it was surest of" if len(examples.shown) < examples.mistakes else "surest first"
    legend = (
        "" if examples.pictures is None else " Above each picture is its class, below it the answer and how sure the model was."
    )
    return paragraph(
        f"{examples.mistakes:,} test rows are answered wrongly; {share}.{legend} A wrong label in the data shows up here too."
    )


def pictures_plot(examples: Examples) -> "Figure":
    """Small images with true class, prediction and probability."""
    from matplotlib.figure import Figure

    down = -(-len(examples.shown) // _ACROSS)
    figure = Figure(figsize=(9.6, 1.55 * down), layout="constrained")
    places = list(figure.subplots(down, _ACROSS, squeeze=False).flat)
    for axes in places:
        axes.set_axis_off()
    for axes, mistake, picture in zip(
        places, examples.shown, examples.pictures if examples.pictures is not None else (), strict=False
    ):
        draw_picture(axes, picture)
        axes.set_title(f"{label(mistake.true, 14)}", fontsize=8.5, color=INK, loc="left", pad=2)
        said = f"{label(mistake.answered, 12)} {mistake.probability:.0%}"
        axes.text(0, -0.04, said, transform=axes.transAxes, fontsize=8, color=MUTED, va="top")
    return figure


def texts_table(examples: Examples) -> str:
    """The texts with true class, prediction and probability."""
    rows = [
        [text, mistake.true, mistake.answered, f"{mistake.probability:.0%}"]
        for text, mistake in zip(examples.texts, examples.shown, strict=True)
    ]
    return table([examples.column, "True", "Answered", "Sure"], rows)

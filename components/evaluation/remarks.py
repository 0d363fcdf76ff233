"""Notices of an evaluation for the user, although the model may pass: one sentence each."""

import numpy as np

from stagewright.components.evaluation.evaluate import Evaluation
from stagewright.components.metrics.outcome import Outcome
from stagewright.components.runtime import positive
from stagewright.components.runtime.schema import Task

SHOWN = 5  # class names in a sentence


def remarks(evaluation: Evaluation) -> list[str]:
    """Classes that are never predicted, R² below zero, overfitting, a champion that could not be compared."""
    found = [_never_predicted(evaluation.test, evaluation), _worse_than_the_mean(evaluation)]
    if evaluation.overfitting.warning:
        found.append(evaluation.overfitting.sentence.rstrip("."))
    champion = evaluation.champion
    if champion is not None and not champion.comparable:
        found.append(f"champion {champion.version} could not be compared, so the gate passes without it: {champion.reason}")
    return [sentence for sentence in found if sentence]


def _never_predicted(test: Outcome, evaluation: Evaluation) -> str:
    """Classes of the test or training split that are never predicted on the test split."""
    if test.classes is None:
        return ""
    answered = np.bincount(test.predicted, minlength=len(test.labels))
    never = [positive.class_name(label) for label, rows in zip(test.labels, answered, strict=True) if not rows]
    if not never:
        return ""
    shown = ", ".join(f"'{label}'" for label in never[:SHOWN]) + (
        f" and {len(never) - SHOWN} more" if len(never) > SHOWN else ""
    )
    what = f"class {shown} is" if len(never) == 1 else f"classes {shown} are"
    binary = evaluation.task is Task.BINARY
    advice = "class_weight=balanced or another threshold" if binary else "class_weight=balanced"
    return f"{what} never predicted for {len(test):,} test rows; see {advice}"


def _worse_than_the_mean(evaluation: Evaluation) -> str:
    r2 = evaluation.measured["test"].values.get("r2")
    if r2 is None or r2 >= 0:
        return ""
    return f"R² is {r2:.3f} on the test split, below zero: the mean of the target would predict better than the model"

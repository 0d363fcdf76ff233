"""Outcomes made of random numbers, for tests that need no model."""

import numpy as np

from stagewright.components.metrics.outcome import Outcome, classification, regression
from stagewright.components.runtime.schema import Task


def binary(rows: int = 400, *, seed: int = 0, signal: float = 1.5, share: float = 0.35) -> Outcome:
    """Two classes whose logits differ by `signal`; the probabilities are rounded, so that some are equal."""
    random = np.random.default_rng(seed)
    truth = random.random(rows) < share
    positive = 1 / (1 + np.exp(-(random.normal(size=rows) + signal * (truth - 0.5))))
    positive = np.round(positive, 2).astype(np.float32)
    names = np.array(["No", "Yes"])
    labels = names[(positive >= 0.5).astype(int)]
    return classification(
        Task.BINARY, ("No", "Yes"), names[truth.astype(int)], labels, np.column_stack([1 - positive, positive]), split="test"
    )


def multiclass(rows: int = 300, classes: int = 4, *, seed: int = 0) -> Outcome:
    """Classes 0 to C - 1 as integers, the true one favoured."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, rows)
    probabilities = random.dirichlet(np.ones(classes), rows)
    probabilities[np.arange(rows), truth] += 0.3
    probabilities = np.round(probabilities / probabilities.sum(axis=1, keepdims=True), 2) + 0.001
    probabilities = (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)
    return classification(
        Task.MULTICLASS, tuple(range(classes)), truth, probabilities.argmax(axis=1), probabilities, split="test"
    )


def numbers(rows: int = 300, *, seed: int = 0, noise: float = 0.5) -> Outcome:
    """A regression with that much noise on a target of spread one."""
    random = np.random.default_rng(seed)
    truth = random.normal(size=rows)
    return regression(truth, (truth + noise * random.normal(size=rows)).astype(np.float32), split="test")

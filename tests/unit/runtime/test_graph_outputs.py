"""The outputs of an exported graph as predictions."""

import numpy as np
import pytest

from stagewright.components.runtime.model import Predictions


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_values_have_one_axis(shape: tuple[int, ...]) -> None:
    names = Predictions.output_names(None)
    found = Predictions.from_outputs({names[0]: np.arange(3, dtype=np.float32).reshape(shape)})

    assert names == ["prediction"]
    assert found.labels is found.probabilities is None
    assert found.values is not None
    assert (found.values.shape, found.values.tolist(), len(found)) == ((3,), [0, 1, 2], 3)


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_a_classifier_answers_labels_and_probabilities(shape: tuple[int, ...]) -> None:
    probabilities = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
    found = Predictions.from_outputs({"label": np.array(["no", "yes"]).reshape(shape), "probabilities": probabilities})

    assert Predictions.output_names(("no", "yes")) == ["label", "probabilities"]
    assert found.values is None
    assert found.labels is not None
    assert (found.labels.tolist(), found.labels.shape) == (["no", "yes"], (2,))
    assert found.probabilities is probabilities

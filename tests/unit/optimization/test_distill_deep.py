"""What the parameters of a student of images or texts do: its first weights, what of it learns, how exactly it computes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stagewright.components.optimization.distillation.deep import DistillationConfig, teach
from stagewright.components.optimization.distillation.students import students
from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.training.frameworks import _images, _language, torch_vision, transformers
from stagewright.components.training.frameworks.torch_vision import VisionEstimator
from stagewright.components.training.frameworks.transformers import LanguageEstimator

CLASSES, SIDE, TOKENS, LAYERS = 3, 8, 6, 4
ROWS = 24
CONFIG = DistillationConfig(temperature=2.0, hidden_weight=0.0, consistent=False, seed=0)
WITH_LAYERS = DistillationConfig(temperature=2.0, hidden_weight=0.5, consistent=True, seed=0)
State = dict[str, torch.Tensor]


def labels() -> tuple[np.ndarray, np.ndarray]:
    drawn = np.random.default_rng(0).dirichlet(np.ones(CLASSES), 2 * ROWS)
    return drawn[:ROWS], drawn[ROWS:]


def vision(stages: tuple[int, ...], seed: int) -> _images.Network:
    torch.manual_seed(seed)
    return _images.build(_images.Architecture("cnn", (1, SIDE, SIDE), CLASSES, stages, 0.0, 0))


def taught_images(config: DistillationConfig = CONFIG, **params: Any) -> State:
    """The weights of a student of a fixed teacher and fixed rows, after one epoch."""
    drawn = np.random.default_rng(1).random((2 * ROWS, SIDE * SIDE)).astype(np.float32)
    plan = torch_vision.plan({"stages": [4], "max_epochs": 1, "dropout": 0.0, "batch_size": 8, "shift": 0.0} | params)
    fit = teach(VisionEstimator(vision((8,), 1)), (drawn[:ROWS], drawn[ROWS:]), labels(), plan, config, None)
    return learned(fit.estimator)


def learned(estimator: Any) -> State:
    """Parameters, without the statistics that a normalization keeps."""
    return {name: value.detach().clone() for name, value in estimator.network.named_parameters()}


def changed(before: State, after: State) -> set[str]:
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


@pytest.fixture
def weights(tmp_path: Path) -> tuple[Path, State]:
    """A file of weights for a student, and what it holds by the student's own names."""
    network = vision((4,), 7)
    path = tmp_path / "start.safetensors"
    save_file(network.body.state_dict(), path)
    return path, learned(VisionEstimator(network))


def test_a_student_of_images_begins_with_the_weights_it_is_given(weights: tuple[Path, State]) -> None:
    path, start = weights

    after = taught_images(weights=str(path), fine_tune="head")

    assert changed(start, after) == {name for name in after if name.rpartition(".")[0] == head_of(start)}


def head_of(state: State) -> str:
    """The last layer's name."""
    return [*state][-1].rpartition(".")[0]


def test_all_of_a_student_of_images_learns_unless_it_is_told_otherwise(weights: tuple[Path, State]) -> None:
    path, start = weights

    assert changed(start, taught_images(weights=str(path))) == set(start)


def test_weights_that_do_not_fit_the_student_are_refused(weights: tuple[Path, State]) -> None:
    with pytest.raises(InputError, match=r"does not fit architecture 'cnn': .* tensors are missing or of another shape"):
        taught_images(weights=str(weights[0]), stages=[5])


@pytest.mark.parametrize("config", [CONFIG, WITH_LAYERS])
def test_the_precision_of_a_student_is_the_one_it_is_given(config: DistillationConfig) -> None:
    exact, usual, half = (taught_images(config, precision=name) for name in ("float32", "auto", "bfloat16"))

    assert changed(exact, usual) == set()  # on a CPU
    assert changed(exact, half)
    assert {value.dtype for value in half.values()} == {torch.float32}


@pytest.fixture(scope="module")
def reader() -> LanguageEstimator:
    """A transformer of four small layers."""
    torch.manual_seed(3)
    library = _language._transformers()
    encoder = library.BertModel(
        library.BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=LAYERS, num_attention_heads=2, intermediate_size=16)
    )
    return LanguageEstimator(_language.Network(encoder, _language.Architecture(CLASSES, TOKENS, 0, "mean", 0.0), 8))


def taught_texts(reader: LanguageEstimator, config: DistillationConfig = CONFIG, **params: Any) -> State:
    """The weights of a student of two of the teacher's layers, by the teacher's names."""
    drawn = np.random.default_rng(1).integers(1, 20, (2 * ROWS, TOKENS)).astype(np.float32)
    plan = transformers.plan({"max_epochs": 1, "batch_size": 8, "learning_rate": 1e-2} | params)
    fit = teach(reader, (drawn[:ROWS], drawn[ROWS:]), labels(), plan, config, 2)
    return {name.replace("layer.1.", "layer.3.").replace("layer.0.", "layer.1."): value
            for name, value in learned(fit.estimator).items()}  # fmt: skip


@pytest.mark.parametrize("config", [CONFIG, WITH_LAYERS])
@pytest.mark.parametrize(
    ("params", "parts"),
    [
        ({}, {"embeddings", "layer.1", "layer.3", "head"}),
        ({"fine_tune": "last"}, {"layer.3", "head"}),
        ({"fine_tune": "last", "last_layers": 2}, {"layer.1", "layer.3", "head"}),
        ({"fine_tune": "head"}, {"head"}),
    ],
)
def test_what_of_a_transformer_learns(
    reader: LanguageEstimator, params: dict[str, Any], parts: set[str], config: DistillationConfig
) -> None:
    before = learned(reader)

    after = taught_texts(reader, config, **params)

    found = {part for name in changed(before, after) for part in ("embeddings", "layer.1", "layer.3", "head") if part in name}
    assert found == parts
    assert learned(reader).keys() == before.keys()
    assert changed(before, learned(reader)) == set()  # the teacher learns nothing


def test_the_precision_of_a_transformer_is_the_one_it_is_given(reader: LanguageEstimator) -> None:
    exact, half = (taught_texts(reader, WITH_LAYERS, precision=name) for name in ("float32", "bfloat16"))

    assert changed(exact, half)


@pytest.mark.parametrize(("name", "value"), [("model", "x"), ("max_tokens", 16), ("pooling", "cls"), ("dropout", 0.2)])
def test_what_a_transformer_takes_from_its_teacher_is_refused(name: str, value: Any) -> None:
    with pytest.raises(BadParameter) as refused:
        students("transformer", {name: value}, teacher="transformers")

    assert str(refused.value) == (
        f"parameter 'params.{name}' is {value!r}; expected no params.{name} with student=transformer, which keeps its teacher's"
    )


def test_a_student_that_learns_in_part_has_the_defaults_of_that_part() -> None:
    def resolved(**params: Any) -> tuple[float, int]:
        [student] = students("transformer", params, teacher="transformers")
        plan = transformers.plan(student.params)
        return plan.params["learning_rate"], plan.params["max_epochs"]

    assert resolved(layers=2) == (2e-4, 6)
    assert resolved(fine_tune="head") == (1e-2, 60)
    assert resolved(fine_tune="last", learning_rate=1e-3) == (1e-3, 6)

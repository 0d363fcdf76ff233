"""Registration and tracking in MLflow on a real PostgreSQL, as on a cluster, and on SQLite: both hold the same."""

import json
import math
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from support import postgres
from support.exported_models import write_wine_model

from stagewright.components.registry import catalog
from stagewright.components.registry.promote import promote
from stagewright.components.registry.register import register
from stagewright.components.runtime import tracking
from stagewright.components.runtime import tracking_limits as limits
from stagewright.components.runtime.errors import BadParameter
from stagewright.components.runtime.processes import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(postgres.missing()), reason=postgres.missing()),
]

ODD = "grün \U0001f600 a\x00b \ud800"
ODD_STORED = "grün \U0001f600 a\ufffdb \ufffd"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, empty_tracking: Path) -> Iterator[dict[str, str]]:
    """Address of each MLflow: SQLite, PostgreSQL, and a server over PostgreSQL as on a cluster."""
    folder = tmp_path_factory.mktemp("stores")
    with postgres.running() as database:
        direct, behind = database.make("direct"), database.make("behind")
        port = free_port(55100)
        arguments = ["--backend-store-uri", behind, "--artifacts-destination", str(folder / "artifacts"), "--workers", "1"]
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), *arguments],
                stdout=log,
                stderr=log,
                env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
            )
        try:
            address = f"http://127.0.0.1:{port}"
            until(lambda: urllib.request.urlopen(f"{address}/health", timeout=2).close())
            yield {"sqlite": f"sqlite:///{folder / 'mlflow.db'}", "postgresql": direct, "server": address}
        finally:
            server.terminate()
            server.wait(30)


def until(ready: Callable[[], None]) -> None:
    deadline = time.monotonic() + 240
    while True:
        try:
            return ready()
        except OSError:
            assert time.monotonic() < deadline, "MLflow did not start"
            time.sleep(0.3)


@pytest.fixture(params=["sqlite", "postgresql", "server"])
def client(
    request: pytest.FixtureRequest, stores: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> MlflowClient:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", stores[request.param])
    monkeypatch.chdir(tmp_path)
    return tracking.client("a test looks")


def card_of(length: int) -> str:
    """A Markdown card of exactly so many characters, of more than one byte each."""
    line = "Über die Daten: größer als üblich. \U0001f600\n"
    return ("# Wine\n" + line * (length // len(line) + 1))[:length]


def read(client: MlflowClient, run_id: str, path: str, folder: Path) -> str:
    return Path(client.download_artifacts(run_id, path, str(folder))).read_text()


@pytest.mark.parametrize("length", [limits.DESCRIPTION - 1, limits.DESCRIPTION, limits.DESCRIPTION + 1, 200_000])
def test_a_card_of_any_length_is_registered(client: MlflowClient, length: int, tmp_path: Path) -> None:
    name, card = f"wine-{length}", card_of(length)

    register(write_wine_model(tmp_path / "model", run_id=""), name=name, card=card)

    [found] = client.search_model_versions(f"name = '{name}'")
    digest = found.tags["digest"].removeprefix("sha256:")[:16]
    assert read(client, found.run_id, f"cards/{digest}.md", tmp_path) == card
    if length <= limits.DESCRIPTION:
        assert found.description == card
        return
    ending = (
        f"\n\n---\nThe card goes on: it has {length:,} characters. It stands whole in artifact `cards/{digest}.md` of run "
        f"`{found.run_id}`.\n"
    )
    assert found.description.endswith(ending)
    kept = found.description.removesuffix(ending)
    assert card.startswith(kept)
    assert kept.endswith("\U0001f600\n")
    assert limits.DESCRIPTION - 50 < len(found.description) <= limits.DESCRIPTION


def test_a_card_with_what_a_database_refuses(client: MlflowClient, tmp_path: Path) -> None:
    register(write_wine_model(tmp_path / "model", run_id=""), name="odd", card=ODD)

    [found] = client.search_model_versions("name = 'odd'")
    assert found.description == ODD_STORED


@pytest.mark.parametrize("longest", [limits.PARAMETER, limits.TAG])
def test_parameters_and_tags_of_any_length(client: MlflowClient, longest: int, tmp_path: Path) -> None:
    lengths = [0, 250, longest - 1, longest, longest + 1, 100_000]
    values = {f"note.{length}": "ü" * length for length in lengths} | {"odd": ODD, "a" * 251: "long key", "f1(Über)": "odd key"}
    with tracking.run("limits", parameters=values, tags=values) as run:
        pass

    stored = client.get_run(run.run_id).data
    assert stored.params["odd"] == stored.tags["odd"] == ODD_STORED
    for kind, found, most in (("params", stored.params, limits.PARAMETER), ("tags", stored.tags, limits.TAG)):
        for length in lengths:
            name, text = f"note.{length}", "ü" * length
            if length <= most:
                assert found[name] == text
                continue
            ending = f" ... (all {length:,} characters: artifact whole/{kind}/{name}.txt)"
            assert found[name] == "ü" * (most - len(ending)) + ending
            assert read(client, run.run_id, f"whole/{kind}/{name}.txt", tmp_path) == text
        assert found[limits.key("a" * 251)] == "long key"
        assert found[limits.key("f1(Über)")] == "odd key"


def test_many_long_values_fit_into_the_requests(client: MlflowClient) -> None:
    values = {f"column {number}": "\U0001f600" * 7000 for number in range(130)}
    with tracking.run("limits", tags=values) as run:
        pass

    tags = client.get_run(run.run_id).data.tags
    assert {name: tags[name] for name in values} == values


def test_metrics_at_the_edges(client: MlflowClient) -> None:
    values = {"nan": math.nan, "inf": math.inf, "ninf": -math.inf, "huge": 1e308, "tiny": 5e-324, "m" * 300: 1.0, "f1(ü)": 0.5}
    with tracking.run("limits") as run:
        run.log_metrics(values)
        run.log_history([(step, {"loss": math.nan, "k" * 250: float(step)}) for step in range(1, 1001)])

    found = client.get_run(run.run_id).data.metrics
    assert math.isnan(found["nan"])
    assert (found["inf"], found["ninf"]) in {(math.inf, -math.inf), (sys.float_info.max, -sys.float_info.max)}
    assert (found["huge"], found[limits.key("m" * 300)], found[limits.key("f1(ü)")]) == (1e308, 1.0, 0.5)
    assert found["k" * 250] == 1000.0


@pytest.mark.parametrize("length", [249, 250, 251, 256, 257, 500, 501, 5000])
def test_names_of_any_length(client: MlflowClient, length: int) -> None:
    name = "ü" * length
    with tracking.run(name, run_name=name) as run:
        run.log_dataset(name, sha256="ab" * 32, context="train")
    with tracking.run(name) as again:
        pass

    found = client.get_run(run.run_id)
    assert again.experiment_id == run.experiment_id
    assert found.info.run_name == limits.name(name, limits.RUN_NAME)
    assert client.get_experiment(run.experiment_id).name == limits.name(name, limits.EXPERIMENT)
    assert found.inputs.dataset_inputs[0].dataset.name == limits.name(name, limits.DATASET)
    if length > limits.TAG:
        return
    assert found.data.tags.get("stagewright.run_name") == (name if length > limits.RUN_NAME else None)
    assert found.data.tags.get("stagewright.experiment") == (name if length > limits.EXPERIMENT else None)


def test_a_name_with_what_a_database_refuses(client: MlflowClient) -> None:
    with tracking.run(f"study {ODD}", run_name=ODD) as run:
        pass

    assert client.get_run(run.run_id).info.run_name.startswith(ODD_STORED)


@pytest.mark.parametrize("length", [limits.VERSION_TAG, limits.VERSION_TAG + 1, 100_001])
def test_what_a_model_tells_of_itself_may_be_long(client: MlflowClient, length: int, tmp_path: Path) -> None:
    """Files of a model that somebody else made hold whatever they like."""
    model = write_wine_model(tmp_path / "model", run_id="r" * length)
    (model / "MLmodel").write_text(f"utc_time_created: {'ü' * length}\n")

    register(model, name=f"told-{length}")

    [found] = client.search_model_versions(f"name = 'told-{length}'")
    run = client.get_run(found.run_id)
    for tags, longest, key in (
        (found.tags, limits.VERSION_TAG, "source_run_id"),
        (run.data.tags, limits.TAG, "stagewright.source_run_id"),
        (run.data.tags, limits.TAG, "stagewright.source_created"),
    ):
        assert len(tags[key]) == min(length, longest)


def test_metrics_with_odd_names_become_tags(client: MlflowClient, tmp_path: Path) -> None:
    evaluation = {"metrics": {"test": {"precision@0.5": 0.75, "m" * 300: 0.5, "accuracy": 0.9}}}

    register(write_wine_model(tmp_path / "model", run_id=""), name="odd-metrics", evaluation=evaluation)

    [found] = client.search_model_versions("name = 'odd-metrics'")
    assert found.tags["test.accuracy"] == "0.9"
    assert found.tags[limits.key("test.precision@0.5")] == "0.75"
    assert found.tags[limits.key("test." + "m" * 300)] == "0.5"


def test_an_alias_of_any_length_is_set_or_refused_before_anything_is_done(client: MlflowClient, tmp_path: Path) -> None:
    model, longest = write_wine_model(tmp_path / "model", run_id=""), "a" * limits.ALIAS

    with pytest.raises(BadParameter, match=r"^parameter 'alias' is 'a{20}\.\.\.'; expected a word of at most 255 characters$"):
        register(model, name="alias", alias=longest + "a")
    assert catalog.versions(client, "alias") == []
    first = register(model, name="alias", alias=longest)
    other = write_wine_model(tmp_path / "other", run_id="", data="data-2")
    with pytest.raises(BadParameter, match="at most 255 characters"):
        promote(name="alias", version=first, alias=longest + "a")
    promote(name="alias", version=register(other, name="alias"), alias=longest)

    assert str(catalog.version_of("alias", longest).version) == "v1.0.1"
    [tag] = [
        json.dumps(value)
        for key, value in client.get_model_version_by_alias("alias", longest).tags.items()
        if "previous" in key
    ]
    assert tag == '"v1.0.0"'

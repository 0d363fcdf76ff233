"""benchmark_model on real models, measured for moments: what is asserted is never a time."""

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from kfp import dsl
from support import onnx_models, trainings
from support.exported_models import write_wine_model

from stagewright.components.export.export_model import export_model
from stagewright.components.measurement import rates, server_process
from stagewright.components.measurement.inference_timing import Bench, Setting, Timing, Trial
from stagewright.components.measurement.load.generator import Load
from stagewright.components.measurement.model_rows import ModelRows
from stagewright.components.measurement.rates import LoadResult, Race, Servers, Staircase
from stagewright.components.optimization.serving_settings import benchmark, settings_text, trials
from stagewright.components.optimization.serving_settings.component import benchmark_model
from stagewright.components.optimization.serving_settings.evidence import bounds, is_proved
from stagewright.components.optimization.serving_settings.plan import Plan
from stagewright.components.optimization.serving_settings.proof import Proof
from stagewright.components.optimization.serving_settings.result import Benchmark
from stagewright.components.optimization.serving_settings.search import is_faster, search, thread_counts, within
from stagewright.components.optimization.serving_settings.trials import DEFAULT, Experiment
from stagewright.components.runtime.errors import BadParameter, GateFailed, InputError
from stagewright.components.runtime.fingerprint import fingerprint
from stagewright.components.runtime.schema import Task
from stagewright.components.runtime.serving_settings import ServingSettings

QUICK = {"seconds": 0.04, "objective_ms": 50.0, "batch_sizes": [1, 16.0], "threads": [1], "batch_milliseconds": []}


@pytest.fixture(scope="module")
def churn(telco: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gradient-boosted model of Telco churn, exported."""
    folder = tmp_path_factory.mktemp("churn")
    data = trainings.split(folder / "data", telco.head(1500), "churn", Task.BINARY)
    patch = pytest.MonkeyPatch()
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    trained = data.model(folder / "trained", "xgboost", {"n_estimators": 60})
    patch.undo()
    export_model(trained, data.validation, folder / "exported")
    (folder / "exported/README.md").write_text("# Churn\n\n## Limits\n\nNone.\n")
    return folder / "exported"


def run(model: Path, folder: Path, **parameters: object) -> tuple[bool, dict[str, dsl.Artifact]]:
    made = {
        "optimized": dsl.Model(name="optimized", uri=str(folder / "optimized")),
        "card": dsl.Markdown(name="card", uri=str(folder / "card.md")),
        "metrics": dsl.Metrics(name="metrics", uri=str(folder / "metrics")),
        "report": dsl.HTML(name="report", uri=str(folder / "report.html")),
        "results": dsl.Artifact(name="results", uri=str(folder / "results.json")),
    }
    given = dsl.Model(name="model", uri=str(model))
    return benchmark_model.python_func(model=given, **made, **QUICK | parameters), made


def test_churn_is_measured_and_gets_its_settings(churn: Path, tmp_path: Path) -> None:
    changed, made = run(churn, tmp_path)

    found = json.loads((tmp_path / "results.json").read_text())
    assert found["passed"]
    assert found["changed"] is changed
    assert found["largest_difference"] <= 1e-5
    assert [stage["name"] for stage in found["found"]["stages"]] == ["Graph optimization", "Batch size"]
    assert found["races"][0]["name"] == "Threads and concurrency on the predictor"
    assert {len(rounds) for rounds in found["proof"]["rates"].values()} == {5}
    assert {one["server"] for one in found["proof"]["asked"]} == {"as it was", "with settings"}
    optimized = tmp_path / "optimized"
    settings = ServingSettings.parse((optimized / "serving/settings.json").read_bytes(), "the settings")
    assert settings.measured["cpus"] >= 1
    assert settings.measured["after"]["requests_per_second"] > 0
    assert (replace(settings, measured={}) != ServingSettings()) is changed
    assert (optimized / "serving/model.onnx").read_bytes() == (churn / "serving/model.onnx").read_bytes()
    assert (fingerprint(optimized).digest != fingerprint(churn).digest) is changed
    assert fingerprint(optimized).recipe == fingerprint(churn).recipe
    assert fingerprint(optimized).signature == fingerprint(churn).signature
    card = (tmp_path / "card.md").read_text()
    assert card.startswith("# Churn\n\n## Limits\n\nNone.\n\n## Serving settings\n")
    assert made["metrics"].metadata["requests_per_second_after"] > 0
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 3
    assert "Stage 3: threads and concurrency on the predictor" in page


def test_a_report_is_written_before_the_gate_fails(churn: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        run(churn, tmp_path, objective_ms=0.0001)
    assert ended.value.code == 1
    assert "No setting meets the objective" in (tmp_path / "report.html").read_text()
    assert not (tmp_path / "optimized").exists()


def test_a_model_that_answers_otherwise_than_its_baseline_does_not_pass(tmp_path: Path) -> None:
    model = write_wine_model(tmp_path / "wine", wrong_baseline=True, run_id="")
    with pytest.raises(GateFailed, match="the answers of model 'wine'"):
        benchmark.benchmark(model, plan=Plan(seconds=0.01, batch_sizes=(1,)))


def test_a_model_without_a_baseline_needs_rows(tmp_path: Path) -> None:
    """Rows of every kind of column, some missing; the predictor takes the requests made of them."""
    model = tmp_path / "model"
    onnx_models.write_mixed(model / "serving")
    with pytest.raises(InputError, match="give rows to measure it with as `data`"):
        ModelRows.load(model)
    table = pl.DataFrame(
        {
            "tenure": [12.0, None, 1.5], "charges": [70, 20, 99], "contract": ["One year", None, "1"],
            "senior": [True, None, False], "since": [datetime(2019, 3, 1), None, datetime(2024, 2, 29)],  # noqa: DTZ001
            "note": ["müde", "calm", "angry"],
        }
    )  # fmt: skip
    path = tmp_path / "rows.parquet"
    table.write_parquet(path)
    rows = ModelRows.load(model, str(path))
    assert rows.own is None
    assert len(Bench(rows, Setting(), seconds=0.01, rounds=1).session(Setting()).run(None, rows.batch(7))[0]) == 7
    requests = rows.requests(server_process.NAME, rows=2, count=3)
    with server_process.predictor(model, requests[0], log=tmp_path / "log") as running:
        for request in requests:
            status, body = server_process.answer(running.address, request)
            assert (status, json.loads(body)["outputs"][0]["shape"]) == (200, [2])
        assert running.cold_start_seconds > 0
        assert running.peak_bytes() > 10 << 20
    table.drop("charges").write_parquet(path)
    with pytest.raises(InputError, match="column 'charges' is missing"):
        ModelRows.load(model, str(path))


def test_a_bench_measures_the_default_beside_every_trial(tmp_path: Path) -> None:
    rows = ModelRows.load(write_wine_model(tmp_path / "wine", run_id=""))
    default, other = Setting(), Setting("basic", 1, 2)
    timings = Bench(rows, default, seconds=0.02, rounds=3).measure([Trial(other, 4), Trial(other, 1)])
    assert {(one.setting, one.rows) for one in timings} == {(default, 4), (default, 1), (other, 4), (other, 1)}
    for one in timings:
        assert one.low <= one.rows_per_second <= one.high
        assert 0 < one.p50_ms <= one.p99_ms
        assert len(one.ratios) == 3
        if one.setting == default:
            assert one.ratios == (1.0, 1.0, 1.0)


def test_half_of_the_objective_is_left_for_the_batch_before() -> None:
    one = Timing(Setting(), 8, 1.0, 1.0, 1.0, 1.0, 10.0, (1.0,))
    assert within(one, 20)
    assert not within(one, 19)


def load(rate: float, p99: float, *, errors: int = 0) -> Load:
    return Load(rate, p99 / 2, p99, p99, p99, {200: 100}, errors, 1.0, 100)


@pytest.mark.parametrize(
    ("given", "held"),
    [
        (load(100, 20), True),
        (load(100, 21), False),
        (load(100, float("nan")), False),
        (load(100, 5, errors=1), False),
        (load(70, 5), False),  # of 100 that were due: it falls behind
        (Load(0.0, 0, 0, 0, 0, {}, 0, 1.0, 0), False),
    ],
)
def test_a_rate_holds_if_all_are_answered_in_time(given: Load, held: bool) -> None:
    assert rates.holds(given, 20) is held


@pytest.mark.parametrize("capacity", [35.0, 90.0, 100.0, 300.0])
def test_a_staircase_stays_near_what_holds(capacity: float) -> None:
    stairs = Staircase(100.0)
    for _ in range(len(rates.LONG_STEPS)):
        stairs.tell(held=stairs.rate <= capacity)
    asked = []
    for _ in range(6):
        asked.append(stairs.rate)
        stairs.tell(held=stairs.rate <= capacity)
    assert capacity / 1.2 < float(np.exp(np.mean(np.log(asked)))) < capacity * 1.2


class Simulated(Servers):
    """Servers that hold every rate up to one of their own."""

    capacities: dict[str, float]

    def limit(self, server: str) -> float:
        return 1.2 * self.capacities[server]

    def ask(self, server: str, rate: float) -> LoadResult:
        capacity = self.capacities[server]
        self.asked.append(LoadResult(server, rate, load(rate, rate / capacity), rate <= capacity))
        return self.asked[-1]


@pytest.mark.parametrize(
    ("capacities", "winner"),
    [
        ({"a": 100.0, "b": 130.0, "c": 90.0}, "b"),
        ({"a": 1.0, "b": 90.0, "c": 100.0}, "c"),
        ({"a": 100.0}, "a"),
        ({"a": 0.0, "b": 0.0}, None),
    ],
)
def test_a_race_is_won_by_who_bears_most(capacities: dict[str, float], winner: str | None) -> None:
    servers = Simulated(capacities, [b""], 20.0, 0.1)
    Simulated.capacities = capacities
    found = rates.race(servers)
    assert found.winner == winner
    if winner:
        assert capacities[winner] / 1.25 <= found.rates[winner] <= capacities[winner]
        assert len(servers.asked) < 60


def test_the_best_is_never_the_model_as_it_was() -> None:
    """It is measured anew even where the model as it was won the race: a race is one moment."""
    first, second = ServingSettings(batch_rows=8), ServingSettings(batch_rows=32)

    def tried(winner: str | None, given: dict[str, float]) -> Experiment:
        settings = {name: {"first": first, "second": second}.get(name, ServingSettings()) for name in given}
        return Experiment("", "", settings, Race(winner, given, dict.fromkeys(given, 1.0)), [])

    assert trials.best_of([tried("first", {DEFAULT: 1, "first": 2, "second": 1})]) == first
    assert trials.best_of([tried(DEFAULT, {DEFAULT: 3, "first": 1, "second": 2})]) == second
    assert trials.best_of([tried(None, {DEFAULT: 0, "first": 0})]) is None
    assert trials.best_of([]) is None


def test_few_rounds_prove_nothing_and_luck_wins_no_version() -> None:
    assert bounds([5.0] * 4) == (0.0, float("inf"))
    assert not is_proved([5.0] * 4)
    assert not is_proved([])
    assert is_proved([1.5] * 7 + [0.9])
    assert not is_proved([1.5] * 6 + [0.9])
    random = np.random.default_rng(0)
    lucky = sum(is_proved(np.exp(random.normal(0, 0.3, 5)).tolist()) for _ in range(2000))
    assert lucky / 2000 < 0.05


def test_a_benchmark_that_changes_nothing_says_so_in_one_sentence() -> None:
    here, faster = ServingSettings(threads=1), ServingSettings(threads=2)
    kept = "the model keeps the settings that it has"

    def notices(candidate: ServingSettings | None, ratios: list[float], chosen: ServingSettings = here) -> list[str]:
        proof = Proof(candidate, {}, ratios, [], chosen is faster, None, None)
        setting = Setting("all", 1, 1)
        found = Benchmark("m", Plan(), "cpu", 2, setting, here, None, {}, [], proof, chosen, 0.0, 10)  # type: ignore[arg-type]
        return found.notices()

    times = "1.05 times the requests of the present ones (0.90 to 1.20)"
    assert notices(faster, [1.0, 1.1, 1.05, 0.9, 1.2]) == [
        f"nothing is proved to be gained by other settings: the best bear {times}; {kept}"
    ]
    assert notices(None, []) == [
        f"nothing is gained by other settings: none of those that were tried beat the present ones; {kept}"
    ]
    assert notices(faster, [1.5] * 5, chosen=faster) == []
    assert notices(faster, [1.5] * 5, chosen=replace(here, measured={"cpus": 2})) != []  # what was measured is no setting


def test_luck_is_not_speed() -> None:
    assert is_faster([1.2] * 5 + [0.9] * 2)
    assert not is_faster([1.2, 1.2, 0.9, 0.9])
    assert not is_faster([])
    assert thread_counts(1) == [1]
    assert thread_counts(12) == [1, 2, 4, 8, 12]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("objective_ms", 0.0),
        ("seconds", -1.0),
        ("rounds", 4),
        ("batch_sizes", (0,)),
        ("batch_sizes", ()),
        ("threads", (1.5,)),
        ("batch_milliseconds", (0.0,)),
        ("request_rows", 0),
    ],
)
def test_plans_that_cannot_be_are_refused(name: str, value: object) -> None:
    with pytest.raises(BadParameter, match=f"parameter '{name}'"):
        replace(Plan(), **{name: value}).check()


def test_a_card_is_written_once_however_often_a_model_is_measured(churn: Path) -> None:
    found = benchmark.benchmark(churn, plan=Plan(100.0, (1,), (1,), (), 1, 0.03))
    once = settings_text.card("# Churn\n", found)
    assert settings_text.card(once, found) == once


def test_batches_that_take_too_long_by_themselves_are_not_measured(tmp_path: Path) -> None:
    rows = ModelRows.load(write_wine_model(tmp_path / "wine", run_id=""))
    bench = Bench(rows, Setting(), seconds=0.01, rounds=1)
    found = search(bench, cpus=1, objective_ms=0.00001, batch_sizes=[64, 1, 8], threads=[1])
    assert {one.rows for stage in found.stages for one in stage.timings} == {1}
    assert "Batches of 8, 64 take longer" in found.stages[-1].description
    assert [trial.rows for trial in found.finalists] == [1]

"""optimize_cost on a real model, measured for moments, and from a real Prometheus."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from kfp import dsl
from support.exported_models import write_wine_model
from support.predictors import predictor

from stagewright.components.measurement.load import generator as load_generator
from stagewright.components.measurement.model_rows import ModelRows
from stagewright.components.optimization.cost import prometheus_curve
from stagewright.components.optimization.cost.component import optimize_cost
from stagewright.components.runtime import processes
from stagewright.components.runtime.errors import BadParameter, InputError, ServiceUnavailable
from stagewright.components.runtime.yaml_text import to_yaml
from stagewright.components.serving.manifests.inference_service import Resources, inference_service

QUICK = {"seconds": 0.15, "rounds": 1, "objective_ms": 500.0, "cpu_limits": ["1"]}


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wine_model(tmp_path_factory.mktemp("models") / "wine", run_id="")


def outputs(folder: Path) -> dict[str, dsl.Artifact]:
    return {
        "manifest": dsl.Artifact(name="manifest", uri=str(folder / "patch.yaml")),
        "metrics": dsl.Metrics(name="metrics", uri=str(folder / "metrics")),
        "report": dsl.HTML(name="report", uri=str(folder / "report.html")),
        "results": dsl.Artifact(name="results", uri=str(folder / "results.json")),
    }


def model(folder: Path) -> dsl.Model:
    return dsl.Model(name="model", uri=str(folder))


def test_a_model_is_measured_costed_and_patched(wine: Path, tmp_path: Path) -> None:
    service = inference_service(
        name="wine", version="v1.0.0", model_uri="s3://models/wine/v1.0.0/", resources=Resources("1", "1", "1Gi", "1Gi")
    )
    current = to_yaml(service)
    made = outputs(tmp_path)
    prices = {"cpu_hour": 0.03, "gib_hour": 0.004}
    cost = optimize_cost.python_func(
        model=model(wine), name="wine", trace="20", prices=prices, present=current, **made, **QUICK
    )

    found = json.loads((tmp_path / "results.json").read_text())
    assert found["passed"]
    assert {curve["how"] for curve in found["curves"]} <= {"cgroup v1 quota", "cgroup v2 quota", "CPU affinity"}
    size = found["best"]["size"]
    assert size["cpus"] == 1.0
    assert size["capacity"] > 20
    assert 30 << 20 < size["memory_bytes"] < 2 << 30
    assert found["zero"]["cold_start_seconds"] > 3  # three seconds for a container, and the start that was measured
    hour = 0.03 + 0.004 * _memory(found) / 1024
    assert cost == pytest.approx(hour / (20 * 3600) * 1e6)
    assert made["metrics"].metadata["cost_per_million"] == cost
    change = yaml.safe_load((tmp_path / "patch.yaml").read_text())
    assert change["metadata"] == {
        "annotations": {"serving.kserve.io/autoscalerClass": "none"}, "name": "wine", "namespace": "default",
    }  # fmt: skip
    assert change["spec"]["predictor"]["model"]["resources"]["limits"]["cpu"] == "1"
    assert found["patched"]["spec"]["predictor"]["model"]["storageUri"] == "s3://models/wine/v1.0.0"
    assert found["patched"]["spec"]["predictor"]["maxReplicas"] == 1
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 3
    assert "your prices of CPU and memory" in page


def _memory(found: dict) -> int:
    text = found["patch"]["spec"]["predictor"]["model"]["resources"]["requests"]["memory"]
    return int(text.removesuffix("Mi"))


def test_a_report_is_written_before_the_gate_fails(wine: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        optimize_cost.python_func(
            model=model(wine), name="wine", trace="20", **outputs(tmp_path), **QUICK | {"objective_ms": 0.0001}
        )
    assert ended.value.code == 1
    assert "No size meets the objective" in (tmp_path / "report.html").read_text()
    assert not (tmp_path / "patch.yaml").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trace": ""}, "parameter 'trace'"),
        ({"cpu_limits": ["a lot"]}, "parameter 'cpu_limits'"),
        ({"cpu_limits": ["512"]}, "a limit of 512 CPUs cannot be measured on a machine with "),
        ({"measured": ["{}"]}, "what a step measured cannot be read: KeyError 'curve'"),
        ({"measured": ['{"cpus": 1, "curve": null, "skipped": "it is away"}']}, "no size could be measured: it is away"),
        ({"mode": "Serverless"}, "parameter 'mode'"),
        ({"headroom": -1}, "parameter 'headroom'"),
        ({"prices": {"cheap": True}}, "parameter 'prices'"),
        ({"name": "No Name"}, "No Name"),
        ({"prometheus": "http://127.0.0.1:9"}, "does not answer"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    wine: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict, said: str
) -> None:
    given = {"name": "wine", "trace": "5"} | QUICK | change
    with pytest.raises(SystemExit) as ended:
        optimize_cost.python_func(model=model(wine), **outputs(tmp_path), **given)
    assert ended.value.code in (1, 2)
    failed = next(record for record in caplog.records if record.getMessage() == "step_failed")
    assert said in failed.fields["error"]


@pytest.fixture(scope="module")
def prometheus(wine: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A real Prometheus that has scraped a real predictor under load for some seconds; its address."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("prometheus is not installed")
    folder = tmp_path_factory.mktemp("prometheus")
    port = processes.free_port()
    with predictor(wine, name="wine", version="v1.0.0") as address:
        configuration = {
            "global": {"scrape_interval": "500ms"},
            "scrape_configs": [{"job_name": "predictor", "static_configs": [{"targets": [address.removeprefix("http://")]}]}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        command = [
            binary, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            requests = ModelRows.load(wine).requests("wine")
            load_generator.run_load(address, requests, connections=4, seconds=7, rate=40)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def test_what_production_saw_replaces_the_measurement(prometheus: str, wine: Path, tmp_path: Path) -> None:
    hours = 20 / 3600
    deadline = time.monotonic() + 10
    while True:
        try:
            seen = prometheus_curve.observe(prometheus, "wine", cpus=1, objective_ms=500, hours=hours, step_seconds=2)
            break
        except InputError:
            assert time.monotonic() < deadline
            time.sleep(0.5)
    assert 20 < seen.curve.size.capacity < 60  # 40 requests a second came
    assert seen.curve.size.memory_bytes > 30 << 20
    assert 0 < seen.curve.size.cpu_share <= 1
    assert not seen.curve.exceeded
    assert seen.trace.peak == pytest.approx(seen.curve.fastest)

    query = "sum(rate(stagewright_requests_total[4s]))"
    queries = {"requests": query, "p99_ms": f"0 * {query} + 5", "replicas": f"0 * {query} + 2", "cpus": f"0 * {query} + 1"}
    cost = optimize_cost.python_func(
        model=model(wine), name="wine", trace="100", prometheus=prometheus, queries=queries, hours=hours, **outputs(tmp_path),
        **QUICK,
    )  # fmt: skip
    assert cost > 0
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["best"]["size"]["p99_ms"] == 5
    assert found["best"]["size"]["cpu_share"] == 0.5
    assert found["zero"] is None
    assert "was never exceeded" in (tmp_path / "report.html").read_text()


def test_prometheus_that_knows_nothing_or_is_not_there(prometheus: str) -> None:
    look = {"cpus": 1.0, "objective_ms": 10.0, "hours": 0.01}
    with pytest.raises(InputError, match="has seen no request to model 'beer'"):
        prometheus_curve.observe(prometheus, "beer", **look)
    with pytest.raises(InputError, match=r"refuses a query: .*parse error"):
        prometheus_curve.observe(prometheus, "wine", queries={"requests": "sum("}, **look)
    several = {"requests": '{__name__=~"process_.*"}'}
    with pytest.raises(InputError, match=r"gives [0-9]+ series"):
        prometheus_curve.observe(prometheus, "wine", queries=several, **look)
    with pytest.raises(BadParameter, match="did you mean 'requests'"):
        prometheus_curve.observe(prometheus, "wine", queries={"request": "1"}, **look)
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        prometheus_curve.observe("http://127.0.0.1:9", "wine", **look)

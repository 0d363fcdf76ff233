"""Alerts and dashboards ask for metrics that exist, in queries that Prometheus understands, and fire when they should."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.manifests import find, objects

from stagewright.components.predictor.telemetry.metrics import Metrics

FOLDER = "base/monitoring"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed: it comes with Debian's prometheus")

# What others measure, by the names under which they do.
MINIO = {
    "minio_bucket_usage_total_bytes", "minio_cluster_capacity_usable_free_bytes", "minio_cluster_capacity_usable_total_bytes",
    "minio_cluster_drive_offline_total", "minio_s3_requests_4xx_errors_total", "minio_s3_requests_5xx_errors_total",
    "minio_s3_requests_total", "minio_s3_traffic_received_bytes", "minio_s3_traffic_sent_bytes",
}  # fmt: skip
MLFLOW = {"mlflow_http_request_total", "mlflow_http_request_duration_seconds_bucket"}
CLUSTER = {"up", "kube_deployment_status_replicas_unavailable", "process_cpu_seconds_total", "process_resident_memory_bytes"}


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The rules as Prometheus reads them."""
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(find(FOLDER, "PrometheusRule", "stagewright")["spec"]))
    return path


def dashboards() -> dict[str, dict[str, Any]]:
    data = find(FOLDER, "ConfigMap", "stagewright-dashboards")["data"]
    return {name: json.loads(text) for name, text in data.items()}


def queries() -> Iterator[str]:
    """Of the alerts, the recorded series and the panels; the dashboards' variables filled in."""
    for group in find(FOLDER, "PrometheusRule", "stagewright")["spec"]["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    for dashboard in dashboards().values():
        for panel in dashboard["panels"]:
            yield from (re.sub(r"\$(namespace|model)\b", ".+", target["expr"]) for target in panel["targets"])


def test_every_metric_is_one_that_somebody_measures() -> None:
    ours = set()
    for family in Metrics().registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
        ours |= {f"{family.name}{suffix}" for suffix in suffixes}
    groups = find(FOLDER, "PrometheusRule", "stagewright")["spec"]["groups"]
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}

    asked = set()
    for query in queries():
        bare = re.sub(r'"[^"]*"|\{[^}]*\}|(by|on|without)\s*\([^)]*\)|\[[^\]]*\]', " ", query)
        words = re.findall(r"[a-z][\w:]*(?!\w*\s*\()", bare)
        asked |= {word for word in words if "_" in word or word == "up"} - {"histogram_quantile"}

    assert asked <= ours | recorded | MINIO | MLFLOW | CLUSTER
    assert {name for name in asked if name.startswith("stagewright_")}, "something of ours is asked for"
    assert recorded <= asked, "what is recorded is used"


def test_labels_of_the_queries_are_the_predictor_s() -> None:
    metrics = Metrics()
    metrics.answered("churn", "v1", 200, 0.01)
    metrics.predicted("churn", 3, 0.001)

    text = metrics.exposition().body.decode()

    assert 'stagewright_requests_total{model="churn",protocol="v1",status="200"} 1.0' in text
    assert 'stagewright_request_seconds_bucket{le="0.01",model="churn",protocol="v1"}' in text
    assert 'stagewright_rows_total{model="churn"} 3.0' in text


@needs_promtool
def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    recorded = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries())]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}))

    done = subprocess.run([str(PROMTOOL), "check", "rules", str(path)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(recorded)} rules found" in done.stdout


REQUESTS = 'stagewright_requests_total{namespace="ml", pod="a", model="churn", protocol="v1", status="%s"}'
BUCKET = 'stagewright_request_seconds_bucket{namespace="ml", pod="a", model="churn", protocol="v1", le="%s"}'
ROWS = 'stagewright_rows_total{namespace="ml", pod="a", model="churn"}'
CASES = {
    "two in a hundred fail": (
        {REQUESTS % 200: "0+98x30", REQUESTS % 503: "0+2x30"}, "12m", "StagewrightModelErrors",
        [{"namespace": "ml", "model": "churn", "severity": "critical"}],
    ),
    "one in a thousand fails": (
        {REQUESTS % 200: "0+999x30", REQUESTS % 500: "0+1x30"}, "12m", "StagewrightModelErrors", [],
    ),
    "callers make mistakes": ({REQUESTS % 400: "0+50x30", REQUESTS % 200: "0+50x30"}, "12m", "StagewrightModelErrors", []),
    "no errors yet": ({REQUESTS % 200: "0+50x30"}, "12m", "StagewrightModelErrors", []),
    "slow": (
        {BUCKET % 0.25: "0+90x40", BUCKET % 0.5: "0+100x40", BUCKET % "+Inf": "0+100x40"}, "20m", "StagewrightModelSlow",
        [{"namespace": "ml", "model": "churn", "severity": "warning"}],
    ),
    "fast": ({BUCKET % 0.25: "0+100x40", BUCKET % "+Inf": "0+100x40"}, "20m", "StagewrightModelSlow", []),
    "nobody asks any more": (
        {ROWS: "0+10x120 1200x180"}, "3h40m", "StagewrightModelWithoutTraffic",
        [{"namespace": "ml", "model": "churn", "severity": "warning"}],
    ),
    "never asked": ({ROWS: "0x300"}, "3h40m", "StagewrightModelWithoutTraffic", []),
    "asked all the time": ({ROWS: "0+1x300"}, "3h40m", "StagewrightModelWithoutTraffic", []),
    "a replica is missing": (
        {'kube_deployment_status_replicas_unavailable{namespace="ml", deployment="churn-predictor"}': "1x30"}, "15m",
        "StagewrightModelReplicaNotReady",
        [{"namespace": "ml", "deployment": "churn-predictor", "severity": "warning"}],
    ),
    "a replica of something else is missing": (
        {'kube_deployment_status_replicas_unavailable{namespace="ml", deployment="shop"}': "1x30"}, "15m",
        "StagewrightModelReplicaNotReady", [],
    ),
    "a server does not answer Prometheus": (
        {'up{job="ml/stagewright-predictor", namespace="ml", pod="a"}': "0x30"}, "10m", "StagewrightModelNotScraped",
        [{"job": "ml/stagewright-predictor", "namespace": "ml", "pod": "a", "severity": "warning"}],
    ),
    "the store is full": (
        {'minio_cluster_capacity_usable_free_bytes{namespace="ml", instance="a"}': "10x60",
         'minio_cluster_capacity_usable_total_bytes{namespace="ml", instance="a"}': "100x60"}, "45m",
        "StagewrightObjectStoreFull", [{"namespace": "ml", "severity": "warning"}],
    ),
    "MLflow is away": (
        {'up{job="mlflow", namespace="ml", instance="b"}': "0x30"}, "10m", "StagewrightTrackingDown",
        [{"job": "mlflow", "namespace": "ml", "instance": "b", "severity": "critical"}],
    ),
}  # fmt: skip


@needs_promtool
@pytest.mark.parametrize("case", CASES)
def test_an_alert_fires_when_it_should(case: str, rules: Path, tmp_path: Path) -> None:
    series, when, alert, expected = CASES[case]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": when, "alertname": alert, "exp_alerts": [{"exp_labels": labels} for labels in expected]}
        ],
    }
    # Texts are not what is tested: promtool compares them, too, so they are taken out.
    content = yaml.safe_load(rules.read_text())
    for group in content["groups"]:
        for rule in group["rules"]:
            rule.pop("annotations", None)
    rules.write_text(yaml.safe_dump(content))
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}))

    done = subprocess.run([str(PROMTOOL), "test", "rules", str(path)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_says_what_and_where() -> None:
    for group in find(FOLDER, "PrometheusRule", "stagewright")["spec"]["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                assert rule["labels"]["severity"] in {"critical", "warning"}
                assert {"summary", "description"} <= rule["annotations"].keys()
                assert "$labels." in rule["annotations"]["description"]


def test_monitors_find_the_services_and_their_ports() -> None:
    services = [item for item in objects("overlays/production") if item["kind"] == "Service"]
    for monitor in (item for item in objects("overlays/production") if item["kind"] == "ServiceMonitor"):
        selector = monitor["spec"]["selector"]
        wanted = dict(selector.get("matchLabels", {}))
        wanted |= {rule["key"]: rule["values"][0] for rule in selector.get("matchExpressions", [])}
        found = [item for item in services if wanted.items() <= item["metadata"]["labels"].items()]
        assert len(found) == 1, monitor["metadata"]["name"]
        ports = {port["name"] for port in found[0]["spec"]["ports"]}
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports


@pytest.mark.parametrize("name", ["models.json", "platform.json"])
def test_a_dashboard_is_whole(name: str) -> None:
    dashboard = dashboards()[name]

    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(numbers) == len(set(numbers))
    assert {variable["name"] for variable in dashboard["templating"]["list"]} >= {"source", "namespace"}
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(places) == len(set(places))

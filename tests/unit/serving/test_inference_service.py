"""The InferenceService that we make, against KServe's own schemas."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stagewright.components.images import image
from stagewright.components.runtime.errors import BadParameter
from stagewright.components.runtime.yaml_text import to_yaml
from stagewright.components.serving.manifests.inference_service import MODES, Replicas, Resources, inference_service
from stagewright.components.serving.manifests.serving_runtime import serving_runtime, storage_access

SHARED = Path(__file__).parents[4] / "shared"
VALIDATOR, CRDS = SHARED / "tools/validate_manifests.py", SHARED / "crds"


def make(**changes: Any) -> dict[str, Any]:
    given = {"name": "churn", "version": "v1.2.0", "model_uri": "s3://models/churn/v1.2.0/", "digest": "sha256:" + "a" * 64}
    return inference_service(**given | changes)


@pytest.mark.skipif(not VALIDATOR.exists(), reason="the validator and KServe's CRDs lie in ../shared, which this clone lacks")
@pytest.mark.parametrize("replicas", [Replicas(), Replicas(1, 4)], ids=["one", "scaled"])
@pytest.mark.parametrize("mode", MODES)
def test_services_are_valid_for_kserve(tmp_path: Path, mode: str, replicas: Replicas) -> None:
    text = to_yaml(
        make(mode=mode, replicas=replicas, traffic=20 if mode == "Knative" else 100),
        serving_runtime(namespace="default", registry="registry.example.com", tag="1.0.0"),
        *storage_access(endpoint="https://minio.minio.svc:9000", namespace="default"),
    )
    (tmp_path / "manifest.yaml").write_text(text)

    done = subprocess.run(
        [sys.executable, str(VALIDATOR), "--crds", str(CRDS), str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 objects valid, 0 invalid, 0 skipped" in done.stdout + done.stderr


@pytest.mark.skipif(not VALIDATOR.exists(), reason="the validator and KServe's CRDs lie in ../shared, which this clone lacks")
def test_the_validator_would_see_a_mistake(tmp_path: Path) -> None:
    document = make()
    document["spec"]["predictor"]["model"]["storageURI"] = "s3://typo"
    (tmp_path / "manifest.yaml").write_text(to_yaml(document))

    done = subprocess.run(
        [sys.executable, str(VALIDATOR), "--crds", str(CRDS), str(tmp_path)], capture_output=True, check=False
    )

    assert done.returncode == 1


@pytest.mark.parametrize("mode", MODES)
def test_what_kserve_would_choose_is_written_out(mode: str) -> None:
    document = make(mode=mode)

    predictor = document["spec"]["predictor"]
    model = predictor["model"]
    assert document["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == mode
    assert model["runtime"] == "stagewright-predictor"
    assert model["protocolVersion"] == "v2"
    assert model["modelFormat"] == {"name": "onnx"}
    assert model["storageUri"] == "s3://models/churn/v1.2.0"
    assert predictor["serviceAccountName"] == "stagewright-predictor"
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (1, 1)
    assert model["readinessProbe"]["httpGet"] == {"path": "/v2/models/churn/ready", "port": 8080}
    assert {"livenessProbe", "startupProbe"} <= model.keys()


@pytest.mark.parametrize("container", [make()["spec"]["predictor"]["model"], serving_runtime()["spec"]["containers"][0]])
def test_containers_are_confined(container: dict[str, Any]) -> None:
    security = container["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] == 65532
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    for kind in ("requests", "limits"):
        assert set(container["resources"][kind]) == {"cpu", "memory"}


def test_the_runtime_serves_what_services_ask_for() -> None:
    runtime = serving_runtime()

    model = make()["spec"]["predictor"]["model"]
    assert runtime["metadata"]["name"] == model["runtime"]
    assert model["modelFormat"]["name"] in {given["name"] for given in runtime["spec"]["supportedModelFormats"]}
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    assert runtime["spec"]["containers"][0]["image"] == image("predictor")


def test_a_secret_never_has_values() -> None:
    secret, account = storage_access(endpoint="http://minio:9000")

    assert not {"data", "stringData"} & secret.keys()
    assert secret["metadata"]["annotations"]["serving.kserve.io/s3-endpoint"] == "minio:9000"
    assert secret["metadata"]["annotations"]["serving.kserve.io/s3-usehttps"] == "0"
    assert account["secrets"] == [{"name": secret["metadata"]["name"]}]
    assert account["metadata"]["name"] == make()["spec"]["predictor"]["serviceAccountName"]


@pytest.mark.parametrize(("replicas", "autoscaler"), [(Replicas(), "none"), (Replicas(1, 3), "hpa")])
def test_the_autoscaler_is_explicit(replicas: Replicas, autoscaler: str) -> None:
    assert make(replicas=replicas)["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == autoscaler


def test_a_canary_is_refused_where_kserve_would_ignore_it() -> None:
    assert make(mode="Knative", traffic=10)["spec"]["predictor"]["canaryTrafficPercent"] == 10
    with pytest.raises(BadParameter, match="expected 100 in Standard mode, where KServe ignores a canary's share"):
        make(traffic=10)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"variant": "tpu"}, "parameter 'variant' is 'tpu'; expected one of cpu, cpu-int8, gpu, gpu-fp16"),
        ({"mode": "Serverless"}, "parameter 'mode' is 'Serverless'; expected one of Standard, Knative"),
        ({"name": "Churn"}, "parameter 'name' is 'Churn'; expected lower-case"),
        ({"name": "a" * 54}, "expected at most 53 characters for KServe in Standard mode"),
        ({"name": "a" * 48, "mode": "Knative"}, "expected at most 47 characters for KServe in Knative mode"),
        (
            {"name": "m" * 40, "namespace": "n" * 13},
            (
                f"parameter 'name' is '{'m' * 40}'; expected a name or a namespace shorter by 1: KServe makes the host "
                f"{'m' * 40}-predictor-{'n' * 13} of them, which has 64 characters, and a DNS label has at most 63"
            ),
        ),
        ({"name": "churn", "namespace": "n" * 63}, "expected a name or a namespace shorter by 16: KServe makes the host"),
        ({"namespace": "My Space"}, "parameter 'namespace' is 'My Space'"),
        ({"version": "1.0"}, "parameter 'version' is '1.0'"),
        ({"model_uri": "/tmp/model"}, "parameter 'model_uri' is '/tmp/model'; expected the s3:// URI"),
        (
            {"resources": Resources(memory_limit="512 MB")},
            "parameter 'memory_limit' is '512 MB'; expected a Kubernetes quantity",
        ),
        ({"replicas": Replicas(0, 1)}, "parameter 'min_replicas' is 0; expected at least 1 in Standard mode"),
        ({"replicas": Replicas(3, 2)}, "parameter 'max_replicas' is 2; expected at least 3"),
        ({"traffic": 0}, "parameter 'traffic' is 0; expected a percentage"),
    ],
)
def test_unusable_parameters_are_named(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadParameter) as refused:
        make(**changes)
    assert sentence in str(refused.value)


def test_the_text_is_the_same_every_time_and_reads_back() -> None:
    assert to_yaml(make()) == to_yaml(make())
    assert yaml.safe_load(to_yaml(make())) == make()


@pytest.mark.parametrize(
    "value", ["y", "on", "1e3", "0x1f", "1_000", "null", "~", "12:30:00", "# no", "a: b", "", "- x", "two\nlines"]
)
def test_strings_stay_strings(value: str) -> None:
    text = to_yaml({"value": value})

    assert yaml.safe_load(text) == {"value": value}
    assert not text.startswith(f"value: {value}\n"), "a bare word that another reader would take for something else"


@pytest.mark.parametrize(
    ("name", "namespace", "mode"),
    [("m" * 40, "n" * 12, "Standard"), ("m", "n" * 51, "Standard"), ("m" * 47, "n" * 63, "Knative")],
)
def test_the_longest_names_are_taken(name: str, namespace: str, mode: str) -> None:
    made = make(name=name, namespace=namespace, mode=mode)
    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == (name, namespace)

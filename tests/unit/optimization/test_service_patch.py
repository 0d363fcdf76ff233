"""The recommendation as a patch that a cluster would take."""

import subprocess
from pathlib import Path

import pytest
import yaml
from support.manifests import CRDS, KUBECTL, VALIDATOR, validate

from stagewright.components.measurement.replica import MIB
from stagewright.components.optimization.cost.service_patch import Recommendation, bytes_of, merged, patch, present
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.yaml_text import to_yaml
from stagewright.components.serving.manifests.inference_service import Replicas, Resources, inference_service

MEMORY = (128 * MIB, 160 * MIB)
RECOMMENDED = {
    "autoscaled": Recommendation(0.5, *MEMORY, 1, 4, "Standard", "cpu", 70),
    "fixed": Recommendation(1.0, *MEMORY, 2, 2, "Standard"),
    "asleep": Recommendation(0.25, *MEMORY, 0, 3, "Knative", "rps", 300),
}


def service(mode: str, *, most: int = 3) -> dict:
    return inference_service(
        name="churn", version="v1.0.0", model_uri="s3://models/churn/v1.0.0/", mode=mode, namespace="scoring",
        resources=Resources("2", "4", "1Gi", "2Gi"), replicas=Replicas(1, most),
    )  # fmt: skip


@pytest.fixture(params=sorted(RECOMMENDED))
def recommended(request: pytest.FixtureRequest) -> Recommendation:
    return RECOMMENDED[request.param]


def test_kustomize_and_we_patch_alike_and_the_result_is_valid(recommended: Recommendation, tmp_path: Path) -> None:
    base, change = service(recommended.mode), patch("churn", "scoring", recommended)
    (tmp_path / "service.yaml").write_text(to_yaml(base))
    (tmp_path / "patch.yaml").write_text(to_yaml(change))
    kustomization = {"resources": ["service.yaml"], "patches": [{"path": "patch.yaml"}]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))

    done = subprocess.run([str(KUBECTL), "kustomize", str(tmp_path)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    built = yaml.safe_load(done.stdout)
    assert built == merged(base, change)
    if not (VALIDATOR.exists() and CRDS.exists()):
        pytest.skip("the schemas of KServe are not here")
    out = tmp_path / "built"
    out.mkdir()
    (out / "service.yaml").write_text(done.stdout)
    validated = validate(out)
    assert validated.returncode == 0, validated.stdout + validated.stderr


def test_the_patch_says_what_was_recommended() -> None:
    built = merged(service("Standard"), patch("churn", "scoring", RECOMMENDED["autoscaled"]))
    predictor = built["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (1, 4)
    assert (predictor["scaleMetric"], predictor["scaleTarget"]) == ("cpu", 70)
    assert predictor["model"]["resources"] == {
        "requests": {"cpu": "500m", "memory": "128Mi"}, "limits": {"cpu": "500m", "memory": "160Mi"},
    }  # fmt: skip
    assert built["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "hpa"
    assert predictor["model"]["storageUri"] == "s3://models/churn/v1.0.0"


def test_a_fixed_number_of_replicas_has_no_autoscaler() -> None:
    built = merged(service("Standard"), patch("churn", "scoring", RECOMMENDED["fixed"]))
    assert built["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "none"
    assert not {"scaleMetric", "scaleTarget"} & set(built["spec"]["predictor"])


def test_the_present_service_is_read_from_a_file_or_text(tmp_path: Path) -> None:
    path = tmp_path / "service.yaml"
    path.write_text("kind: Namespace\n---\n" + to_yaml(service("Standard")))
    for given in (str(path), path.read_text()):
        found = present(given)
        assert (found.cpus, found.gib, found.least, found.most) == (2.0, 1.0, 1, 3)
        assert found.document == service("Standard")


def test_without_one_the_defaults_of_deploying_are_taken() -> None:
    found = present("")
    assert (found.cpus, found.gib, found.least, found.most, found.document) == (0.25, 0.25, 1, 1, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere.yaml", "there is no InferenceService at nowhere.yaml"),
        ("kind: Pod\n", "found 0"),
        ("a: [\n", "not YAML"),
        ("kind: InferenceService\nspec: {}\n", "has no spec.predictor.model.resources.requests.cpu"),
    ],
)
def test_what_is_no_service_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        present(text)


def test_memory_in_every_unit() -> None:
    assert [bytes_of(text) for text in ("1Ki", "1k", "1.5Gi", "100", "1000m")] == [1024, 1000, 1.5 * 2**30, 100, 1]
    with pytest.raises(InputError, match="not a quantity"):
        bytes_of("1 GB")

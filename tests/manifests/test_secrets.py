"""Credentials are made at random, put into a cluster once, and never stand in a file."""

import base64
import re

import pytest
import yaml
from support.manifests import MANIFESTS, find, kustomizations, objects, rendered
from typer.testing import CliRunner

from stagewright.components.serving.manifests.serving_runtime import STORAGE_SECRET
from stagewright.pipelines.cli.main import app
from stagewright.pipelines.cli.secrets import CREDENTIALS, documents

NAMES = [credentials.name for credentials in CREDENTIALS]


def _values(document: dict) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in document["data"].items()}


def test_no_two_passwords_are_equal_and_all_are_long() -> None:
    made = [*documents("stagewright"), *documents("stagewright")]
    fixed = {value for credentials in CREDENTIALS for value in credentials.fixed.values()}
    random = [value for document in made for value in _values(document).values() if value not in fixed]

    assert len(random) == len(set(random)) == 2 * len(CREDENTIALS)
    assert all(re.fullmatch(r"[A-Za-z0-9]{40}", value) for value in random)


def test_each_consumer_of_the_store_has_a_user_of_its_own() -> None:
    users = [credentials.fixed["AWS_ACCESS_KEY_ID"] for credentials in CREDENTIALS if "AWS_ACCESS_KEY_ID" in credentials.fixed]

    assert sorted(users) == ["artifacts", "mlflow", "monitoring", "predictor", "steps"]


def test_the_predictors_secret_tells_kserve_where_the_store_is() -> None:
    (secret,) = (item for item in documents("ml") if item["metadata"]["name"] == STORAGE_SECRET)

    annotations = secret["metadata"]["annotations"]
    assert annotations["serving.kserve.io/s3-endpoint"] == "minio.ml.svc:9000"
    assert annotations["serving.kserve.io/s3-usehttps"] == "0"


def test_the_command_prints_objects_only_when_asked() -> None:
    shown = CliRunner().invoke(app, ["secrets", "--namespace", "ml", "--print"])

    found = list(yaml.safe_load_all(shown.output))
    assert [item["metadata"]["name"] for item in found] == NAMES
    assert {item["metadata"]["namespace"] for item in found} == {"ml"}


def test_external_secrets_bring_the_same_names_and_keys() -> None:
    for document in documents("stagewright", endpoint="https://minio.stagewright.svc:9000", authority="minio-ca"):
        name = document["metadata"]["name"]
        external = find("overlays/production", "ExternalSecret", name)
        assert {item["secretKey"] for item in external["spec"]["data"]} == document["data"].keys()
        wanted = {
            key: value for key, value in document["metadata"]["annotations"].items() if key.startswith("serving.kserve.io/")
        }
        target = external["spec"].get("target", {}).get("template", {}).get("metadata", {})
        assert target.get("annotations", {}) == wanted


# A word that names a secret, and a value after it that is neither a reference nor the name of a file or a key.
LITERAL = re.compile(r"(?i)(password|passwd|secret_?key|access_?key|token|api_?key)[\"']?\s*[:=]\s*[\"']?([^\s\"',}{]+)")
REFERENCE = re.compile(
    r"(AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY)|MINIO_ROOT_(USER|PASSWORD)|password|username|tls\.(crt|key)|ca\.crt|url|false|\$.*|\|)"
)


@pytest.mark.parametrize("folder", kustomizations())
def test_no_secret_is_in_what_is_rendered(folder: str) -> None:
    assert not [item["metadata"]["name"] for item in objects(folder) if item["kind"] == "Secret"]
    assert not [found.group(0) for found in LITERAL.finditer(_without_specs(folder)) if not REFERENCE.fullmatch(found.group(2))]


def _without_specs(folder: str) -> str:
    """A pipeline's spec speaks of passwords in its documentation; `compile` refuses those in its environment."""
    return "" if folder.startswith("gitops/pipelines") else rendered(folder)


def test_no_file_of_the_tree_holds_a_value() -> None:
    for path in (path for path in MANIFESTS.rglob("*") if path.is_file() and "versions" not in path.parts):
        text = path.read_text()
        assert "kind: Secret\n" not in text.replace("kind: Secret}\n", ""), path
        assert "stringData" not in text, path
        assert "BEGIN" not in text, path
        assert not [found.group(0) for found in LITERAL.finditer(text) if not REFERENCE.fullmatch(found.group(2))], path


def test_the_search_would_find_a_password() -> None:
    for line in ("password: hunter2", 'value: "x"\nMINIO_ROOT_PASSWORD: minio123', "AWS_SECRET_ACCESS_KEY=abc"):
        assert any(not REFERENCE.fullmatch(found.group(2)) for found in LITERAL.finditer(line)), line

"""docs/cluster.md says what the tree holds."""

import json
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import yaml
from support.manifests import MANIFESTS, ROOT, containers, objects

from stagewright.pipelines.cli.secrets import CREDENTIALS

PAGE = (ROOT / "docs/cluster.md").read_text()


def test_the_images_to_mirror_are_those_that_run() -> None:
    told = set(re.findall(r"^\| `([^`]+)` \|", PAGE.split("<!-- images")[1].split("<!-- end -->")[0], re.MULTILINE))

    run = {container["image"] for item in objects("base") for container in containers(item) if "image" in container}
    compiled = json.dumps(objects("gitops/pipelines/production"))
    run |= set(re.findall(r'"image": "registry\.example\.com/ml/([^"]+)"', compiled))
    assert told == run


def test_the_folders_that_the_page_applies_are_there() -> None:
    for path in re.findall(r"-k (manifests/[\w/-]+)", PAGE):
        assert (ROOT / path / "kustomization.yaml").is_file(), path


def test_the_components_of_production_are_told() -> None:
    told = re.findall(r"^\| `([a-z-]+)` \| ", PAGE.split("## Production")[1].split("## GitOps")[0], re.MULTILINE)

    assert set(told) == {folder.name for folder in (MANIFESTS / "overlays/production").iterdir() if folder.is_dir()}


def test_numbers_of_the_page_are_right() -> None:
    assert len(CREDENTIALS) == 7, "the page says seven"
    assert f"stagewright-$group:{version('stagewright')}" in PAGE


API_SERVER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: ml-pipeline}
spec:
  template:
    spec:
      containers:
        - name: ml-pipeline-api-server
          image: example/kubeflow/kfp-api-server:2.17.0
          env: [{name: OBJECTSTORECONFIG_HOST, value: seaweedfs.kubeflow}, {name: OBJECTSTORECONFIG_PORT, value: "9000"}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: pipeline-install-config}
data: {bucketName: mlpipeline}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: workflow-controller-configmap}
data:
  artifactRepository: |
    archiveLogs: true
    s3:
      endpoint: "seaweedfs.kubeflow.svc:9000"
      keyFormat: "private-artifacts/{{workflow.namespace}}/{{pod.name}}"
"""


def test_kubeflows_addresses_follow_into_our_namespace(tmp_path: Path) -> None:
    (text,) = re.findall(r"cat > build/kubeflow/pipelines/kustomization.yaml <<'END'\n(.*?)\nEND\n", PAGE, re.DOTALL)
    (resource,) = re.findall(r"https://[^\"]*platform-agnostic\?ref=2\.17\.0", text)
    (tmp_path / "kustomization.yaml").write_text(text.replace(resource, "kubeflow.yaml"))
    (tmp_path / "kubeflow.yaml").write_text(API_SERVER)
    done = subprocess.run(["kubectl", "kustomize", str(tmp_path)], capture_output=True, text=True, check=True)
    objects = {one["metadata"]["name"]: one for one in yaml.safe_load_all(done.stdout)}
    assert {one["metadata"]["namespace"] for one in objects.values()} == {"stagewright"}
    (container,) = objects["ml-pipeline"]["spec"]["template"]["spec"]["containers"]
    assert container["env"][0]["value"] == "seaweedfs.stagewright"
    repository = yaml.safe_load(objects["workflow-controller-configmap"]["data"]["artifactRepository"])
    assert repository["s3"]["endpoint"] == "seaweedfs.stagewright.svc:9000"
    assert repository["s3"]["keyFormat"] == "private-artifacts/{{workflow.namespace}}/{{pod.name}}"


def test_the_command_finds_images_wherever_they_stand(tmp_path: Path) -> None:
    (command,) = re.findall(r"^grep -hoE .*\n.*images\.txt$", PAGE, re.MULTILINE)
    folder = tmp_path / "build/offline"
    folder.mkdir(parents=True)
    (folder / "some.yaml").write_text(
        "image: example.com/kubeflow/kfp-api-server:2.17.0\nimage: mysql:8.4\n- value: example.com/kubeflow/kfp-driver:2.17.0\n"
        '- --executor-image\n- example.com/argoproj/argoexec:v4.0.5\n  "image" : "kserve/router:v0.20.0",\n'
        "endpoint: http://minio:9000\nvalue: seaweedfs.stagewright:9000\n"
    )
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    assert (folder / "images.txt").read_text().split() == [
        "example.com/argoproj/argoexec:v4.0.5", "example.com/kubeflow/kfp-api-server:2.17.0",
        "example.com/kubeflow/kfp-driver:2.17.0", "kserve/router:v0.20.0", "mysql:8.4",
    ]  # fmt: skip


def test_the_page_counts_the_runtimes() -> None:
    made = [one for one in objects("overlays/kind") if one["kind"] == "ServingRuntime"]
    names = re.findall(r"`([a-z-]+)`", re.search(r"get servingruntime` \| four: (.*) \|", PAGE)[1])  # type: ignore[index]
    assert sorted(names) == sorted(one["metadata"]["name"] for one in made)
    assert len(names) == 4

"""GitOps trees: rendered twice the same, changed by one line, built by the real kustomize, committed by the real git."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from support.exported_models import write_wine_model

from stagewright.components.runtime.errors import BadParameter, InputError, MissingSetting
from stagewright.components.runtime.storage import ObjectStore
from stagewright.components.serving.manifests.inference_service import Replicas, Resources, inference_service
from stagewright.components.serving.publish import publish
from stagewright.components.serving.variants import VARIANTS
from stagewright.pipelines.cli import main as cli
from stagewright.pipelines.cli.render import Rendering, render, update

SHARED = Path(__file__).parents[3] / "shared"
SETTINGS = {"resources": Resources(cpu_limit="2"), "replicas": Replicas(2, 5)}
ONE_LINE = "1\t1\tstaging/churn/inference-service.yaml"


@pytest.fixture(autouse=True)
def own_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git without the configuration of whoever runs the tests."""
    (tmp_path / "gitconfig").write_text("[user]\nname = Tester\nemail = tester@example.com\n[init]\ndefaultBranch = main\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "repository").mkdir()
    git(tmp_path / "repository", "init", "--quiet")
    return tmp_path / "repository"


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def churn(version: str = "v1.2.0", **changes: Any) -> Rendering:
    return Rendering(**{"name": "churn", "version": version, "namespace": "staging", **changes})


def built(folder: Path) -> dict[str, dict[str, Any]]:
    """What a controller applies: the objects by kind and name, as kustomize builds them."""
    text = subprocess.run(["kubectl", "kustomize", str(folder)], check=True, capture_output=True, text=True).stdout
    documents = list(yaml.safe_load_all(text))
    return {f"{document['kind']}/{document['metadata']['name']}": document for document in documents}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.yaml")}


def service(version: str, **changes: Any) -> dict[str, Any]:
    given = {"name": "churn", "namespace": "staging", "model_uri": f"s3://models/churn/{version}", **changes}
    return inference_service(version=version, **given)


@pytest.mark.parametrize("mode", ["Standard", "Knative"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_tree_builds_to_what_deploying_would_apply(tmp_path: Path, variant: str, mode: str) -> None:
    settings = {**SETTINGS, "variant": variant, "mode": mode}
    written = render(churn(settings=settings), str(tmp_path))
    assert written.path == tmp_path / "staging/churn"
    assert built(written.path) == {"InferenceService/churn": service("v1.2.0", **settings)}


def test_rendering_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        render(churn(settings=SETTINGS), str(tmp_path / folder))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert not render(churn(settings=SETTINGS), str(tmp_path / "one")).changed


@pytest.mark.parametrize("variant", VARIANTS)
def test_another_version_is_one_line(repository: Path, variant: str) -> None:
    settings = {**SETTINGS, "variant": variant}
    written = render(churn(settings=settings), str(repository), commit=True)
    render(churn("v1.3.0", settings=settings), str(repository))
    assert git(repository, "diff", "--numstat") == ONE_LINE
    assert built(written.path) == {"InferenceService/churn": service("v1.3.0", **settings)}


def test_update_changes_one_line_and_keeps_the_rest(repository: Path) -> None:
    written = render(churn(settings=SETTINGS), str(repository), commit=True)
    done = update(churn("v1.3.0"), str(repository), commit=True)
    assert git(repository, "show", "--numstat", "--format=%s", done.commit).split("\n") == [
        "Deploy churn v1.3.0 to staging", "", ONE_LINE,
    ]  # fmt: skip
    assert built(written.path) == {"InferenceService/churn": service("v1.3.0", **SETTINGS)}
    assert not update(churn("v1.3.0"), str(repository)).changed


def test_a_version_that_is_changed_by_hand_is_as_good(repository: Path) -> None:
    written = render(churn(settings=SETTINGS), str(repository), commit=True)
    file = written.path / "inference-service.yaml"
    file.write_text(file.read_text().replace("v1.2.0", "v1.3.0"))
    assert git(repository, "diff", "--numstat") == ONE_LINE
    assert built(written.path) == {"InferenceService/churn": service("v1.3.0", **SETTINGS)}


def test_a_canary_in_standard_mode_is_two_services_behind_a_graph(tmp_path: Path) -> None:
    written = render(churn(settings=SETTINGS, canary="v1.3.0", traffic=10), str(tmp_path))
    objects = built(written.path)
    assert objects["InferenceService/churn"] == service("v1.2.0", **SETTINGS)
    newer = service("v1.3.0", **SETTINGS, name="churn-canary")
    assert objects["InferenceService/churn-canary"] == newer
    graph = objects["InferenceGraph/churn-split"]
    root = graph["spec"]["nodes"]["root"]
    assert root["routerType"] == "Splitter"
    assert [(step["serviceName"], step["weight"]) for step in root["steps"]] == [("churn", 90), ("churn-canary", 10)]
    assert len(objects) == 3


def test_the_end_of_a_canary_removes_its_files(repository: Path) -> None:
    render(churn(settings=SETTINGS), str(repository), commit=True)
    render(churn(settings=SETTINGS, canary="v1.3.0", traffic=10), str(repository), commit=True)
    written = render(churn("v1.3.0", settings=SETTINGS), str(repository), commit=True)
    assert sorted(contents(written.path)) == ["inference-service.yaml", "kustomization.yaml"]
    assert git(repository, "diff", "--numstat", "HEAD~2") == ONE_LINE
    assert git(repository, "status", "--porcelain") == ""


def test_a_canary_in_knative_mode_is_a_share_of_the_same_service(tmp_path: Path) -> None:
    settings = {**SETTINGS, "mode": "Knative"}
    with pytest.raises(InputError, match=r"but the folder has none; render churn v1.2.0 without a canary first"):
        render(churn(settings=settings, canary="v1.3.0", traffic=10), str(tmp_path))
    render(churn(settings=settings), str(tmp_path))
    for traffic in (10, 50):
        written = render(churn(settings=settings, canary="v1.3.0", traffic=traffic), str(tmp_path))
        assert built(written.path) == {"InferenceService/churn": service("v1.3.0", **settings, traffic=traffic)}
    with pytest.raises(InputError, match=r"but the folder has v1.3.0; render churn v1.1.0 without a canary first"):
        render(churn("v1.1.0", settings=settings, canary="v1.4.0", traffic=10), str(tmp_path))


@pytest.mark.skipif(not (SHARED / "crds").is_dir(), reason="the schemas of the cluster's objects are not here")
@pytest.mark.parametrize("mode", ["Standard", "Knative"])
def test_the_cluster_would_accept_every_object(tmp_path: Path, mode: str) -> None:
    settings = {**SETTINGS, "mode": mode}
    render(churn(settings=settings), str(tmp_path))
    written = render(churn(settings=settings, canary="v1.3.0", traffic=10), str(tmp_path))
    (tmp_path / "built.yaml").write_text(yaml.safe_dump_all(built(written.path).values()))
    tool = [sys.executable, str(SHARED / "tools/validate_manifests.py"), "--crds", str(SHARED / "crds")]
    done = subprocess.run([*tool, str(tmp_path / "built.yaml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": "1.2.0"}, "parameter 'version' is '1.2.0'; expected vMAJOR.MINOR.PATCH, such as 'v1.0.0'"),
        ({"version": "latest"}, "parameter 'version' is 'latest'"),
        ({"name": "Churn"}, "parameter 'name' is 'Churn'; expected lower-case letters"),
        ({"namespace": "Team_A"}, "parameter 'namespace' is 'Team_A'"),
        ({"namespace": "../other"}, "parameter 'namespace' is '../other'"),
        ({"settings": {"variant": "gpux"}}, r"parameter 'variant' is 'gpux'; .* \(did you mean 'gpu'\?\)"),
        ({"settings": {"mode": "Serverless"}}, "parameter 'mode' is 'Serverless'; expected one of Standard, Knative"),
        ({"settings": {"replicas": Replicas(0, 1)}}, "parameter 'min_replicas' is 0; expected at least 1 in Standard mode"),
        ({"settings": {"resources": Resources("a lot")}}, "parameter 'cpu_request' is 'a lot'"),
        ({"traffic": 10}, "parameter 'traffic' is 10; expected --canary with the version"),
        ({"canary": "v1.3.0"}, "parameter 'traffic' is 0; expected the canary's share, a percentage from 1 to 99"),
        ({"canary": "v1.3.0", "traffic": 100}, "parameter 'traffic' is 100"),
        ({"canary": "v1.2.0", "traffic": 10}, "parameter 'canary' is 'v1.2.0'; expected another version"),
        ({"canary": "v1.3", "traffic": 10}, "parameter 'version' is 'v1.3'"),
    ],
)
def test_what_cannot_be_rendered_is_one_sentence(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadParameter, match=sentence) as refused:
        render(churn(**changes), str(tmp_path))
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.rglob("*.yaml"))


def test_the_mode_of_a_service_that_is_there_is_kept(tmp_path: Path) -> None:
    render(churn(), str(tmp_path))
    with pytest.raises(
        BadParameter, match="parameter 'mode' is 'Knative'; expected Standard, the mode of the existing service"
    ):
        render(churn(settings={"mode": "Knative"}), str(tmp_path))


def test_update_needs_something_to_update(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no manifests to update in .*/staging/churn; run without --update to render them first"
    ):
        update(churn(), str(tmp_path))
    with pytest.raises(BadParameter, match="parameter 'version' is 'newest'"):
        update(churn("newest"), str(tmp_path))
    render(churn(canary="v1.3.0", traffic=10), str(tmp_path))
    with pytest.raises(InputError, match=r"a canary is active in .*/staging/churn; run without --update"):
        update(churn("v1.3.0"), str(tmp_path))


def test_a_commit_needs_a_working_tree(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no git working tree, so nothing can be committed"):
        render(churn(), str(tmp_path), commit=True)
    with pytest.raises(InputError, match=r"the gitops folder .*/nowhere does not exist"):
        render(churn(), str(tmp_path / "nowhere"))


def test_the_store_is_asked_only_if_wanted(tmp_path: Path, object_store: str) -> None:
    store = ObjectStore.from_environment("a test publishes a model")
    name = f"wine-{uuid4().hex[:8]}"
    publish(write_wine_model(tmp_path / "model"), store, name=name, version="v1.0.0")
    assert render(churn("v1.0.0", name=name), str(tmp_path), check=True).changed
    with pytest.raises(InputError, match=rf"no model is published at s3://models/{name}/v1.1.0"):
        update(churn("v1.1.0", name=name), str(tmp_path), check=True)
    assert update(churn("v1.1.0", name=name), str(tmp_path)).changed


def test_the_store_has_to_be_known_to_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MissingSetting, match="published versions are checked in the object store"):
        render(churn(), str(tmp_path), check=True)


def test_command_renders_and_commits(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(
            sys, "argv", ["stagewright", "render", "churn", "--folder", str(repository), "--namespace", "staging", *words]
        )
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), "".join(capsys.readouterr())

    code, out = command("--version", "v1.2.0", "--max-replicas", "3", "--commit")
    assert (code, out) == (0, f"{repository}/staging/churn: committed {git(repository, 'rev-parse', 'HEAD')[:10]}\n")
    code, out = command("--version", "v1.3.0", "--update", "--json")
    assert json.loads(out) == {"path": f"{repository}/staging/churn", "changed": True, "commit": ""}
    assert git(repository, "diff", "--numstat") == ONE_LINE
    assert built(repository / "staging/churn")["InferenceService/churn"]["spec"]["predictor"]["maxReplicas"] == 3
    code, out = command("--version", "1.3")
    assert (code, out) == (2, "error: parameter 'version' is '1.3'; expected vMAJOR.MINOR.PATCH, such as 'v1.0.0'\n")

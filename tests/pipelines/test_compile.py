"""Compiled pipelines: complete, reproducible, retargeted without any other change, refused with one sentence when unusable."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from kfp import compiler, components, dsl
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2
from support.small_pipeline import count_rows, make_table, small_one

from stagewright.components.images import GROUPS
from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.pipelines import catalog
from stagewright.pipelines.kubeflow.compile import Target, compile_pipelines, retrace
from stagewright.pipelines.pipeline_spec import spec_of

ROOT = Path(__file__).parents[2]
COMPILED = ROOT / "pipelines" / "compiled"
SHARED = Path(os.environ.get("SHARED", ROOT.parent / "shared"))


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def compiled(folder: Path, **target: Any) -> list[dict[str, Any]]:
    (path,) = compile_pipelines([small_one], folder, **target)
    return documents(path)


def differences(left: Any, right: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every place where two trees differ, with both values."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}):
            yield from differences(left.get(key), right.get(key), f"{place}.{key}")
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from differences(one, other, f"{place}[{index}]")
    elif left != right:
        yield place, left, right


def test_compiled_pipeline_loads_with_kfp(tmp_path: Path) -> None:
    (path,) = compile_pipelines([small_one], tmp_path)
    assert path == tmp_path / "small-one.yaml"
    loaded = components.load_component_from_file(str(path))
    assert loaded.name == "small-one"
    assert loaded.pipeline_spec.pipeline_info.display_name == "A small one"
    spec, platform = documents(path)
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    for executor in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


def test_retracing_without_a_profile_changes_nothing_but_images(tmp_path: Path) -> None:
    plain = spec_of(small_one)
    plain[0]["pipelineInfo"]["description"] = f"Required: factor. {small_one.description}"
    assert spec_of(retrace(small_one, Target(profile=None))) == plain
    changed = spec_of(retrace(small_one, Target(tag="other", profile=None)))
    assert {place.rpartition(".")[2] for place, *_ in differences(plain[0], changed[0])} == {"image"}


@pytest.mark.parametrize("profile", [None, "default", "gpu"])
def test_registry_and_tag_change_every_image_and_nothing_else(tmp_path: Path, profile: str | None) -> None:
    here = compiled(tmp_path / "a", tag="v1", profile=profile)
    there = compiled(tmp_path / "b", registry="registry.example:5000/team", tag="v2", profile=profile)
    changes = list(differences(here, there))
    assert all(place.endswith(".container.image") for place, *_ in changes)
    executors = here[0]["deploymentSpec"]["executors"]
    assert len(changes) == len(executors) == 3
    for _, before, after in changes:
        assert after == "registry.example:5000/team/" + before.replace(":v1", ":v2")


targets = st.builds(
    Target,
    registry=st.sampled_from(["", "localhost:5000", "registry.example/team", "registry.example:443/a/b"]),
    tag=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True).filter(lambda tag: tag != "latest"),
    profile=st.sampled_from([None, "default", "torch"]),
)


@settings(max_examples=10, deadline=None)
@given(first=targets, second=targets)
def test_retargeting_twice_is_retargeting_once(first: Target, second: Target) -> None:
    assert spec_of(retrace(retrace(small_one, first), second)) == spec_of(retrace(small_one, second))


def test_retracing_leaves_the_pipeline_itself_as_it_was() -> None:
    before = spec_of(small_one)
    retrace(small_one, Target(registry="registry.example", tag="v9", profile="gpu"))
    assert spec_of(small_one) == before


def test_bytes_do_not_depend_on_the_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from support.small_pipeline import small_one; "
        "from stagewright.pipelines.kubeflow.compile import compile_pipelines; "
        "compile_pipelines([small_one], Path(sys.argv[1]))"
    )
    for name, seed in (("a", "0"), ("b", "12345")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1])}
        subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(tmp_path / name)], check=True, env=environment)
    assert (tmp_path / "a" / "small-one.yaml").read_bytes() == (tmp_path / "b" / "small-one.yaml").read_bytes()


def test_default_profile_sets_what_a_cluster_needs(tmp_path: Path) -> None:
    spec, platform = compiled(tmp_path, tag="v1")
    container = spec["deploymentSpec"]["executors"]["exec-make-table"]["container"]
    assert container["resources"]["memoryLimit"] == pytest.approx(4.294967296)
    assert container["resources"]["cpuRequest"] == pytest.approx(0.25)
    assert spec["root"]["dag"]["tasks"]["make-table"]["retryPolicy"]["maxRetryCount"] == 2
    assert spec["root"]["inputDefinitions"]["parameters"]["deploy_to"]["defaultValue"] == "cluster"
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-make-table"]
    (secret,), (config_map,) = settings["secretAsEnv"], settings["configMapAsEnv"]
    assert secret["secretName"] == "stagewright-storage"
    assert {entry["envVar"] for entry in secret["keyToEnv"]} == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert config_map["configMapName"] == "stagewright-config"
    assert {entry["envVar"] for entry in config_map["keyToEnv"]} == {"AWS_ENDPOINT_URL", "MLFLOW_TRACKING_URI"}
    assert settings["activeDeadlineSeconds"] == "3600"
    assert settings["securityContext"] == {"runAsNonRoot": True}


def test_cacheable_is_what_the_component_declares(tmp_path: Path) -> None:
    spec, _ = compiled(tmp_path)
    tasks = spec["root"]["dag"]["tasks"]
    assert tasks["make-table"]["cachingOptions"] == {"enableCache": True}
    assert tasks["count-rows"]["cachingOptions"] == {}


def test_a_users_profile_reaches_the_spec(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        """
        extends: default
        images: {tabular: torch}
        parameters: {rows: 7, unknown_here: 1}
        components:
          count_rows:
            accelerator: {type: nvidia.com/gpu, count: 2}
            tolerations: [{key: dedicated, value: ml, effect: NoSchedule}]
            node_selectors: {pool: gpu}
            environment: {OMP_NUM_THREADS: 4}
            secrets:
              other: {FIRST: same-key, SECOND: same-key}
            timeout_seconds: null
            retries: {count: 0}
            image_pull_secrets: [pull]
        """
    )
    spec, platform = compiled(tmp_path, tag="v1", profile=tmp_path / "mine.yaml")
    container = spec["deploymentSpec"]["executors"]["exec-count-rows"]["container"]
    assert container["image"] == "stagewright-torch:v1"
    assert container["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert container["resources"]["accelerator"]["resourceCount"] == "2"
    assert container["env"] == [{"name": "OMP_NUM_THREADS", "value": "4"}]
    assert "retryPolicy" not in spec["root"]["dag"]["tasks"]["count-rows"]
    assert spec["root"]["inputDefinitions"]["parameters"]["rows"]["defaultValue"] == 7
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-count-rows"]
    assert "activeDeadlineSeconds" not in settings
    assert settings["nodeSelector"] == {"labels": {"pool": "gpu"}}
    assert settings["tolerations"] == [{"key": "dedicated", "operator": "Equal", "value": "ml", "effect": "NoSchedule"}]
    assert settings["imagePullSecret"][0]["secretName"] == "pull"
    variables = {entry["envVar"]: entry["secretKey"] for secret in settings["secretAsEnv"] for entry in secret["keyToEnv"]}
    assert variables["FIRST"] == variables["SECOND"] == "same-key"
    assert "AWS_ACCESS_KEY_ID" in variables
    untouched = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-make-table"]
    assert "nodeSelector" not in untouched


@pytest.mark.parametrize("namespace", ["", "staging"])
def test_kubernetes_objects_are_valid(tmp_path: Path, namespace: str) -> None:
    (path,) = compile_pipelines(
        [small_one], tmp_path, registry="r.example", tag="V1.0_rc", format="kubernetes", namespace=namespace
    )
    pipeline, pipeline_version = documents(path)
    assert (pipeline["kind"], pipeline_version["kind"]) == ("Pipeline", "PipelineVersion")
    assert pipeline["metadata"].get("namespace", "") == namespace
    assert pipeline_version["spec"]["pipelineName"] == pipeline["metadata"]["name"] == "small-one"
    assert pipeline_version["metadata"]["name"].startswith("small-one-v1.0-rc-")
    assert pipeline_version["spec"]["platformSpec"]["platforms"]["kubernetes"]
    if not SHARED.is_dir():
        pytest.skip("the cluster's own schemas are not on this machine")
    checked = subprocess.run(
        [sys.executable, str(SHARED / "tools" / "validate_manifests.py"), "--crds", str(SHARED / "crds"), str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout


def test_version_is_named_by_its_content(tmp_path: Path) -> None:
    def version_of(folder: str, **settings: Any) -> str:
        (path,) = compile_pipelines([small_one], tmp_path / folder, tag="v1", format="kubernetes", **settings)
        name: str = documents(path)[1]["metadata"]["name"]
        return name

    assert version_of("a") == version_of("b")
    assert version_of("a") != version_of("c", profile="small")
    assert version_of("a") != version_of("d", registry="r.example")


@pytest.mark.parametrize(
    ("names", "settings", "message"),
    [
        (["train-modle"], {}, r"no pipeline 'train-modle' \(did you mean 'train-model'\?\)"),
        ([small_one], {"format": "json"}, "parameter 'format' is 'json'; expected one of spec, kubernetes"),
        ([small_one], {"registry": "https://r.example"}, "parameter 'registry' is 'https://r.example'; expected HOST"),
        ([small_one], {"tag": "a b"}, "parameter 'tag' is 'a b'; expected an image tag"),
        ([small_one], {"tag": "latest"}, "expected a fixed tag, such as a version"),
        ([small_one], {"namespace": "Team"}, "parameter 'namespace' is 'Team'; expected a lower-case DNS name"),
        ([small_one], {"profile": "nothere.yaml"}, "profile nothere.yaml does not exist"),
    ],
)
def test_unusable_input_is_one_sentence(tmp_path: Path, names: list[Any], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compile_pipelines(names, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_output_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"output folder .*/file/x cannot be created: Not a directory"):
        compile_pipelines([small_one], tmp_path / "file" / "x")
    with pytest.raises(InputError, match=r"output folder .*/file cannot be created: File exists"):
        compile_pipelines([small_one], tmp_path / "file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "components: {trian_model: {}}",
            r"profile 'mine': components.trian_model is not a component \(did you mean 'train_",
        ),
        ("parameters: {rows: many}", "parameter 'rows' is 'many'; expected a value of type int"),
        ("parameters: {deploy_to: clutser}", r"parameter 'deploy_to' is 'clutser'; expected one of local, cluster, none"),
    ],
)
def test_profile_that_does_not_fit_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        retrace(small_one, Target(profile=tmp_path / "mine.yaml"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_output_without_permission_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(InputError, match=r"is not writable; choose another one with --output"):
        compile_pipelines([small_one], tmp_path)


def test_failure_leaves_the_previous_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = compile_pipelines([small_one], tmp_path)
    before = path.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InputError, match=r"small-one.yaml cannot be written: No space left on device"):
        compile_pipelines([small_one], tmp_path, tag="v2")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_task_that_no_profile_reaches_is_refused() -> None:
    @dsl.component(base_image="python:3.11", install_kfp_package=False)
    def foreign() -> None:
        pass

    @dsl.pipeline(name="mixed")
    def mixed() -> None:
        make_table()
        foreign()

    @dsl.pipeline(name="nested")
    def nested() -> None:
        made = make_table()
        small_one(factor=1.0)
        count_rows(table=made.outputs["table"], factor=1.0)

    with pytest.raises(InputError, match=r"pipeline 'mixed' has a task that profiles cannot configure, 'foreign'"):
        retrace(mixed, Target())
    with pytest.raises(InputError, match=r"pipeline 'nested' has a task that profiles cannot configure, 'count-rows'"):
        retrace(nested, Target())


def test_bad_parameter_is_a_bad_parameter() -> None:
    with pytest.raises(BadParameter):
        Target(registry="UPPER")


@pytest.mark.parametrize("name", catalog.PIPELINES)
@pytest.mark.parametrize("profile", ["default", "small", "torch", "gpu"])
def test_every_pipeline_compiles_with_every_profile(tmp_path: Path, name: str, profile: str) -> None:
    (path,) = compile_pipelines([name], tmp_path, profile=profile)
    spec, platform = documents(path)
    loaded = components.load_component_from_file(str(path))
    assert loaded.name == spec["pipelineInfo"]["name"] == name
    images = {executor["container"]["image"] for executor in spec["deploymentSpec"]["executors"].values()}
    assert {image.partition(":")[0].removeprefix("stagewright-") for image in images} <= set(GROUPS)
    assert set(platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]) == set(spec["deploymentSpec"]["executors"])


@pytest.mark.parametrize("name", catalog.PIPELINES)
def test_golden_copy_is_what_compiles_now(tmp_path: Path, name: str) -> None:
    (path,) = compile_pipelines([name], tmp_path)
    golden = COMPILED / path.name
    assert golden.is_file(), "run: make golden"
    assert path.read_bytes() == golden.read_bytes(), "run: make golden"


def test_no_golden_copy_is_left_over() -> None:
    assert {path.stem for path in COMPILED.glob("*.yaml")} == set(catalog.PIPELINES)


@pytest.fixture(scope="module")
def every_spec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every pipeline, compiled for a cluster."""
    folder = tmp_path_factory.mktemp("specs")
    return {path.stem: path for path in compile_pipelines([], folder)}


@pytest.mark.parametrize("name", catalog.PIPELINES)
def test_every_pipeline_can_be_a_step_of_another(name: str, every_spec: dict[str, Path], tmp_path: Path) -> None:
    step = components.load_component_from_file(str(every_spec[name]))
    made = catalog.pipeline(name)
    assert list(step.component_spec.inputs) == sorted(made.component_spec.inputs)
    assert set(step.component_spec.outputs or {}) == set(made.component_spec.outputs or {})
    values = {"str": "1e3", "String": "1e3", "Integer": 1, "Float": 1.0}
    required = {key: values[given.type] for key, given in step.component_spec.inputs.items() if not given.optional}

    @dsl.pipeline(name="outer")
    def outer() -> None:
        step(**required)

    compiler.Compiler().compile(outer, str(tmp_path / "outer.yaml"))
    spec, platform = documents(tmp_path / "outer.yaml")
    inner = next(one for key, one in spec["components"].items() if key.startswith(f"comp-{name}") and "dag" in one)
    assert set(inner["inputDefinitions"]["parameters"]) == set(made.component_spec.inputs)
    executors = set(spec["deploymentSpec"]["executors"])
    assert set(platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]) == executors


@pytest.mark.parametrize("name", catalog.PIPELINES)
def test_descriptions_begin_with_what_must_be_filled_in(name: str, every_spec: dict[str, Path]) -> None:
    spec, _ = documents(every_spec[name])
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    said, _, rest = spec["pipelineInfo"]["description"].partition(". ")
    assert set(said.removeprefix("Required: ").split(", ")) == {
        key for key, one in parameters.items() if not one.get("isOptional")
    }
    assert rest == catalog.pipeline(name).description.strip()


def test_a_description_begins_with_the_parameters_in_their_order(every_spec: dict[str, Path]) -> None:
    spec, _ = documents(every_spec["train-model"])
    assert spec["pipelineInfo"]["description"].startswith("Required: data, target, name. Train a model, evaluate it")
    assert "Required" not in catalog.pipeline("train-model").description


def test_a_pipeline_that_needs_nothing_begins_as_it_is_written() -> None:
    @dsl.pipeline(name="free")
    def free(rows: int = 3) -> None:
        """Make a table."""
        make_table(rows=rows)

    assert retrace(free, Target()).pipeline_spec.pipeline_info.description == "Make a table."


@pytest.mark.parametrize("text", ["1e3", "0o7", "12:30", "no", "~", "2026-03-01", "1_000", "+1"])
def test_text_stays_text_in_every_format(text: str, tmp_path: Path) -> None:
    profile = tmp_path / "profile.yaml"
    profile.write_text(
        f'extends: default\nparameters: {{label: plain, deploy_to: local}}\ndefaults: {{environment: {{NOTE: "{text}"}}}}\n'
    )
    for form in ("spec", "kubernetes"):
        (path,) = compile_pipelines([small_one], tmp_path, profile=profile, format=form)
        assert f'value: "{text}"' in path.read_text()
        assert f"value: {text}\n" not in path.read_text()


def test_what_says_how_text_becomes_values_reaches_the_step_that_reads() -> None:
    reading = ("data", "query", "format", "decimal", "thousands", "missing", "date_format", "drop")
    wired = {}
    for name in catalog.PIPELINES:
        tasks = documents(COMPILED / f"{name}.yaml")[0]["root"]["dag"]["tasks"]
        if "ingest-data" in tasks:
            given = tasks["ingest-data"]["inputs"]["parameters"]
            wired[name] = [parameter for parameter in reading if given[parameter] == {"componentInputParameter": parameter}]

    assert wired == {name: list(reading) for name in ("train-model", "distill", "quantize")}

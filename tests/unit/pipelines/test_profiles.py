"""Profiles are read, merged, and refused with the place and the nearest setting."""

from pathlib import Path

import pytest
import yaml

from stagewright.components.images import GROUPS
from stagewright.components.runtime.errors import InputError
from stagewright.pipelines import catalog, profiles
from stagewright.pipelines.profiles import Profile, frameworks


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", profiles.names())
def test_shipped_profiles_are_complete(name: str) -> None:
    profile = profiles.load(name)
    assert profile.description
    assert set(profile.components) <= set(catalog.COMPONENTS)
    for settings in (profile.defaults, *profile.components.values()):
        assert settings.cpu.request
        assert settings.memory.limit
        assert settings.timeout_seconds
        assert settings.security.run_as_non_root
        assert set(settings.secrets) == {"stagewright-storage"}
        assert set(settings.config_maps) == {"stagewright-config"}


def test_shipped_profiles_are_those_promised() -> None:
    assert {"default", "small", "gpu", "torch"} <= set(profiles.names())


def test_extends_merges_mappings_and_replaces_the_rest(tmp_path: Path) -> None:
    write(tmp_path, "defaults: {environment: {A: 1, B: 2}, tolerations: [{key: x}], timeout_seconds: 10}", "base.yaml")
    path = write(
        tmp_path,
        "{extends: base.yaml, defaults: {environment: {B: 3}, tolerations: [{key: y}]}, components: {fit: {cpu: {limit: 2}}}}",
    )
    profile = profiles.load(path)
    assert profile.name == "mine"
    assert profile.defaults.environment == {"A": "1", "B": "3"}
    assert [toleration.key for toleration in profile.defaults.tolerations] == ["y"]
    assert profile.settings("fit").cpu.limit == "2"
    assert profile.settings("fit").timeout_seconds == 10
    assert profile.settings("anything else") is profile.defaults


@pytest.mark.parametrize("where", ["defaults", "components"])
def test_null_removes_what_was_inherited(tmp_path: Path, where: str) -> None:
    body = "{timeout_seconds: null, secrets: {stagewright-storage: null}, config_maps: null}"
    text = f"defaults: {body}" if where == "defaults" else f"components: {{train_model: {body}}}"
    settings = profiles.load(write(tmp_path, f"extends: default\n{text}")).settings("train_model")
    if where == "components":
        assert settings.timeout_seconds is None
    assert settings.secrets == {}
    assert settings.config_maps == {}


def test_a_components_own_image_comes_before_the_groups() -> None:
    profile = profiles.load("gpu")
    assert profile.group("train_model", "tabular") == "torch-gpu"
    assert profile.group("evaluate_model", "tabular") == "torch"
    assert profile.group("ingest_data", "base") == "base"
    assert {"torch", "torch-gpu"} <= set(GROUPS)


def test_empty_profile_sets_nothing(tmp_path: Path) -> None:
    assert profiles.load(write(tmp_path, "")) == Profile(name="mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("default: {}", r"default is not a setting \(did you mean 'defaults'\?\); expected one of description, images"),
        ("defaults: {cpus: {}}", r"defaults.cpus is not a setting \(did you mean 'cpu'\?\)"),
        (
            "components: {fit: {memory: {limits: 1Gi}}}",
            r"components.fit.memory.limits is not a setting \(did you mean 'limit'\?\)",
        ),
        (
            "defaults: {tolerations: [{keys: a, key: b}]}",
            r"defaults.tolerations.0.keys is not a setting \(did you mean 'key'\?\)",
        ),
        ("defaults: {memory: {limit: 4GB}}", r"defaults.memory.limit: String should match pattern .* \(got '4GB'\)"),
        ("defaults: {timeout_seconds: soon}", r"defaults.timeout_seconds: .* \(got 'soon'\)"),
        ("defaults: {environment: {MY_PASSWORD: x}}", "'MY_PASSWORD' looks like a secret, which must come from a Secret"),
        ("images: {tabular: pytorch}", "no image group 'pytorch'; there are base, tabular"),
        ("defaults: {tolerations: [{operator: Equal}]}", "a toleration needs a key, unless its operator is Exists"),
        ("defaults: {tolerations: [{operator: Exists, value: x}]}", "operator Exists has no value"),
        ("[1, 2]", "holds a list; expected a mapping of settings"),
        ("components: [1]", r"components is \[1\]; expected a mapping"),
        ("extends: [default]", r"extends is \['default'\]; expected the name or the path of one profile"),
        ("extends: defualt", r"no profile 'defualt' \(did you mean 'default'\?\)"),
        ("extends: other.yaml", r"other.yaml does not exist"),
        ("extends: mine.yaml", r"mine.yaml extends itself"),
        ("a: [", "is not valid YAML: "),
    ],
)
def test_wrong_profile_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        profiles.load(write(tmp_path, text))
    assert "\n" not in str(refused.value)


def test_unknown_profile_names_those_there_are() -> None:
    names = "default, gpu, production, small, torch"
    with pytest.raises(InputError, match=rf"no profile 'smal' \(did you mean 'small'\?\); there are {names}"):
        profiles.load("smal")


def test_unreadable_profile_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"binary.yaml cannot be read: "):
        profiles.load(tmp_path / "binary.yaml")


def test_shipped_profiles_hold_no_secret_values() -> None:
    for name in profiles.names():
        tree = yaml.safe_load((Path(profiles.__file__).parent / f"{name}.yaml").read_text())
        for settings in (tree.get("defaults") or {}, *(tree.get("components") or {}).values()):
            assert "environment" not in settings


def test_the_documented_profile_is_valid(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "profiles.md").read_text()
    example = text.partition("```yaml\n")[2].partition("```")[0]
    profile = profiles.load(write(tmp_path, example))
    assert profile.settings("train_model").accelerator is not None
    assert profile.settings("train_model").timeout_seconds is None
    assert profile.parameters == {"deploy_to": "cluster", "namespace": "models"}


@pytest.mark.parametrize("arguments", [{"framework": "torch"}, {"framework": "torch_vision"}, {"framework": "transformers"},
                                       {"student": "mlp"}, {"student": "transformer"}])  # fmt: skip
def test_networks_get_an_image_with_torch_or_are_refused(arguments: dict[str, str]) -> None:
    ((name, value),) = arguments.items()

    assert frameworks.images(arguments) == {"tabular": "torch"}
    for profile in ("torch", "gpu"):
        frameworks.check(profiles.load(profile), arguments)
    for without in (profiles.load("default"), None):
        with pytest.raises(
            InputError, match=f"{name}={value} needs torch, which stagewright-tabular lacks; use the profile torch"
        ):
            frameworks.check(without, arguments)


def test_other_frameworks_ask_for_nothing() -> None:
    for framework in ("sklearn", "xgboost", "lightgbm"):
        assert frameworks.images({"framework": framework}) == {}
        frameworks.check(profiles.load("default"), {"framework": framework, "student": "auto"})


def test_every_step_that_loads_a_network_runs_in_the_image_with_torch() -> None:
    profile = profiles.load("torch")

    for name in catalog.COMPONENTS:
        group = catalog.component(name).group
        assert profile.group(name, group) != "tabular", name

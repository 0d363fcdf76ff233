"""What is in each image, and what must not be."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.docker import docker, in_image

from stagewright.components.images import GROUPS, image
from stagewright.pipelines import catalog
from stagewright.pipelines.kubeflow.compile import Target, retrace
from stagewright.pipelines.pipeline_spec import spec_of

ROOT = Path(__file__).parents[2]
UNLOCKED = ("torch", "torchvision")
LIMIT_MB = {"base": 900, "tabular": 1600, "torch": 2700, "monitoring": 1000, "mlflow": 1200, "predictor": 400}
IMPORTS = {
    "base": "polars, pyarrow, mlflow, matplotlib.pyplot, sqlalchemy, kfp, kubernetes, minio",
    "tabular": "sklearn.ensemble, xgboost, lightgbm, onnxruntime, skl2onnx, skops.io, matplotlib.pyplot",
    "torch": "torch.nn, onnxruntime, sklearn, safetensors.torch, onnxscript",
    "monitoring": "scipy.stats, prometheus_client, polars",
    "mlflow": "mlflow.server, boto3, psycopg2, prometheus_flask_exporter",
    "predictor": "onnxruntime, uvicorn, uvloop, httptools, orjson, prometheus_client, minio, pydantic_settings, "
    "arro3.io, tokenizers, grpc, google.protobuf",
}
FORBIDDEN = {
    "predictor": "kfp, kubernetes, polars, pandas, mlflow, sklearn, typer",
    "base": "sklearn, torch, onnxruntime",
    "tabular": "torch, pytest",
}


def locked(group: str) -> dict[str, str]:
    """The packages of a group's lock that Python 3.11 on Linux takes."""
    lines = (ROOT / "requirements" / f"{group}.txt").read_text().replace("\\\n", " ").splitlines()
    parsed = [Requirement(line.split(" --hash")[0].strip()) for line in lines if line.strip()]
    where = {"python_version": "3.11", "python_full_version": "3.11.2", "sys_platform": "linux"}
    wanted = [found for found in parsed if found.marker is None or found.marker.evaluate(where)]
    return {normal(found.name): str(found.specifier).removeprefix("==") for found in wanted}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def python_packages(bill: dict) -> dict[str, str]:
    return {
        normal(part["name"]): part["version"] for part in bill["components"] if not part.get("purl", "").startswith("pkg:deb")
    }


def facts(name: str) -> dict:
    return json.loads(docker("image", "inspect", name))[0]


def test_user_is_a_number_that_is_not_root(built: str) -> None:
    assert facts(built)["Config"]["User"] == "65532:65532"


def test_labels_tell_what_the_image_is(built: str, group: str) -> None:
    labels = facts(built)["Config"]["Labels"]

    assert labels["org.opencontainers.image.title"] == f"stagewright-{group}"
    assert labels["org.opencontainers.image.version"] == version("stagewright")
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", labels["org.opencontainers.image.revision"])
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.base.name"]


def test_size_is_under_its_limit(built: str, group: str) -> None:
    assert facts(built)["Size"] / 1e6 < LIMIT_MB[group]


def test_nothing_that_builds_or_installs_is_left(built: str) -> None:
    programs = "gcc cc g++ ld make pip pip3 uv conda"
    found = in_image(built, "sh", "-c", f"for program in {programs}; do command -v $program; done; true")
    importable = in_image(
        built, "python", "-c", "import importlib.util as u; print([m for m in ('pip', 'ensurepip') if u.find_spec(m)])"
    )

    left = f"ls -d /wheels /tools /package {'/root'}/.cache /tmp/* /opt/venv/bin/pip* 2>/dev/null; true"

    assert found == ""
    assert importable in {"[]", "['ensurepip']"}  # Debian's Python has an ensurepip without pip in it
    assert in_image(built, "sh", "-c", left) == ""


def test_nothing_of_the_repository_or_the_machine_that_built_it_is_inside(built: str) -> None:
    found = in_image(
        built, "find", "/", "-xdev", "-type", "f",
        "(", "-name", "conftest.py", "-path", "*stagewright*", "-o", "-name", ".env", "-o", "-name", "credentials.json",
        "-o", "-name", "pip.conf", "-o", "-name", "*.whl", "-o", "-name", ".git", ")",
        options=("--network=none", "--user=0"),
    )  # fmt: skip
    tops = in_image(built, "sh", "-c", "ls /opt/stagewright")
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", built)

    assert found == ""
    assert {name for name in tops.split() if not name.endswith(".dist-info")} == {"stagewright"}
    assert not re.search(r"PIP_|index-url|http://|https://", history)


def test_libraries_load_with_nothing_writable_but_tmp(built: str, group: str) -> None:
    in_image(built, "python", "-c", f"import {IMPORTS[group]}")


@pytest.mark.parametrize("group", FORBIDDEN)
def test_a_group_holds_no_more_than_it_needs(group: str) -> None:
    modules = FORBIDDEN[group].split(", ")
    code = f"import importlib.util as u; print([m for m in {modules} if u.find_spec(m)])"

    assert in_image(image(group), "python", "-c", code) == "[]"


def test_bill_of_materials_lists_what_is_installed_and_that_is_the_lock(built: str, group: str) -> None:
    bill = json.loads((ROOT / "build" / "images" / f"{group}.cdx.json").read_text())
    code = "import importlib.metadata as m; print('\\n'.join(f'{d.name} {d.version}' for d in m.distributions()))"
    installed = {normal(line.split()[0]): line.split()[1] for line in in_image(built, "python", "-c", code).splitlines()}
    installed.pop("stagewright")
    listed = python_packages(bill)

    assert listed == installed
    assert {name: release for name, release in listed.items() if name not in UNLOCKED} == locked(group)
    assert bill["metadata"]["component"]["name"] == f"stagewright-{group}"
    assert any(part["purl"].startswith("pkg:deb/debian/libc6@") for part in bill["components"] if "purl" in part)


def test_every_image_that_a_compiled_pipeline_names_is_built_here() -> None:
    named = set()
    for name in catalog.PIPELINES:
        for profile in ("default", "torch", "small"):
            spec, _ = spec_of(retrace(catalog.pipeline(name), Target(profile=profile)))
            named |= {
                part["container"]["image"] for part in spec["deploymentSpec"]["executors"].values() if "container" in part
            }

    assert named <= {image(group) for group in GROUPS if not group.endswith("-gpu")}
    for one in named:
        docker("image", "inspect", one)


def test_gpu_images_come_from_the_same_file_and_locks_with_hashes() -> None:
    for name in ("predictor-gpu", "torch-gpu"):
        lines = (ROOT / "requirements" / f"{name}.txt").read_text()
        assert lines.count("--hash=sha256:") > 20
        assert "nvidia-cudnn" in lines

"""The wheel holds what the tree holds, and an editable install reads the tree itself."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import stagewright.components.runtime.errors
from stagewright.components.predictor.trees import native

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git tracks or would track: a build leaves folders beside its sources."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    belongs = {"components", "pipelines", "src", "pyproject.toml", "README.md", "LICENSE"}
    for name in listed.stdout.splitlines():
        if name.split("/")[0] in belongs and (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name, follow_symlinks=False)
    return source


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(target), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(target.glob("stagewright-*.whl"))


def tree(suffixes: set[str]) -> set[str]:
    return {
        f"stagewright/{path.relative_to(ROOT).as_posix()}"
        for top in ("components", "pipelines")
        for path in (ROOT / top).rglob("*")
        if path.suffix in suffixes and "__pycache__" not in path.parts and "compiled" not in path.parts
    }


def test_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("stagewright/")}

    compiled = {name for name in held if name.endswith(".so")}
    assert held - compiled == tree({".html", ".json", ".proto", ".py", ".pyi", ".yaml"}) | {
        "stagewright/components/py.typed",
        "stagewright/pipelines/py.typed",
    }
    sources = {name.removesuffix(".c") for name in tree({".c"})}
    assert compiled == ({f"{name}.abi3.so" for name in sources} if native.available() else set())


def test_wheel_is_for_every_python_on_one_platform(wheel: Path) -> None:
    if native.available():
        assert "-cp311-abi3-" in wheel.name


def test_wheel_is_built_without_a_compiler(source: Path, tmp_path: Path) -> None:
    source = shutil.copytree(source, tmp_path / "source", symlinks=True, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    environment = {**os.environ, "CC": "no-such-compiler", "LDSHARED": "no-such-compiler"}
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(source),
    ]

    subprocess.run(command, env=environment, check=True, capture_output=True)

    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        held = set(archive.namelist())
    assert "stagewright/components/predictor/trees/native.py" in held
    assert not any(name.endswith(".so") for name in held)


def test_wheel_installs_and_its_command_answers(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)], check=True
    )

    # -S leaves out the editable install; what the package needs comes from this environment's own folder.
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    code = (
        f"import sys; sys.path[:0] = [{str(target)!r}]; sys.path.append({libraries!r})\n"
        "import stagewright.components.runtime.errors as e, stagewright.pipelines.cli.main as c\n"
        "print(e.__file__); sys.argv = ['stagewright', 'list']; c.main()"
    )
    shown = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path).stdout

    assert shown.startswith(str(target))
    assert "train-model" in shown


def test_editable_install_reads_the_tree() -> None:
    assert Path(stagewright.components.runtime.errors.__file__).resolve() == ROOT / "components/runtime/errors.py"


def test_version_is_one_number_everywhere() -> None:
    assert f'version = "{version("stagewright")}"' in (ROOT / "pyproject.toml").read_text()


def test_no_file_names_a_machine_or_a_registry() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    # Written in pieces, so that this file does not find itself.
    words = ["pypi" + ".org", "ghcr" + ".io", "docker" + ".io/", "quay" + ".io", "/work/" + "main", "/root/" + "."]

    found = {
        f"{name}: {word}"
        for name in listed.stdout.splitlines()
        if (ROOT / name).is_file()
        for word in words
        if word in (ROOT / name).read_text(errors="ignore")
    }

    assert not found

"""Build the project's images, each from a wheelhouse that is filled here: building itself fetches nothing.

Usage: python images/build.py [GROUP ...] [--base IMAGE] [--json]

For each group: `build/images/GROUP/` becomes the context (the lock's wheels, checked against its hashes; pip; this project's
wheel), the image `stagewright-GROUP:VERSION` is built from it, and `build/images/GROUP.cdx.json` is its bill of materials. pip
fetches with this machine's own settings, so an index, a proxy or a certificate is configured where it always is, and nothing of
it reaches an image.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from packaging.utils import parse_wheel_filename

from stagewright.components.images import GROUPS, image
from stagewright.components.runtime.errors import InputError, ServiceUnavailable, StagewrightError, one_of

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "build" / "images"
PUBLIC_BASE, DEBIAN_BASE = "python:3.11-slim-bookworm", "stagewright-python:3.11-bookworm"
PYTHON = (3, 11)
CPU_GROUPS = tuple(group for group in GROUPS if not group.endswith("-gpu"))
# torch and torchvision have no hash in the locks for CPUs, because their builds differ from one index to another.
UNLOCKED = {"torch": "torch-version.txt"}
LOCKS = {group: (f"{group}.txt",) for group in GROUPS} | {"torch-gpu": ("torch.txt", "torch-gpu.txt")}


@dataclass(frozen=True, slots=True)
class Built:
    """An image that was built: its size as Docker counts it, base included, and what it took."""

    group: str
    image: str
    megabytes: float
    wheels_seconds: float
    build_seconds: float
    packages: int


def main() -> int:
    """Build what was asked for and report it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"{', '.join(GROUPS)}; all for CPUs if none is given")
    parser.add_argument(
        "--base", default=os.environ.get("BASE", ""), help=f"base image with Python 3.11 [BASE] ({PUBLIC_BASE})"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    options = parser.parse_args()
    try:
        for group in options.groups:
            one_of("group", group, GROUPS)
        base = find_base(options.base)
        built = [build(group, base) for group in options.groups or CPU_GROUPS]
    except StagewrightError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    report(built, base)
    if options.json:
        sys.stdout.write(json.dumps({"base": base, "images": [asdict(one) for one in built]}) + "\n")
    return 0


def find_base(wanted: str) -> str:
    """The base to build on: the one that is wanted, else the public one, else one made from Debian's packages.

    Raises:
        InputError: If the wanted one can neither be found nor pulled.
        ServiceUnavailable: If no base can be had at all.
    """
    if wanted:
        if not _available(wanted):
            raise InputError(f"the base image {wanted} is not on this machine and cannot be pulled")
        return wanted
    if _present(DEBIAN_BASE) and not _present(PUBLIC_BASE):
        return DEBIAN_BASE
    if _available(PUBLIC_BASE):
        return PUBLIC_BASE
    sys.stderr.write(f"{PUBLIC_BASE} cannot be pulled; making {DEBIAN_BASE} from Debian's packages\n")
    if subprocess.run([ROOT / "images" / "base", DEBIAN_BASE], check=False).returncode:
        raise ServiceUnavailable(f"there is no base image: {PUBLIC_BASE} cannot be pulled, and none could be made; set BASE")
    return DEBIAN_BASE


def build(group: str, base: str) -> Built:
    """Fill a group's context, build its image, write its bill of materials.

    Raises:
        ServiceUnavailable: If pip or Docker fails; what they said is on standard error.
    """
    context, name = BUILT / group, image(group)
    began = time.perf_counter()
    fill(group, context)
    filled = time.perf_counter()
    target = "predictor" if group.startswith("predictor") else "steps"
    arguments = {"BASE": base, "GROUP": group, "VERSION": version("stagewright"), "REVISION": _revision()}
    _run(
        "docker", "build", "--quiet", "--network", "none", "--file", str(ROOT / "images" / "Dockerfile"), "--target", target,
        *(f"--build-arg={key}={value}" for key, value in arguments.items()), "--tag", name, str(context),
        quiet=True,
    )  # fmt: skip
    done = time.perf_counter()
    packages = write_bill(group, context, name)
    size = int(_output("docker", "image", "inspect", "--format", "{{.Size}}", name))
    return Built(group, name, round(size / 1e6, 1), round(filled - began, 1), round(done - filled, 1), packages)


def fill(group: str, context: Path) -> None:
    """Bring a group's context up to date: its wheels only when a lock has changed, this project's wheel always."""
    locks = [ROOT / "requirements" / name for name in LOCKS[group]]
    unlocked = [ROOT / "requirements" / UNLOCKED[group]] if group in UNLOCKED else []
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in [*locks, *unlocked])).hexdigest()
    stamp = context / "stamp"
    if not stamp.is_file() or stamp.read_text() != digest:
        shutil.rmtree(context, ignore_errors=True)
        _fetch(locks, unlocked, context / "wheels")
        _fetch_pip(context / "tools")
        stamp.write_text(digest)
    shutil.rmtree(context / "package", ignore_errors=True)
    shutil.copytree(_package(), context / "package")


def write_bill(group: str, context: Path, name: str) -> int:
    """Write an image's bill of materials: Python's packages with their hashes, and the base's own; returns how many.

    The packages of the base are asked of the image itself, so the bill tells what is in it, not what was meant to be.
    """
    path = BUILT / f"{group}.cdx.json"
    _run(
        sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible", "--mc-type", "application",
        "--output-file", str(path), str(context / "wheels" / "requirements.txt"), quiet=True,
    )  # fmt: skip
    bill = json.loads(path.read_text())
    bill["metadata"]["component"] = {
        "type": "container", "bom-ref": name, "name": f"stagewright-{group}", "version": version("stagewright"),
    }  # fmt: skip
    listing = _output("docker", "run", "--rm", "--network", "none", "--entrypoint", "dpkg-query", name, "--show",
                      "--showformat", r"${Package} ${Version} ${Architecture}\n")  # fmt: skip
    for line in listing.splitlines():
        package, release, architecture = line.split()
        purl = f"pkg:deb/debian/{package}@{release.replace('+', '%2B')}?arch={architecture}"
        bill["components"].append({"type": "library", "bom-ref": purl, "name": package, "version": release, "purl": purl})
    path.write_text(json.dumps(bill, indent=2, sort_keys=True) + "\n")
    return len(bill["components"])


def report(built: Sequence[Built], base: str) -> None:
    """Print sizes and times, and keep them beside the images' bills of materials."""
    sys.stdout.write(f"base {base}\n{'image':<34}{'MB':>9}{'wheels s':>10}{'build s':>9}{'packages':>10}\n")
    for one in built:
        sys.stdout.write(
            f"{one.image:<34}{one.megabytes:>9.0f}{one.wheels_seconds:>10.1f}{one.build_seconds:>9.1f}{one.packages:>10}\n"
        )
        (BUILT / f"{one.group}.json").write_text(json.dumps(asdict(one), indent=2) + "\n")


def _fetch(locks: Sequence[Path], unlocked: Sequence[Path], wheels: Path) -> None:
    """Every wheel of the locks, and `requirements.txt` with the hash of each as it lies there.

    What is published as source only becomes a wheel here, after its own hash was checked: the image has nothing to build with.
    """
    if (sys.platform, sys.version_info[:2]) != ("linux", PYTHON):
        raise InputError("wheels for the images are fetched by Python 3.11 on Linux; make the virtual environment with it")
    wheels.mkdir(parents=True)
    _pip("wheel", "--no-deps", "--require-hashes", "--wheel-dir", str(wheels), *(f"--requirement={path}" for path in locks))
    if unlocked:
        _pip("wheel", "--no-deps", "--wheel-dir", str(wheels), *(f"--requirement={path}" for path in unlocked))
        _refuse_cuda(wheels)
    lines = []
    for path in sorted(wheels.glob("*.whl")):
        name, release, *_ = parse_wheel_filename(path.name)
        lines.append(f"{name}=={release} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n")
    (wheels / "requirements.txt").write_text("".join(lines))


def _refuse_cuda(wheels: Path) -> None:
    """An index without CPU builds answers with torch's CUDA build, which needs libraries that this image lacks."""
    for path in wheels.glob("torch-*.whl"):
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            if re.search(rb"^Requires-Dist: (nvidia|cuda)", archive.read(name), re.MULTILINE):
                raise InputError(
                    "pip found torch's CUDA build; point PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS to its CPU build, "
                    "or build the group torch-gpu"
                )


def _fetch_pip(tools: Path) -> None:
    """The pip of the lock: it installs in the build stage, and stays there."""
    locked = re.search(r"^pip==.*?(?=^\S|\Z)", (ROOT / "requirements" / "dev.txt").read_text(), re.MULTILINE | re.DOTALL)
    if locked is None:
        raise InputError("requirements/dev.txt has no pip; 'make lock' resolves it anew")
    tools.mkdir(parents=True)
    requirement = tools / "requirements.txt"
    requirement.write_text(locked[0])
    _pip("wheel", "--no-deps", "--require-hashes", "--wheel-dir", str(tools), f"--requirement={requirement}")
    requirement.unlink()


def _package() -> Path:
    """This project's wheel, made from what belongs to the package and nothing else; equal sources give equal bytes."""
    source, target = BUILT / "source", BUILT / "package"
    for folder in (source, target):
        shutil.rmtree(folder, ignore_errors=True)
    for name in ("components", "pipelines"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.so", "compiled"))
        link = source / "src" / "stagewright" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path("../..") / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(target), str(source), SOURCE_DATE_EPOCH="315532800")
    return target


def _pip(*arguments: str, **variables: str) -> None:
    _run(sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check", quiet=True, **variables)


def _present(name: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False).returncode == 0


def _available(name: str) -> bool:
    return (
        _present(name) or subprocess.run(["docker", "pull", "--quiet", name], capture_output=True, check=False).returncode == 0
    )


def _revision() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServiceUnavailable(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


def _run(*command: str, quiet: bool = False, **variables: str) -> None:
    """Run a command; when it fails, what it said is shown."""
    # The classic builder is in every Docker; what it lacks is not needed here.
    environment = {**os.environ, "DOCKER_BUILDKIT": "0", **variables}
    done = subprocess.run(command, env=environment, capture_output=quiet, text=True, check=False)
    if done.returncode:
        sys.stderr.write((done.stdout or "") + (done.stderr or ""))
        raise ServiceUnavailable(f"{' '.join(command[:3])} failed with exit status {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())

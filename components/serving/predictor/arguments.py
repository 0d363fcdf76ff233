"""The predictor's command line and environment, in KServe's spellings too."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from stagewright.components.runtime.errors import BadParameter, InputError
from stagewright.components.serving.predictor import cpu
from stagewright.components.serving.predictor.app import Limits
from stagewright.components.serving.predictor.source import GRAPH, MOUNTED, SERVING

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve: what the command line and the environment said.

    Attributes:
        name: None takes the manifest's name.
        version: None takes the manifest's version.
        threads: Of ONNX Runtime, in each worker.
    """

    model: str
    name: str | None
    version: str | None
    host: str
    port: int
    workers: int
    threads: int
    limits: Limits


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see --help")


def parse(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from arguments, then the environment, then defaults.

    Raises:
        InputError: For an unknown option or an unusable value.
    """
    given = _parser(environment).parse_args(arguments)
    workers = _positive("workers", given.workers)
    threads = cpu.available() // workers if given.threads is None else _positive("threads", given.threads)
    port = _integer("port", given.port)
    if not 0 <= port <= 65535:
        raise BadParameter("port", got=port, expected="a port number from 0 to 65535; 0 takes a free one")
    return Settings(
        model=given.model or _default_model(environment),
        name=given.name or None,
        version=given.version or None,
        host=given.host,
        port=port,
        workers=workers,
        threads=max(1, threads),
        limits=Limits(_positive("max-body-mb", given.max_body_mb) * MEGABYTE, _positive("max-rows", given.max_rows)),
    )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m stagewright.components.serving.predictor", allow_abbrev=False,
        description="Serve a published model over KServe's V1 and V2 protocols.",
    )  # fmt: skip

    def add(*names: str, variable: str = "", default: Any = None, text: str) -> None:
        spellings = [spelling for name in names for spelling in dict.fromkeys((f"--{name}", f"--{name.replace('-', '_')}"))]
        note = f" [environment: {variable}]" if variable else ""
        value = environment.get(variable) or default
        parser.add_argument(*spellings, dest=names[0].replace("-", "_"), default=value, help=text + note)

    add("model", "model-dir", text=f"model folder, its {SERVING} folder or s3://bucket/name/version "
        f"(default: {MOUNTED}, then STORAGE_URI)")  # fmt: skip
    add("name", "model-name", variable="MODEL_NAME", text="name in the paths (default: the manifest's, then 'model')")
    add("version", "model-version", variable="MODEL_VERSION", text="version that is answered (default: the manifest's)")
    add("host", default="0.0.0.0", text="address to listen on (default: all)")  # noqa: S104 - a server in a container
    add("port", "http-port", variable="PORT", default="8080", text="port to listen on; 0 takes a free one (default: 8080)")
    add("workers", default="1", text="processes (default: 1); each has its own metrics")
    add("threads", variable="STAGEWRIGHT_THREADS", text="threads of one inference (default: the CPU limit over the workers)")
    add("max-body-mb", variable="STAGEWRIGHT_MAX_BODY_MB", default="64", text="largest request body in MiB (default: 64)")
    add("max-rows", variable="STAGEWRIGHT_MAX_ROWS", default="100000", text="most rows in a request (default: 100000)")
    return parser


def _default_model(environment: Mapping[str, str]) -> str:
    """KServe sets STORAGE_URI on custom containers and mounts the same model: what is mounted wins."""
    mounted = Path(MOUNTED)
    uri = environment.get("STORAGE_URI", "")
    if (mounted / GRAPH).exists() or (mounted / SERVING).exists() or not uri:
        if not mounted.exists():
            raise InputError(f"no model given: use --model, set STORAGE_URI or mount one at {MOUNTED}")
        return MOUNTED
    return uri


def _integer(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise BadParameter(name, got=value, expected="an integer") from None


def _positive(name: str, value: str) -> int:
    number = _integer(name, value)
    if number < 1:
        raise BadParameter(name, got=number, expected="at least 1")
    return number

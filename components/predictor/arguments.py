"""The predictor's command line and environment variables, including KServe's spellings."""

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from stagewright.components.predictor.model_source import GRAPH, MOUNTED, SERVING
from stagewright.components.predictor.payload.settings import add_options, payload_settings
from stagewright.components.predictor.settings import LOAD_SECONDS, Settings
from stagewright.components.predictor.wire.limits import Bounds, ConnectionLimits, Limits, most_connections
from stagewright.components.runtime.cpus import available as available_cpus
from stagewright.components.runtime.errors import BadParameter, InputError, one_of
from stagewright.components.runtime.serving_settings import OPTIMIZATIONS, TREE_ENGINES

MEGABYTE = 1024 * 1024
_NAMED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9._]*)=(.+)")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see --help")


def parse(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Parse settings. Arguments take precedence over environment variables, and these over defaults.

    Raises:
        InputError: If an option is unknown or a value is invalid.
    """
    given = _parser(environment).parse_args(arguments)
    workers = _positive("workers", given.workers)
    port = _port("port", given.port)
    return Settings(
        models=_models(given, environment),
        version=given.version or None,
        repository=given.repository or None,
        repository_api=one_of("repository-api", given.repository_api, ("on", "off")) == "on",
        watch=None if given.watch is None else _above_zero("watch", given.watch),
        host=given.host,
        port=port,
        grpc_port=None if given.grpc_port is None else _port("grpc-port", given.grpc_port),
        workers=workers,
        threads=max(1, available_cpus() // workers),
        overrides=_overrides(given),
        payload=payload_settings(given),
        allow_hosts=_listed(given.allow_host),
        allow_origins=_listed(given.allow_origin),
        arguments=tuple(arguments),
        limits=_limits(given),
        load_seconds=_above_zero("load-seconds", given.load_seconds),
    )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m stagewright.components.predictor", allow_abbrev=False,
        description="Serve a published model over KServe's V1 and V2 protocols.",
    )  # fmt: skip

    def add(*names: str, variable: str = "", default: Any = None, text: str, action: str = "store") -> None:
        spellings = [spelling for name in names for spelling in dict.fromkeys((f"--{name}", f"--{name.replace('-', '_')}"))]
        note = f" [environment: {variable}]" if variable else ""
        value = environment.get(variable) or default
        parser.add_argument(*spellings, dest=names[0].replace("-", "_"), default=value, help=text + note, action=action)

    add("model", "model-dir", action="append", text=f"model folder, its {SERVING} folder or s3://bucket/name/version; "
        f"NAME=LOCATION, repeated, for several models (default: {MOUNTED}, then STORAGE_URI)")  # fmt: skip
    add("repository", variable="STAGEWRIGHT_REPOSITORY",
        text="folder or s3://bucket/prefix with published models in NAME/VERSION/, or NAME.json pointing to one")  # fmt: skip
    add("repository-api", variable="STAGEWRIGHT_REPOSITORY_API", default="on",
        text="on or off: allow requests to load and unload models (default: on)")  # fmt: skip
    add("watch", variable="STAGEWRIGHT_WATCH", text="check for new versions every so many seconds (default: never)")
    add("name", "model-name", variable="MODEL_NAME", text="model name in request paths (default: the manifest's, then 'model')")
    add("version", "model-version", variable="MODEL_VERSION", text="version to report (default: the manifest's)")
    add("host", default="0.0.0.0", text="address to listen on (default: all)")  # noqa: S104 - a server in a container
    add("port", "http-port", variable="PORT", default="8080", text="port to listen on; 0 takes a free one (default: 8080)")
    add(
        "grpc-port",
        variable="STAGEWRIGHT_GRPC_PORT",
        text="port of V2 over gRPC, such as 8081; 0 takes a free one (default: no gRPC)",
    )
    add(
        "workers",
        variable="STAGEWRIGHT_WORKERS",
        default="1",
        text="number of server processes that share the port (default: 1)",
    )
    add("threads", variable="STAGEWRIGHT_THREADS",
        text="threads of one inference (default: the model's settings, then the CPU limit / workers)")  # fmt: skip
    add(
        "concurrency", variable="STAGEWRIGHT_CONCURRENCY", text="parallel inferences of a model (default: the model's settings)"
    )
    add("graph-optimization", variable="STAGEWRIGHT_GRAPH_OPTIMIZATION",
        text=f"graph optimization: one of {', '.join(OPTIMIZATIONS)} (default: the model's settings, then all)")  # fmt: skip
    add("tree-engine", variable="STAGEWRIGHT_TREE_ENGINE",
        text=f"engine for trees: one of {', '.join(TREE_ENGINES)} (default: the model's settings, then native)")  # fmt: skip
    add(
        "max-held-mb",
        variable="STAGEWRIGHT_MAX_HELD_MB",
        default="256",
        text="MiB of all request bodies in memory (default: 256)",
    )
    add(
        "max-queue",
        variable="STAGEWRIGHT_MAX_QUEUE",
        default="1000",
        text="most queued requests of a model (default: 1000)",
    )
    add("timeout", variable="STAGEWRIGHT_TIMEOUT", default="60",
        text="seconds in the queue after which a request is refused, unless it has its own timeout (default: 60)")  # fmt: skip
    add("load-seconds", variable="STAGEWRIGHT_LOAD_SECONDS", default=f"{LOAD_SECONDS:g}",
        text=f"longest time to load a model, in seconds (default: {LOAD_SECONDS:g})")  # fmt: skip
    add("batch-rows", variable="STAGEWRIGHT_BATCH_ROWS", text="most rows of a batch (default: the model's settings)")
    add("batch-milliseconds", variable="STAGEWRIGHT_BATCH_MILLISECONDS",
        text="after this wait, a request runs on another free thread (default: the model's settings)")  # fmt: skip
    add("max-body-mb", variable="STAGEWRIGHT_MAX_BODY_MB", default="64", text="largest request body in MiB (default: 64)")
    add("max-rows", variable="STAGEWRIGHT_MAX_ROWS", default="100000", text="most rows of a request (default: 100000)")
    add("idle-timeout", variable="STAGEWRIGHT_IDLE_TIMEOUT", default="75",
        text="longest idle time of a connection, in seconds (default: 75)")  # fmt: skip
    add("head-timeout", variable="STAGEWRIGHT_HEAD_TIMEOUT", default="30",
        text="longest time to receive a request's headers, in seconds (default: 30)")  # fmt: skip
    add(
        "body-timeout",
        variable="STAGEWRIGHT_BODY_TIMEOUT",
        default="60",
        text="longest time to receive a request's body, in seconds (default: 60)",
    )
    add("max-connections", variable="STAGEWRIGHT_MAX_CONNECTIONS",
        text="most HTTP connections of a process (default: half of its limit of open files, at most 16384)")  # fmt: skip
    add("allow-host", variable="STAGEWRIGHT_ALLOW_HOST", default="",
        text="host names of this server if --host is a loopback address, separated by commas; * allows all")  # fmt: skip
    add("allow-origin", variable="STAGEWRIGHT_ALLOW_ORIGIN", default="",
        text="origins of web pages that may change models, such as https://a.example.com, separated by commas")  # fmt: skip
    add_options(add)
    return parser


def _models(given: argparse.Namespace, environment: Mapping[str, str]) -> tuple[tuple[str | None, str], ...]:
    """Names and locations: any number of NAME=LOCATION, and at most one location without a name, which --name names."""
    places = given.model or ([] if given.repository else [_default_model(environment)])
    found: list[tuple[str | None, str]] = []
    for place in places:
        named = _NAMED.fullmatch(place)
        found.append((named[1], named[2]) if named else (given.name or None, place))
    names = [name for name, _ in found]
    if sum(_NAMED.fullmatch(place) is None for place in places) > 1 or len(set(names)) < len(names):
        raise BadParameter("model", got=" ".join(places), expected="NAME=LOCATION, each name once, for more than one model")
    return tuple(found)


def _limits(given: argparse.Namespace) -> Limits:
    rows = _positive("max-rows", given.max_rows)
    return Limits(
        body_bytes=_positive("max-body-mb", given.max_body_mb) * MEGABYTE,
        rows=rows,
        held_bytes=_positive("max-held-mb", given.max_held_mb) * MEGABYTE,
        timeout_seconds=_above_zero("timeout", given.timeout),
        bounds=Bounds(_positive("max-queue", given.max_queue), queue_rows=rows),
        connections=ConnectionLimits(
            idle_seconds=_above_zero("idle-timeout", given.idle_timeout),
            head_seconds=_above_zero("head-timeout", given.head_timeout),
            body_seconds=_above_zero("body-timeout", given.body_timeout),
            most=most_connections() if given.max_connections is None else _positive("max-connections", given.max_connections),
        ),
    )


def _listed(given: str) -> tuple[str, ...]:
    return tuple(one.strip().lower() for one in given.split(",") if one.strip())


def _overrides(given: argparse.Namespace) -> dict[str, Any]:
    """Serving settings of the command line."""
    chosen: dict[str, Any] = {
        name: _positive(name.replace("_", "-"), getattr(given, name))
        for name in ("threads", "concurrency", "batch_rows")
        if getattr(given, name) is not None
    }
    if given.batch_milliseconds is not None:
        chosen["batch_milliseconds"] = _above_zero("batch-milliseconds", given.batch_milliseconds)
    if given.graph_optimization is not None:
        chosen["graph_optimization"] = one_of("graph-optimization", given.graph_optimization, OPTIMIZATIONS)
    if given.tree_engine is not None:
        chosen["tree_engine"] = one_of("tree-engine", given.tree_engine, TREE_ENGINES)
    return chosen


def _default_model(environment: Mapping[str, str]) -> str:
    """The default location. KServe sets STORAGE_URI and mounts the same model; the mounted one takes precedence."""
    mounted = Path(MOUNTED)
    uri = environment.get("STORAGE_URI", "")
    if (mounted / GRAPH).exists() or (mounted / SERVING).exists() or not uri:
        if not mounted.exists():
            raise InputError(f"no model given: use --model, set STORAGE_URI or mount one at {MOUNTED}")
        return MOUNTED
    return uri


def _port(name: str, value: str) -> int:
    port = _integer(name, value)
    if not 0 <= port <= 65535:
        raise BadParameter(name, got=port, expected="a port number from 0 to 65535; 0 takes a free one")
    return port


def _integer(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise BadParameter(name, got=value, expected="an integer") from None


def _above_zero(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise BadParameter(name, got=value, expected="a number") from None
    if not 0 < number < float("inf"):
        raise BadParameter(name, got=value, expected="a number above 0")
    return number


def _positive(name: str, value: str) -> int:
    number = _integer(name, value)
    if number < 1:
        raise BadParameter(name, got=number, expected="at least 1")
    return number

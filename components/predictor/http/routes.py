"""Routes of the server, as one list."""

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from stagewright.components.predictor.wire.errors import MethodNotAllowed, NoSuchPath

LONGEST_KNOWN = 200  # longest cached path, in characters
READ, SEND = ("GET", "HEAD"), ("POST",)


class Route(NamedTuple):
    """The action of a path, its protocol, and its model."""

    action: str
    protocol: str
    methods: tuple[str, ...] = READ
    model: str | None = None
    version: str | None = None


def find(method: str, path: str) -> Route:
    """The route of a request.

    Args:
        method: HTTP method.
        path: The undecoded path; a slash in a name is `%2F`.

    Raises:
        NoSuchPath: If no route has this path.
        MethodNotAllowed: If the route has other methods.
    """
    route = _known(path) if len(path) < LONGEST_KNOWN else _route(path)
    if route is None:
        raise NoSuchPath(unquote(path))
    if method not in route.methods:
        raise MethodNotAllowed(method[:20], unquote(path), " or ".join(route.methods))
    return route


def _route(path: str) -> Route | None:
    return _match([unquote(segment) if "%" in segment else segment for segment in path.rstrip("/").split("/")[1:]])


_known = lru_cache(maxsize=1024)(_route)  # most requests have one of a few paths


def _match(segments: list[str]) -> Route | None:  # noqa: C901, PLR0911, PLR0912 - a flat list reads better than any table of patterns
    match segments:
        case ["v1", "models", name] if name.endswith(":predict"):
            return Route("predict", "v1", SEND, name.removesuffix(":predict"))
        case ["v1", "models", name] if name.endswith(":explain"):
            return Route("explain", "v1", SEND, name.removesuffix(":explain"))
        case ["v2", "models", name, "infer"]:
            return Route("infer", "v2", SEND, name)
        case ["v2", "models", name, "versions", version, "infer"]:
            return Route("infer", "v2", SEND, name, version)
        case ["v2", "models", name, "ready"]:
            return Route("model_ready", "v2", READ, name)
        case ["v2", "models", name, "versions", version, "ready"]:
            return Route("model_ready", "v2", READ, name, version)
        case ["v2", "models", name] if name != "stats":
            return Route("metadata", "v2", READ, name)
        case ["v2", "models", name, "versions", version]:
            return Route("metadata", "v2", READ, name, version)
        case ["v2", "repository", "index"]:
            return Route("repository_index", "repository", (*SEND, *READ))
        case ["v2", "repository", "models", name, "load" | "unload" as action]:
            return Route(f"repository_{action}", "repository", SEND, name)
        case ["v2", "models", name, "config"]:
            return Route("configuration", "v2", READ, name)
        case ["v2", "models", name, "versions", version, "config"]:
            return Route("configuration", "v2", READ, name, version)
        case ["v2", "models", "stats"]:
            return Route("statistics", "v2")
        case ["v2", "models", name, "stats"]:
            return Route("statistics", "v2", READ, name)
        case ["v2", "models", name, "versions", version, "stats"]:
            return Route("statistics", "v2", READ, name, version)
        case ["v2", "health", "live"]:
            return Route("live", "v2")
        case ["v2", "health", "ready"]:
            return Route("ready", "v2")
        case ["v2"]:
            return Route("server", "v2")
        case ["v1" | "v2" as protocol, "models"]:
            return Route("models", protocol)
        case ["v1", "models", name]:
            return Route("model_status", "v1", READ, name)
        case ["openapi.json"]:
            return Route("openapi", "openapi")
        case ["docs"]:
            return Route("page", "openapi")
        case ["metrics"]:
            return Route("metrics", "metrics")
        case []:
            return Route("alive", "v1")
    return None

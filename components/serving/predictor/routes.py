"""Which request goes where: the server's paths as one list to read."""

from typing import NamedTuple

from stagewright.components.serving.predictor.errors import MethodNotAllowed, NoSuchPath

READ, SEND = ("GET", "HEAD"), ("POST",)


class Route(NamedTuple):
    """What a path means: the application's method that answers it, for which model, in which protocol."""

    action: str
    protocol: str
    methods: tuple[str, ...] = READ
    model: str | None = None
    version: str | None = None


def find(method: str, path: str) -> Route:
    """The route of a request.

    Raises:
        NoSuchPath: If nothing is served there.
        MethodNotAllowed: If it is, for another method.
    """
    route = _match(path.rstrip("/").split("/")[1:])
    if route is None:
        raise NoSuchPath(path)
    if method not in route.methods:
        raise MethodNotAllowed(method[:20], path, " or ".join(route.methods))
    return route


def _match(segments: list[str]) -> Route | None:  # noqa: C901, PLR0911, PLR0912 - a flat list reads better than any table of patterns
    match segments:
        case ["v1", "models", name] if name.endswith(":predict"):
            return Route("predict", "v1", SEND, name.removesuffix(":predict"))
        case ["v2", "models", name, "infer"]:
            return Route("infer", "v2", SEND, name)
        case ["v2", "models", name, "versions", version, "infer"]:
            return Route("infer", "v2", SEND, name, version)
        case ["v2", "models", name, "ready"]:
            return Route("model_ready", "v2", READ, name)
        case ["v2", "models", name, "versions", version, "ready"]:
            return Route("model_ready", "v2", READ, name, version)
        case ["v2", "models", name]:
            return Route("metadata", "v2", READ, name)
        case ["v2", "models", name, "versions", version]:
            return Route("metadata", "v2", READ, name, version)
        case ["v2", "health", "live"]:
            return Route("live", "v2")
        case ["v2", "health", "ready"]:
            return Route("ready", "v2")
        case ["v2"]:
            return Route("server", "v2")
        case ["v1", "models"]:
            return Route("models", "v1")
        case ["v1", "models", name]:
            return Route("model_status", "v1", READ, name)
        case ["metrics"]:
            return Route("metrics", "metrics")
        case []:
            return Route("alive", "v1")
    return None

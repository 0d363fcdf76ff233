"""Routes that describe models and server: Triton's extensions, the OpenAPI document and its page."""

from collections.abc import Callable
from contextlib import suppress

from stagewright.components.predictor.http import openapi
from stagewright.components.predictor.http.routes import Route
from stagewright.components.predictor.inference.model import Model
from stagewright.components.predictor.models.repository import Repository
from stagewright.components.predictor.protocol import triton
from stagewright.components.predictor.telemetry.metrics import Metrics
from stagewright.components.predictor.wire.errors import RequestError
from stagewright.components.predictor.wire.messages import Answer, json_answer


def actions(models: Repository, metrics: Metrics, *, version: str, max_rows: int) -> dict[str, Callable[[Route], Answer]]:
    """Handlers by the action of their route.

    Args:
        models: Models of this process.
        metrics: Metrics of the server.
        version: Version of the server.
        max_rows: Most rows of a request.
    """

    def requested_models(route: Route) -> list[Model]:
        return [models.find(route.model, route.version).model] if route.model is not None else loaded(models)

    return {
        "configuration": lambda route: json_answer(triton.configuration(requested_models(route)[0], max_rows=max_rows)),
        "statistics": lambda route: json_answer(triton.statistics(requested_models(route), metrics)),
        "openapi": lambda _: json_answer(openapi.document(loaded(models), version=version, max_rows=max_rows)),
        "page": lambda _: openapi.page(),
    }


def loaded(models: Repository) -> list[Model]:
    """The ready models."""
    found = []
    for name in models.names:
        with suppress(RequestError):
            found.append(models.find(name).model)
    return found

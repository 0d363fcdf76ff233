"""The methods of `inference.GRPCInferenceService`: each calls the application with the equivalent HTTP request.

Names are passed as a route, not in a path, where some names would have another meaning. HTTP statuses become gRPC codes; error
sentences are unchanged. The call's deadline becomes the request's timeout.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import orjson
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError

from stagewright.components.predictor.grpc import messages as pb
from stagewright.components.predictor.grpc import tensors
from stagewright.components.predictor.http.routes import READ, SEND, Route
from stagewright.components.predictor.wire.asgi import HEADER_LENGTH, Application, Message, Scope
from stagewright.components.predictor.wire.errors import RequestError
from stagewright.components.predictor.wire.messages import Answer, json_bytes
from stagewright.components.runtime import logs

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.INVALID_ARGUMENT,  # not RESOURCE_EXHAUSTED, because a retry would fail too
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
INDEX = Route("repository_index", "repository", SEND)
TIMEOUT = b"x-request-timeout-ms"
RETRY = b"retry-after"

Headers = list[tuple[bytes, bytes]]


class Refused(Exception):
    """The application responded with an error."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(orjson.loads(answer.body).get("error", ""))
        self.code = CODES.get(answer.status, grpc.StatusCode.UNKNOWN)
        self.status, self.headers = answer.status, dict(answer.headers)


async def call_application(application: Application, route: Route, headers: Headers, body: bytes = b"") -> Answer:
    """Send one request to the application, without a socket, and return its response.

    Raises:
        Refused: For any status but 200.
    """
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        if not waiting:  # never disconnects: if the client cancels its call, gRPC cancels this task
            await asyncio.get_running_loop().create_future()
        return waiting.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http", "http_version": "2", "scheme": "http", "method": route.methods[0], "path": route.action, "route": route,
        "query_string": b"", "headers": headers, "client": None, "server": None, "extensions": {},
    }  # fmt: skip
    await application(scope, receive, send)
    start, *parts = sent
    content = parts[0]["body"] if len(parts) == 1 else b"".join(part.get("body", b"") for part in parts)
    answer = Answer(start["status"], content, headers=tuple(start["headers"]))
    if answer.status != 200:
        raise Refused(answer)
    return answer


class Service:
    """Methods of the service, by the protocol's names. Each takes a request and its context and returns a response.

    A method raises Refused for an error of the application, and RequestError for an invalid request.

    Args:
        application: The ASGI application that also serves HTTP.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    def handlers(self) -> grpc.GenericRpcHandler:
        """Handlers of all methods, for a gRPC server."""
        methods = {}
        for method in pb.service.methods:
            request, answer = pb.message(method.input_type.name), pb.message(method.output_type.name)
            methods[method.name] = grpc.unary_unary_rpc_method_handler(
                _answering(getattr(self, method.name), request), response_serializer=answer.SerializeToString
            )
        return grpc.method_handlers_generic_handler(pb.service.full_name, methods)

    async def ServerLive(self, _request: pb.Message, context: Any) -> pb.Message:  # noqa: N802 - the protocol's names
        return pb.ServerLiveResponse(live=(await self._read(Route("live", "v2"), context))["live"])

    async def ServerReady(self, _request: pb.Message, context: Any) -> pb.Message:  # noqa: N802
        return pb.ServerReadyResponse(ready=await self._holds(Route("ready", "v2"), context))

    async def ModelReady(self, request: pb.Message, context: Any) -> pb.Message:  # noqa: N802
        try:
            ready = await self._holds(_about("model_ready", request), context)
        except Refused:
            # A known model that is not loaded is not an error.
            if request.version or request.name not in await self._known(context):
                raise
            ready = False
        return pb.ModelReadyResponse(ready=ready)

    async def ServerMetadata(self, _request: pb.Message, context: Any) -> pb.Message:  # noqa: N802
        found = await self._read(Route("server", "v2"), context)
        return pb.ServerMetadataResponse(name=found["name"], version=found["version"], extensions=found["extensions"])

    async def ModelMetadata(self, request: pb.Message, context: Any) -> pb.Message:  # noqa: N802
        found = await self._read(_about("metadata", request), context)
        tensors = {side: [_tensor(one) for one in found[side]] for side in ("inputs", "outputs")}
        return pb.ModelMetadataResponse(name=found["name"], versions=found["versions"], platform=found["platform"], **tensors)

    async def ModelInfer(self, request: pb.Message, context: Any) -> pb.Message:  # noqa: N802
        body = tensors.request_body(request)
        headers = [(HEADER_LENGTH, str(body.header_length).encode()), *_deadline(context)]
        route = Route("infer", "v2", SEND, request.model_name, request.model_version or None)
        answer = await call_application(self._application, route, headers, body.content)
        length = int(dict(answer.headers)[HEADER_LENGTH])
        return tensors.response(answer.body, length, raw=body.raw)

    async def RepositoryIndex(self, request: pb.Message, context: Any) -> pb.Message:  # noqa: N802
        if request.repository_name:
            raise RequestError("repository_name is not taken: this server has one repository")
        found = await self._send(INDEX, context, {"ready": True} if request.ready else {})
        fields = ("name", "version", "state", "reason")
        return pb.RepositoryIndexResponse(models=[{name: one.get(name) or "" for name in fields} for one in found])

    async def RepositoryModelLoad(self, request: pb.Message, context: Any) -> pb.Message:  # noqa: N802
        name = await self._change("load", request, context)
        return pb.RepositoryModelLoadResponse(model_name=name, is_loaded=True)

    async def RepositoryModelUnload(self, request: pb.Message, context: Any) -> pb.Message:  # noqa: N802
        name = await self._change("unload", request, context)
        return pb.RepositoryModelUnloadResponse(model_name=name, is_unloaded=True)

    async def ModelConfig(self, request: pb.Message, context: Any) -> pb.Message:  # noqa: N802
        found = await self._read(_about("configuration", request), context)
        return ParseDict({"config": found}, pb.ModelConfigResponse())

    async def ModelStatistics(self, request: pb.Message, context: Any) -> pb.Message:  # noqa: N802
        route = _about("statistics", request) if request.name else Route("statistics", "v2")
        return ParseDict(await self._read(route, context), pb.ModelStatisticsResponse())

    async def _change(self, action: str, request: pb.Message, context: Any) -> str:
        """Load or unload a model; return its name."""
        if request.model_name and request.model_or_repository_name:
            raise RequestError("repository_name is not taken: this server has one repository")
        name: str = request.model_name or request.model_or_repository_name
        parameters = {key: _parameter(value) for key, value in request.parameters.items()}
        await self._send(Route(f"repository_{action}", "repository", SEND, name), context, {"parameters": parameters})
        return name

    async def _read(self, route: Route, context: Any) -> Any:
        return orjson.loads((await call_application(self._application, route, _deadline(context))).body)

    async def _send(self, route: Route, context: Any, document: Any = None) -> Any:
        answer = await call_application(self._application, route, _deadline(context), json_bytes(document or {}))
        return orjson.loads(answer.body or b"null")

    async def _known(self, context: Any) -> set[str]:
        return {one["name"] for one in await self._send(INDEX, context)}

    async def _holds(self, route: Route, context: Any) -> bool:
        try:
            await self._read(route, context)
        except Refused as refused:
            if refused.status == 503:  # not ready
                return False
            raise
        return True


def _answering(method: Callable[..., Awaitable[pb.Message]], kind: Any) -> Callable[..., Awaitable[pb.Message]]:
    """Wrap a method: parse the request's bytes, and turn errors into gRPC codes and sentences.

    Args:
        method: Method of the service.
        kind: Class of the request. A malformed message is INVALID_ARGUMENT; gRPC's own parser would answer INTERNAL.
    """

    async def answer(data: bytes, context: Any) -> pb.Message:
        try:
            return await method(kind.FromString(data), context)
        except DecodeError:
            code, sentence = CODES[400], f"the message is not a {kind.DESCRIPTOR.name} of {pb.service.full_name}"
        except Refused as refused:
            code, sentence = refused.code, str(refused)
            if RETRY in refused.headers:
                context.set_trailing_metadata(((RETRY.decode(), refused.headers[RETRY].decode()),))
        except RequestError as error:
            code, sentence = CODES[error.status], str(error)
        except Exception as error:  # noqa: BLE001 - an internal error: the traceback is logged, not sent
            logs.LOGGER.exception("call_failed", extra={"fields": {"method": method.__name__, "error": str(error)}})
            code, sentence = CODES[500], "prediction failed; see the server log"
        return await context.abort(code, sentence)

    return answer


def _about(action: str, request: pb.Message) -> Route:
    """Route of a read request about a model."""
    return Route(action, "v2", READ, request.name, request.version or None)


def _parameter(value: pb.Message) -> Any:
    choice = value.WhichOneof("parameter_choice")
    given = None if choice is None else getattr(value, choice)
    return given.decode("latin-1") if isinstance(given, bytes) else given


def _tensor(metadata: dict[str, Any]) -> dict[str, Any]:
    return {name: metadata[name] for name in ("name", "datatype", "shape")}


def _deadline(context: Any) -> Headers:
    """Remaining time of the call, as the header for the request's timeout."""
    left = context.time_remaining()
    return [] if left is None else [(TIMEOUT, str(max(1, int(left * 1000))).encode())]

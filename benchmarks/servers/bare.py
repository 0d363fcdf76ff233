"""The least that any server under uvicorn does: read the body, parse its JSON, answer a constant.

Usage: python bare.py PORT
"""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import uvicorn

Message = dict[str, Any]
ANSWER = b'{"predictions":["No"],"probabilities":[[0.97493297,0.025067]],"model_name":"churn"}'
START = {
    "type": "http.response.start", "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))],
}  # fmt: skip


async def application(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Parse the JSON of any request and answer what a predictor would, without predicting."""
    if scope["type"] != "http":
        return
    chunks = []
    more = True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    if scope["method"] == "POST":
        orjson.loads(b"".join(chunks))
    await send(START)
    await send({"type": "http.response.body", "body": ANSWER})


if __name__ == "__main__":
    uvicorn.run(
        application, host="127.0.0.1", port=int(sys.argv[1]), lifespan="off", log_level="error", access_log=False,
        server_header=False, date_header=False, proxy_headers=False, ws="none", timeout_keep_alive=75,
    )  # fmt: skip

"""Long work beside the event loop that the end of the process does not wait for."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, TypeVar

Result = TypeVar("Result")

_at_work: set[threading.Thread] = set()


def end(code: int) -> NoReturn:
    """End the process. What still works beside the loop is cut off: ONNX Runtime aborts where Python stops its thread."""
    if _at_work:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


async def run_in_thread(work: Callable[[], Result]) -> Result:
    """What `work` returns or raises, done in a thread of its own.

    asyncio's own threads are waited for when the loop closes: a server that is asked to end while it reads a large model, or
    asks a store that does not answer, would not end before that is over.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: Result | None = None
        failure: BaseException | None = None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            failure = error
        finally:
            _at_work.discard(threading.current_thread())
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    thread = threading.Thread(target=run, name="run_in_thread", daemon=True)
    _at_work.add(thread)
    thread.start()
    return await future

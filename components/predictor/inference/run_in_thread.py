"""Long-running work in threads that do not delay the end of the process."""

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
    """End the process, even if threads are still working. ONNX Runtime would abort if Python stopped its thread."""
    if _at_work:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


async def run_in_thread(work: Callable[[], Result]) -> Result:
    """Run `work` in a new daemon thread; return its result or raise its exception.

    asyncio waits for its own threads when the event loop closes. That would delay the shutdown of a server that is reading a
    large model or waiting for an object store.
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
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's await
            failure = error
        finally:
            _at_work.discard(threading.current_thread())
        with suppress(RuntimeError):  # the event loop is closed
            loop.call_soon_threadsafe(settle, result, failure)

    thread = threading.Thread(target=run, name="run_in_thread", daemon=True)
    _at_work.add(thread)
    thread.start()
    return await future

"""The servers as processes: started on free ports, waited for, ended."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stagewright.components.runtime.errors import ServiceUnavailable

HERE = Path(__file__).parent
START_SECONDS = 60
PREDICTOR = "stagewright.components.predictor"


def commands(folder: Path) -> dict[str, list[str]]:
    """The four servers of a model of all columns, each one process; `{port}` stands for the port."""
    kserve = str(HERE / "kserve_server.py")
    return {
        "ours": predictor(folder),
        "bare": [str(HERE / "bare.py"), "{port}"],
        "kserve_sklearn": [kserve, "{port}", "sklearn", str(folder)],
        "kserve_onnx": [kserve, "{port}", "onnx", str(folder)],
    }


def predictor(folder: Path) -> list[str]:
    """Our server with its defaults: one worker."""
    return ["-m", PREDICTOR, "--model", str(folder), "--name", "churn", "--host", "127.0.0.1", "--port", "{port}"]


@contextmanager
def running(servers: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Addresses of these servers, all of which answer; they are ended afterwards.

    Raises:
        ServiceUnavailable: If one of them does not come up.
    """
    with ExitStack() as ends:
        addresses = {}
        for name, command in servers.items():
            port = _free_port()
            addresses[name] = f"127.0.0.1:{port}"
            arguments = [part.replace("{port}", str(port)) for part in command]
            process = subprocess.Popen(
                [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )  # fmt: skip
            ends.callback(_end, process)
        for name, address in addresses.items():
            _wait(name, address)
        yield addresses


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(name: str, address: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://{address}/v1/models/churn", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise ServiceUnavailable(f"the server '{name}' did not answer within {START_SECONDS} seconds")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()

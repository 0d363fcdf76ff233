"""Hot swap: a running predictor loads another version, which is tested next to the old one and then replaces it.

The predictor follows a folder with one entry, `<name>.json`, with the location of its model. It loads that on request through
its repository API. Until the last step, and if any step fails, it serves the old version.
"""

import hashlib
import json
import os
import sys
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import urllib3

from stagewright.components.runtime.errors import GateFailed, InputError, ServiceUnavailable
from stagewright.components.runtime.storage import is_remote, replacing
from stagewright.components.serving import client

STAGED = "staged"  # version in the path under which the predictor serves the staged model
TRY_SECONDS = 60.0


def environment_fingerprint() -> str:
    """Hash of what a predictor inherits from the process that starts it: its program, and the address and keys of the object
    store.

    A predictor with another fingerprint may not be able to load what this process can, so it is replaced instead.
    """
    names = sorted(name for name in os.environ if name.startswith("AWS_"))
    parts = [sys.executable, package_version("stagewright"), *(f"{name}={os.environ[name]}" for name in names)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def place(model_uri: str) -> str:
    """Location of a model, for a process with another working directory."""
    return model_uri if is_remote(model_uri) else str(Path(model_uri.removeprefix("file://")).absolute())


def write_entry(folder: Path, name: str, version: str, model_uri: str) -> None:
    """Write the location of the version to serve."""
    with replacing(folder / f"{name}.json") as file:
        file.write((json.dumps({"uri": place(model_uri), "version": version}) + "\n").encode())


def stage(endpoint: str, name: str, *, timeout: float) -> None:
    """Load the version of the entry next to the served version.

    Raises:
        InputError: If it cannot be loaded, with the predictor's message.
        ServiceUnavailable: If the predictor does not answer.
    """
    _ask(endpoint, name, "load", {"stage": True}, timeout)


def commit(endpoint: str, name: str, *, timeout: float) -> None:
    """Replace the served version by the staged one.

    Raises:
        InputError, ServiceUnavailable: As `stage`.
    """
    _ask(endpoint, name, "load", {}, timeout)


def discard(endpoint: str, name: str) -> None:
    """Unload the staged version.

    Raises:
        InputError, ServiceUnavailable: As `stage`.
    """
    _ask(endpoint, name, "unload", {"staged": True}, TRY_SECONDS)


def try_staged(endpoint: str, name: str, baseline: bytes) -> client.SmokeTest:
    """Run the smoke test on the staged version.

    Raises:
        GateFailed: Naming the first row that differs.
        InputError, ServiceUnavailable: As the smoke test.
    """
    try:
        return client.smoke_test(endpoint, f"{name}/versions/{STAGED}", baseline)
    except GateFailed as error:
        raise GateFailed(f"the smoke test of model '{name}' at {endpoint}", error.failures) from None


def _ask(endpoint: str, name: str, action: str, parameters: dict[str, Any], timeout: float) -> None:
    path = f"/v2/repository/models/{name}/{action}"
    try:
        answer = urllib3.request(
            "POST", endpoint + path, body=json.dumps({"parameters": parameters}), timeout=timeout, retries=False
        )
    except urllib3.exceptions.HTTPError as error:
        raise ServiceUnavailable(f"the predictor at {endpoint} does not answer: {type(error).__name__}") from None
    if answer.status == 200:
        return
    try:
        sentence = str(json.loads(answer.data)["error"])
    except (ValueError, KeyError, TypeError):
        sentence = f"{path} answered {answer.status}"
    raise ServiceUnavailable(sentence) if answer.status >= 500 else InputError(sentence)

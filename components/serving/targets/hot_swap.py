"""A running predictor takes over another version of its model: loaded beside the old one, tried, and then put in its place.

The predictor follows a folder with one entry, `<name>.json`, that says where its model is; it is asked to load that through its
repository API. Until the last step, and if any step fails, it answers with the version it had.
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

STAGED = "staged"  # the path's version under which the predictor answers with what is not yet in place
TRY_SECONDS = 60.0


def environment_fingerprint() -> str:
    """What a predictor has from the process that started it: its program and the object store's address and keys, as a hash.

    A predictor started under others cannot be trusted to load what this process can: it is replaced instead.
    """
    names = sorted(name for name in os.environ if name.startswith("AWS_"))
    parts = [sys.executable, package_version("stagewright"), *(f"{name}={os.environ[name]}" for name in names)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def place(model_uri: str) -> str:
    """Where a model is, for a process that may have another working directory."""
    return model_uri if is_remote(model_uri) else str(Path(model_uri.removeprefix("file://")).absolute())


def write_entry(folder: Path, name: str, version: str, model_uri: str) -> None:
    """Say where the version of a model is that shall be served."""
    with replacing(folder / f"{name}.json") as file:
        file.write((json.dumps({"uri": place(model_uri), "version": version}) + "\n").encode())


def stage(endpoint: str, name: str, *, timeout: float) -> None:
    """Load what the entry says beside the served version.

    Raises:
        InputError: If it cannot be loaded, in the predictor's words.
        ServiceUnavailable: If the predictor does not answer.
    """
    _ask(endpoint, name, "load", {"stage": True}, timeout)


def commit(endpoint: str, name: str, *, timeout: float) -> None:
    """Put what was staged in place of the served version.

    Raises:
        InputError, ServiceUnavailable: As `stage`.
    """
    _ask(endpoint, name, "load", {}, timeout)


def discard(endpoint: str, name: str) -> None:
    """Take away what was staged.

    Raises:
        InputError, ServiceUnavailable: As `stage`.
    """
    _ask(endpoint, name, "unload", {"staged": True}, TRY_SECONDS)


def try_staged(endpoint: str, name: str, baseline: bytes) -> client.SmokeTest:
    """Compare the staged version's answers with the model's own.

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

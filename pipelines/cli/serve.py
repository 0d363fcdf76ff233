"""`stagewright serve`: run the model server in the foreground."""

import os
import sys
from pathlib import Path

from stagewright.components.runtime import processes
from stagewright.components.runtime.errors import InputError
from stagewright.components.runtime.naming import model_name
from stagewright.pipelines.local import services


def serve(model: str, *, name: str | None, port: int, host: str) -> None:
    """Serve a model until it is interrupted.

    Args:
        model: A model folder, an s3:// address, or the name of a registered model; its champion is served.
        name: Model name in URLs. Default: the model's own name.
        port: Port to listen on; 0 chooses a free port and prints it.
        host: Address to listen on.

    Raises:
        SystemExit: When the server stops, with its exit code.
    """
    from stagewright.components.predictor.__main__ import main

    place, own_name = _resolve(model)
    port = port or processes.free_port(host=host)
    chosen = name or own_name
    os.environ.setdefault("STAGEWRIGHT_LOG", "text")
    options = ["--model", place, "--host", host, "--port", str(port), *(["--name", chosen] if chosen else [])]
    sys.stderr.write(f"serving {place} on http://{host}:{port} (press Ctrl-C to stop)\n")
    sys.exit(main(options))


def _resolve(model: str) -> tuple[str, str | None]:
    if Path(model).exists():
        return model, None
    if "/" in model and "://" not in model:
        raise InputError(f"no folder {model}; pass a model folder, an s3:// address or the name of a registered model")
    os.environ.update(services.environment())
    if "://" in model:
        return model, None
    from stagewright.components.registry import catalog
    from stagewright.components.runtime import tracking

    registered = catalog.find_version(tracking.client(catalog.PURPOSE), model_name(model), f"@{catalog.CHAMPION}")
    return registered.model_uri, model

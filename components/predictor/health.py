"""`python -m stagewright.components.predictor.health`: the image's health check; exit code 0 if the server is ready."""

import http.client
import os
import sys

HOST, SECONDS = "127.0.0.1", 2.0


def ready(port: int) -> bool:
    """Whether a predictor on this machine is ready."""
    connection = http.client.HTTPConnection(HOST, port, timeout=SECONDS)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if ready(int(os.environ.get("PORT") or 8080)) else 1)

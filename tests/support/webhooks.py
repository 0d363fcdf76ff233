"""An admission webhook that says no, as KServe's does to what it cannot serve."""

import base64
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from support.api_server import ApiServer, Refused

NAME = "test.stagewright.dev"


@contextmanager
def denying(api: ApiServer, namespace: str, message: str) -> Iterator[None]:
    """Deny every InferenceService of a namespace with this message."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            review["response"] = {"uid": review["request"]["uid"], "allowed": False, "status": {"message": message}}
            content = json.dumps(review).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(api.folder / "tls.crt", api.folder / "tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, daemon=True).start()
    authority = base64.b64encode((api.folder / "tls.crt").read_bytes()).decode()
    webhook = {
        "name": NAME,
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": f"https://127.0.0.1:{server.server_port}/", "caBundle": authority},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [
            {"apiGroups": ["serving.kserve.io"], "apiVersions": ["*"], "operations": ["*"], "resources": ["inferenceservices"]}
        ],
    }
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    api.ask("POST", path, {"metadata": {"name": NAME}, "webhooks": [webhook]})
    try:
        _wait(api, namespace)
        yield
    finally:
        api.ask("DELETE", f"{path}/{NAME}")
        server.shutdown()
        server.server_close()


def _wait(api: ApiServer, namespace: str) -> None:
    """Until the API server has heard of the webhook."""
    path = f"/apis/serving.kserve.io/v1beta1/namespaces/{namespace}/inferenceservices?dryRun=All"
    document = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "tried"},
        "spec": {"predictor": {}},
    }
    for _ in range(100):
        try:
            api.ask("POST", path, document)
        except Refused as refused:
            if "denied" in str(refused):
                return
        time.sleep(0.1)
    raise AssertionError("the webhook is not asked")

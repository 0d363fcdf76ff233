"""What other servers answer is read within bounds: by the client of served models, and from Prometheus."""

import gzip
import json
from datetime import UTC, datetime

import pytest
import urllib3
from support import http_servers

from stagewright.components.optimization.cost import prometheus_curve
from stagewright.components.runtime.answers import json_object, read_body
from stagewright.components.runtime.documents import Unreadable
from stagewright.components.runtime.errors import InputError, ServiceUnavailable
from stagewright.components.serving import client

DEEP = b'{"data": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def observe(address: str) -> None:
    prometheus_curve.observe(address, "churn", cpus=1, objective_ms=50, now=NOW)


def packed(body: bytes) -> bytes:
    """A response whose body is gzipped."""
    content = gzip.compress(body)
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)


@pytest.mark.parametrize(("most", "fits"), [(100_000, True), (99_999, False)])
@pytest.mark.parametrize("respond", [http_servers.response, packed])
def test_an_answer_is_read_up_to_its_bound(respond: object, most: int, fits: bool) -> None:
    with http_servers.serving(lambda _: respond(b"x" * 100_000)) as server, urllib3.PoolManager() as pool:  # type: ignore[operator]
        answer = pool.request("GET", server.address, preload_content=False)
        if fits:
            assert read_body(answer, most=most) == b"x" * 100_000
        else:
            with pytest.raises(Unreadable, match=r"^more than 99999 bytes$"):
                read_body(answer, most=most)


@pytest.mark.parametrize("body", [b"", b"[1]", b"null", b"{", DEEP, b"\xff"])
def test_what_is_no_object_is_none(body: bytes) -> None:
    assert json_object(body) is None


def test_a_served_model_s_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LARGEST_ANSWER", 1000)
    with http_servers.serving(lambda _: packed(b" " * 1_000_000 + b"{}")) as server:
        with pytest.raises(ServiceUnavailable) as refused:
            client.predict(server.address, "churn", [{}])
        assert str(refused.value) == (
            f"{server.address}/v1/models/churn:predict answered 200 with more than 1000 bytes, which is no answer to this; "
            "check the address"
        )


def test_a_served_model_s_answer_that_is_nested_too_deep_is_one_sentence() -> None:
    with http_servers.serving(lambda _: http_servers.response(DEEP)) as server, pytest.raises(ServiceUnavailable) as refused:
        client.predict(server.address, "churn", [{}])
    assert str(refused.value).startswith(f"{server.address}/v1/models/churn:predict answered 200: ")


def test_prometheus_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_curve, "LARGEST_ANSWER", 1000)
    with http_servers.serving(lambda _: http_servers.response(b" " * 1001)) as server, pytest.raises(InputError) as refused:
        observe(server.address)
    assert str(refused.value).endswith("answers with more than 1000 bytes; check the address, or ask for fewer points")


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (DEEP, "refuses a query: status 200"),
        (b"[1]", "refuses a query: status 200"),
        ({"status": "success"}, "refuses a query: status 200"),
        ({"status": "error", "error": "bad"}, "refuses a query: bad"),
        ({"status": "success", "data": {"result": [{}]}}, "gives no series of numbers"),
        ({"status": "success", "data": {"result": [{"values": [1]}]}}, "gives no series of numbers"),
        ({"status": "success", "data": {"result": 3}}, "gives no series of numbers"),
        ({"status": "success", "data": {"result": [{"values": []}, {"values": []}]}}, "gives 2 series; expected one"),
        ({"status": "success", "data": {"result": []}}, "has seen no request to model 'churn'"),
    ],
)
def test_what_is_no_prometheus_is_one_sentence(document: object, says: str) -> None:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    with http_servers.serving(lambda _: http_servers.response(body)) as server, pytest.raises(InputError, match=says):
        observe(server.address)

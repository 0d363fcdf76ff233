"""A real process under malformed, huge, slow and random HTTP: never a 5xx, never a hang, and it answers well afterwards.

What bodies may contain is searched without sockets in test_predictor_fuzz.py.
"""

import json
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.mixed_rows import ROWS
from support.raw_http import Connection, exchange, request
from support.targets import Target, process

V1, V2 = "/v1/models/churn:predict", "/v2/models/churn/infer"
GOOD = json.dumps({"instances": ROWS}).encode()
MEBIBYTE = 1 << 20
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def target(models: dict[str, Path]) -> Iterator[Target]:
    with process(models["mixed"], "churn") as running:
        yield running
        assert memory_mebibytes(running) < 700


@pytest.fixture(autouse=True)
def _it_answers_well_afterwards(target: Target) -> Iterator[None]:
    yield
    began = time.monotonic()
    answer = exchange(target.host, request("POST", V1, GOOD))
    assert answer is not None
    assert (answer.status, len(json.loads(answer.body)["predictions"])) == (200, len(ROWS))
    assert time.monotonic() - began < 10


def memory_mebibytes(target: Target, what: str = "VmRSS") -> float:
    status = Path(f"/proc/{target.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(what)).split()[1]) / 1024


def check(answer: Any) -> None:
    """A good answer, or a refusal with a sentence."""
    assert answer is not None
    assert answer.status < 500 or answer.status in (503, 504), answer
    if answer.status >= 400 and answer.body and answer.headers.get("content-type") == "application/json":
        assert "error" in json.loads(answer.body) or "ready" in json.loads(answer.body)


segments = st.one_of(
    st.sampled_from(["v1", "v2", "models", "churn", "churn:predict", "churn:explain", "infer", "versions", "v1.2.3", "ready",
                     "health", "live", "metrics", "config", "stats", "repository", "index", "docs", "openapi.json", "..", ".",
                     "%2e%2e", "%00", "%ff", "%", "a%2Fb", "*"]),
    st.text(st.characters(codec="utf-8", exclude_characters=" \r\n\t\0"), max_size=8),
)  # fmt: skip
paths = st.one_of(
    st.lists(segments, max_size=7).map(lambda parts: "/" + "/".join(parts)),
    st.sampled_from(["*", "http://elsewhere/v2", "/" * 50, "/v2?" + "a=b&" * 1000, "/" + "a" * 60_000, "/v2/models/churn#x"]),
)
methods = st.one_of(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"]),
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=12),
)


@QUICK
@given(method=methods, path=paths, body=st.binary(max_size=50))
def test_any_path_and_method(target: Target, method: str, path: str, body: bytes) -> None:
    answer = exchange(target.host, request(method, path, body), head=method == "HEAD")

    if answer is not None:  # a request line that is no HTTP may end the connection
        check(answer)


headers = st.dictionaries(
    st.sampled_from(["Content-Length", "Inference-Header-Content-Length", "Content-Type", "Content-Encoding", "Host", "Accept",
                     "Transfer-Encoding", "Expect", "Connection", "Upgrade", "X-Request-Timeout-Ms",
                     "X-Envoy-Expected-Rq-Timeout-Ms"]),
    st.one_of(
        st.sampled_from(["0", "1", "10", "-1", "99999999999999999999999999", "1e3", "+5", "0x10", " 7 ", "", "gzip", "chunked",
                         "identity", "100-continue", "close", "keep-alive", "websocket", "h2c", "application/json", "3, 4"]),
        st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=20),
    ),
    max_size=4,
)  # fmt: skip


@QUICK
@given(given_headers=headers, path=st.sampled_from([V1, V2]), body=st.one_of(st.just(GOOD), st.binary(max_size=60)))
def test_any_headers(target: Target, given_headers: dict[str, str], path: str, body: bytes) -> None:
    with Connection(target.host) as connection:
        connection.send(request("POST", path, body, given_headers))
        connection.finish()  # a Content-Length that promises more is never kept
        answer = connection.answer()

    if answer is not None:
        check(answer)


@QUICK
@given(data=st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda junk: request("POST", V1, GOOD) + junk)))
def test_any_bytes(target: Target, data: bytes) -> None:
    with Connection(target.host) as connection:
        connection.send(data)
        connection.finish()
        answer = connection.answer()

    if answer is not None:
        check(answer)


CHUNKED = b"POST /v1/models/churn:predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
MALFORMED = {
    "no version": b"GET /v2\r\n\r\n",
    "a version of the future": b"GET /v2 HTTP/9.9\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100c2010000be0303") + b"\0" * 100,
    "a bare line feed": b"GET /v2 HTTP/1.1\nHost: a\n\n",
    "a header without a colon": b"GET /v2 HTTP/1.1\r\nHost\r\n\r\n",
    "a space before the colon": b"GET /v2 HTTP/1.1\r\nHost : a\r\n\r\n",
    "a folded header": b"GET /v2 HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    "a zero in a header": b"GET /v2 HTTP/1.1\r\nHost: a\0b\r\n\r\n",
    "a huge header": b"GET /v2 HTTP/1.1\r\nX: " + b"a" * MEBIBYTE + b"\r\n\r\n",
    "many headers": b"GET /v2 HTTP/1.1\r\n" + b"X: a\r\n" * 50_000 + b"\r\n",
    "two lengths": b"POST /v1/models/churn:predict HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length and chunks": b"POST /v1/models/churn:predict HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    "a chunk's size that is none": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "a negative chunk": CHUNKED + b"-1\r\n{}\r\n0\r\n\r\n",
    "an endless chunk": CHUNKED + b"ffffffffffffffffff\r\n{}",
    "chunks that end early": CHUNKED + b"5\r\n{}",
    "a body that ends early": b"POST /v1/models/churn:predict HTTP/1.1\r\nContent-Length: 100\r\n\r\n{}",
    "an upgrade": b"GET /v2 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
    "nothing": b"",
    "newlines": b"\r\n" * 1000,
}  # fmt: skip


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_http(target: Target, data: bytes) -> None:
    with Connection(target.host) as connection:
        connection.send(data)
        connection.finish()
        answer = connection.answer()

    if answer is not None:
        check(answer)


ENDLESS = {
    "a header": (b"GET /v2 HTTP/1.1\r\nX: ", b"a"),
    "headers": (b"GET /v2 HTTP/1.1\r\n", b"X: a\r\n"),
    "a path": (b"GET /", b"a"),
    "a method": (b"", b"A"),
    "a trailer": (CHUNKED + b"2\r\n{}\r\n0\r\nX: ", b"a"),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"X: a\r\n"),
    "a chunk's extension": (CHUNKED + b"2;x=", b"a"),
    "line feeds": (b"", b"\r\n"),
}


@pytest.mark.parametrize(("begin", "more"), ENDLESS.values(), ids=ENDLESS.keys())
def test_what_never_ends_is_cut_off(target: Target, begin: bytes, more: bytes) -> None:
    """Kept and read again with every piece, 150 MiB of headers would take minutes and gigabytes."""
    before = memory_mebibytes(target)
    with Connection(target.host) as connection:
        connection.send(begin)
        sent = 0
        while sent < 64 and connection.send(more * (MEBIBYTE // len(more))):
            sent += 1
        health = exchange(target.host, request("GET", "/v2/health/live"))

    assert health is not None
    assert health.status == 200
    assert sent < 64 or more == b"\r\n"  # which are skipped, not kept
    assert memory_mebibytes(target) - before < 100


@pytest.mark.parametrize("path", [V1, V2])
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"instances":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"inputs":[{"name":"charges","datatype":"FP32","shape":[1],"data":' + b"[" * 100_000 + b"1" + b"]" * 100_000 + b"}]}",
        b'{"inputs":[{"name":"charges","datatype":"FP32","shape":[1],"data":' + b"[" * 900 + b"1" + b"]" * 900 + b"}]}",
        b'{"inputs":[],"parameters":' + b'{"a":' * 900 + b"1" + b"}" * 901,
        b'{"instances":[' + b"[" * 500 + b"]" * 500 + b"]}",
    ],
    ids=["open", "lists", "objects", "instances", "data", "data that is parsed", "parameters", "rows"],
)
def test_deep_nesting(target: Target, path: str, body: bytes) -> None:
    answer = exchange(target.host, request("POST", path, body))

    check(answer)
    assert answer is not None
    assert answer.status == 400


NUMBERS = [
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1" * 5000, b"0." + b"1" * 5000, b"1e99999999999", b"-0",
    b"1e-400", b"01", b"0x1", b"--1", b"1.", b".5", b"18446744073709551616", b"9223372036854775808", b"\xff", b'"\\ud800"',
    b'"\\uZZZZ"', b'"\x00"', b"[]", b"{}", b"true", b"null", b'""', b'"NaN"',
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS, ids=[repr(one[:20]) for one in NUMBERS])
def test_odd_numbers_and_texts(target: Target, number: bytes) -> None:
    row = b'{"charges":' + number + b',"note":"a","tenure":' + number + b"}"
    tensor = b'{"name":"charges","datatype":"FP32","shape":[1],"data":[' + number + b"]}"
    for path, body in ((V1, b'{"instances":[' + row + b"]}"), (V2, b'{"inputs":[' + tensor + b"]}")):
        check(exchange(target.host, request("POST", path, body)))


SHAPES = [
    [2**31, 2**31], [2**62], [2**64], [10**30], [-1], [0], [1] * 8, [1] * 100_000, [1.0], ["1"], [[1]], [True], {}, None, "1",
    1, [1000, 1000], [10**9, 1],
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=[str(shape)[:24] for shape in SHAPES])
@pytest.mark.parametrize("datatype", ["FP32", "BYTES", "BOOL"])
def test_huge_and_wrong_shapes(target: Target, shape: Any, datatype: str) -> None:
    for size in (0, 4, 2**31, 2**63, 2**64, -1, -(2**63), 1.5, "4", None, [4], True):
        tensor = {"name": "charges", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
        header = json.dumps({"inputs": [tensor, {"name": "note", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}).encode()
        length = {"Inference-Header-Content-Length": str(len(header))}
        check(exchange(target.host, request("POST", V2, header + struct.pack("<f", 1.0), length)))


@pytest.mark.parametrize("length", ["0", "1", "2", "3", "-1", "99999999999999999999", "1e1", "", " ", "٣", "2, 2", "0x2"])
def test_header_lengths(target: Target, length: str) -> None:
    data = request("POST", V2, b"{}", {"Inference-Header-Content-Length": length.encode().decode("latin-1")})

    answer = exchange(target.host, data)

    check(answer)


def test_duplicate_names(target: Target) -> None:
    twice = b'{"instances":[{"charges":1,"charges":2,"note":"a","note":"b"}],"instances":[{"charges":1,"note":"a"}]}'
    check(exchange(target.host, request("POST", V1, twice)))
    tensor = b'{"name":"charges","name":"note","datatype":"FP32","shape":[1],"data":[1]}'
    for tensors in (tensor, tensor + b"," + tensor, b",".join([tensor] * 5000)):
        answer = exchange(target.host, request("POST", V2, b'{"inputs":[' + tensors + b"]}"))
        assert answer is not None
        assert answer.status == 400


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("content", [b" ", b"[", b"\xff", b'{"instances":[' + b"1,"])
def test_a_hundred_megabytes(target: Target, content: bytes, chunked: bool) -> None:
    """Refused with a sentence that the client gets to read, without holding the body."""
    block = (content * (MEBIBYTE // len(content) + 1))[:MEBIBYTE]
    before = memory_mebibytes(target)
    with Connection(target.host) as connection:
        size = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {100 * MEBIBYTE}"
        connection.send(f"POST {V1} HTTP/1.1\r\nHost: a\r\n{size}\r\n\r\n".encode())
        for _ in range(100):
            if not connection.send(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block):
                break
        else:
            connection.send(b"0\r\n\r\n" if chunked else b"")
        answer = connection.answer()

    assert answer is not None
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert memory_mebibytes(target) - before < 400


@pytest.mark.parametrize("item", [b"[]", b'{"a":1}', b"1", b'"ab"', b"1.5"])
def test_sixty_megabytes_of_tiny_values(target: Target, item: bytes) -> None:
    """Below the limit of bodies, but parsed it would take gigabytes; health answers meanwhile."""
    body = b'{"instances":[' + b",".join([item] * ((60 * MEBIBYTE) // (len(item) + 1))) + b"]}"
    with Connection(target.host) as connection:
        connection.send(request("POST", V1, body))
        began = time.monotonic()
        health = exchange(target.host, request("GET", "/v2/health/live"))
        waited = time.monotonic() - began
        answer = connection.answer()

    assert health is not None
    assert health.status == 200
    assert answer is not None
    assert answer.status == 413
    assert waited < 5
    assert memory_mebibytes(target, "VmHWM") < 1000


def test_chunked_bodies_of_any_cut(target: Target) -> None:
    long = GOOD + b" " * 100_000  # with a chunk's frame around every byte, many times what a head may have
    for content, size in ((GOOD, 2), (GOOD, 7), (long, 1), (long, 1000)):
        chunks = [content[at : at + size] for at in range(0, len(content), size)]
        coded = b"".join(b"%x;name=value\r\n%b\r\n" % (len(one), one) for one in chunks) + b"0\r\nTrailer: a\r\n\r\n"
        data = f"POST {V1} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + coded
        answer = exchange(target.host, data)
        assert answer is not None
        assert answer.status == 200


def test_slow_bodies_hold_nobody_up(target: Target) -> None:
    whole = request("POST", V1, GOOD)
    slow = [Connection(target.host) for _ in range(50)]
    for connection in slow:
        connection.send(whole[:-20])
    for at in range(20, 0, -1):
        for connection in slow:
            connection.send(whole[len(whole) - at : len(whole) - at + 1])
        answer = exchange(target.host, request("POST", V1, GOOD))
        assert answer is not None
        assert answer.status == 200
    for connection in slow:
        with connection:
            answer = connection.answer()
            assert answer is not None
            assert answer.status == 200


def test_clients_that_go_away_leave_nothing_behind(target: Target) -> None:
    files = Path(f"/proc/{target.pid}/fd")
    before = len(list(files.iterdir()))
    whole = request("POST", V1, GOOD)
    for at in range(100):
        with Connection(target.host) as connection:
            connection.send(whole if at % 4 == 0 else whole[: at * 7])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        metrics = exchange(target.host, request("GET", "/metrics"))
        assert metrics is not None
        if b"stagewright_requests_in_flight 1.0" in metrics.body and len(list(files.iterdir())) <= before + 2:
            return
        time.sleep(0.05)
    pytest.fail(f"{len(list(files.iterdir()))} files are open where {before} were, or requests still count as in flight")


def test_pipelined_requests_are_answered_in_order(target: Target) -> None:
    def infer(at: int) -> bytes:
        tensors = [{"name": "charges", "datatype": "FP32", "shape": [1], "data": [at]},
                   {"name": "note", "datatype": "BYTES", "shape": [1], "data": ["a"]}]  # fmt: skip
        return request("POST", V2, json.dumps({"id": str(at), "inputs": tensors if at % 5 else []}).encode())

    with Connection(target.host) as connection:
        connection.send(b"".join(infer(at) if at % 7 else request("GET", "/v2/health/live") for at in range(60)))
        for at in range(60):
            answer = connection.answer()
            assert answer is not None
            document = json.loads(answer.body)
            if at % 7 == 0:
                assert document == {"live": True}
            elif at % 5 == 0:
                assert answer.status == 400
            else:
                assert (answer.status, document["id"]) == (200, str(at))


def test_what_follows_a_body_that_was_announced_too_short_is_a_new_request(target: Target) -> None:
    """A request hidden behind a body is not smuggled in: it is answered as what it is, or refused."""
    short = request("POST", V1, GOOD, {"Content-Length": str(len(GOOD) - 10)})
    with Connection(target.host) as connection:
        connection.send(short)
        connection.finish()
        first, second = connection.answer(), connection.answer()

    assert first is not None
    assert first.status == 400
    assert second is None or second.status == 400


names = st.one_of(
    st.sampled_from(["churn", "absent", "..", "%2e%2e%2fetc", ""]), st.text(st.characters(codec="ascii"), max_size=6)
)
bodies = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"", b"{}", b"null", b"[]", b'{"ready":true}', b'{"ready":7}', b'{"parameters":{"config":"{}"}}',
                     b'{"parameters":{"unload_dependents":true}}', b'{"parameters":[]}', b"[" * 100_000]),
)  # fmt: skip


@settings(QUICK, max_examples=60)
@given(name=names, action=st.sampled_from(["load", "unload", "index", "loads", ""]), body=bodies, method=methods)
def test_any_repository_call(target: Target, name: str, action: str, body: bytes, method: str) -> None:
    from urllib.parse import quote

    path = "/v2/repository/index" if action == "index" else f"/v2/repository/models/{quote(name, safe='%')}/{action}"
    check(exchange(target.host, request(method, path, body), head=method == "HEAD"))
    loaded = exchange(target.host, request("POST", "/v2/repository/models/churn/load", b"{}"))
    assert loaded is not None
    assert loaded.status == 200


def test_the_process_is_the_same_and_said_nothing_of_defects(target: Target) -> None:
    os.kill(target.pid or 0, 0)
    said = target.log.read_text() if target.log else ""

    assert "request_failed" not in said
    assert "Traceback" not in said

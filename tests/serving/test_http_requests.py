"""A real process and requests that break HTTP's rules, or take their time: what is refused how, and what goes on beside it."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.mixed_rows import ROWS
from support.raw_http import Connection, RawAnswer, exchange, request
from support.targets import Target, process

V1 = "/v1/models/churn:predict"
GOOD = json.dumps({"instances": ROWS}).encode()
HEAD_BYTES = 64 * 1024
LIVE = request("GET", "/v2/health/live")
LARGE = f"the request's head is larger than {HEAD_BYTES} bytes, the most that this server takes"
LIMITS = ("--idle-timeout", "3", "--head-timeout", "1", "--body-timeout", "2", "--max-connections", "16")


@pytest.fixture(scope="module")
def target(models: dict[str, Path]) -> Iterator[Target]:
    with process(models["mixed"], "churn") as running:
        yield running


@pytest.fixture(scope="module", params=["1", "2"])
def impatient(models: dict[str, Path], request: pytest.FixtureRequest) -> Iterator[Target]:
    with process(models["mixed"], "churn", *LIMITS, "--workers", request.param) as running:
        yield running


def said(answer: RawAnswer | None) -> tuple[int, str]:
    """The status and the sentence of a refusal."""
    assert answer is not None
    return answer.status, json.loads(answer.body)["error"]


def head(size: int, *, body: bytes = b"") -> bytes:
    """A request whose head has so many bytes."""
    start = f"POST {V1} HTTP/1.1\r\nHost: server\r\nContent-Length: {len(body)}\r\nX-Fill: ".encode()
    return start + b"a" * (size - len(start) - 4) + b"\r\n\r\n" + body


class TestHeads:
    """Heads up to 64 KiB are taken, and not a byte more, however they arrive."""

    @pytest.mark.parametrize("pieces", [1, 2, 7])
    def test_the_boundary(self, target: Target, pieces: int) -> None:
        for size, status in ((HEAD_BYTES, 200), (HEAD_BYTES + 1, 431)):
            data = head(size, body=GOOD)
            with Connection(target.host) as connection:
                for at in range(pieces):
                    connection.send(data[len(data) * at // pieces : len(data) * (at + 1) // pieces])
                    time.sleep(0.01)
                answer = connection.answer()
            assert answer is not None
            assert answer.status == status
            if status == 431:
                assert said(answer) == (431, LARGE)
                assert answer.headers["connection"] == "close"

    def test_the_boundary_of_a_second_request(self, target: Target) -> None:
        for size, status in ((HEAD_BYTES, 200), (HEAD_BYTES + 1, 431)):
            with Connection(target.host) as connection:
                connection.send(request("POST", V1, GOOD) + head(size, body=GOOD))
                answers = [connection.answer(), connection.answer()]
            assert [answer and answer.status for answer in answers] == [200, status]

    def test_many_small_headers(self, target: Target) -> None:
        for lines, status in ((10_000, 200), (11_000, 431)):
            data = b"GET /v2 HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * lines + b"\r\n"
            answer = exchange(target.host, data)
            assert answer is not None
            assert answer.status == status

    def test_blanks_count(self, target: Target) -> None:
        assert said(exchange(target.host, b"GET /v2 HTTP/1.1\r\nHost:" + b" " * HEAD_BYTES + b"a\r\n\r\n")) == (431, LARGE)

    def test_a_body_is_no_head(self, target: Target) -> None:
        answer = exchange(target.host, request("POST", V1, GOOD + b" " * (4 * HEAD_BYTES)))

        assert answer is not None
        assert answer.status == 200


CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD)
SIZE = b"Content-Length: %d\r\n" % len(GOOD)
FRAMES = {
    "gzip, chunked": (b"Transfer-Encoding: gzip, chunked\r\n", CHUNKS, 415),
    "chunked, chunked": (b"Transfer-Encoding: chunked, chunked\r\n", CHUNKS, 400),
    "chunked twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", CHUNKS, 400),
    "identity, then chunked": (b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", CHUNKS, 415),
    "identity": (b"Transfer-Encoding: identity\r\n", CHUNKS, 415),
    "a name like chunked": (b"Transfer-Encoding: xchunked\r\n", CHUNKS, 415),
    "chunked with a parameter": (b"Transfer-Encoding: chunked;q=1\r\n", CHUNKS, 415),
    "quoted": (b'Transfer-Encoding: "chunked"\r\n', CHUNKS, 415),
    "a folded coding": (b"Transfer-Encoding:\r\n chunked\r\n", CHUNKS, 400),
    "two equal lengths": (SIZE * 2, GOOD, 400),
    "two lengths": (SIZE + b"Content-Length: 2\r\n", GOOD, 400),
    "a list of lengths": (b"Content-Length: 2, 2\r\n", GOOD, 400),
    "a signed length": (b"Content-Length: +2\r\n", GOOD, 400),
    "no length": (b"Content-Length:\r\n", GOOD, 400),
    "length and chunks": (SIZE + b"Transfer-Encoding: chunked\r\n", CHUNKS, 400),
    "chunks and length": (b"Transfer-Encoding: chunked\r\n" + SIZE, CHUNKS, 400),
    "a folded header": (b"X: a\r\n b\r\n" + SIZE, GOOD, 400),
    "a blank before the colon": (b"Content-Length : 2\r\n", GOOD, 400),
    "bare line feeds": (b"X: a\n" + SIZE, GOOD, 400),
    "two hosts": (b"Host: b\r\n" + SIZE, GOOD, 400),
    "chunks that end in line feeds": (b"Transfer-Encoding: chunked\r\n", CHUNKS.replace(b"\r\n", b"\n"), 400),
}


class TestFrames:
    """Where a body ends is said once and in one way; what is said otherwise might be read otherwise by a proxy."""

    @pytest.mark.parametrize(("headers", "body", "status"), FRAMES.values(), ids=FRAMES.keys())
    def test_doubtful_ones_are_refused(self, target: Target, headers: bytes, body: bytes, status: int) -> None:
        with Connection(target.host) as connection:
            connection.send(f"POST {V1} HTTP/1.1\r\nHost: a\r\n".encode() + headers + b"\r\n" + body + LIVE)
            answer, next_answer = connection.answer(), connection.answer()

        assert said(answer)[0] == status
        assert next_answer is None  # nothing of what follows is taken for a request

    @pytest.mark.parametrize("coding", ["chunked", "Chunked", " chunked "])
    def test_chunks_are_taken(self, target: Target, coding: str) -> None:
        answer = exchange(
            target.host, f"POST {V1} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n".encode() + CHUNKS
        )

        assert answer is not None
        assert answer.status == 200

    def test_the_sentence_names_the_coding(self, target: Target) -> None:
        data = f"POST {V1} HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".encode() + CHUNKS
        sentence = "Transfer-Encoding 'gzip, chunked' is not supported; send the body as it is, or in HTTP/1.1 as 'chunked'"
        assert said(exchange(target.host, data)) == (415, sentence)
        assert said(exchange(target.host, data.replace(b"gzip, chunked", b"chunked").replace(b"/1.1", b"/1.0")))[0] == 415

    @pytest.mark.parametrize(
        ("codings", "status"),
        [(["gzip"], 415), (["gzip", "identity"], 415), (["identity", "gzip"], 415), (["identity, gzip"], 415), (["br"], 415),
         (["identity"], 200), (["Identity, identity"], 200), ([""], 200)],
    )  # fmt: skip
    def test_content_codings(self, target: Target, codings: list[str], status: int) -> None:
        lines = "".join(f"Content-Encoding: {coding}\r\n" for coding in codings).encode()
        answer = exchange(target.host, f"POST {V1} HTTP/1.1\r\nHost: a\r\n".encode() + SIZE + lines + b"\r\n" + GOOD)

        assert answer is not None
        assert answer.status == status

    def test_a_header_that_stands_twice_means_both(self, target: Target) -> None:
        line = b"Inference-Header-Content-Length: 2\r\n"
        data = b"POST /v2/models/churn/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n" + line * 2 + b"\r\n{}"
        assert said(exchange(target.host, data)) == (
            400, "Inference-Header-Content-Length is '2, 2'; expected a number of bytes",
        )  # fmt: skip

    def test_an_upgrade_that_nobody_knows_is_no_end(self, target: Target) -> None:
        upgrade = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
        with Connection(target.host) as connection:
            connection.send(upgrade * 200 + LIVE)
            assert [(answer := connection.answer()) and answer.status for _ in range(201)] == [200] * 201


class TestOrder:
    """Answers come in the order of the requests, and none is lost because of what follows."""

    @pytest.mark.parametrize(
        ("bad", "status"),
        [(b"nonsense\r\n\r\n", 400), (b"GET /v2 HTTP/1.1\r\nX : a\r\n\r\n", 400), (head(HEAD_BYTES + 1), 431),
         (f"POST {V1} HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".encode(), 415),
         (f"POST {V1} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode(), 400),
         (b"POST /v1/models/churn:predict HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400)],
        ids=["no HTTP", "a bad header", "a long head", "a coding", "a bad chunk", "two lengths"],
    )  # fmt: skip
    @pytest.mark.parametrize("before", [0, 1, 3])
    def test_a_bad_request_waits_for_its_turn(self, target: Target, bad: bytes, status: int, before: int) -> None:
        with Connection(target.host) as connection:
            connection.send(request("POST", V1, GOOD) * before + bad + request("POST", V1, GOOD))
            answers = [connection.answer() for _ in range(before + 1)]
            rest = connection.answer()

        assert [answer and answer.status for answer in answers] == [200] * before + [status]
        assert rest is None

    def test_a_client_that_goes_on_sending_reads_the_answer(self, target: Target) -> None:
        with Connection(target.host) as connection:
            connection.send(request("POST", V1, GOOD) + b"nonsense\r\n\r\n")
            time.sleep(0.2)
            for _ in range(10):
                connection.send(b"a" * 10_000)
                time.sleep(0.02)
            answers = [connection.answer(), connection.answer()]

        assert [answer and answer.status for answer in answers] == [200, 400]

    def test_a_body_that_breaks_is_answered_once(self, target: Target) -> None:
        with Connection(target.host) as connection:
            connection.send(f"POST {V1} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[".encode())
            time.sleep(0.2)
            connection.send(b"]zz\r\n")
            answer, rest = connection.answer(), connection.answer()

        assert said(answer)[0] == 400
        assert rest is None


NAMES = [
    "churn%2Fready",
    "churn%2fconfig",
    "..%2Fchurn",
    "%2e%2e",
    "%00",
    "churn%00",
    "churn%252Fready",
    "%ff",
    "sta%74s%2F",
    "ch%C3%BCrn",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v2/models/{}"), ("GET", "/v2/models/{}/ready"), ("POST", "/v2/models/{}/infer"), ("GET", "/v2/models/{}/stats"),
     ("GET", "/v1/models/{}"), ("POST", "/v1/models/{}:predict"), ("POST", "/v2/repository/models/{}/load"),
     ("POST", "/v2/repository/models/{}/unload")],
)  # fmt: skip
def test_a_name_is_no_path(target: Target, method: str, path: str, name: str) -> None:
    status, sentence = said(exchange(target.host, request(method, path.format(name))))

    assert status == 404
    assert sentence.startswith("no model '")
    assert sentence.endswith("' here; /v2/models lists the models")


def test_a_name_may_be_sent_in_codes(target: Target) -> None:
    for path in ("/v2/models/ch%75rn", "/v%32/models/churn", "/v2/models/churn/"):
        answer = exchange(target.host, request("GET", path))
        assert answer is not None
        assert answer.status == 200


def closed_within(connection: socket.socket, seconds: float) -> bool:
    connection.settimeout(seconds)
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


class TestTime:
    """Every part of a request has a time; who does not keep it is told, and the connection ends."""

    @pytest.mark.parametrize(
        ("data", "sentence"),
        [
            (b"GET /v2 HTTP/1.1\r\nX: ", "the request's head did not arrive within 1 seconds"),
            (b"\r\n", "the request's head did not arrive within 1 seconds"),
            (request("POST", V1, GOOD)[:-1], "the request's body did not arrive within 2 seconds"),
            (f"POST {V1} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{".encode(),
             "the request's body did not arrive within 2 seconds"),
            (f"POST {V1} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\nX:".encode(),
             "the request's body did not arrive within 2 seconds"),
        ],
        ids=["head", "line feeds", "body", "chunk", "trailer"],
    )  # fmt: skip
    @pytest.mark.parametrize("first", [b"", LIVE])
    def test_what_does_not_arrive(self, impatient: Target, first: bytes, data: bytes, sentence: str) -> None:
        with Connection(impatient.host) as connection:
            connection.send(first + data)
            if first:
                assert connection.answer() is not None
            if not first or data.strip():  # blank lines behind an answer are nothing that begins
                assert said(connection.answer()) == (408, sentence)
            assert closed_within(connection.socket, 20)

    def test_bytes_that_drip_are_not_enough(self, impatient: Target) -> None:
        with Connection(impatient.host) as connection:
            connection.send(b"GET /v2 HTTP/1.1\r\nX: ")
            began = time.monotonic()
            while connection.send(b"a") and time.monotonic() - began < 20:
                time.sleep(0.1)
            assert time.monotonic() - began < 20

    @pytest.mark.parametrize("data", [b"", LIVE, request("POST", V1, GOOD)])
    def test_connections_without_a_request_end(self, impatient: Target, data: bytes) -> None:
        with Connection(impatient.host) as connection:
            connection.send(data)
            assert closed_within(connection.socket, 20)

    def test_a_body_that_is_refused_unread_has_its_time_too(self, impatient: Target) -> None:
        with Connection(impatient.host) as connection:
            connection.send(request("POST", "/v1/models/absent:predict", b"{}", {"Content-Length": "1000"}))
            answer = connection.answer()
            assert said(answer)[0] == 404
            assert closed_within(connection.socket, 20)

    def test_answers_that_are_not_read_end_the_connection(self, impatient: Target) -> None:
        with Connection(impatient.host) as connection:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            assert connection.send(request("GET", "/openapi.json") * 4000)
            deadline = time.monotonic() + 40
            while connection.send(b"\r\n") and time.monotonic() < deadline:
                time.sleep(0.1)
            assert time.monotonic() < deadline


def test_liveness_is_answered_whatever_number_of_connections_is_open(impatient: Target) -> None:
    opened = []
    try:
        for at in range(100):
            connection = Connection(impatient.host)
            connection.send(b"GET /v2 HTTP/1.1\r\nX: " if at % 2 else request("POST", V1, GOOD)[:-1])
            opened.append(connection)
        answer = exchange(impatient.host, LIVE)
    finally:
        for connection in opened:
            connection.socket.close()

    assert answer is not None
    assert answer.status == 200

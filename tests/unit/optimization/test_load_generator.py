"""The load generator against real sockets that behave well, badly and slowly."""

import socket
import time

import numpy as np
import pytest

from stagewright.components.measurement.load.generator import http_request, run_load
from stagewright.components.runtime.errors import BadParameter, InputError, ServiceUnavailable
from tests.support.http_servers import response, serving

REQUEST = http_request("/v2/models/churn/infer", b'{"inputs": []}')


def test_a_request_is_whole():
    request = http_request("/p", b"abc", {"Content-Type": "application/octet-stream", "x-n": "1"}, host="h:1")
    assert request == (
        b"POST /p HTTP/1.1\r\ncontent-type: application/octet-stream\r\nhost: h:1\r\nx-n: 1\r\ncontent-length: 3\r\n\r\nabc"
    )


def test_a_closed_loop_keeps_its_connections_and_counts():
    with serving(lambda _: response(b"x" * 500)) as server:
        load = run_load(server.address, [REQUEST], connections=4, seconds=0.3, warmup=0.1)
    assert server.connections == 4
    assert load.errors == load.failed == 0
    assert load.statuses == {200: load.requests}
    assert load.requests > 10
    assert load.requests < len(server.requests)  # the warm-up is not counted
    assert load.requests_per_second == pytest.approx(load.requests / 0.3, abs=4 / 0.3)  # what was under way at either end
    assert 0 < load.p50_ms <= load.p90_ms <= load.p99_ms <= load.max_ms
    assert server.largest_pile == 0  # nothing is pipelined


def test_requests_go_out_in_their_order_and_over_again():
    bodies = [b"a", b"bb", b"ccc"]
    with serving(lambda _: response()) as server:
        run_load(server.address, [http_request("/", body) for body in bodies], connections=1, seconds=0.1, warmup=0)
    sent = [request.rpartition(b"\r\n\r\n")[2] for request in server.requests]
    assert sent[:6] == bodies * 2


def test_an_open_loop_holds_its_rate():
    with serving(lambda _: response()) as server:
        load = run_load(server.address, [REQUEST], connections=4, seconds=0.5, rate=200, warmup=0.1)
    assert load.requests == 100
    assert 50 < load.requests_per_second <= 210
    assert len(server.requests) == 120


def test_random_arrivals_have_the_same_mean_rate():
    with serving(lambda _: response()) as server:
        load = run_load(server.address, [REQUEST], connections=8, seconds=1.0, rate=300, warmup=0, poisson=True)
    assert load.requests == pytest.approx(300, abs=4 * np.sqrt(300))


def test_a_stall_delays_the_requests_that_were_due_meanwhile():
    def stall(exchange):
        if exchange.number == 20:
            time.sleep(0.3)
        return response()

    with serving(stall) as server:
        open_loop = run_load(server.address, [REQUEST], connections=1, seconds=1.0, rate=100, warmup=0)
    with serving(stall) as server:
        closed_loop = run_load(server.address, [REQUEST], connections=1, seconds=1.0, warmup=0)
    assert open_loop.p90_ms > 100  # thirty of the hundred requests were due while the server stalled
    assert closed_loop.p90_ms < open_loop.p90_ms / 2  # a single one noticed
    assert open_loop.max_ms > 250


def test_too_high_a_rate_shows_in_the_latency_and_unanswered_requests_are_errors():
    def slow(_):
        time.sleep(0.02)
        return response()

    with serving(slow) as server:
        load = run_load(server.address, [REQUEST], connections=2, seconds=0.5, rate=1000, warmup=0, patience=0.2)
    assert load.requests_per_second < 110
    assert load.errors > 300
    assert load.errors + load.requests == 500
    assert load.p99_ms > 400


def test_a_server_that_closes_in_good_order_costs_no_request():
    def closing(exchange):
        return response(extra="Connection: close\r\n" if exchange.on_connection == 5 else "")

    with serving(closing) as server:
        load = run_load(server.address, [REQUEST], connections=2, seconds=0.3, warmup=0)
    assert load.errors == 0
    assert server.connections > 4


def test_a_connection_that_is_cut_off_loses_its_request_and_is_made_again():
    with serving(lambda exchange: None if exchange.number % 10 == 0 else response()) as server:
        load = run_load(server.address, [REQUEST], connections=2, seconds=0.5, warmup=0)
    assert load.errors >= 1
    assert load.requests > 5 * load.errors
    assert load.failed == load.errors


def test_statuses_are_told_apart_and_only_success_has_a_latency():
    with serving(lambda exchange: response(status=429 if exchange.number % 2 else 200)) as server:
        load = run_load(server.address, [REQUEST], connections=1, seconds=0.2, warmup=0)
    assert set(load.statuses) == {200, 429}
    assert load.failed == load.statuses[429]
    assert load.requests_per_second == pytest.approx(load.statuses[200] / 0.2, abs=1 / 0.2)
    with serving(lambda _: response(status=503)) as server:
        load = run_load(server.address, [REQUEST], connections=1, seconds=0.1, warmup=0)
    assert load.requests_per_second == 0
    assert np.isnan(load.p99_ms)


def test_large_requests_and_responses_in_pieces():
    body = bytes(3_000_000)
    with serving(lambda _: response(bytes(2_000_000)), after=0.01) as server:
        load = run_load(server.address, [http_request("/", body)], connections=2, seconds=0.4, warmup=0)
    assert load.errors == 0
    assert load.requests >= 2
    assert all(len(request) > len(body) for request in server.requests)


def test_a_head_in_two_pieces():
    with serving(lambda _: response(b""), after=0.005) as server:
        load = run_load(server.address, [http_request("/", b"")], connections=2, seconds=0.2, warmup=0)
    assert load.errors == 0
    assert load.requests > 2


def test_a_server_that_does_not_answer_is_told_as_errors():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        load = run_load(f"127.0.0.1:{listener.getsockname()[1]}", [REQUEST], connections=3, seconds=0.2, warmup=0, patience=0.1)
    assert (load.errors, load.requests) == (3, 0)
    assert load.p50_ms > 250


def test_a_server_that_ends_meanwhile_is_told_as_errors():
    with serving(lambda exchange: response() if exchange.number <= 50 else None) as server:
        load = run_load(server.address, [REQUEST], connections=1, seconds=0.3, warmup=0)
    assert load.requests == 50
    assert 1 <= load.errors < 20  # it tries again, but not without a pause


def test_errors_are_sentences():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ServiceUnavailable, match=f"nothing can be measured at 127.0.0.1:{port}: Connection refused"):
        run_load(f"127.0.0.1:{port}", [REQUEST], connections=1, seconds=1)
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    with serving(lambda _: chunked) as server, pytest.raises(InputError, match="without Content-Length"):
        run_load(server.address, [REQUEST], connections=1, seconds=1)
    with serving(lambda _: response() + response()) as server, pytest.raises(InputError, match="more than one response"):
        run_load(server.address, [REQUEST], connections=1, seconds=1)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("requests", {"requests": []}),
        ("connections", {"connections": 0}),
        ("seconds", {"seconds": 0}),
        ("rate", {"rate": -1.0}),
        ("warmup", {"warmup": -1}),
        ("address", {"address": "https://localhost:1"}),
        ("address", {"address": "localhost:abc"}),
    ],
)
def test_values_that_cannot_be_are_refused(name, change):
    given = {"address": "localhost:1", "requests": [REQUEST], "connections": 1, "seconds": 1} | change
    with pytest.raises(BadParameter, match=f"parameter '{name}'"):
        run_load(given.pop("address"), given.pop("requests"), **given)

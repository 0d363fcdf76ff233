"""What web pages may ask, and for which names."""

import pytest

from stagewright.components.predictor.http.browsers import CrossOrigin, ForeignHost, Guard, is_loopback
from stagewright.components.predictor.http.routes import find

UNLOAD = find("POST", "/v2/repository/models/churn/unload")
PREDICT = find("POST", "/v1/models/churn:predict")
INFER = find("POST", "/v2/models/churn/infer")
READ = find("GET", "/v2/models/churn")
JSON, TEXT = "application/json", "text/plain"
BLOCKED = "cross-origin request blocked: {} may not send this; name its origin with --allow-origin"


def check(guard: Guard, route: object, **headers: str) -> None:
    guard.check(route, [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("headers", "page"),
    [
        ({"origin": "http://evil.example", "sec_fetch_site": "cross-site", "content_type": TEXT}, "a page of 'http://evil.example'"),
        ({"origin": "http://evil.example"}, "a page of 'http://evil.example'"),
        ({"origin": "http://evil.example", "content_type": JSON}, "a page of 'http://evil.example'"),
        ({"origin": "null"}, "a page of another origin"),
        ({"origin": "null", "sec_fetch_site": "cross-site"}, "a page of another origin"),
        ({"sec_fetch_site": "cross-site"}, "a page of another origin"),
        ({"sec_fetch_site": "same-site", "origin": "http://127.0.0.1:9000"}, "a page of 'http://127.0.0.1:9000'"),
        ({"origin": "http://127.0.0.1:9000"}, "a page of 'http://127.0.0.1:9000'"),
        ({"origin": "http://127.0.0.1:8080.evil.example"}, "a page of 'http://127.0.0.1:8080.evil.example'"),
        ({"origin": "http://["}, "a page of 'http://['"),
        ({"origin": ""}, "a page of another origin"),
    ],
)  # fmt: skip
def test_pages_of_others_change_no_model(headers: dict[str, str], page: str) -> None:
    with pytest.raises(CrossOrigin) as raised:
        check(Guard(), UNLOAD, host="127.0.0.1:8080", **headers)

    assert (raised.value.status, str(raised.value)) == (403, BLOCKED.format(page))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content_type": "application/x-www-form-urlencoded"},  # curl's
        {"sec_fetch_site": "same-origin", "origin": "http://127.0.0.1:8080"},
        {
            "sec_fetch_site": "same-origin",
            "origin": "https://models.example.com",
        },  # behind a proxy
        {"sec_fetch_site": "none"},
        {"origin": "http://127.0.0.1:8080"},
        {"origin": "https://127.0.0.1:8080"},
        {"origin": "https://console.example.com", "sec_fetch_site": "cross-site"},
    ],
)
def test_programs_and_own_and_allowed_pages_do(headers: dict[str, str]) -> None:
    check(Guard(origins=["https://console.example.com"]), UNLOAD, host="127.0.0.1:8080", **headers)


@pytest.mark.parametrize("route", [PREDICT, INFER])
@pytest.mark.parametrize("media", [TEXT, "Text/Plain; charset=utf-8", "multipart/form-data; boundary=x", ""])
def test_predictions_for_pages_need_a_type_that_browsers_ask_for(route: object, media: str) -> None:
    page = {"origin": "http://evil.example", "sec_fetch_site": "cross-site", "host": "127.0.0.1:8080"}

    with pytest.raises(CrossOrigin):
        check(Guard(), route, content_type=media, **page)
    check(Guard(), route, content_type=JSON, **page)
    check(Guard(), route, content_type="application/octet-stream", **page)
    check(Guard(), READ, content_type=media, **page)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8080", "localhost:8080", "LOCALHOST", "localhost.", "churn.localhost:8080", "[::1]:8080",
     "10.1.2.3:8080", "[fe80::1]", "predictor", "predictor:8080", "models.example.com:80", "Models.Example.com"],
)  # fmt: skip
@pytest.mark.parametrize("route", [READ, UNLOAD, PREDICT])
def test_addresses_local_and_allowed_names_are_answered(host: str, route: object) -> None:
    check(Guard.listening("127.0.0.1", ["models.example.com"], []), route, host=host)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "evil.example.", "127.0.0.1.evil.example", "localhost.evil.example", "0x7f.1",
     "127.1", "models.example.com.evil", "xmodels.example.com"],
)  # fmt: skip
@pytest.mark.parametrize("route", [READ, UNLOAD, PREDICT])
def test_foreign_names_are_refused_on_a_loopback_address(host: str, route: object) -> None:
    with pytest.raises(ForeignHost) as raised:
        check(Guard.listening("127.0.0.1", ["models.example.com"], []), route, host=host)

    assert (raised.value.status, str(raised.value)) == (
        403, f"Host '{host}' is not a name of this server; name it with --allow-host",
    )  # fmt: skip


@pytest.mark.parametrize(("listening", "allowed"), [("0.0.0.0", []), ("10.0.0.1", []), ("::", []), ("127.0.0.1", ["*"])])
def test_names_are_left_alone_elsewhere(listening: str, allowed: list[str]) -> None:
    check(Guard.listening(listening, allowed, []), READ, host="churn-predictor.models.svc.cluster.local")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("models.example.com", False)],
)  # fmt: skip
def test_what_is_a_loopback_address(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback

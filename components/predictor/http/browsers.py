"""Protection against web pages: requests of foreign origins must not change anything.

A browser sends a page's requests to any address, even to this machine, with headers that name the page's origin. Requests
without these headers come from programs and are accepted. A page can also point its own host name to this machine (DNS
rebinding). So a server on a loopback address refuses requests for foreign host names.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from stagewright.components.predictor.http.routes import SEND, Route
from stagewright.components.predictor.wire.errors import RequestError, shown

ANY = "*"
OWN_SITES = (b"same-origin", b"none")  # none: the user typed the address
# Content types that a page may send without a CORS preflight. A proxy must have allowed any other content type.
WITHOUT_PREFLIGHT = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain", "")

_CHECKED_HEADERS = frozenset((b"host", b"origin", b"sec-fetch-site", b"content-type"))


class CrossOrigin(RequestError):
    """A web page of another origin sent a request that changes something."""

    status = 403

    def __init__(self, origin: str | None) -> None:
        page = f"a page of {shown(origin)}" if origin and origin != "null" else "a page of another origin"
        super().__init__(f"cross-origin request blocked: {page} may not send this; name its origin with --allow-origin")


class ForeignHost(RequestError):
    """The request's host name is not one of this server."""

    status = 403

    def __init__(self, host: str) -> None:
        super().__init__(f"Host {shown(host)} is not a name of this server; name it with --allow-host")


class Guard:
    """Refuses requests of foreign web pages.

    Args:
        hosts: Allowed host names besides local ones; None allows all.
        origins: Origins of pages that may change models.
    """

    def __init__(self, hosts: Iterable[str] | None = None, origins: Iterable[str] = ()) -> None:
        self._hosts = None if hosts is None else frozenset(hosts)
        self._origins = frozenset(origins)
        self._knows = lru_cache(maxsize=256)(self._is_own)

    @classmethod
    def listening(cls, host: str, hosts: Iterable[str], origins: Iterable[str]) -> "Guard":
        """The guard for a server that listens on this address."""
        names = frozenset(hosts)
        return cls(None if ANY in names or not is_loopback(host) else names, origins)

    def check(self, route: Route, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Check a request's host and origin.

        Raises:
            ForeignHost: If the host name is not one of this server.
            CrossOrigin: If a page of another origin sent a request that changes models, or one without a CORS preflight.
        """
        given = {name: value for name, value in headers if name in _CHECKED_HEADERS}
        host = given.get(b"host", b"")
        if self._hosts is not None and host and not self._knows(host):
            raise ForeignHost(host.decode("latin-1"))
        if route.methods is not SEND and route.protocol != "repository":
            return  # browsers do not show the response to pages of another origin
        if b"origin" not in given and b"sec-fetch-site" not in given:
            return
        if route.protocol != "repository" and media_type(given.get(b"content-type", b"")) not in WITHOUT_PREFLIGHT:
            return
        self._check_page(given, host)

    def _check_page(self, given: dict[bytes, bytes], host: bytes) -> None:
        site, origin = given.get(b"sec-fetch-site"), given.get(b"origin", b"").decode("latin-1").lower()
        if origin in self._origins:
            return
        own = site in OWN_SITES if site is not None else authority(origin) == host.decode("latin-1").lower()
        if not own:
            raise CrossOrigin(origin)

    def _is_own(self, host: bytes) -> bool:
        """Whether a host name is allowed, or can only be one of this machine.

        DNS rebinding needs a public name. IP addresses and names without a dot are not public names.
        """
        name = _name(host.decode("latin-1").lower())
        known = self._hosts or frozenset()
        return "." not in name or name.endswith(".localhost") or name in known or is_address(name)


def is_loopback(host: str) -> bool:
    """Whether this is a loopback address."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_address(name: str) -> bool:
    """Whether this is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def authority(origin: str) -> str | None:
    """Host name and port of an origin; None for an origin without one.

    >>> authority("http://a.example:8080"), authority("https://a.example"), authority("null")
    ('a.example:8080', 'a.example', None)
    """
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def media_type(value: bytes) -> str:
    """A content type without its parameters.

    >>> media_type(b"Text/Plain; charset=utf-8")
    'text/plain'
    """
    return value.decode("latin-1").partition(";")[0].strip().lower()


def _name(host: str) -> str:
    """A host without its port; an IPv6 address without its brackets.

    >>> _name("[::1]:8080"), _name("a.example.:80"), _name("localhost")
    ('::1', 'a.example', 'localhost')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0].rstrip(".") if host.rpartition(":")[2].isdigit() and ":" in host else host.rstrip(".")

"""Who may ask: the Host and Origin of every request."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from recursive_expand.errors import InputError

ALLOW_ORIGIN = "RECURSIVE_ALLOW_ORIGIN"
"""Environment variable: origins of other sites that may use the server, separated by commas."""
HOST = "RECURSIVE_HOST"
"""Environment variable: the address that `recursive-expand serve` listens on."""
LOOPBACK = "127.0.0.1"
"""The address that a server listens on unless it is told another."""
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing (RFC 9110, 9.2.1)."""

_PORTS = {"http": 80, "https": 443}

Headers = Sequence[tuple[bytes, bytes]]
"""A request's headers as ASGI gives them: names in lower case."""


@dataclass(frozen=True)
class Access:
    """The names under which this server is asked, and the web sites that may ask it from a browser.

    A page of another site reaches a server on loopback from its reader's browser. It cannot choose its Origin, and a
    name that it has pointed at this machine (DNS rebinding) arrives as the Host.

    Args:
        names: host names, lower case, beside loopback's own.
        origins: origins of other sites, as browsers send them: `https://viewer.example`.
        any_address: the server listens on all addresses, so any IP address may be the Host: a page cannot be served
            from an address that is not its own.
    """

    names: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    any_address: bool = False

    @classmethod
    def of(cls, host: str = LOOPBACK, allow_origins: Iterable[str] = ()) -> Self:
        """Access to a server that listens on `host`.

        Args:
            host: `--host`; 0.0.0.0 and :: are all of the machine's addresses.
            allow_origins: `--allow-origin`; their host names may be the Host too, as behind a reverse proxy.

        Raises:
            InputError: an origin that is none, or a wildcard.
        """
        origins = frozenset(_check_origin(origin) for origin in allow_origins)
        names = {name for origin in origins if (name := urlsplit(origin).hostname)}
        everywhere = host in ("0.0.0.0", "::", "")
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()} if everywhere else {host.lower().strip("[]")}
        return cls(frozenset(names), origins, everywhere)

    @classmethod
    def from_environment(cls, host: str = LOOPBACK) -> Self:
        """As `of`, with the origins and, where it is set, the host that environment variables name."""
        allowed = (origin.strip() for origin in os.environ.get(ALLOW_ORIGIN, "").split(","))
        return cls.of(os.environ.get(HOST) or host, filter(None, allowed))

    def refusal(self, method: str, headers: Headers) -> str | None:
        """Why a request is refused, in one line; None where it may pass.

        Args:
            method: in capitals.
            headers: the request's.
        """
        asked = _values(headers, b"host")
        name, port = _split_host(asked[0]) if len(asked) == 1 else (None, None)
        if name is None or not self._is_ours(name):
            return f"Host {_shown(asked)} is not this server's; start it with --host or --allow-origin to add a name"
        origins = _values(headers, b"origin")
        if not origins and method not in SAFE_METHODS:
            # Browsers that leave Origin out of a form's request send where the form was.
            origins = [_origin_of(referer) for referer in _values(headers, b"referer")]
        for origin in origins:
            if origin not in self.origins and not self._is_same(origin, name, port):
                return (
                    f"Origin {_shown([origin])} may not use this server; where the site is trusted, start the server "
                    "with --allow-origin"
                )
        # A link from another page may lead here; a picture, a form or a script of another page may not.
        followed = method in SAFE_METHODS and _values(headers, b"sec-fetch-mode") == ["navigate"]
        site = _values(headers, b"sec-fetch-site")
        if not origins and not followed and site not in ([], ["none"], ["same-origin"]):
            return "a page of another site may not use this server; where it is trusted, start it with --allow-origin"
        return None

    def _is_ours(self, name: str) -> bool:
        return _is_loopback(name) or name in self.names or (self.any_address and _address(name) is not None)

    @staticmethod
    def _is_same(origin: str, name: str, port: int | None) -> bool:
        """Whether an origin is this server itself, be it behind TLS or under loopback's other name."""
        try:
            parts = urlsplit(origin)
            own = parts.port or _PORTS.get(parts.scheme)
        except ValueError:
            return False
        if parts.scheme not in _PORTS or parts.hostname is None or own != (port or _PORTS[parts.scheme]):
            return False
        return parts.hostname == name or (_is_loopback(parts.hostname) and _is_loopback(name))


def _check_origin(text: str) -> str:
    """An origin as browsers send it: scheme, host and port, no path."""
    bare = text.rstrip("/").lower()
    try:
        parts = urlsplit(bare)
        fits = parts.scheme in _PORTS and bool(parts.hostname) and bare == f"{parts.scheme}://{parts.netloc}"
        fits = fits and parts.port != 0 and "@" not in bare and "*" not in bare
    except ValueError:
        fits = False
    if not fits:
        raise InputError(f"--allow-origin {text[:80]!a}", "is no origin; write it like https://viewer.example:8443")
    return bare


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip().lower() for key, value in headers if key == name]


def _split_host(host: str) -> tuple[str | None, int | None]:
    if any(mark in host for mark in "@/\\?# "):
        return None, None
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname, parts.port
    except ValueError:
        return None, None


def _origin_of(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        return "null"
    return f"{parts.scheme}://{parts.netloc}"


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_loopback(name: str) -> bool:
    address = _address(name)
    return name == "localhost" or (address is not None and address.is_loopback)


def _shown(values: Sequence[str]) -> str:
    return ascii(", ".join(values)[:100]) if values else "(none)"

"""access.py: which Host and which Origin may ask."""

import pytest

from recursive_expand.errors import InputError
from recursive_expand.server.access import ALLOW_ORIGIN, HOST, Access

LOCAL = Access.of()
NAMED = Access.of("10.1.2.3", ["https://desk.example", "http://viewer.example:3000/"])
EVERYWHERE = Access.of("0.0.0.0")


def headers(host="127.0.0.1:8000", **more):
    pairs = {"host": host} | {name.replace("_", "-"): value for name, value in more.items()}
    return [(name.encode(), value.encode()) for name, value in pairs.items()]


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:8000", "[::1]:8000", "127.0.0.2:1"])
def test_loopback_is_always_ours(host):
    assert all(access.refusal("POST", headers(host)) is None for access in (LOCAL, NAMED, EVERYWHERE))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.1.2.4",
        "a@localhost",
        "",
        "[::1",
        ":80",
    ],
)
def test_another_host_is_refused(host):
    assert "is not this server's; start it with --host or --allow-origin" in LOCAL.refusal("GET", headers(host))
    assert NAMED.refusal("GET", headers(host)) is not None


def test_no_host_and_two_hosts_are_refused():
    assert LOCAL.refusal("GET", []) is not None
    assert LOCAL.refusal("GET", headers() + headers("localhost")) is not None


def test_the_host_of_the_command_line_and_of_allowed_origins_are_ours():
    for host in ("10.1.2.3:8000", "desk.example", "viewer.example:3000"):
        assert NAMED.refusal("POST", headers(host)) is None


def test_a_server_on_all_addresses_takes_addresses_and_this_machine_s_name(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "Reading-Room")
    access = Access.of("0.0.0.0")
    for host in ("10.9.8.7:8000", "[fd00::1]:8000", "reading-room:8000"):
        assert access.refusal("POST", headers(host)) is None
    assert access.refusal("POST", headers("rebound.evil.example")) is not None


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8000", "http://localhost:8000", "https://127.0.0.1:8000"])
def test_our_own_pages_may_ask(origin):
    assert LOCAL.refusal("POST", headers(origin=origin, sec_fetch_site="same-origin")) is None


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://localhost:3000",
        "http://127.0.0.1",
        "file://",
        "x",
        "http://[",
        "ftp://127.0.0.1:8000",
    ],
)
def test_other_pages_may_not(method, origin):
    assert "may not use this server" in LOCAL.refusal(method, headers(origin=origin))


def test_allowed_origins_may():
    for origin in ("https://desk.example", "http://viewer.example:3000"):
        assert NAMED.refusal("POST", headers(origin=origin, sec_fetch_site="cross-site")) is None
    assert NAMED.refusal("POST", headers(origin="http://desk.example")) is not None


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_without_an_origin_a_browser_says_where_it_comes_from(site):
    assert LOCAL.refusal("POST", headers(sec_fetch_site=site)) is not None
    assert LOCAL.refusal("GET", headers(sec_fetch_site=site, sec_fetch_mode="no-cors")) is not None
    assert LOCAL.refusal("GET", headers(sec_fetch_site=site, sec_fetch_mode="navigate")) is None
    assert LOCAL.refusal("POST", headers(sec_fetch_site=site, sec_fetch_mode="navigate")) is not None


def test_an_old_browser_s_form_is_known_by_its_referer():
    assert LOCAL.refusal("POST", headers(referer="http://evil.example/form.html")) is not None
    assert LOCAL.refusal("POST", headers(referer="http://127.0.0.1:8000/docs")) is None
    assert LOCAL.refusal("GET", headers(referer="http://wiki.example/")) is None


def test_programs_that_are_no_browsers_may_ask():
    assert all(LOCAL.refusal(method, headers()) is None for method in ("GET", "PUT", "POST", "DELETE"))


@pytest.mark.parametrize(
    "origin", ["*", "desk.example", "https://*.example", "https://a/b", "https://u@a", "ftp://a", "https://a:x"]
)
def test_what_is_no_origin_is_refused_at_start(origin):
    with pytest.raises(InputError, match=r"--allow-origin .* is no origin; write it like https://viewer\.example:8443"):
        Access.of(allow_origins=[origin])


def test_the_environment_names_origins_and_host(monkeypatch):
    monkeypatch.setenv(ALLOW_ORIGIN, "https://a.example, https://b.example")
    assert Access.from_environment().origins == {"https://a.example", "https://b.example"}
    monkeypatch.setenv(HOST, "0.0.0.0")
    assert Access.from_environment().any_address

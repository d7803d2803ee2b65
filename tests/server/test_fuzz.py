"""Random and hostile requests to every route: no 5xx, and every refusal is one JSON line.

`RECURSIVE_FUZZ=10000` sends so many requests instead of a few hundred.
"""

import contextlib
import json
import os
import string
import tempfile
from urllib.parse import quote

import monailabel.app as monailabel_server
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from monailabel.utils.async_tasks.task import AsyncTask
from schemathesis import GenerationMode

from recursive_expand.server.desk import api
from recursive_expand.server.surface import our_routes

REQUESTS = int(os.environ.get("RECURSIVE_FUZZ", "300"))
OPERATIONS = sorted({(method, route.path) for route in our_routes("") for method in route.methods or ()})
"""What the server answers or closes: MONAI Label's operations and ours."""

PARAMETERS = (
    *(
        "image",
        "label",
        "tag",
        "id",
        "params",
        "info",
        "output",
        "limit",
        "offset",
        "check_sum",
        "session_id",
        "reviewer",
    ),
    *("limit_cases", "run_sync", "images", "all", "check_if_running", "slice", "case_id", "unknown"),
)
KEYS = (
    *(
        "case_id",
        "proposal",
        "verdict",
        "rejected_slices",
        "reason",
        "comment",
        "reviewer",
        "client",
        "seconds",
        "gpus",
    ),
    *("client_id", "skip", "only", "multi_gpu", "bundle_path", "save_label", "label_tag", "image", "model", "strategy"),
    *("result_extension", "result_dtype", "id", "path", "name", "device", "max_workers", "label_info", "judgements"),
)

nasty = st.sampled_from(
    [
        "", " ", ".", "..", "../../etc/passwd", "/etc/passwd", "u0", "i0", "p0", "t0", "final", "original", "version_0",
        "version_999999999999999999999", "recursive_ich", "recursive_expand", "first", "a" * 255, "a" * 256, "a" * 5000,
        "ü" * 128, "\x00", "a\x00b", "\n", "\x1b[31m", "%00", "%2e%2e%2f", "null", "NaN", "Infinity", "-1", "0", "1",
        "1e999", "9" * 19, "9" * 400, "-9223372036854775809", "1_0", "０", "true", "[]", "{}", "\ufffe", "𝔘",
        "' OR 1=1",
        "http://169.254.169.254/", "file:///etc/passwd", "C:\\x", "con", "*", "SHA256:", "MD5:00", "accept", "reject",
    ]
)  # fmt: skip
texts = nasty | st.text(max_size=20)
numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([2**63, -(2**63) - 1, 10**400, float("nan"), float("inf"), -0.0, 1e308, 5e-324])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | texts, inner, max_size=4),
    max_leaves=12,
)
documents = st.dictionaries(st.sampled_from(KEYS), values, max_size=6) | values
raw_json = st.sampled_from(
    [b"", b"{", b"[" * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b'"\\ud800"', b'"\\u0000"', b"\xff\xfe", b"NaN"]
)
bodies = documents.map(lambda document: json.dumps(document).encode()) | raw_json | st.binary(max_size=40)
headers = st.dictionaries(
    st.sampled_from(["Content-Type", "Origin", "Sec-Fetch-Site", "Referer", "Range", "If-None-Match", "Accept"]),
    st.sampled_from(
        [
            "application/json", "multipart/form-data", "multipart/form-data; boundary=x", "text/plain", "null",
            "bytes=9-1",
            "application/x-www-form-urlencoded; charset=utf-7", "http://evil.example", "cross-site", "*", "x" * 300,
            "http://127.0.0.1:8000", "application/json; charset=x", "multipart/form-data; boundary=" + "b" * 300,
        ]
    ),
    max_size=2,
)  # fmt: skip
uploads = st.fixed_dictionaries(
    {},
    optional={
        name: st.tuples(
            st.text(string.printable, max_size=20)
            | st.sampled_from(["a.nii.gz", "b.nrrd", "a" * 300, "../x.nii", "x.bin"]),
            st.binary(max_size=60)
            | st.sampled_from([b"\x1f\x8b\x08\x00", b"NRRD0004\n", b"\x5c\x01\x00\x00" + b"\x00" * 400]),
        )
        for name in ("file", "label")
    },
)


@pytest.fixture
def check(client, monkeypatch, tmp_path):
    """Send a request; a 5xx, another form of refusal, or a file that stays fails."""
    monkeypatch.setattr(
        AsyncTask, "run", staticmethod(lambda *args, **kwargs: ({"id": "1", "status": "SUBMITTED"}, None))
    )
    monkeypatch.setattr(api, "EVENT_STREAM_SECONDS", 0.01)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def _check(method, url, **sent):
        answer = client.request(method, url, follow_redirects=False, **sent)
        assert answer.status_code < 500, (method, url, sent, answer.text)
        if answer.status_code >= 400 and method != "HEAD":
            assert answer.headers["content-type"] == "application/json", (method, url, sent, answer.text)
            assert answer.json().keys() == {"detail"}, answer.text
            assert "\n" not in answer.text and "Traceback" not in answer.text
        assert list(temporary.iterdir()) == [], (method, url, sent)

    return _check


def sent(count):
    return settings(
        max_examples=max(count, 1),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def test_hostile_requests_to_every_route_of_the_table(check, client):
    @sent(REQUESTS)
    @given(
        st.sampled_from(OPERATIONS),
        st.lists(texts, min_size=2, max_size=2),
        st.lists(st.tuples(st.sampled_from(PARAMETERS), texts), max_size=4),
        headers,
        st.one_of(
            st.fixed_dictionaries({"content": bodies}),
            st.fixed_dictionaries({"json": st.dictionaries(st.sampled_from(KEYS), texts, max_size=4)}),
            st.fixed_dictionaries(
                {
                    "data": st.dictionaries(st.sampled_from(["params", "info", "tag", "wsi"]), bodies | texts),
                    "files": uploads,
                }
            ),
        ),
    )
    def send(operation, parts, query, more, body):
        method, path = operation
        for part in parts:
            head, brace, tail = path.partition("{")
            path = head + (quote(part, safe="", errors="replace") + tail.partition("}")[2] if brace else "")
        pairs = "&".join(f"{name}={quote(text, safe='', errors='replace')}" for name, text in query)
        check(method, f"{path}?{pairs}", headers=more, **body)

    send()
    assert client.get("/info/").status_code == 200
    assert client.get("/datastore/?output=all").status_code == 200
    assert client.get("/recursive/status").status_code == 200


def test_requests_that_the_openapi_describes(check):
    schema = schemathesis.openapi.from_dict(monailabel_server.app.openapi())
    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in operations:
        for mode in GenerationMode:

            @sent(REQUESTS // (2 * len(operations)))
            @given(operation.as_strategy(generation_mode=mode))
            def send(case):
                request = case.as_transport_kwargs(base_url="http://127.0.0.1:8000")
                # The client of the tests takes bytes under another name, and no cookies for one request.
                data = request.pop("data", None)
                body = {"content": data} if isinstance(data, bytes | str) else {"data": data}
                request = {
                    name: value for name, value in (request | body).items() if value is not None and name != "cookies"
                }
                check(request.pop("method"), request.pop("url"), **request)

            # Not every operation has a wrong form.
            with contextlib.suppress(Unsatisfiable):
                send()

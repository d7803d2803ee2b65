"""inputs.py: text and JSON that no handler should have to expect."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.errors import InputError
from recursive_expand.server.inputs import MAX_DEPTH, check_integer, check_target, parse_json, parse_object

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
number = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | number | text,
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    max_leaves=20,
)


@given(plain)
def test_plain_json_is_read_as_it_is(value):
    assert parse_json(json.dumps(value), "body") == value


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body):
    try:
        value = parse_json(body, "body")
    except InputError:
        return
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a": NaN}', "NaN, which is no JSON"),
        (b"[Infinity, -Infinity]", "Infinity, which is no JSON"),
        (b"1e999", "a number that is not finite"),
        (b"[9223372036854775808]", "a number beyond 64 bits"),
        (b"-9223372036854775809", "a number beyond 64 bits"),
        (b"9" * 5000, "a number beyond 64 bits"),
        (b'"\\ud800"', "NUL or a lone surrogate"),
        (b'{"\\udfff": 1}', "NUL or a lone surrogate"),
        (b'"a\\u0000b"', "NUL or a lone surrogate"),
        (b"[" * 100_000, "nested deeper than"),
        (b"[" * 60 + b"]" * 60, "nested deeper than"),
        (b'{"a":' * 60 + b"1" + b"}" * 60, "nested deeper than"),
        (b"\xff", "is not UTF-8"),
        (b"{", "is no JSON"),
        (b"", "is no JSON"),
    ],
)
def test_what_could_not_be_stored_or_sent_again_is_refused(body, reason):
    with pytest.raises(InputError, match=f"body: .*{reason}"):
        parse_json(body, "body")


def test_the_limits_themselves_pass():
    assert parse_json("[9223372036854775807, -9223372036854775808]", "body") == [2**63 - 1, -(2**63)]
    nested = parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH, "body")
    assert nested and math.isfinite(parse_json("1e308", "body"))


@pytest.mark.parametrize(
    ("field", "reason"),
    [("[1]", "is a list"), ('"a"', "is a str"), ("null", "is a NoneType"), ("x" * 70_000, "at most")],
)
def test_a_field_must_be_an_object(field, reason):
    with pytest.raises(InputError, match=f"params: .*{reason}"):
        parse_object(field, "params")
    assert parse_object("", "params") == {}


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/a\x00", b""),
        ("/a\nb", b""),
        ("/" + "a" * 256, b""),
        ("/" + "ü" * 128, b""),
        ("/\ud800", b""),
        ("/a", b"image=%00"),
        ("/a", b"image=a%1bb"),
        ("/a", b"x%0a=1"),
        ("/a", b"image=" + b"a" * 256),
        ("/a", b"&".join([b"a=1"] * 101)),
    ],
)
def test_a_path_or_query_that_no_id_looks_like_is_refused(path, query):
    with pytest.raises(InputError):
        check_target(path, query)


def test_other_paths_and_queries_pass():
    check_target("/datastore/" + "a" * 255, b"image=case%20%C3%BC&tag=" + b"b" * 255 + b"&empty&%ED%A0%80=1")


@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "9" * 400, "+99999999999999999999"])
def test_an_integer_that_the_ledger_cannot_hold_is_refused(number):
    with pytest.raises(InputError, match="'offset': is beyond 64 bits"):
        check_integer("offset", number)


@pytest.mark.parametrize(
    "number", ["9223372036854775807", "-9223372036854775808", "0", "", "1.5", "abc", "１２", "--3"]
)
def test_other_text_is_left_to_its_handler(number):
    check_integer("offset", number)

"""Faults of a PACS: each is one line of one of two kinds, and none shows what the PACS or we said."""

from __future__ import annotations

import json
import pickle
import threading

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from recursive_expand.archives.pacs import connection
from recursive_expand.archives.pacs.connection import Gone, Pacs
from recursive_expand.archives.pacs.credentials import Credentials
from recursive_expand.archives.pacs.listing import Listing, look
from recursive_expand.dicom.derived import decode, encode
from recursive_expand.errors import InputError, Unreachable
from recursive_expand.settings import PacsSettings


def sr_like():
    """Something that can be stored."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.33", "1.4"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, "1.4"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    return dataset


def search(pacs):
    return list(pacs.pages("series", {}, ()))


@pytest.mark.parametrize("status", [400, 401, 403, 405, 409, 413, 429, 500, 503, 507])
def test_each_refusal_is_something_to_try_again(fake, status):
    fake.answer = lambda *_: (status, "text/plain", b"SECRET of the PACS")
    pacs, stored = Pacs(fake.url), decode(encode(sr_like()))
    for act in (
        lambda: search(pacs),
        lambda: pacs.metadata("1.2", "1.3"),
        lambda: list(pacs.instances("1.2", "1.3")),
        lambda: pacs.instance("1.2", "1.3", "1.4"),
        lambda: pacs.store("1.2", [stored]),
    ):
        with pytest.raises(Unreachable, match=f"answered {status}") as raised:
            act()
        assert "SECRET" not in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_not_there_is_gone(fake, status):
    fake.answer = lambda *_: (status, "text/plain", b"")
    with pytest.raises(Gone):
        Pacs(fake.url).metadata("1.2", "1.3")


MULTIPART = 'multipart/related; type="application/dicom"; boundary=x'


@pytest.mark.parametrize(
    "answer",
    [
        (200, "text/html", b"<html>log in</html>"),
        (200, "application/dicom+json", b'[{"0020000E"'),
        (200, "application/dicom+json", b'{"a": 1}'),
        (200, "application/dicom+json", b"[1, 2]"),
        (200, "application/dicom+json", b'[{"0020000E": {"vr": "UI"}}]'),
        (200, "application/dicom+json", b"[", 1000),
    ],
)
def test_a_wrong_or_half_answer_is_something_to_try_again(fake, answer):
    fake.answer = lambda *_: answer
    with pytest.raises(Unreachable):
        search(Pacs(fake.url))


@pytest.mark.parametrize(
    "answer",
    [
        (200, MULTIPART, b"--x\r\nContent-Type: application/dicom\r\n\r\nnonsense\r\n--x--\r\n"),
        (200, MULTIPART, b"--x\r\nContent-Type: application/dicom\r\n\r\nDICM", 10**6),
        (200, "text/html", b"<html>log in</html>"),
    ],
)
def test_a_series_that_is_none_is_something_to_try_again(fake, answer):
    fake.answer = lambda *_: answer
    with pytest.raises(Unreachable):
        assert list(Pacs(fake.url).instances("1.2", "1.3"))


def test_nobody_there_and_no_answer_in_time(fake, monkeypatch):
    with pytest.raises(Unreachable, match="cannot be reached"):
        search(Pacs("http://127.0.0.1:9/dicom-web"))
    monkeypatch.setattr(connection, "READ_SECONDS", 0.3)
    waiting = threading.Event()
    fake.answer = lambda *_: (waiting.wait(5), 200, "")[1:]
    with pytest.raises(Unreachable, match="in time"):
        search(Pacs(fake.url))
    waiting.set()


@pytest.mark.parametrize("url", ["ftp://pacs/x", "http://", "http://me:secret@pacs/x", "https://pacs/x?key=secret"])
def test_an_address_that_is_none_or_holds_a_secret_is_refused(url):
    with pytest.raises(InputError) as raised:
        Pacs(url)
    assert "secret" not in str(raised.value)


def test_credentials_are_sent_and_never_shown(fake, tmp_path):
    token = tmp_path / "token"
    token.write_text("geheim\n")
    given = Credentials.from_environment({"RECURSIVE_PACS_TOKEN_FILE": str(token)})
    search(Pacs(fake.url, given))
    assert fake.asked[-1][2]["Authorization"] == "Bearer geheim"
    basic = Credentials.from_environment({"RECURSIVE_PACS_USER": "me", "RECURSIVE_PACS_PASSWORD": "geheim"})
    search(Pacs(fake.url, basic))
    assert fake.asked[-1][2]["Authorization"].startswith("Basic ")
    assert "geheim" not in repr(given) + repr(basic)
    assert Credentials.from_environment({}).trust is True
    assert Credentials.from_environment({"RECURSIVE_PACS_VERIFY": "no"}).trust is False


@pytest.mark.parametrize(
    "environ",
    [
        {"RECURSIVE_PACS_USER": "me"},
        {"RECURSIVE_PACS_PASSWORD": "geheim"},
        {"RECURSIVE_PACS_TOKEN_FILE": "/nowhere"},
        {"RECURSIVE_PACS_CA": "/nowhere"},
        {"RECURSIVE_PACS_KEY": __file__},
    ],
)
def test_half_given_credentials_are_refused(environ):
    with pytest.raises(InputError) as raised:
        Credentials.from_environment(environ)
    assert "geheim" not in str(raised.value)


def entry(number):
    return {
        "0020000E": {"vr": "UI", "Value": [f"1.2.{number}"]},
        "0020000D": {"vr": "UI", "Value": ["1.9"]},
        "0008103E": {"vr": "LO", "Value": ["SECRET contrast" if number % 10 == 0 else "SECRET head"]},
        "00100020": {"vr": "LO", "Value": [f"SECRET{number // 2}"]},
        "00201209": {"vr": "IS", "Value": [2 if number == 7 else 30]},
    }


def test_twenty_thousand_series_are_listed_page_by_page_without_a_patient(fake, tmp_path):
    def answer(path, query):
        if query.get("Modality") == "SEG":
            return 200, "application/dicom+json", b"[]"
        if path.endswith("instances"):
            return 200, "application/dicom+json", json.dumps([{"00080018": {"Value": ["1"]}}] * 2).encode()
        start, limit = int(query["offset"]), int(query["limit"])
        page = [entry(number) for number in range(start, min(start + limit, 20000))]
        return 200, "application/dicom+json", json.dumps(page).encode()

    fake.answer = answer
    asked_at, told = [], []

    def page(found):
        asked_at.append(len(fake.asked))
        told.extend(found.series)

    listing = look(Pacs(fake.url), PacsSettings(), b"salt", None, page)
    assert len(listing.series) == len(told) == 20000
    assert asked_at[0] == 3  # segmentations, one page, and one short series of it: 250 series take as many
    assert len(pickle.dumps(listing)) < 20000 * 120
    assert len(fake.asked) == 20000 // connection.PAGE + 3
    left = [series.left_out for series in listing.series.values()]
    assert left.count("its description names a contrast phase") == 2000
    assert listing.series["1.2.7"].left_out == "has 2 images; a scan has 3 or more"
    assert listing.series["1.2.4"].patient == listing.series["1.2.5"].patient != listing.series["1.2.6"].patient
    assert [line.file for line in listing.left_out()] == ["2,000 series (1.2.0 is one)", "1.2.7"]
    listing.save(tmp_path / "listing.json")
    assert b"SECRET" not in (tmp_path / "listing.json").read_bytes()
    assert Listing.load(tmp_path / "listing.json") == listing


def test_a_pacs_that_ignores_offset_or_repeats_ends(fake):
    page = json.dumps([entry(number) for number in range(connection.PAGE)]).encode()
    fake.answer = lambda *_: (200, "application/dicom+json", page)
    assert sum(map(len, search(Pacs(fake.url)))) == connection.PAGE
    assert len(fake.asked) == 2

"""Removing superseded objects: each maker's own way, and none where there is none."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from recursive_expand.archives.pacs.connection import Pacs
from recursive_expand.archives.pacs.removal import Remover
from recursive_expand.errors import Unreachable

ONE = SimpleNamespace(study="1.2", series="1.3", sop="1.4")
ADDRESS = "/dicom-web/studies/1.2/series/1.3/instances/1.4"


def says(status, body=b"{}"):
    return lambda *_: (status, "application/json", body)


def asked(fake):
    return [(method, path) for method, path, _ in fake.asked]


def test_an_orthanc_is_found_out_and_asked_for_its_own_id(fake):
    found = json.dumps([{"Type": "Instance", "ID": "ab"}, {"Type": "Series", "ID": "cd"}]).encode()
    fake.answer = lambda path, _: (200, "application/json", found if path == "/tools/lookup" else b'{"DicomAet": "x"}')
    assert Remover(Pacs(fake.url)).remove([ONE])
    assert asked(fake) == [("GET", "/system"), ("POST", "/tools/lookup"), ("DELETE", "/instances/ab")]


def test_dcm4chee_gets_a_rejection_note(fake):
    fake.answer = says(200)
    assert Remover(Pacs(fake.url), "dcm4chee").remove([ONE])
    assert asked(fake) == [("POST", f"{ADDRESS}/reject/113001%5EDCM")]


def test_google_and_azure_get_a_delete_on_the_instance(fake):
    fake.answer = says(204, b"")
    assert Remover(Pacs(fake.url), "dicomweb").remove([ONE, ONE])
    assert asked(fake) == [("DELETE", ADDRESS)] * 2


@pytest.mark.parametrize("kind", ["orthanc", "dcm4chee", "dicomweb"])
def test_what_is_gone_is_removed_and_what_is_not_open_to_us_stays(fake, kind):
    fake.answer = says(404)
    assert Remover(Pacs(fake.url), kind).remove([ONE])
    fake.answer = says(403)
    assert not Remover(Pacs(fake.url), kind).remove([ONE])
    fake.answer = says(503)
    with pytest.raises(Unreachable):
        Remover(Pacs(fake.url), kind).remove([ONE])


@pytest.mark.parametrize("answer", [says(404), says(403), says(200, b'{"Name": "other"}'), says(200, b"<html>")])
def test_a_pacs_of_no_known_maker_is_not_asked_to_remove(fake, answer):
    fake.answer = answer
    assert not Remover(Pacs(fake.url)).remove([ONE])
    assert asked(fake) == [("GET", "/system")]
    assert not Remover(Pacs(fake.url), "plain").remove([ONE])


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://pacs.example:8443/dcm4chee-arc/aets/DCM4CHEE/rs", "dcm4chee"),
        ("https://healthcare.googleapis.com/v1/projects/p/locations/l/datasets/d/dicomStores/s/dicomWeb", "dicomweb"),
        ("https://w-d.dicom.azurehealthcareapis.com/v2", "dicomweb"),
    ],
)
def test_the_address_tells_the_maker(url, kind):
    assert Remover(Pacs(url))._found_out() == kind

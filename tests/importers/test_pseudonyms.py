"""pseudonyms.py: one name a patient in a folder of studies, and nobody can compute it from outside."""

from __future__ import annotations

import hashlib
import re

import pytest
from pydicom import Dataset

from recursive_expand.importers.pseudonyms import Pseudonyms
from recursive_expand.importers.studies_folder import StudiesError


def patient(identifier, issuer=""):
    dataset = Dataset()
    dataset.PatientID, dataset.IssuerOfPatientID = identifier, issuer
    return dataset


def test_a_patient_has_one_name_in_a_folder_and_another_one_elsewhere(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    name = Pseudonyms(tmp_path / "a").of(patient("MRN-1"))
    assert re.fullmatch("patient-[0-9a-f]{16}", name)
    assert Pseudonyms(tmp_path / "a").of(patient(" MRN-1 ")) == name
    assert Pseudonyms(tmp_path / "a").of(patient("MRN-1", "other")) != name
    assert Pseudonyms(tmp_path / "b").of(patient("MRN-1")) != name
    assert re.fullmatch("[0-9a-f]{32}", (tmp_path / "a" / ".recursive" / "salt").read_text())
    assert Pseudonyms(tmp_path / "a").of(patient("")) is None


def test_patients_named_by_0_1_0_keep_their_names(tmp_path):
    (tmp_path / "cases.csv").write_text("case_id,role,patient\na,test,patient-0123456789ab\n")
    # sha256("|MRN-1")
    assert Pseudonyms(tmp_path).of(patient("MRN-1")) == "patient-" + sha("|MRN-1")[:12]


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_lost_salt_ends_the_run(tmp_path):
    (tmp_path / "cases.csv").write_text("case_id,role,patient\na,test,patient-0123456789abcdef\n")
    with pytest.raises(StudiesError, match=r"salt: is gone, so that patients of cases\.csv would get second names"):
        Pseudonyms(tmp_path).of(patient("MRN-1"))

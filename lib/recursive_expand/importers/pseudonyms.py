"""Who a case is of, without naming anybody."""

from __future__ import annotations

import hashlib
import re

from pydicom import Dataset

_RSNA = re.compile(r"ID_[0-9a-f]{8}")


def patient_of(dataset: Dataset) -> str | None:
    """The pseudonym of a DICOM image's patient: a hash of PatientID and IssuerOfPatientID; None where there is no id.

    Two exports of one hospital give a patient the same pseudonym. Whoever knows the id can compute it.
    """
    identifier = str(dataset.get("PatientID") or "").strip()
    if not identifier:
        return None
    issuer = str(dataset.get("IssuerOfPatientID") or "").strip()
    return f"patient-{hashlib.sha256(f'{issuer}|{identifier}'.encode()).hexdigest()[:12]}"


def rsna_patient(identifier: str) -> str | None:
    """A patient of RSNA 2019, and of what was made of it (BHSD, HemSeg), under one name in all three.

    Args:
        identifier: `ID_` and eight hexadecimal digits: the data set's own pseudonym, kept as it is.
    """
    found = _RSNA.fullmatch(identifier.strip())
    return f"rsna-{found.group()}" if found else None

"""Who a case is of, without naming anybody."""

from __future__ import annotations

import hashlib
import re
import secrets
from functools import cached_property
from pathlib import Path

from pydicom import Dataset

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.archives.tables import CASES
from recursive_expand.importers.studies_folder import StudiesError

SALT = Path(".recursive") / "salt"
"""Within a folder of studies: 16 random bytes in hex, made once. Empty where version 0.1.0 has named patients."""

_RSNA = re.compile(r"ID_[0-9a-f]{8}")
_UNSALTED = re.compile(rb"\bpatient-[0-9a-f]{12}\b")
_SALTED = re.compile(rb"\bpatient-[0-9a-f]{16}\b")


class Pseudonyms:
    """Names of patients in one folder of studies.

    Without the folder's salt nobody can compute a name from a PatientID; with it a patient has one name in all imports.

    Args:
        studies: the folder of studies; it must exist when the first patient is named.
    """

    def __init__(self, studies: Path) -> None:
        self._studies = studies

    def of(self, dataset: Dataset) -> str | None:
        """A DICOM image's patient: a salted hash of PatientID and IssuerOfPatientID; None where there is no id."""
        identifier = str(dataset.get("PatientID") or "").strip()
        if not identifier:
            return None
        issuer = str(dataset.get("IssuerOfPatientID") or "").strip()
        content = f"{self._salt}{issuer}|{identifier}".encode("utf-8", "backslashreplace")
        return f"patient-{hashlib.sha256(content).hexdigest()[: 16 if self._salt else 12]}"

    def of_rsna(self, dataset: Dataset) -> str | None:
        """RSNA 2019's own pseudonym; a hash where an export has put something else into its place."""
        return rsna_patient(str(dataset.get("PatientID") or "")) or self.of(dataset)

    @cached_property
    def _salt(self) -> str:
        path = self._studies / SALT
        if path.exists():
            return path.read_text("ascii").strip()
        table = self._studies / CASES
        named = table.read_bytes() if table.exists() else b""
        if _SALTED.search(named):
            raise StudiesError(
                str(SALT), f"is gone, so that patients of {CASES} would get second names; restore it from a backup"
            )
        # Patients named without a salt keep their names: with new ones they could get into two roles.
        salt = "" if _UNSALTED.search(named) else secrets.token_hex(16)
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, salt.encode())
        return salt


def rsna_patient(identifier: str) -> str | None:
    """A patient of RSNA 2019, and of what was made of it (BHSD, HemSeg), under one name in all three.

    Args:
        identifier: `ID_` and eight hexadecimal digits: the data set's own pseudonym, kept as it is.
    """
    found = _RSNA.fullmatch(identifier.strip())
    return f"rsna-{found.group()}" if found else None

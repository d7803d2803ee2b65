"""Removing objects of ours from a PACS, by its own interface where there is one: DICOMweb has none that all know."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from recursive_expand.archives.pacs.connection import Gone, Pacs, Refused


class Remover:
    """Takes objects away where the PACS is an Orthanc, whose REST interface lies beside its DICOMweb.

    Args:
        pacs: its DICOMweb.
        kind: what it is; `auto` asks it on first use, `plain` has no way that we know.
    """

    def __init__(self, pacs: Pacs, kind: Literal["auto", "orthanc", "plain"] = "auto") -> None:
        self._pacs = pacs
        self._root = pacs.url.removesuffix("/dicom-web")
        self._orthanc = None if kind == "auto" and self._root != pacs.url else kind == "orthanc"

    def remove(self, sop_instance_uids: Iterable[str]) -> bool:
        """Remove instances; missing ones are no error.

        Returns:
            Whether there is a way to.

        Raises:
            Unreachable: the PACS cannot be asked now.
        """
        if self._orthanc is None:
            self._orthanc = self._answers_as_orthanc()
        if not self._orthanc:
            return False
        for uid in sop_instance_uids:
            for found in self._pacs.request("POST", f"{self._root}/tools/lookup", data=uid).json():
                if found.get("Type") == "Instance":
                    self._pacs.request("DELETE", f"{self._root}/instances/{found['ID']}")
        return True

    def _answers_as_orthanc(self) -> bool:
        try:
            return "DicomAet" in self._pacs.request("GET", f"{self._root}/system").json()
        except (Gone, Refused, ValueError):
            return False

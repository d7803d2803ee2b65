"""Removing objects of ours from a PACS, by its own interface where there is one: DICOMweb has none that all know."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from recursive_expand.archives.pacs.connection import Gone, Pacs
from recursive_expand.errors import Unreachable


class Orthanc:
    """Orthanc's REST interface, which lies beside its DICOMweb.

    Args:
        pacs: its DICOMweb.
    """

    def __init__(self, pacs: Pacs) -> None:
        self._pacs = pacs
        self._root = pacs.url.removesuffix("/dicom-web")

    def answers(self) -> bool:
        """Whether this is an Orthanc that we may ask."""
        try:
            return "DicomAet" in self._pacs.request("GET", f"{self._root}/system").json()
        except (Gone, Unreachable, ValueError):
            return False

    def remove(self, sop_instance_uids: Iterable[str]) -> None:
        """Remove instances; missing ones are no error.

        Raises:
            Unreachable: the PACS cannot be asked now.
        """
        for uid in sop_instance_uids:
            for found in self._pacs.request("POST", f"{self._root}/tools/lookup", data=uid).json():
                if found.get("Type") == "Instance":
                    self._pacs.request("DELETE", f"{self._root}/instances/{found['ID']}")


def remover(pacs: Pacs, kind: Literal["auto", "orthanc", "plain"]) -> Orthanc | None:
    """What removes objects from this PACS; None: nothing does, and the newest object counts."""
    orthanc = Orthanc(pacs)
    if kind == "orthanc" or (kind == "auto" and pacs.url.endswith("/dicom-web") and orthanc.answers()):
        return orthanc
    return None

"""Taking objects of ours away from a PACS, by the way that its maker has for it: DICOMweb has none that all know."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal, Protocol
from urllib.parse import quote, urlsplit

from recursive_expand.archives.pacs.connection import Gone, Pacs, Refused

logger = logging.getLogger(__name__)

Kind = Literal["auto", "orthanc", "dcm4chee", "dicomweb", "plain"]

REJECTED_FOR_QUALITY = "113001^DCM"
"""The reason of dcm4chee's rejection notes (PS3.16 CID 7011); an archive of default settings hides what has it."""
_DELETING_HOSTS = ("healthcare.googleapis.com", ".dicom.azurehealthcareapis.com")


class Named(Protocol):
    """Where an instance is."""

    @property
    def study(self) -> str:
        """StudyInstanceUID."""

    @property
    def series(self) -> str:
        """SeriesInstanceUID."""

    @property
    def sop(self) -> str:
        """SOPInstanceUID."""


class Removal(Protocol):
    """A PACS's way to take one instance away; a missing one is no error or `Gone`."""

    def __call__(self, pacs: Pacs, instance: Named) -> object:
        """Take it away.

        Raises:
            Gone, Refused, Unreachable: see `Pacs`.
        """


def by_orthanc(pacs: Pacs, instance: Named) -> None:
    """By Orthanc's REST interface, which lies beside its DICOMweb: the instance is deleted."""
    root = _orthanc_root(pacs)
    for found in pacs.request("POST", f"{root}/tools/lookup", data=instance.sop).json():
        if found.get("Type") == "Instance":
            pacs.request("DELETE", f"{root}/instances/{found['ID']}")


def by_rejection_note(pacs: Pacs, instance: Named) -> None:
    """By dcm4chee's: the instance is hidden, and deleted when the archive's rules say so."""
    pacs.request("POST", f"{_address(pacs, instance)}/reject/{quote(REJECTED_FOR_QUALITY)}")


def by_delete(pacs: Pacs, instance: Named) -> None:
    """By DELETE on the instance's own address, as Google and Azure have it: the instance is deleted."""
    pacs.request("DELETE", _address(pacs, instance))


WAYS: dict[str, Removal] = {"orthanc": by_orthanc, "dcm4chee": by_rejection_note, "dicomweb": by_delete}


class Remover:
    """Takes instances away where the PACS has a way that we know, and lets us.

    Args:
        pacs: its DICOMweb.
        kind: whose PACS it is; `auto` tells it by its address or asks on first use, `plain` has no way.
    """

    def __init__(self, pacs: Pacs, kind: Kind = "auto") -> None:
        self._pacs, self._kind = pacs, kind

    def remove(self, instances: Sequence[Named]) -> bool:
        """Remove instances; missing ones are no error.

        Returns:
            Whether they are gone: not where there is no way, or it is not open to us.

        Raises:
            Unreachable: the PACS cannot be asked now.
        """
        if self._kind == "auto":
            self._kind = self._found_out()
        way = WAYS.get(self._kind)
        if way is None:
            return False
        for instance in instances:
            try:
                way(self._pacs, instance)
            except Gone:
                continue
            except Refused as error:
                logger.warning("Superseded objects stay in the PACS: %s", error)
                return False
        return True

    def _found_out(self) -> Kind:
        parts = urlsplit(self._pacs.url)
        if "/dcm4chee-arc/" in parts.path:
            return "dcm4chee"
        if (parts.hostname or "").endswith(_DELETING_HOSTS):
            return "dicomweb"
        try:
            orthanc = "DicomAet" in self._pacs.request("GET", f"{_orthanc_root(self._pacs)}/system").json()
        except (Gone, Refused, ValueError):
            return "plain"
        return "orthanc" if orthanc else "plain"


def _orthanc_root(pacs: Pacs) -> str:
    return pacs.url.removesuffix("/dicom-web")


def _address(pacs: Pacs, instance: Named) -> str:
    return f"{pacs.url}/studies/{instance.study}/series/{instance.series}/instances/{instance.sop}"

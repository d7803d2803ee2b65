"""The PACS that OHIF looks into, where there is one."""

from __future__ import annotations

from fastapi import HTTPException
from monailabel.interfaces.utils.app import app_instance

from recursive_expand.archives.dicomweb import DicomwebArchive

NO_PACS = "OHIF reads a PACS, and these studies are a folder: use the review desk under /review/"


def dicomweb_archive() -> DicomwebArchive:
    """The studies.

    Raises:
        HTTPException: 404, they are no PACS.
    """
    archive = app_instance().recursion.archive
    if not isinstance(archive, DicomwebArchive):
        raise HTTPException(404, NO_PACS)
    return archive

"""What a PACS has: series that are cases, and segmentations of them; kept on disk for when it is down. No patient."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydicom import Dataset

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.archives.pacs.connection import Pacs
from recursive_expand.archives.pacs.pseudonyms import pseudonym
from recursive_expand.dicom.derived import MODEL_NAME
from recursive_expand.dicom.seg import referenced_series
from recursive_expand.dicom.series import MIN_SLICES

_NAMED: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a scout", re.compile(r"scout|locali[sz]er|topogram|surview|scano", re.I)),
    ("a dose report or a summary", re.compile(r"\bdose|summary|protocol|screen ?save", re.I)),
    ("derived images", re.compile(r"\bmpr\b|\bmip\b|\b3d\b|\bvrt?\b|reformat|coronal|sagittal|\bcor\b|\bsag\b", re.I)),
    ("a contrast phase", re.compile(r"contrast|angio|\bcta\b|\bc\+|arterial|venous|perfusion|\bctp\b", re.I)),
)
_FIELDS = ("NumberOfSeriesRelatedInstances", "SeriesDescription", "PatientID", "IssuerOfPatientID", "StudyInstanceUID")


class Filters(Protocol):
    """The settings that choose series."""

    dicomweb_modality: str
    dicomweb_body_part: str
    dicomweb_description: str
    dicomweb_dates: str
    dicomweb_studies: tuple[str, ...]
    dicomweb_series: tuple[str, ...]


@dataclass(frozen=True)
class ListedSeries:
    """A series.

    Attributes:
        uid, study: SeriesInstanceUID, StudyInstanceUID.
        instances: how many there are; 0 where the PACS does not say.
        patient: whose it is, as a pseudonym.
        left_out: why it is no case; None where it is one.
    """

    uid: str
    study: str
    instances: int
    patient: str | None
    left_out: str | None = None


@dataclass(frozen=True)
class ListedSeg:
    """A segmentation.

    Attributes:
        series, study, sop: its UIDs.
        source: the series that it is of.
        label: ContentLabel of an object of ours; empty for anybody else's.
        stamp: its content's date and time: the newest counts.
    """

    series: str
    study: str
    sop: str
    source: str
    label: str
    stamp: str

    @property
    def expert(self) -> bool:
        """Whether it is no verdict's."""
        return self.label not in ("ACCEPTED", "REJECTED")


@dataclass
class Listing:
    """What the last look found.

    Attributes:
        series: by SeriesInstanceUID.
        segs: by the segmentation's SeriesInstanceUID.
    """

    series: dict[str, ListedSeries] = field(default_factory=dict)
    segs: dict[str, ListedSeg] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write it."""
        content = {
            "series": [asdict(entry) for entry in self.series.values()],
            "segs": [asdict(entry) for entry in self.segs.values()],
        }
        write_atomic(path, json.dumps(content).encode())

    @classmethod
    def load(cls, path: Path) -> Listing | None:
        """Read it; None where there is none."""
        try:
            content = json.loads(path.read_bytes())
            series = [ListedSeries(**entry) for entry in content["series"]]
            segs = [ListedSeg(**entry) for entry in content["segs"]]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return cls({entry.uid: entry for entry in series}, {entry.series: entry for entry in segs})

    def expert(self, case_id: str) -> ListedSeg | None:
        """The newest expert's segmentation of a series."""
        found = [seg for seg in self.segs.values() if seg.source == case_id and seg.expert]
        return max(found, key=lambda seg: (seg.stamp, seg.sop), default=None)


def look(pacs: Pacs, filters: Filters, salt: bytes, last: Listing | None) -> Listing:
    """Ask the PACS what it has, page by page.

    Args:
        pacs: the PACS.
        filters: which series.
        salt: for pseudonyms.
        last: the last look: segmentations that it knows are not opened again.

    Raises:
        Unreachable: the PACS cannot be asked now.
    """
    listing = Listing()
    for entry in _entries(pacs, filters, filters.dicomweb_modality):
        if filters.dicomweb_series and _text(entry, "0020000E") not in filters.dicomweb_series:
            continue
        series = ListedSeries(
            _text(entry, "0020000E"),
            _text(entry, "0020000D"),
            int(_text(entry, "00201209") or 0),
            pseudonym(salt, _text(entry, "00100020"), _text(entry, "00100021")),
            _left_out(_text(entry, "0008103E"), int(_text(entry, "00201209") or 0)),
        )
        listing.series[series.uid] = series
    known = {} if last is None else last.segs
    for entry in _entries(pacs, filters, "SEG"):
        uid, study = _text(entry, "0020000E"), _text(entry, "0020000D")
        found = known.get(uid) or _opened(pacs, study, uid, listing)
        if found is not None:
            listing.segs[uid] = found
    return listing


def _entries(pacs: Pacs, filters: Filters, modality: str) -> Iterator[dict[str, Any]]:
    asked = {"Modality": modality}
    if modality != "SEG":
        asked |= {
            name: value
            for name, value in (
                ("BodyPartExamined", filters.dicomweb_body_part),
                ("SeriesDescription", filters.dicomweb_description),
                ("StudyDate", filters.dicomweb_dates),
            )
            if value
        }
    for study in filters.dicomweb_studies or (None,):
        where = {} if study is None else {"study_instance_uid": study}
        for page in pacs.pages("series", asked, _FIELDS, **where):
            for entry in page:
                if study is not None:
                    entry.setdefault("0020000D", {"Value": [study]})
                yield entry


def _opened(pacs: Pacs, study: str, uid: str, listing: Listing) -> ListedSeg | None:
    """What a segmentation says of itself; None where it is of none of our series."""
    headers = pacs.metadata(study, uid)
    if not headers:
        return None
    header: Dataset = headers[0]
    sources = referenced_series(header) & listing.series.keys()
    if len(headers) != 1 or len(sources) != 1:
        return None
    ours = str(header.get("ManufacturerModelName") or "") == MODEL_NAME
    stamp = f"{header.get('ContentDate') or ''}{header.get('ContentTime') or ''}"
    return ListedSeg(
        uid,
        study,
        str(header.SOPInstanceUID),
        sources.pop(),
        str(header.get("ContentLabel") or "") if ours else "",
        stamp,
    )


def _left_out(description: str, instances: int) -> str | None:
    """Why a series is no case. The description itself is not repeated: anything may stand there."""
    for what, pattern in _NAMED:
        if pattern.search(description):
            return f"its description names {what}"
    if 0 < instances < MIN_SLICES:
        return f"has {instances} images; a scan has {MIN_SLICES} or more"
    return None


def _text(entry: dict[str, Any], tag: str) -> str:
    values = (entry.get(tag) or {}).get("Value") or [""]
    return "" if values[0] is None else str(values[0])

"""What a PACS has: series that are cases, and segmentations of them; kept on disk for when it is down. No patient."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

from pydicom import Dataset

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.archives.pacs.connection import Pacs
from recursive_expand.archives.pacs.pseudonyms import pseudonym
from recursive_expand.archives.scan import SetAside
from recursive_expand.dicom.derived import MODEL_NAME
from recursive_expand.dicom.frames import MULTI_FRAME_CT
from recursive_expand.dicom.seg import referenced_series
from recursive_expand.dicom.series import MIN_SLICES

_NAMED: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a scout", re.compile(r"scout|locali[sz]er|topogram|surview|scano", re.I)),
    ("a dose report or a summary", re.compile(r"\bdose|summary|protocol|screen ?save", re.I)),
    ("derived images", re.compile(r"\bmpr\b|\bmip\b|\b3d\b|\bvrt?\b|reformat|coronal|sagittal|\bcor\b|\bsag\b", re.I)),
    ("a contrast phase", re.compile(r"contrast|angio|\bcta\b|\bc\+|arterial|venous|perfusion|\bctp\b", re.I)),
)
MOST_LINES = 20
"""Series that are left out for one reason and named one by one."""
_FRAMES = ("SOPClassUID", "NumberOfFrames")
_FIELDS = ("NumberOfSeriesRelatedInstances", "SeriesDescription", "PatientID", "IssuerOfPatientID", "StudyInstanceUID")


class Filters(Protocol):
    """The settings that choose series."""

    dicomweb_modality: str
    dicomweb_body_part: str
    dicomweb_description: str
    dicomweb_dates: str
    dicomweb_studies: tuple[str, ...]
    dicomweb_series: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListedSeries:
    """A series.

    Attributes:
        uid, study: SeriesInstanceUID, StudyInstanceUID.
        instances: how many there are; 0 where the PACS does not say.
        images: how many slices these are: frames of multi-frame instances count.
        patient: whose it is, as a pseudonym.
        left_out: why it is no case; None where it is one.
    """

    uid: str
    study: str
    instances: int
    images: int
    patient: str | None
    left_out: str | None = None

    @property
    def signature(self) -> str:
        """What changes with it: the number of instances, which is all that a PACS tells."""
        return f"dicomweb-{self.instances}"


@dataclass(frozen=True, slots=True)
class ListedSeg:
    """A segmentation.

    Attributes:
        series, study, sop: its UIDs.
        sources: the series that it says it is of.
        label: ContentLabel of an object of ours; empty for anybody else's.
        stamp: its content's date and time: the newest counts.
        objects: how many its series holds; of more than one nobody knows which counts.
    """

    series: str
    study: str
    sop: str
    sources: tuple[str, ...]
    label: str
    stamp: str
    objects: int = 1

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
            segs = [ListedSeg(**entry | {"sources": tuple(entry["sources"])}) for entry in content["segs"]]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return cls({entry.uid: entry for entry in series}, {entry.series: entry for entry in segs})

    def left_out(self) -> list[SetAside]:
        """A line for each series that is no case; one for all where many are it for one reason."""
        by_reason: dict[str, list[str]] = defaultdict(list)
        for entry in self.series.values():
            if entry.left_out is not None:
                by_reason[entry.left_out].append(entry.uid)
        lines = []
        for reason, uids in by_reason.items():
            named = uids if len(uids) <= MOST_LINES else [f"{len(uids):,} series ({uids[0]} is one)"]
            lines += [SetAside(None, name, f"{reason}; left out", "row") for name in named]
        return lines

    def expert(self, case_id: str) -> ListedSeg | None:
        """The newest expert's segmentation of a series."""
        return self.experts.get(case_id)

    @cached_property
    def experts(self) -> dict[str, ListedSeg]:
        """The newest expert's segmentation by series; one that is of several listed series is of none."""
        found: dict[str, ListedSeg] = {}
        for seg in sorted(self.segs.values(), key=lambda seg: (seg.stamp, seg.sop)):
            listed = [uid for uid in seg.sources if uid in self.series]
            if seg.expert and len(listed) == 1:
                found[listed[0]] = seg
        return found


def look(
    pacs: Pacs,
    filters: Filters,
    salt: bytes,
    last: Listing | None,
    on_page: Callable[[Listing], None] | None = None,
) -> Listing:
    """Ask the PACS what it has, page by page.

    Args:
        pacs: the PACS.
        filters: which series.
        salt: for pseudonyms.
        last: the last look: segmentations, and series of few images, that it knows are not asked for again.
        on_page: called with each page of series as it comes, and with all segmentations.

    Raises:
        Unreachable: the PACS cannot be asked now.
    """
    last = last or Listing()
    segs: dict[str, ListedSeg] = {}
    for page in _pages(pacs, filters, "SEG"):
        for entry in page:
            uid, study = text_of(entry, "0020000E"), text_of(entry, "0020000D")
            seg = last.segs.get(uid)
            if seg is None or int(text_of(entry, "00201209") or seg.objects) != seg.objects:
                seg = _opened(pacs, study, uid)
            if seg is not None:
                segs[uid] = seg
    listing = Listing({}, segs)
    for page in _pages(pacs, filters, filters.dicomweb_modality):
        listed = [_listed(pacs, entry, salt, last) for entry in page]
        if filters.dicomweb_series:
            listed = [series for series in listed if series.uid in filters.dicomweb_series]
        found = {series.uid: series for series in listed}
        listing.series.update(found)
        if on_page is not None:
            on_page(Listing(found, segs))
    return listing


def _listed(pacs: Pacs, entry: dict[str, Any], salt: bytes, last: Listing) -> ListedSeries:
    uid, study, instances = text_of(entry, "0020000E"), text_of(entry, "0020000D"), int(text_of(entry, "00201209") or 0)
    left_out, images = _left_out(text_of(entry, "0008103E")), instances
    if left_out is None and 0 < instances < MIN_SLICES:  # or a few multi-frame instances
        before = last.series.get(uid)
        images = before.images if before and before.instances == instances else _frames(pacs, study, uid)
        left_out = None if images >= MIN_SLICES else f"has {images} images; a scan has {MIN_SLICES} or more"
    patient = pseudonym(salt, text_of(entry, "00100020"), text_of(entry, "00100021"))
    return ListedSeries(uid, study, instances, images, patient, left_out)


def _frames(pacs: Pacs, study: str, uid: str) -> int:
    """How many slices a series' instances hold."""
    return sum(
        int(text_of(entry, "00280008") or 1) if text_of(entry, "00080016") in MULTI_FRAME_CT else 1
        for page in pacs.pages("instances", {}, _FRAMES, study_instance_uid=study, series_instance_uid=uid)
        for entry in page
    )


def _pages(pacs: Pacs, filters: Filters, modality: str) -> Iterator[list[dict[str, Any]]]:
    asked = {"Modality": modality, "StudyDate": filters.dicomweb_dates}
    if modality != "SEG":  # whose description is its own
        asked |= {
            "BodyPartExamined": filters.dicomweb_body_part,
            "SeriesDescription": _askable(filters.dicomweb_description),
        }
    asked = {name: value for name, value in asked.items() if value}
    wanted = _matching(filters.dicomweb_description if modality != "SEG" else "")
    for study in filters.dicomweb_studies or (None,):
        where = {} if study is None else {"study_instance_uid": study}
        for page in pacs.pages("series", asked, _FIELDS, **where):
            if study is not None:
                for entry in page:
                    entry.setdefault("0020000D", {"Value": [study]})
            described = ((entry, text_of(entry, "0008103E")) for entry in page)
            # Some PACS filter by it and do not tell it.
            yield [entry for entry, description in described if not description or wanted.fullmatch(description)]


def _askable(pattern: str) -> str:
    """A pattern with `?` for what a PACS may not read from an address: Orthanc's plugin undoes no escapes."""
    return re.sub(r"[^A-Za-z0-9*?._-]", "?", pattern)


def _matching(pattern: str) -> re.Pattern[str]:
    """DICOM's wildcards (PS3.4 C.2.2.2.4) as an expression, in any case as most PACS match; empty: anything."""
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(each, re.escape(each)) for each in pattern or "*"), re.IGNORECASE | re.DOTALL)


def _opened(pacs: Pacs, study: str, uid: str) -> ListedSeg | None:
    """What a segmentation says of itself; None where it says not of which series it is."""
    headers = pacs.metadata(study, uid)
    if not headers:
        return None
    header: Dataset = headers[0]
    sources = tuple(sorted(referenced_series(header)))
    if not sources:
        return None
    ours = str(header.get("ManufacturerModelName") or "") == MODEL_NAME
    stamp = f"{header.get('ContentDate') or ''}{header.get('ContentTime') or ''}"
    return ListedSeg(
        uid,
        study,
        str(header.SOPInstanceUID),
        sources,
        str(header.get("ContentLabel") or "") if ours else "",
        stamp,
        len(headers),
    )


@cache
def _named(what: str) -> str:
    return f"its description names {what}"


def _left_out(description: str) -> str | None:
    """Why a series is no case. The description itself is not repeated: anything may stand there."""
    for what, pattern in _NAMED:
        if pattern.search(description):
            return _named(what)
    return None


def text_of(entry: dict[str, Any], tag: str) -> str:
    """The first value of an attribute in DICOM JSON (PS3.18 F.2) as text; empty where there is none."""
    values = (entry.get(tag) or {}).get("Value") or [""]
    return "" if values[0] is None else str(values[0])

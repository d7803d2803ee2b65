"""Label objects in a PACS: made, stored, read back and compared, and superseded ones taken away."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydicom import Dataset

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.archives.pacs.connection import Gone, Pacs
from recursive_expand.archives.pacs.removal import Remover
from recursive_expand.cases import LabelMap, SeriesReference
from recursive_expand.dicom.coding import Coding, Origin
from recursive_expand.dicom.seg import make_seg, read_seg
from recursive_expand.dicom.sr import Judgement, assessments, make_sr
from recursive_expand.errors import InputError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Written:
    """What is to be stored for a verdict: settings `pacs_write` and `reader_organization`."""

    objects: Literal["seg+sr", "seg", "sr", "none", "all"] = "seg+sr"
    organization: str = ""

    def wants(self, tag: str) -> bool:
        """Whether objects of this tag are stored at all."""
        return self.objects != "none" and (tag == "final" or self.objects == "all")

    @property
    def masks(self) -> bool:
        """Whether masks are stored."""
        return self.objects not in ("sr", "none")

    @property
    def reports(self) -> bool:
        """Whether judgements are stored."""
        return self.objects not in ("seg", "none")


@dataclass(frozen=True)
class _Note:
    """An object that was stored.

    Attributes:
        kind: its Modality.
        sop_class, study, series, sop: its UIDs.
        seg: the segmentation that a report is of.
    """

    kind: str
    sop_class: str
    study: str
    series: str
    sop: str
    seg: str = ""

    @classmethod
    def of(cls, made: Dataset, seg: str) -> _Note:
        study, series = str(made.StudyInstanceUID), str(made.SeriesInstanceUID)
        return cls(str(made.Modality), str(made.SOPClassUID), study, series, str(made.SOPInstanceUID), seg)

    @property
    def header(self) -> Dataset:
        """As highdicom takes a predecessor."""
        header = Dataset()
        header.SOPClassUID, header.SOPInstanceUID = self.sop_class, self.sop
        header.StudyInstanceUID, header.SeriesInstanceUID = self.study, self.series
        return header


class LabelObjects:
    """The objects of one recursion in a PACS.

    What was stored for a case is noted in `folder`: SOP Instance UIDs, for superseding. The ledger's newest counts.

    Args:
        pacs: the PACS.
        coding: the classes' codes.
        written: what is stored.
        remover: takes superseded objects away, where there is a way.
        version: of this software.
        folder: for the notes; made if missing.
    """

    def __init__(
        self, pacs: Pacs, coding: Coding, written: Written, remover: Remover, version: str, folder: Path
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._pacs, self._coding, self._written, self._remover = pacs, coding, written, remover
        self._version, self._folder = version, folder

    def put(self, case_id: str, tag: str, label: LabelMap, info: Mapping[str, Any], series: SeriesReference) -> None:
        """Store a case's objects and make sure that the PACS has them; repeating it changes nothing.

        Args:
            case_id: whose they are.
            tag: `final` or `rejected`.
            label: on the series' grid.
            info: of the verdict (`expand.labels.label_info`), or of an expert's mask: no key `verdict`.
            series: the source series.

        Raises:
            InputError: the PACS refused an object or keeps another one under its UID.
            Unreachable: the PACS cannot be asked now.
        """
        if not self._written.wants(tag):
            return
        study = series.study_instance_uid or ""
        headers = self._pacs.metadata(study, series.series_instance_uid)
        origin = self._origin(case_id, label, info)
        seg = make_seg(label, series, headers, self._coding, origin, tag=tag)
        before, uid = self._noted(case_id, tag), str(seg.SOPInstanceUID)
        objects = [seg] if self._written.masks else []
        if self._written.reports and "verdict" in info:
            judgement = self._judgement(info, before, tag, uid)
            report = make_sr(judgement, seg, series, headers, self._coding, origin, tag=tag, stored=self._written.masks)
            objects.append(report)
        missing = [made for made in objects if not self._there(made, label, series)]
        if missing:
            self._pacs.store(study, missing)
        for made in missing:
            if not self._there(made, label, series):
                raise InputError(self._pacs.name, "says that it stored an object, but keeps another one or none")
        current = [_Note.of(made, uid) for made in objects]
        uids = {noted.sop for noted in current}
        old = [noted for noted in before if noted.sop not in uids]
        # First the note of all: whatever happens now, nothing of ours is forgotten.
        self._note(case_id, tag, [*old, *current])
        if old and self._remover.remove(old):
            self._note(case_id, tag, current)

    def remove(self, case_id: str, tag: str) -> None:
        """Take a case's objects away; without a way to, they stay, and the newest verdict's count.

        Raises:
            Unreachable: the PACS cannot be asked now.
        """
        before = self._noted(case_id, tag)
        if before and self._remover.remove(before):
            self._note(case_id, tag, [])

    def _origin(self, case_id: str, label: LabelMap, info: Mapping[str, Any]) -> Origin:
        verdict = "|".join(str(info.get(key) or "") for key in ("verdict", "proposal_sha256", "reviewer", "ts"))
        return Origin(
            case_id,
            int(info.get("round") or 0),
            verdict,
            info.get("model_sha256"),
            str(info.get("ts") or "1970-01-01T00:00:00+00:00"),
            self._version,
            expert="verdict" not in info,
            tool=info.get("tool"),
        )

    def _judgement(self, info: Mapping[str, Any], before: list[_Note], tag: str, seg: str) -> Judgement:
        return Judgement(
            tag == "final",
            str(info.get("reviewer") or ""),
            authenticated=bool(info.get("authenticated")),
            by_device=info.get("client") == "policy",
            reason=info.get("reason"),
            organization=self._written.organization,
            predecessors=[noted.header for noted in before if noted.kind == "SR" and noted.seg != seg],
        )

    def _there(self, made: Dataset, label: LabelMap, series: SeriesReference) -> bool:
        """Whether the PACS gives back what was made: a 200 to a store proves nothing."""
        try:
            kept = self._pacs.instance(
                str(made.StudyInstanceUID), str(made.SeriesInstanceUID), str(made.SOPInstanceUID)
            )
        except Gone:
            return False
        if made.Modality == "SR":
            return assessments(kept) == assessments(made)
        try:
            return read_seg(kept, series, label.geometry, self._coding).sha256 == label.sha256
        except InputError:
            return False

    def _path(self, case_id: str, tag: str) -> Path:
        return self._folder / f"{case_id}.{tag}.json"

    def _noted(self, case_id: str, tag: str) -> list[_Note]:
        try:
            return [_Note(**noted) for noted in json.loads(self._path(case_id, tag).read_bytes())]
        except (OSError, ValueError, TypeError):
            return []

    def _note(self, case_id: str, tag: str, objects: list[_Note]) -> None:
        write_atomic(self._path(case_id, tag), json.dumps([asdict(noted) for noted in objects]).encode())

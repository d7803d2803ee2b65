"""A PACS as an archive: series over DICOMweb are cases, label objects are DICOM SEG and SR."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from recursive_expand.archives.archive import FINAL, TAGS
from recursive_expand.archives.atomic import sweep, write_atomic
from recursive_expand.archives.identifiers import check_id
from recursive_expand.archives.images import read_label, read_volume, write_label
from recursive_expand.archives.native import MAX_CASE_BYTES
from recursive_expand.archives.pacs.connection import Gone, Pacs
from recursive_expand.archives.pacs.kept_series import KeptSeries
from recursive_expand.archives.pacs.listing import Filters, ListedSeries, Listing, look
from recursive_expand.archives.pacs.objects import LabelObjects
from recursive_expand.archives.pacs.pseudonyms import salt_of
from recursive_expand.archives.patients import in_two_roles
from recursive_expand.archives.scan import FoundCase, Scan, SetAside
from recursive_expand.archives.tables import CASES, IMAGE_LABELS, named_cases, read_image_labels, read_roles
from recursive_expand.cases import ImageLabels, LabelMap, Role, SeriesReference, Volume
from recursive_expand.dicom.coding import Coding
from recursive_expand.dicom.seg import read_seg
from recursive_expand.dicom.slice_geometry import instance_order
from recursive_expand.errors import InputError, Unreachable

logger = logging.getLogger(__name__)


class DicomwebArchive:
    """CT series of a PACS; a case's id is its SeriesInstanceUID.

    It is an `Archive`; methods that say nothing here do what that says. What the PACS said last is kept, so that cases
    that were read before can be judged, trained and proposed while it is down. `cases.csv` and `image_labels.csv` are
    looked for in `folder`.
    """

    immediate = False

    def __init__(
        self,
        pacs: Pacs,
        folder: Path,
        coding: Coding,
        objects: LabelObjects,
        filters: Filters,
        *,
        cache_bytes: float = 50e9,
        max_case_bytes: int = MAX_CASE_BYTES,
    ) -> None:
        """Use a PACS; nothing is asked of it yet.

        Args:
            pacs: the PACS.
            folder: where listing, images, drawn masks and notes are kept; made if missing.
            coding: the classes and their codes.
            objects: what stores label objects.
            filters: which series are cases.
            cache_bytes: of images kept for clients.
            max_case_bytes: of a case's voxels; larger ones are refused.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._pacs, self._folder, self._coding, self._objects = pacs, folder, coding, objects
        self._filters, self._max_bytes = filters, max_case_bytes
        self._kept = KeptSeries(pacs, folder, cache_bytes, max_case_bytes)
        for name in ("drawn", *TAGS, "experts"):
            (folder / name).mkdir(exist_ok=True)
        self._listing = Listing.load(folder / "listing.json")
        self._arriving: dict[str, ListedSeries] = {}  # found by the look that is under way

    @property
    def name(self) -> str:
        """The PACS's host."""
        return self._pacs.name

    @property
    def pacs(self) -> Pacs:
        """The connection."""
        return self._pacs

    @property
    def modality(self) -> str:
        """What the filters ask for: CT."""
        return self._filters.dicomweb_modality

    def study_of(self, case_id: str) -> str | None:
        """StudyInstanceUID of a case, as of the last look; None where the series is none."""
        entry = self._seen().series.get(case_id)
        return None if entry is None or entry.left_out is not None else entry.study

    def case_studies(self) -> dict[str, str]:
        """StudyInstanceUID of each case, by SeriesInstanceUID, as of the last look."""
        return {uid: entry.study for uid, entry in self._seen().series.items() if entry.left_out is None}

    def scan(self, on_found: Callable[[list[FoundCase]], None] | None = None) -> Scan:
        """Ask the PACS what it has; where it is down, what it had last.

        Cases that no table names are told of page by page: 20,000 series take as long to begin as 250.
        """
        set_aside: list[SetAside] = []
        try:
            listing = look(self._pacs, self._filters, salt_of(self._folder), self._seen(), self._tell(on_found))
            if listing != self._listing:
                listing.save(self._folder / "listing.json")
            self._listing, self._arriving = listing, {}
            self._send_drawn()
        except Unreachable as error:
            if self._listing is None:
                raise
            listing = self._listing
            set_aside.append(SetAside(None, self.name, f"{error}; the cases are those of the last look", "row"))
        usable = {uid: entry for uid, entry in listing.series.items() if entry.left_out is None}
        set_aside += listing.left_out()
        roles = read_roles(self._folder / CASES, usable)
        table = read_image_labels(
            self._folder / IMAGE_LABELS,
            usable,
            self._coding.classes,
            lambda case_id: self._slices(usable[case_id]),
            self._slice_of,
        )
        set_aside += [*roles.set_aside, *table.set_aside]
        broken = {line.case_id for line in roles.set_aside if line.kind == "case"}
        cases: list[FoundCase] = []
        for case_id in sorted(usable.keys() - broken):
            role = roles.roles.get(case_id)
            if role is Role.PIXEL and self._expert_signature(case_id, listing) is None:
                reason = f"case {case_id} is to be {role}, but the PACS has no expert's segmentation of it"
                set_aside.append(SetAside(case_id, roles.lines[case_id], reason))
                continue
            patient = roles.patients.get(case_id)
            cases.append(self._found(usable[case_id], listing, role, table.labels.get(case_id, {}), patient))
        if not listing.series:
            set_aside.append(SetAside(None, self.name, "has no series that the filters let through", "folder"))
        drawn = {case.case_id for case in cases if self._drawn(case.case_id).exists()}
        refused = in_two_roles({case.case_id: (case.role, case.patient) for case in cases if case.case_id not in drawn})
        set_aside += [SetAside(case_id, CASES, reason) for case_id, reason in refused.items()]
        return Scan(
            [case for case in cases if case.case_id not in refused], set_aside, roles.unusable or table.unusable
        )

    def _tell(self, on_found: Callable[[list[FoundCase]], None] | None) -> Callable[[Listing], None] | None:
        """What becomes of a page of series while the others are still to come."""
        if on_found is None:
            return None
        try:
            named = named_cases(self._folder / CASES, ("role",))
            named |= named_cases(self._folder / IMAGE_LABELS, ("slice", *map(str.lower, self._coding.classes)))
        except InputError:  # the scan says why nothing may be used
            return None

        def tell(page: Listing) -> None:
            self._arriving |= page.series
            of_several = {uid for seg in page.segs.values() if len(seg.sources) > 1 for uid in seg.sources}
            on_found(
                [
                    self._found(entry, page)
                    for uid, entry in page.series.items()
                    if entry.left_out is None and uid not in named and uid not in of_several
                ]
            )

        return tell

    def _found(
        self,
        entry: ListedSeries,
        listing: Listing,
        role: Role | None = None,
        labels: Mapping[int | None, ImageLabels] = MappingProxyType({}),
        patient: str | None = None,
    ) -> FoundCase:
        expert = self._expert_signature(entry.uid, listing)
        if role is None or role is Role.IMAGE:
            role = Role.PIXEL if role is None and expert else Role.IMAGE if labels else Role.UNLABELLED
        mask = expert if role in (Role.PIXEL, Role.TEST) else None
        return FoundCase(entry.uid, role, labels, entry.signature, mask, patient or entry.patient)

    def signature(self, case_id: str) -> str:
        """The number of images, which is all that a PACS tells of a change; it is not asked again."""
        return self._entry(case_id).signature

    def read_volume(self, case_id: str) -> Volume:
        """Read the case's voxels: from the image kept, else from the PACS, which takes as long as that takes."""
        volume = read_volume(self.image_file(case_id), max_bytes=self._max_bytes)
        return Volume(volume.hu, volume.geometry, self.reference(case_id))

    def image_file(self, case_id: str) -> Path:
        """The series as NIfTI, made on first use.

        Raises:
            InputError: the series cannot be used, with the reason.
            Unreachable: it is not kept, and the PACS cannot be asked now.
        """
        return self._kept.image_file(self._entry(case_id))

    def read_expert_label(self, case_id: str) -> LabelMap:
        """Read the case's expert mask: one drawn here, else the newest segmentation that no verdict made."""
        path = self._drawn(case_id)
        if not path.exists():
            seg = self._seen().expert(case_id) or Listing(self._arriving, self._seen().segs).expert(case_id)
            if seg is None:
                raise InputError(f"case id {case_id!a}", "has no expert's segmentation")
            if seg.objects > 1:
                raise InputError(
                    "SEG", f"its series holds {seg.objects} segmentations: which counts? keep one a series"
                )
            path = self._folder / "experts" / f"{case_id}.{seg.sop}.nii.gz"
            if not path.exists():
                volume = self.read_volume(case_id)
                series = self._series(case_id)
                label = read_seg(
                    self._pacs.instance(seg.study, seg.series, seg.sop), series, volume.geometry, self._coding
                )
                write_label(path, label, fsync=False)
        label = read_label(path, self._coding.classes, max_bytes=self._max_bytes)
        return LabelMap(label.native, label.geometry, self._coding.classes)

    def reference(self, case_id: str) -> SeriesReference | None:
        """The series, as it was when its image was made; None before."""
        self._entry(case_id)
        return self._kept.reference(case_id)

    def put_label(self, case_id: str, tag: str, label: LabelMap, info: Mapping[str, Any]) -> None:
        """Store SEG and SR in the PACS and read them back. An expert's mask is kept here and sent with the next look.

        Raises:
            Unreachable: the PACS cannot be asked now.
        """
        self._check_tag(tag)
        self._entry(case_id)
        if "verdict" not in info:
            path = self._drawn(case_id)
            write_label(path, label, info=info)
            write_atomic(path.with_suffix(".todo"), json.dumps(dict(info)).encode())
            return
        if tag == FINAL and self._expert_signature(case_id, self._seen()) is not None:
            raise InputError(f"case {case_id}", "has an expert's mask, which no verdict replaces")
        self._objects.put(case_id, tag, label, info, self._series(case_id))
        write_label(self._folder / tag / f"{case_id}.nii.gz", label, info=info)

    def remove_label(self, case_id: str, tag: str) -> None:
        """Take a label object away, where the PACS has a way; here it is gone in any case."""
        self._check_tag(tag)
        self._entry(case_id)
        self._objects.remove(case_id, tag)
        (self._folder / tag / f"{case_id}.nii.gz").unlink(missing_ok=True)

    def label_file(self, case_id: str, tag: str) -> Path:
        """The label as NIfTI; the PACS is not asked for it."""
        self._check_tag(tag)
        self._entry(case_id)
        experts = (
            [self._drawn(case_id), *(self._folder / "experts").glob(f"{case_id}.*.nii.gz")] if tag == FINAL else []
        )
        for path in (*experts, self._folder / tag / f"{case_id}.nii.gz"):
            if path.exists():
                return path
        raise InputError(f"case id {case_id!a}", f"has no label {tag}")

    def labelled(self, tag: str) -> set[str]:
        """Cases whose label object was stored, by our notes; experts' by the last look."""
        found = {path.name.removesuffix(".nii.gz") for path in (self._folder / tag).glob("*.nii.gz")}
        if tag == FINAL:
            found |= self._seen().experts.keys()
            found |= {path.name.removesuffix(".nii.gz") for path in (self._folder / "drawn").glob("*.nii.gz")}
        return found

    def add_image(self, case_id: str, source: Path) -> None:
        """Refused: images are stored in the PACS by those who make them."""
        raise InputError(self.name, "is a PACS: images are added to it by the scanner, not here")

    def remarks(self, case_id: str) -> list[str]:
        """Of a case that was read."""
        return self._kept.remarks(check_id(case_id))

    def remarked(self) -> dict[str, list[str]]:
        """Of all cases that were read."""
        return self._kept.remarked()

    def fetching(self) -> dict[str, tuple[int, int]]:
        """Series that somebody waits for."""
        return self._kept.fetching()

    def remove_image(self, case_id: str) -> None:
        """Refused."""
        raise InputError(self.name, "is a PACS: images are not removed from it here")

    def sweep(self) -> int:
        """Remove half-written files."""
        folders = [self._folder, *self._kept.folders]
        folders += [self._folder / name for name in ("drawn", *TAGS, "experts")]
        return sum(sweep(folder) for folder in folders)

    def _send_drawn(self) -> None:
        """Store the masks that experts drew here. One that is refused waits for the next look."""
        for todo in sorted((self._folder / "drawn").glob("*.todo")):
            case_id = todo.name.removesuffix(".nii.todo")
            try:
                label = read_label(self._drawn(case_id), self._coding.classes)
                self._objects.put(case_id, FINAL, label, json.loads(todo.read_bytes()), self._series(case_id))
            except (Gone, InputError) as error:
                logger.warning("The drawn mask of case %s is stored later: %s", case_id, error)
                continue
            todo.unlink()

    def _expert_signature(self, case_id: str, listing: Listing) -> str | None:
        path = self._drawn(case_id)
        if path.exists():
            return f"drawn-{path.stat().st_mtime_ns}"
        seg = listing.expert(case_id)
        return None if seg is None else seg.sop

    def _slices(self, entry: ListedSeries) -> int:
        reference = self.reference(entry.uid)
        return entry.images if reference is None else len(reference.sop_instance_uids)

    def _slice_of(self, case_id: str, sop_instance_uid: str) -> int:
        """Which slice of a case an instance is; the PACS is asked where the case was never read."""
        reference = self.reference(case_id)
        order = self._kept.order(case_id) if reference is None else reference.sop_instance_uids
        if order is None:
            entry = self._entry(case_id)
            order = instance_order(self._pacs.metadata(entry.study, entry.uid))
            self._kept.put_order(case_id, order)
        if reference is not None and reference.frame_numbers:
            raise InputError("series", "has multi-frame instances; name its slices by number")
        if sop_instance_uid not in order:
            raise InputError(f"SOP Instance UID {sop_instance_uid[:64]}", f"is no slice of case {case_id}")
        return list(order).index(sop_instance_uid)

    def _series(self, case_id: str) -> SeriesReference:
        reference = self.reference(case_id)
        if reference is None:  # its image was never made
            self.image_file(case_id)
            reference = self.reference(case_id)
        if reference is None:
            raise InputError(f"case {case_id}", "is of no known series")
        return reference

    def _seen(self) -> Listing:
        if self._listing is None:
            self._listing = Listing.load(self._folder / "listing.json")
        return self._listing or Listing()

    def _entry(self, case_id: str) -> ListedSeries:
        entry = self._seen().series.get(check_id(case_id)) or self._arriving.get(case_id)
        if entry is None:
            raise InputError(f"case id {case_id!a}", "names no series that the PACS had at the last look")
        return entry

    def _drawn(self, case_id: str) -> Path:
        return self._folder / "drawn" / f"{case_id}.nii.gz"

    def _check_tag(self, tag: str) -> None:
        if tag not in TAGS:
            raise InputError(f"label tag {tag[:40]!a}", f"is not known; choose one of {', '.join(TAGS)}")

"""A judgement as DICOM Structured Report: TID 1500, with the assessment of each segment as a qualitative evaluation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import highdicom as hd
from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from recursive_expand.cases import SeriesReference
from recursive_expand.dicom.coding import Coding, Origin, uid_of
from recursive_expand.dicom.derived import (
    MANUFACTURER,
    MODEL_NAME,
    algorithm_of,
    equipment,
    instance_headers,
    settle,
)

COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"

SCHEME = "99RECURSIVE"
"""There is no standard code for accepted and rejected: these are ours, and the object says so."""
ASSESSMENT = CodedConcept("ASSESSMENT", SCHEME, "Assessment of the proposed segmentation")
ACCEPTED = CodedConcept("ACCEPTED", SCHEME, "Accepted")
REJECTED = CodedConcept("REJECTED", SCHEME, "Rejected")
REASON = CodedConcept("REASON", SCHEME, "Reason for the assessment")

_PROCEDURE = CodedConcept("77477000", "SCT", "Computed tomography")
_LONGEST_MEANING = 64
_MEANINGFUL = re.compile(r"[\\^=\x00-\x1f]+")


@dataclass(frozen=True)
class Judgement:
    """What somebody said of a proposed segmentation.

    Attributes:
        accepted: or rejected.
        reader: who judged; a person's name or login.
        authenticated: whether the reader proved who they are: the report is verified then.
        by_device: a rule judged, not a person.
        reason: why, in one clause.
        organization: the reader's.
        predecessors: headers of the reports that this one supersedes: their study, series, class and instance UIDs.
    """

    accepted: bool
    reader: str
    authenticated: bool = False
    by_device: bool = False
    reason: str | None = None
    organization: str = ""
    predecessors: Sequence[Dataset] = field(default_factory=tuple)


def make_sr(
    judgement: Judgement,
    seg: Dataset,
    series: SeriesReference,
    headers: Sequence[Dataset],
    coding: Coding,
    origin: Origin,
    *,
    tag: str = "final",
    stored: bool = True,
) -> Dataset:
    """Make the report of a judgement.

    Each class that the SEG shows gets a group (TID 1411) with its segment, its finding and the assessment; a SEG that
    shows none gets one group (TID 1501) for the whole series. Of a SEG that is not stored nothing may be referred to:
    its classes get groups of TID 1501.

    Args:
        judgement: what was said.
        seg: the judged mask, as `make_seg` made it.
        series: the source series.
        headers: of its instances, in any order.
        coding: the classes' codes.
        origin: makes the UIDs and the dates.
        tag: the SEG's.
        stored: whether the SEG is in the PACS, too.

    Raises:
        InputError: headers lack what an object needs.
    """
    sources = instance_headers(series, headers)
    identity = (origin.case_id, origin.round, origin.verdict, tag, str(seg.SOPInstanceUID))
    reader = person_name(judgement.reader)
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_person_context=_observer(judgement, reader)),
        procedure_reported=_PROCEDURE,
        imaging_measurements=_groups(judgement, seg, sources, coding, origin, stored=stored),
        title=CodedConcept("126000", "DCM", "Imaging Measurement Report"),
    )
    verified = judgement.authenticated and not judgement.by_device
    document = hd.sr.ComprehensiveSR(
        evidence=[*sources, *([_named_only(seg)] if stored else [])],
        content=report[0],
        series_instance_uid=uid_of("sr series", *identity),
        series_number=910 if tag == "final" else 911,
        sop_instance_uid=uid_of("sr", *identity),
        instance_number=1,
        is_complete=True,
        is_final=verified,
        is_verified=verified,
        verifying_observer_name=reader if verified else None,
        verifying_organization=(judgement.organization or "not stated") if verified else None,
        previous_versions=list(judgement.predecessors) or None,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **equipment(origin.version),
        series_description=f"{MANUFACTURER} {tag} judgement",
    )
    document.CodingSchemeIdentificationSequence = [_scheme()]
    settle(document, headers[0], origin.ts)
    if verified:
        when = datetime.fromisoformat(origin.ts).astimezone(UTC)
        document.VerifyingObserverSequence[0].VerificationDateTime = when.strftime("%Y%m%d%H%M%S+0000")
    return document


def assessments(document: Dataset) -> list[tuple[int | None, str]]:
    """What a report of ours says: (segment number or None for the whole series, code value) of each group."""
    return [
        (_segment_number(group), str(item.ConceptCodeSequence[0].CodeValue))
        for top in document.ContentSequence
        if _is(top, "126010")  # Imaging Measurements
        for group in top.ContentSequence
        for item in group.get("ContentSequence") or []
        if _is(item, ASSESSMENT.value)
    ]


def person_name(text: str) -> str:
    """A login or a name as DICOM's PN, family name only: what has a meaning there becomes a space."""
    plain = _MEANINGFUL.sub(" ", text).strip()[:63]
    return f"{plain or 'unknown'}^"


def _is(item: Dataset, code: str) -> bool:
    names = item.get("ConceptNameCodeSequence")
    return bool(names) and names[0].get("CodeValue") == code


def _segment_number(group: Dataset) -> int | None:
    for item in group.ContentSequence:
        if _is(item, "121191"):  # Referenced Segment
            return int(item.ReferencedSOPSequence[0].ReferencedSegmentNumber)
    return None


def _observer(judgement: Judgement, reader: str) -> hd.sr.ObserverContext:
    if judgement.by_device:
        return hd.sr.ObserverContext(
            observer_type=CodedConcept("121007", "DCM", "Device"),
            observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
                uid=uid_of("device", judgement.reader),
                name=judgement.reader[:64] or MODEL_NAME,
                manufacturer_name=MANUFACTURER,
                model_name=MODEL_NAME,
            ),
        )
    return hd.sr.ObserverContext(
        observer_type=CodedConcept("121006", "DCM", "Person"),
        observer_identifying_attributes=hd.sr.PersonObserverIdentifyingAttributes(
            name=reader, login_name=judgement.reader[:64] or None
        ),
    )


def _groups(
    judgement: Judgement, seg: Dataset, sources: Sequence[Dataset], coding: Coding, origin: Origin, *, stored: bool
) -> list[hd.sr.MeasurementsAndQualitativeEvaluations | hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations]:
    said = [hd.sr.QualitativeEvaluation(ASSESSMENT, ACCEPTED if judgement.accepted else REJECTED)]
    if judgement.reason:
        said.append(hd.sr.QualitativeEvaluation(REASON, _reason(judgement.reason)))
    algorithm, version, hashed = algorithm_of(origin)
    common: dict[str, Any] = {
        "algorithm_id": hd.sr.AlgorithmIdentification(algorithm, version, parameters=[" ".join(hashed)]),
        "finding_sites": [hd.sr.FindingSite(coding.region.concept)],
        "qualitative_evaluations": said,
    }

    def tracking(name: str) -> hd.sr.TrackingIdentifier:
        return hd.sr.TrackingIdentifier(uid_of("tracking", origin.case_id, name), name)

    segments = _shown(seg)
    if not segments or not stored:
        images = [hd.sr.SourceImageForMeasurementGroup(one.SOPClassUID, one.SOPInstanceUID) for one in sources]
        findings = [(coding.classes[number - 1], coding.types[number - 1]) for number in segments]
        return [
            hd.sr.MeasurementsAndQualitativeEvaluations(
                tracking(name), finding_type=code.concept, source_images=images, **common
            )
            for name, code in findings or [("all", coding.category)]
        ]
    regions = [hd.sr.SourceImageForSegmentation(one.SOPClassUID, one.SOPInstanceUID) for one in sources]
    return [
        hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking(coding.classes[number - 1]),
            referenced_segment=hd.sr.ReferencedSegment(
                seg.SOPClassUID, seg.SOPInstanceUID, number, source_images=regions
            ),
            finding_category=coding.category.concept,
            finding_type=coding.types[number - 1].concept,
            **common,
        )
        for number in segments
    ]


def _shown(seg: Dataset) -> list[int]:
    """Segments with foreground: an empty mask's frames are there for form."""
    if not any(seg.PixelData):
        return []
    return sorted(
        {
            int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            for group in seg.PerFrameFunctionalGroupsSequence
        }
    )


def _named_only(seg: Dataset) -> Dataset:
    """A SEG as evidence: names alone, the patient comes from the source."""
    named = Dataset()
    for name in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        setattr(named, name, seg[name].value)
    return named


def _reason(text: str) -> CodedConcept:
    value = re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_")[:16] or "OTHER"
    return CodedConcept(value, SCHEME, text.strip()[:_LONGEST_MEANING])


def _scheme() -> Dataset:
    item = Dataset()
    item.CodingSchemeDesignator = SCHEME
    item.CodingSchemeName = "Recursive ICH"
    item.CodingSchemeResponsibleOrganization = MANUFACTURER
    return item

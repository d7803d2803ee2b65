"""MONAI Label's datastore over archive and ledger."""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.interfaces.datastore import Datastore

from recursive_expand.errors import InputError, RecursiveExpandError
from recursive_expand.expand.frozen import frozen_file
from recursive_expand.expand.labels import label_info
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.registration import register_cases
from recursive_expand.ledger import CaseRecord, CaseState, ProposalRecord
from recursive_expand.server.listing import listed
from recursive_expand.server.refusals import as_http

ROUND_TAG = re.compile(r"version_(\d{1,6})")
"""The tag under which any client reads a round's proposals."""
ORIGINAL = "original"
"""MONAI Label's tag for what a model made: the current proposal."""


class RecursiveDatastore(Datastore):
    """Images from the archive, labels from verdicts and proposals; every id and tag is checked.

    A label's id is its case's id. Tags: `final` (accepted or expert mask), `rejected`, `version_<round>` (that round's
    proposal), `original` (the current proposal). Only `final` can be submitted: it is a verdict.

    Args:
        recursion: the recursion.
    """

    def __init__(self, recursion: Recursion) -> None:
        self._recursion = recursion

    def name(self) -> str:
        """The archive's name."""
        return self._recursion.archive.name

    def set_name(self, name: str) -> None:
        """Refused: the name is the folder's."""
        raise HTTPException(405, "the study's name is its folder's")

    def description(self) -> str:
        """What the task says of itself."""
        return self._recursion.settings.task.description

    def set_description(self, description: str) -> None:
        """Refused: the description is the task's."""
        raise HTTPException(405, "the description is task.yaml's")

    def datalist(self) -> list[dict[str, Any]]:
        """Images that have a final label, with it; labels that still wait in the outbox are left out."""
        labels = {case_id: self._label_file(self._case(case_id), "final") for case_id in self.get_labeled_images()}
        return [
            {"image": self.get_image_uri(case_id), "label": str(label)}
            for case_id, label in labels.items()
            if label is not None
        ]

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """Tags of a case's labels, each with the label's id."""
        case = self._case(image_id)
        tags = [tag for tag in ("final", "rejected") if self._has(case, tag)]
        tags += [f"version_{proposal.round}" for proposal in self._recursion.ledger.proposals.of_case(image_id)]
        return {tag: image_id for tag in tags}

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        """The label's id, or "" where the case has none with this tag."""
        return image_id if self._label_file(self._case(image_id), tag) is not None else ""

    def get_image(self, image_id: str, params: Any = None) -> io.BytesIO:
        """The image file's bytes."""
        return io.BytesIO(Path(self.get_image_uri(image_id)).read_bytes())

    def get_image_uri(self, image_id: str) -> str:
        """The image's file; 404 for an unknown id."""
        self._case(image_id)
        with as_http():
            return str(self._recursion.archive.image_file(image_id))

    def get_label(self, label_id: str, label_tag: str, params: Any = None) -> io.BytesIO:
        """A label file's bytes; 404 where there is none."""
        return io.BytesIO(Path(self.get_label_uri(label_id, label_tag)).read_bytes())

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """Where a label is; 404 for an unknown id and where there is none, 422 for an unknown tag."""
        path = self._label_file(self._case(label_id), label_tag)
        if path is None:
            raise HTTPException(404, f"case {label_id!r} has no label {label_tag!r}")
        return str(path)

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """What clients attached to the image, its file's name, and what is unusual in the series that it is of."""
        case = self._case(image_id)
        with as_http():
            series = self._recursion.archive.reference(image_id)
            remarks = self._recursion.archive.remarks(image_id)
        if series is None:
            return case.info | {"name": case.name}
        steps = series.slice_spacings_mm
        about = {
            "tilt_degrees": round(series.tilt_degrees, 2),
            "slice_spacing_mm": [round(float(step), 3) for step in (steps.min(), steps.max())] if len(steps) else [],
            "remarks": remarks,
        }
        return case.info | {"name": case.name, "series": about}

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """The verdict behind a label, or the proposal, and what clients attached to it."""
        case = self._case(label_id)
        self._label_file(case, label_tag)
        return self._recursion.ledger.cases.label_note(label_id, label_tag) | self._origin(case, label_tag)

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Ids of cases that have the label."""
        return self._recursion.ledger.cases.ids(tag=label_tag, labelled=True)

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Ids of cases that do not."""
        return self._recursion.ledger.cases.ids(tag=label_tag, labelled=False)

    def list_images(self) -> list[str]:
        """Ids of all usable cases."""
        return self._recursion.ledger.cases.ids()

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """A ZIP of images and final labels; the caller sends it."""
        cases = self.get_labeled_images()[: limit_cases or None]
        with tempfile.NamedTemporaryFile(prefix="dataset_", suffix=".zip", delete=False) as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for case_id in cases:
                    image, label = Path(self.get_image_uri(case_id)), self._label_file(self._case(case_id), "final")
                    archive.write(image, image.name)
                    if label is not None:
                        archive.write(label, f"labels/final/{label.name}")
            return file.name

    def refresh(self) -> None:
        """Look for new images."""
        register_cases(self._recursion)

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Copy an uploaded image into the archive; 422 with the reason where it cannot be used."""
        with as_http():
            self._recursion.archive.add_image(image_id, Path(image_filename))
            try:
                self.refresh()
                case = self._recursion.ledger.cases.get(image_id)
                if case.state is CaseState.SET_ASIDE:
                    raise InputError(image_id, case.reason or "cannot be used")
            except RecursiveExpandError:
                self._recursion.archive.remove_image(image_id)
                raise
            self._recursion.ledger.cases.update_info(image_id, image_info)
        return image_id

    def remove_image(self, image_id: str) -> None:
        """Refused: originals are never removed over HTTP."""
        raise HTTPException(403, "original images are never removed over HTTP; take the file out of the studies folder")

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Refused: a label is a verdict, and that goes through PUT /datastore/label, which knows who gives it."""
        raise HTTPException(409, "labels are verdicts: send them to PUT /datastore/label")

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Refused: labels follow verdicts, and a verdict is taken back, not erased."""
        raise HTTPException(409, "labels follow verdicts: DELETE /recursive/verdicts/{id} takes one back")

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Merge into the image's info."""
        with as_http():
            self._recursion.ledger.cases.update_info(image_id, info)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Merge into the label's note; the verdict itself does not change."""
        self._label_file(self._case(label_id), label_tag)
        with as_http():
            self._recursion.ledger.cases.update_label_note(label_id, label_tag, info)

    def status(self) -> dict[str, Any]:
        """Numbers of images, without listing them."""
        total, final = self._recursion.ledger.cases.count_labels()
        return {"total": total, "completed": final, "label_tags": {"final": final}, "train": []}

    def json(self) -> dict[str, Any]:
        """Every image with its labels, in the form of MONAI Label's own datastore; see `server.listing`."""
        task = self._recursion.settings.task
        objects = {
            case.case_id: listed(case, model=task.name, classes=task.classes)
            for case in self._recursion.ledger.listing.cases()
        }
        return {"name": self.name(), "description": self.description(), "objects": objects}

    def _case(self, image_id: str) -> CaseRecord:
        with as_http():
            return self._recursion.ledger.cases.get(image_id)

    def _has(self, case: CaseRecord, tag: str) -> bool:
        """Whether the ledger says that a case has this label object."""
        if tag == "final" and case.has_expert_mask:
            return True
        return label_info(self._recursion.ledger.judgements.of_case(case.case_id), tag) is not None

    def _label_file(self, case: CaseRecord, tag: str) -> Path | None:
        """A label's file; None where the case has no such label."""
        if tag in ("final", "rejected"):
            if not self._has(case, tag):
                return None
            try:
                return self._recursion.archive.label_file(case.case_id, tag)
            except InputError:
                return None  # it waits in the outbox
        proposal = self._proposal(case, tag)
        return None if proposal is None else frozen_file(self._recursion.workspace, proposal)

    def _proposal(self, case: CaseRecord, tag: str) -> ProposalRecord | None:
        return proposal_under(self._recursion, case.case_id, tag)

    def _origin(self, case: CaseRecord, tag: str) -> dict[str, Any]:
        if tag in ("final", "rejected"):
            if tag == "final" and case.has_expert_mask:
                return {"source": "expert mask"}
            return label_info(self._recursion.ledger.judgements.of_case(case.case_id), tag) or {}
        proposal = self._proposal(case, tag)
        if proposal is None:
            return {}
        return {
            "round": proposal.round,
            "model_sha256": proposal.model_sha256,
            "proposal_sha256": proposal.sha256,
            "state": proposal.state,
            "slices": list(proposal.slices),
            **({} if proposal.tool is None else {"tool": proposal.tool}),
        }


def proposal_under(recursion: Recursion, case_id: str, tag: str) -> ProposalRecord | None:
    """The proposal that a tag names; None where a case has no current one.

    Args:
        recursion: the recursion.
        case_id: a case that exists.
        tag: `original` or `version_<round>`.

    Raises:
        HTTPException: 422 for another tag, 404 where that round made none.
    """
    proposals = recursion.ledger.proposals
    if tag == ORIGINAL:
        return proposals.current(case_id)
    match = ROUND_TAG.fullmatch(tag)
    if match is None:
        raise HTTPException(
            422, f"label tag {tag[:40]!a} is not known; choose final, rejected, original or version_<round>"
        )
    # Only what the ledger recorded is a proposal; a file alone may be left over from a killed process.
    proposal = proposals.of_round(case_id, int(match[1]))
    if proposal is None:
        raise HTTPException(404, f"round {match[1]} made no proposal for case {case_id!r}")
    return proposal

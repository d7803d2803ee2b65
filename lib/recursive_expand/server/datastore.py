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

from recursive_expand.archives.identifiers import split_name
from recursive_expand.errors import InputError
from recursive_expand.expand.labels import verdict_info
from recursive_expand.expand.registration import register_cases
from recursive_expand.expand.study import Study
from recursive_expand.ledger import CaseRecord, CaseState, VerdictKind
from recursive_expand.server.refusals import as_http
from recursive_expand.server.submissions import submit_label

ROUND_TAG = re.compile(r"version_(\d{1,6})")
"""The tag under which any client reads a round's proposals."""
ORIGINAL = "original"
"""MONAI Label's tag for what a model made: the current proposal."""


class RecursiveDatastore(Datastore):
    """Images from the archive, labels from verdicts and proposals; every id and tag is checked.

    A label's id is its case's id. Tags: `final` (accepted or expert mask), `rejected`, `version_<round>` (that round's
    proposal), `original` (the current proposal). Only `final` can be submitted: it is a verdict.

    Args:
        study: the study.
    """

    def __init__(self, study: Study) -> None:
        self._study = study

    def name(self) -> str:
        """The study folder's name."""
        return self._study.archive.studies.name

    def set_name(self, name: str) -> None:
        """Refused: the name is the folder's."""
        raise HTTPException(405, "the study's name is its folder's")

    def description(self) -> str:
        """What the task says of itself."""
        return self._study.task.description

    def set_description(self, description: str) -> None:
        """Refused: the description is the task's."""
        raise HTTPException(405, "the description is task.yaml's")

    def datalist(self) -> list[dict[str, Any]]:
        """Images that have a final label, with it."""
        return [
            {"image": self.get_image_uri(case_id), "label": self.get_label_uri(case_id, "final")}
            for case_id in self.get_labeled_images()
        ]

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """Tags of a case's labels, each with the label's id."""
        case = self._case(image_id)
        tags = [tag for tag in ("final", "rejected") if self._label_file(case, tag).is_file()]
        tags += [f"version_{proposal.round}" for proposal in self._study.ledger.proposals_of(image_id)]
        return {tag: image_id for tag in tags}

    def get_label_by_image_id(self, image_id: str, tag: str) -> str:
        """The label's id, or "" where the case has none with this tag."""
        return image_id if self._label_file(self._case(image_id), tag).is_file() else ""

    def get_image(self, image_id: str, params: Any = None) -> io.BytesIO:
        """The image file's bytes."""
        return io.BytesIO(Path(self.get_image_uri(image_id)).read_bytes())

    def get_image_uri(self, image_id: str) -> str:
        """The image's file; 404 for an unknown id."""
        return self._case(image_id).uri

    def get_label(self, label_id: str, label_tag: str, params: Any = None) -> io.BytesIO:
        """A label file's bytes; 404 where there is none."""
        path = Path(self.get_label_uri(label_id, label_tag))
        if not path.is_file():
            raise HTTPException(404, f"case {label_id!r} has no label {label_tag!r}")
        return io.BytesIO(path.read_bytes())

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """Where a label is, or would be; 404 for an unknown id, 422 for an unknown tag."""
        return str(self._label_file(self._case(label_id), label_tag))

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """What clients attached to the image, and its file's name."""
        case = self._case(image_id)
        return case.info | {"name": Path(case.uri).name}

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """The verdict behind a label, or the proposal, and what clients attached to it."""
        case = self._case(label_id)
        self._label_file(case, label_tag)
        return self._study.ledger.label_note(label_id, label_tag) | self._origin(case, label_tag)

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Ids of cases that have the label."""
        return self._study.ledger.case_ids(tag=label_tag, labelled=True)

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """Ids of cases that do not."""
        return self._study.ledger.case_ids(tag=label_tag, labelled=False)

    def list_images(self) -> list[str]:
        """Ids of all usable cases."""
        return self._study.ledger.case_ids()

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """A ZIP of images and final labels; the caller sends it."""
        cases = self.get_labeled_images()[: limit_cases or None]
        with tempfile.NamedTemporaryFile(prefix="dataset_", suffix=".zip", delete=False) as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for case_id in cases:
                    image, label = Path(self.get_image_uri(case_id)), Path(self.get_label_uri(case_id, "final"))
                    archive.write(image, image.name)
                    if label.is_file():
                        archive.write(label, f"labels/final/{label.name}")
            return file.name

    def refresh(self) -> None:
        """Look for new images."""
        register_cases(self._study)

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Copy an uploaded image into the archive; 422 with the reason where it cannot be used."""
        with as_http():
            path = self._study.archive.add_image(image_id, Path(image_filename))
            self.refresh()
            case = self._study.ledger.case(image_id)
            if case.state is CaseState.SET_ASIDE:
                path.unlink()
                raise InputError(path.name, case.reason or "cannot be used")
            self._study.ledger.update_case_info(image_id, image_info)
        return image_id

    def remove_image(self, image_id: str) -> None:
        """Take an image out of the archive; what the ledger recorded of it stays."""
        self._case(image_id)
        with as_http():
            self._study.archive.remove_image(image_id)
            self._study.ledger.set_aside(image_id, f"{image_id}: removed by a client; put its image back to use it")

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """A submission: see `submit_label`. Returns the label's id; refusals are HTTP errors with the reason."""
        if label_tag != "final":
            raise HTTPException(
                422,
                f"label tag {label_tag[:40]!a} cannot be submitted; submit `final`: it is held against the proposal",
            )
        with as_http():
            submit_label(self._study, image_id, Path(label_filename), label_info)
        return image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Refused: labels follow verdicts, and a verdict is taken back, not erased."""
        raise HTTPException(409, "labels follow verdicts: DELETE /recursive/verdicts/{id} takes one back")

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Merge into the image's info."""
        with as_http():
            self._study.ledger.update_case_info(image_id, info)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Merge into the label's note; the verdict itself does not change."""
        self._label_file(self._case(label_id), label_tag)
        with as_http():
            self._study.ledger.update_label_note(label_id, label_tag, info)

    def status(self) -> dict[str, Any]:
        """Numbers of images, without listing them."""
        total, final = self._study.ledger.count_labels()
        return {"total": total, "completed": final, "label_tags": {"final": final}, "train": []}

    def json(self) -> dict[str, Any]:
        """Every image with its labels' tags, in the form of MONAI Label's own datastore."""
        objects = {}
        for case_id, info, uri, tags, rounds in self._study.ledger.label_index():
            name = Path(uri).name
            parts = split_name(name)
            labels = {tag: {"ext": ".nii.gz", "info": {}} for tag in [*tags, *(f"version_{r}" for r in rounds)]}
            extension = parts[1] if parts else ""
            objects[case_id] = {"image": {"ext": extension, "info": info | {"name": name}}, "labels": labels}
        return {"name": self.name(), "description": self.description(), "objects": objects}

    def _case(self, image_id: str) -> CaseRecord:
        with as_http():
            return self._study.ledger.case(image_id)

    def _label_file(self, case: CaseRecord, tag: str) -> Path:
        workspace = self._study.workspace
        if tag == "final" and case.pixel_label is not None:
            return Path(case.pixel_label)
        if tag in ("final", "rejected"):
            with as_http():
                return self._study.archive.label_path(case.case_id, tag)
        if tag == ORIGINAL:
            proposal = self._study.ledger.current_proposal(case.case_id)
            return workspace.proposal(proposal.round if proposal else 0, case.case_id)
        match = ROUND_TAG.fullmatch(tag)
        if match is None:
            raise HTTPException(
                422, f"label tag {tag[:40]!a} is not known; choose final, rejected, original or version_<round>"
            )
        # Only what the ledger recorded is a proposal; a file alone may be left over from a killed process.
        if self._study.ledger.proposal_of_round(case.case_id, int(match[1])) is None:
            raise HTTPException(404, f"round {match[1]} made no proposal for case {case.case_id!r}")
        return workspace.proposal(int(match[1]), case.case_id)

    def _origin(self, case: CaseRecord, tag: str) -> dict[str, Any]:
        if tag in ("final", "rejected"):
            if tag == "final" and case.pixel_label is not None:
                return {"source": "expert mask"}
            for verdict in reversed(self._study.ledger.verdicts_of(case.case_id)):
                if tag == "final" and verdict.verdict is VerdictKind.ACCEPT:
                    return verdict_info(verdict, "accept") | {"rejected_slices": list(verdict.rejected_slices)}
                if tag == "rejected" and verdict.rejected_slices:
                    return verdict_info(verdict, "reject") | {"slices": list(verdict.rejected_slices)}
            return {}
        match = ROUND_TAG.fullmatch(tag)
        ledger = self._study.ledger
        proposal = (
            ledger.proposal_of_round(case.case_id, int(match[1])) if match else ledger.current_proposal(case.case_id)
        )
        if proposal is None:
            return {}
        return {
            "round": proposal.round,
            "model_sha256": proposal.model_sha256,
            "proposal_sha256": proposal.sha256,
            "state": proposal.state,
            "slices": list(proposal.slices),
        }

"""A case of the datastore, as the ledger answers with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from recursive_expand.cases import ImageLabels, Role


class CaseState(StrEnum):
    """Whether a case can be used."""

    READY = "ready"
    SET_ASIDE = "set_aside"
    """Bad input: kept out, with the reason, until its file changes."""


@dataclass(frozen=True)
class CaseRecord:
    """One image of the datastore.

    Attributes:
        case_id: the image id that clients use.
        role: what the case may be used for.
        state: whether it can be used; `reason` says why not.
        name: what clients call the image's file.
        signature: changes when the image changes.
        slices: number of slices, 0 while it has never been usable.
        image_labels: classes said to be present, by slice number; None is the whole case.
        pixel_sha256: of the expert mask's decoded voxels (`LabelMap.sha256`), for the roles pixel and test; None where
            there is none.
        validation: whether it is locked: never trained on, by its mask or its accepted slices models are compared.
        info: what clients attached to the image.
        patient: whose it is, as a pseudonym; None where that is not known.
        series_instance_uid: of the DICOM series that it came from, where that is known.
    """

    case_id: str
    role: Role
    state: CaseState
    reason: str | None
    name: str
    signature: str
    slices: int
    image_labels: dict[int | None, ImageLabels]
    pixel_sha256: str | None
    validation: bool
    info: dict[str, Any]
    patient: str | None = None
    series_instance_uid: str | None = None

    @property
    def has_expert_mask(self) -> bool:
        """Whether an expert's mask of it counts."""
        return self.role in (Role.PIXEL, Role.TEST) and self.pixel_sha256 is not None

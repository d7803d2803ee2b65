"""The infer task: answers with the frozen proposal, and makes one where there is none."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import HTTPException
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from numpy.typing import NDArray

from recursive_expand.archives.images import read_volume
from recursive_expand.cases import Role, voxel_sha256
from recursive_expand.expand.frozen import frozen_mask
from recursive_expand.expand.proposing import propose
from recursive_expand.expand.study import Study, choose_device
from recursive_expand.ledger import CaseRecord, ProposalRecord
from recursive_expand.segment.predict import Predictor
from recursive_expand.server.answers import write_answer
from recursive_expand.server.refusals import as_http


class ProposalInfer(InferTask):
    """Serves proposals; see `ProposalInfer.__call__`.

    Args:
        study: the study.
    """

    def __init__(self, study: Study) -> None:
        task = study.task
        super().__init__(
            type=InferType.SEGMENTATION,
            labels=task.label_names,
            dimension=3,
            description=f"{task.title}: the frozen proposal of the current round",
            config={},
        )
        self._study = study
        self._lock = threading.Lock()
        self._predictor: tuple[str, Predictor] | None = None

    def is_valid(self) -> bool:
        """Always offered: what is missing is said when it is asked for."""
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Answer with a case's current proposal; for an image that is no case, predict and store nothing.

        Args:
            request: MONAI Label's; `image` is the case's file, or the one that was uploaded.

        Returns:
            (a temporary file with the mask, `{proposal, round, model_sha256, slices, label_names, ...}`).

        Raises:
            HTTPException: 409 while there is no model yet, 422 for an image that cannot be used.
        """
        image = Path(request["image"])
        with as_http():
            case = self._study.ledger.case_at(str(image))
            if case is not None and case.role in (Role.IMAGE, Role.UNLABELLED):
                if case.reason is not None:
                    raise HTTPException(422, case.reason)
                proposal = self._study.ledger.current_proposal(case.case_id) or self._make(case)
                mask = frozen_mask(self._study.workspace, proposal.round, case.case_id)
                params = _describe(proposal)
            else:
                mask, params = self._predict(image, case)
        params["label_names"] = self._study.task.label_names
        extension, dtype = request.get("result_extension"), request.get("result_dtype")
        return write_answer(image, mask, extension=extension, dtype=dtype), params

    def _make(self, case: CaseRecord) -> ProposalRecord:
        with self._lock:
            study, round_index, model, predictor = self._model()
            made = list(propose(study, predictor, model, round_index, [case], serve=True))
        if not made:
            raise HTTPException(422, self._study.ledger.case(case.case_id).reason)
        return made[0]

    def _predict(self, image: Path, case: CaseRecord | None) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        volume = self._study.volume(case) if case is not None else read_volume(image)
        with self._lock:
            _, round_index, model, predictor = self._model()
            prediction = predictor.predict(volume)
        mask = np.ascontiguousarray(volume.geometry.orientation.to_native(prediction.mask))
        params = {
            "proposal": voxel_sha256(mask),
            "round": round_index,
            "model_sha256": model,
            "slices": [int(n) for n in np.flatnonzero(prediction.mask.any(axis=(1, 2)))],
            "stored": False,
        }
        return mask, params

    def _model(self) -> tuple[Study, int, str, Predictor]:
        current = self._study.ledger.current_model()
        if current is None:
            raise HTTPException(409, "there is no model yet: round 0 is still to be trained; see GET /recursive/status")
        round_index, model = current
        study = self._study.under(self._study.ledger.round(round_index))
        if self._predictor is None or self._predictor[0] != model:
            self._predictor = model, Predictor(study.task, study.network(model), choose_device())
        return study, round_index, model, self._predictor[1]


def _describe(proposal: ProposalRecord) -> dict[str, Any]:
    return {
        "proposal": proposal.sha256,
        "round": proposal.round,
        "model_sha256": proposal.model_sha256,
        "slices": list(proposal.slices),
        "state": proposal.state,
        "voxels": proposal.voxels,
        "confidence": round(proposal.confidence, 4),
        "score": None if proposal.score is None else round(proposal.score, 4),
        "stored": True,
    }


def is_upload(image: str) -> bool:
    """Whether a path is a file that MONAI Label put into the temporary folder for this request."""
    folder = os.path.realpath(tempfile.gettempdir())
    return os.path.isfile(image) and os.path.dirname(os.path.realpath(image)) == folder  # noqa: PTH113, PTH120

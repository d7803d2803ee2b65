"""The infer task: answers with the frozen proposal, and makes one where there is none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from recursive_expand.archives.images import read_volume
from recursive_expand.cases import LabelMap, Role, Volume
from recursive_expand.expand.frozen import frozen_label
from recursive_expand.expand.recursion import Recursion
from recursive_expand.ledger import CaseRecord, ProposalRecord
from recursive_expand.server.answers import write_answer
from recursive_expand.server.parent import give_way_in_thread
from recursive_expand.server.refusals import as_http
from recursive_expand.server.uploads import is_upload

if TYPE_CHECKING:
    from recursive_expand.expand.proposer import Proposer


class ProposalInfer(InferTask):
    """Serves proposals; see `ProposalInfer.__call__`.

    Args:
        recursion: the recursion.
    """

    def __init__(self, recursion: Recursion) -> None:
        task = recursion.settings.task
        super().__init__(
            type=InferType.SEGMENTATION,
            labels=task.label_names,
            dimension=3,
            description=f"{task.title}: the frozen proposal of the current round",
            config={},
        )
        self._recursion = recursion
        self._computing = ThreadPoolExecutor(1, "computing", initializer=give_way_in_thread)
        self._cached: Proposer | None = None

    def is_valid(self) -> bool:
        """Always offered: what is missing is said when it is asked for."""
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Answer with a case's current proposal; for an image that is no case, predict and store nothing.

        Args:
            request: MONAI Label's; `image` is a case's id, or the path of this request's upload.

        Returns:
            (a temporary file with the mask, `{proposal, round, model_sha256, slices, label_names, ...}`).

        Raises:
            HTTPException: 409 while there is no model yet, 422 for an image that cannot be used.
        """
        image = str(request["image"])
        with as_http():
            if is_upload(image):
                file = Path(image)
                label, params = self._predict(read_volume(file))
            else:
                case = self._recursion.ledger.cases.get(image)
                if case.reason is not None:
                    raise HTTPException(422, case.reason)
                file = self._recursion.archive.image_file(case.case_id)
                label, params = self._of_case(case)
        answer = params | {"label_names": self._recursion.settings.task.label_names}
        extension, dtype = request.get("result_extension"), request.get("result_dtype")
        return write_answer(file, label.native, extension=extension, dtype=dtype), answer

    def _of_case(self, case: CaseRecord) -> tuple[LabelMap, dict[str, Any]]:
        recursion = self._recursion
        if case.role not in (Role.IMAGE, Role.UNLABELLED):
            return self._predict(recursion.volume(case.case_id))
        proposal = recursion.ledger.proposals.current(case.case_id)
        if proposal is None:
            made = self._computing.submit(lambda: list(self._proposer().propose([case], serve=True))).result()
            if not made:
                raise HTTPException(422, recursion.ledger.cases.get(case.case_id).reason)
            proposal = made[0]
        return frozen_label(recursion.workspace, proposal, recursion.settings.task.classes), _describe(proposal)

    def _predict(self, volume: Volume) -> tuple[LabelMap, dict[str, Any]]:
        """A mask that is no proposal: nothing is stored."""
        proposer, label = self._computing.submit(self._by_model, volume).result()
        params = {
            "proposal": label.sha256,
            "round": proposer.round_index,
            "model_sha256": proposer.model_sha256,
            "slices": list(label.filled),
            "stored": False,
        }
        return label, params

    def _by_model(self, volume: Volume) -> tuple[Proposer, LabelMap]:
        proposer = self._proposer()
        return proposer, proposer.predict(volume)

    def _proposer(self) -> Proposer:
        rounds = self._recursion.ledger.rounds
        current = rounds.current_model()
        if current is None:
            raise HTTPException(409, "there is no model yet: round 0 is still to be trained; see GET /recursive/status")
        known = self._cached
        if known is None or (known.round_index, known.model_sha256) != current:
            # Here: it imports PyTorch, and most answers are frozen masks.
            from recursive_expand.expand.proposer import Proposer

            known = self._cached = Proposer.of(self._recursion, rounds.get(current[0]))
        return known


def _describe(proposal: ProposalRecord) -> dict[str, Any]:
    return {
        "proposal": proposal.sha256,
        "round": proposal.round,
        "second_look": bool(proposal.chance),
        "model_sha256": proposal.model_sha256,
        "slices": list(proposal.slices),
        "state": proposal.state,
        "voxels": proposal.voxels,
        "confidence": round(proposal.confidence, 4),
        "score": None if proposal.score is None else round(proposal.score, 4),
        "stored": True,
        **({} if proposal.tool is None else {"tool": proposal.tool}),
    }

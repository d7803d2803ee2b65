"""A simulated expert: a client of a running server that accepts or rejects what it is shown, and edits nothing."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import requests
from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException
from numpy.typing import NDArray

from recursive_expand.archives.images import read_label
from recursive_expand.cases import LabelMap
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.experiment.config import ExpertSettings

STRATEGY = "recursive_expand"
CLIENT = "simulated-expert"


@dataclass(frozen=True)
class ExpertAnswer:
    """The simulated expert's answer to one proposal, by slice.

    Attributes:
        proposed: numbers of the slices with a mask.
        rejected: those of them that the expert rejects.
    """

    proposed: tuple[int, ...]
    rejected: tuple[int, ...]

    @property
    def verdict(self) -> str:
        """`accept`, or `reject` if every slice is rejected."""
        return "reject" if self.rejected == self.proposed else "accept"


def judge(truth: NDArray[np.uint8], proposal: NDArray[np.uint8], *, tau: float) -> ExpertAnswer:
    """Judge a proposal as the paper's expert does: by false positives alone; missed blood is ignored.

    Args:
        truth: (slices, rows, columns) uint8 class values; rows and columns in any order and direction.
        proposal: the same, on the same grid.
        tau: a slice is accepted if at most this share of its marked voxels is wrong (a wrong class counts as
            wrong). Below 0 everything is rejected.

    Raises:
        ValueError: the proposal is empty; no expert is asked about those.
    """
    marked = (proposal > 0).sum(axis=(1, 2))
    wrong = ((proposal > 0) & (proposal != truth)).sum(axis=(1, 2))
    proposed = tuple(int(k) for k in np.flatnonzero(marked))
    if not proposed:
        raise ValueError("the proposal is empty")
    return ExpertAnswer(proposed, tuple(k for k in proposed if wrong[k] / marked[k] > tau))


def with_errors(answer: ExpertAnswer, *, rate: float, key: str) -> ExpertAnswer:
    """Flip the answer for each slice with a given probability.

    Args:
        answer: the correct answer.
        rate: the probability, 0..1.
        key: seeds the draw, together with the slice's number: the same key gives errors on the same slices, in
            whatever order and however often proposals are shown.
    """
    flipped = {k for k in answer.proposed if random.Random(f"{key} slice {k}").random() < rate}
    rejected = set(answer.rejected)
    return ExpertAnswer(answer.proposed, tuple(k for k in answer.proposed if (k in rejected) != (k in flipped)))


class SimulatedExpert:
    """Reviews a server's proposals over HTTP, in the order of the queue.

    True masks are used only for its own decisions; none is sent. The duration of a verdict is recorded with it, not
    waited for.

    Args:
        url: the server's address.
        model: the name of the server's model (the task's).
        truth: gives a case's true mask by case id.
        settings: tolerance, error rate and seconds per verdict.
        seed: of the errors.
    """

    def __init__(
        self, url: str, model: str, truth: Callable[[str], LabelMap], settings: ExpertSettings, *, seed: int
    ) -> None:
        self._url = url
        self._model = model
        self._truth = truth
        self._settings = settings
        self._seed = seed
        self._folder = tempfile.TemporaryDirectory(prefix="simulated_expert_")
        self._client = MONAILabelClient(url, self._folder.name, CLIENT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def review_next(self) -> ExpertAnswer | None:
        """Fetch the next proposal, judge it and send the verdict.

        Returns:
            The answer that the server recorded, or None if nothing is left to review.

        Raises:
            RecursiveExpandError: the server refused a request, or the mask is not the proposal that the reply names.
        """
        try:
            sample = self._client.next_sample(STRATEGY, {})
            if not sample:
                return None
            case_id = sample["id"]
            file, params = self._client.infer(self._model, case_id, {"result_extension": ".nrrd"})
        except (MONAILabelClientException, OSError) as error:
            raise RecursiveExpandError(f"the server did not answer the simulated expert ({error})") from error
        proposal = read_label(Path(file))
        Path(file).unlink()
        if proposal.sha256 != params["proposal"]:
            raise RecursiveExpandError(f"case {case_id}: the mask is not the proposal that the reply names")
        answer = self._judge(case_id, proposal.native, params["round"])
        self._send(case_id, params["proposal"], answer)
        return answer

    def _judge(self, case_id: str, mask: NDArray[np.uint8], round_index: int) -> ExpertAnswer:
        truth = self._truth(case_id)
        if truth.native.shape != mask.shape:
            raise RecursiveExpandError(
                f"case {case_id}: the true mask has {truth.native.shape} voxels, its image {mask.shape}"
            )
        proposed = truth.geometry.orientation.to_slices(mask)
        answer = judge(truth.slices, proposed, tau=self._settings.tau)
        key = f"seed {self._seed} round {round_index} case {case_id}"
        return with_errors(answer, rate=self._settings.error_rate, key=key)

    def _send(self, case_id: str, proposal: str, answer: ExpertAnswer) -> None:
        body: dict[str, Any] = {
            "case_id": case_id,
            "proposal": proposal,
            "verdict": answer.verdict,
            "rejected_slices": list(answer.rejected) if answer.verdict == "accept" else [],
            "reviewer": CLIENT,
            "client": CLIENT,
            "seconds": self._settings.seconds,
        }
        response = requests.post(f"{self._url}/recursive/verdicts", json=body, timeout=60)
        if response.status_code != 201:
            raise RecursiveExpandError(f"case {case_id}: the verdict was refused ({response.text})")

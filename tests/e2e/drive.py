"""A whole recursion driven through a running server by one scripted expert with the stock Python client."""

from __future__ import annotations

import http.client
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import requests
import SimpleITK as sitk
from monailabel.client import MONAILabelClient
from numpy.typing import NDArray

from recursive_expand.cases import voxel_sha256
from recursive_expand.experiment.expert import ExpertAnswer, judge

from .server import Server
from .study import Truth

MODEL = "recursive_ich"
STRATEGY = "recursive_expand"

TAU = (0.35, -1.0)
"""The expert's tolerance by round. In the last one nothing is accepted, so that the recursion ends there."""
INTERRUPTIONS = (OSError, http.client.HTTPException)
"""What a request raises when the server dies under it; what `requests` raises is an OSError too."""
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Answer:
    """One proposal that the expert was shown.

    Attributes:
        case_id, round, proposal: what was shown; `proposal` is its SHA-256.
        mask: the proposal's voxels in native axes (column, row, slice).
        judgement: the verdict.
    """

    case_id: str
    round: int
    proposal: str
    mask: NDArray[np.uint8]
    judgement: ExpertAnswer


def drive(
    server: Server,
    truth: Truth,
    *,
    timeout: float,
    while_killed: Callable[[], None] | None = None,
    reviewer: str = "expert",
) -> list[Answer]:
    """Review everything that a server proposes until the recursion has converged.

    Args:
        server: a running server.
        truth: the true masks.
        timeout: seconds.
        while_killed: given where someone kills the server meanwhile, and called at every turn: requests may then fail
            and are made again, and a failed or stopped round is started again.
        reviewer: the expert's client id.

    Returns:
        The answers that the server confirmed, in order.
    """
    killed = while_killed is not None
    answers: list[Answer] = []
    deadline = time.monotonic() + timeout
    with tempfile.TemporaryDirectory() as folder:
        client = MONAILabelClient(server.url, folder, reviewer)
        while time.monotonic() < deadline:
            if while_killed is not None:
                while_killed()
            try:
                status = server.status()
                if status["state"] == "converged":
                    return answers
                if status["state"] in ("failed", "stopped"):
                    if not killed:
                        server.fail(f"the round {status['state']}: {status['last_error']}")
                    server.post("/recursive/rounds")
                if status["state"] == "reviewing":
                    answer = review_next(server, client, truth, Path(folder), reviewer)
                    if answer is not None:
                        answers.append(answer)
                        continue
            except requests.HTTPError:
                raise
            except INTERRUPTIONS:
                if not killed:
                    raise
            time.sleep(POLL_SECONDS)
    server.fail(f"no convergence within {timeout:.0f} s; {len(answers)} proposals were reviewed")
    raise AssertionError  # never: fail() raises


def review_next(server: Server, client: MONAILabelClient, truth: Truth, folder: Path, reviewer: str) -> Answer | None:
    """Fetch the next case and its proposal, judge it and send the verdict; None when nothing is left."""
    sample = client.next_sample(STRATEGY, {})
    if not sample:
        return None
    case_id = sample["id"]
    file, params = client.infer(MODEL, case_id, {"result_extension": ".nrrd"})
    if file is None:
        raise ConnectionError("the server died in the middle of a reply")
    mask = read_native(Path(file))
    assert voxel_sha256(mask) == params["proposal"], "the mask is not the proposal that the reply names"
    tau = TAU[min(params["round"], len(TAU) - 1)]
    judgement = judge(truth[case_id].transpose(2, 1, 0), mask.transpose(2, 1, 0), tau=tau)
    # Half of the cases are answered as viewers do, by submitting a label, the other half by our own route.
    if zlib.crc32(case_id.encode()) % 2:
        label = folder / f"{case_id}.nii.gz"
        write_like(Path(file), kept(judgement, mask), label)
        client.save_label(case_id, str(label), params={"label_info": []})
    else:
        post_verdict(server, case_id, params["proposal"], judgement, reviewer)
    return Answer(case_id, params["round"], params["proposal"], mask, judgement)


def kept(judgement: ExpertAnswer, proposal: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A proposal (columns, rows, slices) with its rejected slices emptied: what a client submits for a judgement."""
    emptied = proposal.copy()
    emptied[:, :, list(judgement.rejected)] = 0
    return emptied


def post_verdict(server: Server, case_id: str, proposal: str, judgement: ExpertAnswer, reviewer: str) -> None:
    """Send a verdict by `POST /recursive/verdicts`; it must be taken."""
    body: dict[str, object] = {
        "case_id": case_id,
        "proposal": proposal,
        "verdict": judgement.verdict,
        "reviewer": reviewer,
    }
    if judgement.verdict == "accept":
        body["rejected_slices"] = list(judgement.rejected)
    answer = server.post("/recursive/verdicts", body)
    assert answer.status_code == 201, f"{answer.status_code}: {answer.text}"


def read_native(path: Path) -> NDArray[np.uint8]:
    """Voxels of a mask file in its native axes (i, j, k).

    Raises:
        ConnectionError: the file is cut off, as it is when the server died while it sent it.
    """
    try:
        image = sitk.ReadImage(str(path), sitk.sitkUInt8)
    except RuntimeError as error:
        raise ConnectionError(f"{path.name} is cut off") from error
    return np.ascontiguousarray(sitk.GetArrayFromImage(image).T)


def write_like(reference: Path, native: NDArray[np.uint8], path: Path) -> None:
    """Write a mask as Slicer does: int16, with the geometry of a reference file."""
    image = sitk.GetImageFromArray(native.T.astype(np.int16))
    image.CopyInformation(sitk.ReadImage(str(reference)))
    sitk.WriteImage(image, str(path), useCompression=True)

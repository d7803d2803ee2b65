"""Two full rounds through a running server with the stock Python client, to convergence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .conftest import Run
from .drive import kept, read_native


def test_the_recursion_converges_after_two_rounds(undisturbed: Run) -> None:
    assert [record["state"] for record in undisturbed.outcome["rounds"]] == ["closed", "converged"]
    assert [record["round"] for record in undisturbed.rounds] == [0, 1]


def test_the_expert_had_something_to_accept_and_to_reject(undisturbed: Run) -> None:
    first = [answer.judgement for answer in undisturbed.answers if answer.round == 0]
    rejected = sum(len(judgement.rejected) for judgement in first)
    assert 0 < rejected < sum(len(judgement.proposed) for judgement in first)


def test_nothing_is_asked_twice(undisturbed: Run) -> None:
    asked = [(answer.case_id, answer.round) for answer in undisturbed.answers]
    assert len(asked) == len(set(asked))
    shown = [
        (answer.case_id, k, _slice(answer.mask, k)) for answer in undisturbed.answers for k in answer.judgement.proposed
    ]
    assert len(shown) == len(set(shown))


def test_accepted_slices_are_not_asked_again(undisturbed: Run) -> None:
    accepted = {
        (answer.case_id, k)
        for answer in undisturbed.answers
        if answer.round == 0
        for k in set(answer.judgement.proposed) - set(answer.judgement.rejected)
    }
    asked = {
        (answer.case_id, k) for answer in undisturbed.answers if answer.round == 1 for k in answer.judgement.proposed
    }
    assert not accepted & asked


def test_the_final_label_is_what_was_accepted(undisturbed: Run) -> None:
    for answer in undisturbed.answers:
        label = undisturbed.studies / "labels" / "final" / f"{answer.case_id}.nii.gz"
        if answer.round == 0 and answer.judgement.verdict == "accept":
            assert np.array_equal(read_native(label), kept(answer.judgement, answer.mask)), answer.case_id
        elif not any(a.case_id == answer.case_id and a.judgement.verdict == "accept" for a in undisturbed.answers):
            assert not label.exists()
            assert (undisturbed.studies / "labels" / "rejected" / label.name).exists()


def test_every_verdict_is_in_the_ledger(undisturbed: Run) -> None:
    recorded = {
        (v["case_id"], v["round"], v["proposal_sha256"], v["verdict"], v["rejected_slices"])
        for v in undisturbed.outcome["verdicts"]
    }
    given = {(a.case_id, a.round, a.proposal, a.judgement.verdict, a.judgement.rejected) for a in undisturbed.answers}
    assert recorded == given


def test_round_1_trained_on_more_than_round_0_and_made_another_model(undisturbed: Run) -> None:
    first, second = undisturbed.outcome["rounds"]
    assert second["base_model"] == first["model"]
    assert second["trained_model"] != first["trained_model"]
    assert second["training_set_sha256"] != first["training_set_sha256"]


def _slice(mask: NDArray[np.uint8], k: int) -> bytes:
    return mask[:, :, k].tobytes()

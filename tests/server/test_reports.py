"""Rounds as GET /recursive/rounds shows them."""

from recursive_expand.ledger import RoundState
from recursive_expand.server.reports import iter_round_reports


def test_a_round_under_review(client, submit, proposed, reviewing):
    mask = proposed("u0")
    mask[:, :, 0] = 0
    submit("u0", mask)
    [report] = client.get("/recursive/rounds").json()
    assert [report] == list(iter_round_reports(reviewing.ledger))
    assert (report["round"], report["state"], report["error"], report["finished"]) == (0, "reviewing", None, None)
    assert (report["accepted"], report["rejected"]) == (1, 0)
    assert (report["accepted_slices"], report["rejected_slices"], report["new"]) == (2, 1, 2)
    assert report["proposals"]["decided"] == 1
    assert report["training_slices"] == {"pixel": 6, "accepted": 0, "clean": 0, "new": 0}
    assert len(report["losses"]) == 12
    assert report["validation"].keys() >= {"dice", "iou", "precision", "recall"}
    hashes = ("model_sha256", "training_set_sha256", "config_sha256", "audit_head")
    assert all(len(report[name]) == 64 for name in hashes)
    assert (report["promoted"], report["averaged"], report["base_model_sha256"]) == (True, False, None)
    assert report["trained_model_sha256"] == report["model_sha256"]
    assert report["machine"]["threads"] == 1
    assert all(seconds > 0 for seconds in report["seconds"].values())


def test_all_rounds_oldest_first_and_what_a_closed_one_expanded_to(reviewing, next_round):
    reviewing.ledger.rounds.close_review(0, converged=False, report={"expanded_slices": 5})
    second = next_round()
    reports = list(iter_round_reports(reviewing.ledger))
    assert [(one["round"], one["state"]) for one in reports] == [(0, RoundState.CLOSED), (1, RoundState.TRAINING)]
    assert reports[0]["new"] == 5
    assert (reports[1]["model_sha256"], reports[1]["losses"], reports[1]["training_slices"]) == (None, [], None)
    assert reports[1]["audit_head"] == second.head != reports[0]["audit_head"]


def test_an_error_is_told(reviewing, next_round):
    next_round()
    reviewing.ledger.rounds.interrupt(1, error="no memory")
    assert [(one["state"], one["error"]) for one in iter_round_reports(reviewing.ledger)] == [
        ("closed", None),
        ("failed", "no memory"),
    ]

"""Rounds: every step of the state machine is on record and can be taken up again."""

import pytest

from recursive_expand.ledger import RoundState


def test_nothing_has_begun(ledger):
    assert (ledger.current_round(), ledger.list_rounds(), ledger.current_model()) == (None, [], None)


def test_a_round_comes_back_as_it_was_begun(ledger):
    settings = {
        "base_model": "b" * 64,
        "config": {"seed": 1, "nested": {"x": [1]}},
        "config_sha256": "c" * 64,
        "training_set_sha256": "t" * 64,
    }
    training_set = {"pixel": [["a", 3, "1"]]}
    report = {"training_slices": {"pixel": 3}}
    begun = ledger.start_round(0, **settings, training_set=training_set, verdict_ids=[], report=report)
    assert {name: getattr(begun, name) for name in settings} == settings
    assert (begun.state, begun.error, begun.finished, begun.model, begun.attempts) == (
        RoundState.TRAINING,
        None,
        None,
        None,
        0,
    )
    assert (begun.report, ledger.training_set(0)) == (report, training_set)
    assert ledger.current_round() == ledger.round(0) == begun


def test_a_round_s_way_to_its_end(reviewing):
    assert reviewing.current_round().state is RoundState.REVIEWING
    closed = reviewing.close_review(0, converged=False, report={"expanded_slices": 2})
    assert closed.state is RoundState.CLOSED
    assert closed.finished is not None
    assert closed.report == {"losses": [1.0], "expanded_slices": 2}  # each step adds to it
    assert reviewing.current_model() == (0, f"{0:064d}")


def test_converged_and_opened_again(reviewing):
    assert reviewing.close_review(0, converged=True, report={}).state is RoundState.CONVERGED
    reviewing.reopen_review(0)
    assert (reviewing.round(0).state, reviewing.round(0).finished) == (RoundState.REVIEWING, None)


def test_the_next_round_closes_the_one_before(reviewing, start):
    start(reviewing, 1)
    assert [r.state for r in reviewing.list_rounds()] == [RoundState.CLOSED, RoundState.PROPOSING]
    assert reviewing.round(0).finished is not None


def test_a_round_that_the_gate_held_back_proposes_with_the_old_model(reviewing, start):
    start(reviewing, 1)
    held = reviewing.publish_model(1, trained_model="n" * 64, model=f"{0:064d}", promoted=False, report={})
    assert (held.trained_model, held.model, held.promoted) == ("n" * 64, f"{0:064d}", False)
    assert reviewing.current_model() == (1, f"{0:064d}")


@pytest.mark.parametrize(("error", "state"), [("out of memory", RoundState.FAILED), (None, RoundState.STOPPED)])
def test_an_interrupted_round_goes_on_where_it_was(ledger, start, error, state):
    start(ledger, 0)
    ledger.interrupt_round(0, error=error)
    assert (ledger.round(0).state, ledger.round(0).error) == (state, error)
    again = ledger.resume_round(0, config={"seed": 2}, config_sha256="d" * 64)
    assert (again.state, again.error, again.config, again.attempts) == (RoundState.PROPOSING, None, {"seed": 2}, 1)
    assert ledger.first_broken_event() is None


def test_a_round_without_a_model_is_resumed_in_training(ledger):
    settings = {"base_model": None, "config": {}, "config_sha256": "", "training_set": {}, "training_set_sha256": ""}
    ledger.start_round(0, **settings, verdict_ids=[], report={})
    ledger.interrupt_round(0, error="x")
    assert ledger.resume_round(0, config={}, config_sha256="").state is RoundState.TRAINING


def test_a_round_under_review_cannot_be_interrupted(reviewing):
    reviewing.interrupt_round(0, error="too late")
    assert (reviewing.round(0).state, reviewing.round(0).error) == (RoundState.REVIEWING, None)


def test_the_validation_share_is_locked_on_its_cases(ledger, entry):
    ledger.register([entry("a"), entry("b")])
    ledger.lock_validation(["b"])
    assert [case.validation for case in ledger.iter_cases()] == [False, True]

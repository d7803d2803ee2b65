"""Rounds: every step of the state machine is on record, is taken once, and can be taken up again."""

import threading

import pytest

from recursive_expand.ledger import Actor, Ledger, MovedOn, OutdatedTrainingSet, ProposalState, RoundState


def test_nothing_has_begun(ledger):
    assert (ledger.rounds.current(), ledger.rounds.all(), ledger.rounds.current_model()) == (None, [], None)


def test_a_round_comes_back_as_it_was_begun(ledger, entry, begin):
    ledger.cases.register([entry("a")])
    head = ledger.audit.head()[1]
    settings = {
        "base_model": "b" * 64,
        "config": {"seed": 1, "nested": {"x": [1]}},
        "config_sha256": "c" * 64,
        "training_set_sha256": "t" * 64,
        "report": {"training_slices": {"pixel": 3}},
    }
    training_set = {"pixel": [["a", 3, "1"]]}
    begun = begin(ledger, 0, **settings, training_set=training_set)
    assert {name: getattr(begun, name) for name in settings} == settings
    assert (begun.state, begun.error, begun.finished, begun.model) == (RoundState.TRAINING, None, None, None)
    assert (begun.attempts, begun.last_verdict, begun.head) == (0, 0, head)
    assert ledger.rounds.training_set(0) == training_set
    assert ledger.rounds.current() == ledger.rounds.get(0) == begun


def test_a_round_s_way_to_its_end(reviewing):
    assert reviewing.rounds.current().state is RoundState.REVIEWING
    closed = reviewing.rounds.close_review(0, converged=False, report={"expanded_slices": 2})
    assert closed.state is RoundState.CLOSED
    assert closed.finished is not None
    assert closed.report == {"losses": [1.0], "expanded_slices": 2}  # each step adds to it
    assert reviewing.rounds.current_model() == (0, f"{0:064d}")


def test_converged_and_opened_again(reviewing):
    assert reviewing.rounds.close_review(0, converged=True, report={}).state is RoundState.CONVERGED
    reviewing.rounds.reopen_review(0)
    assert (reviewing.rounds.get(0).state, reviewing.rounds.get(0).finished) == (RoundState.REVIEWING, None)


def test_the_next_round_closes_the_one_before(reviewing, start):
    start(reviewing, 1)
    assert [r.state for r in reviewing.rounds.all()] == [RoundState.CLOSED, RoundState.PROPOSING]
    assert reviewing.rounds.get(0).finished is not None


def test_the_next_round_keeps_the_time_at_which_the_one_before_was_closed(reviewing, start):
    finished = reviewing.rounds.close_review(0, converged=True, report={}).finished
    start(reviewing, 1)
    assert (reviewing.rounds.get(0).state, reviewing.rounds.get(0).finished) == (RoundState.CLOSED, finished)


def test_a_round_that_the_gate_held_back_proposes_with_the_old_model(reviewing, begin):
    begin(reviewing, 1)
    held = reviewing.rounds.publish_model(1, trained_model="n" * 64, model=f"{0:064d}", promoted=False, report={})
    assert (held.trained_model, held.model, held.promoted) == ("n" * 64, f"{0:064d}", False)
    assert reviewing.rounds.current_model() == (1, f"{0:064d}")


PRECISION = {"method": {"operating_point": "precision"}}
CHOSEN = {"thresholds": {"subdural": 0.4}, "patients": {"locked": 3}}


def test_a_round_that_chooses_its_thresholds_proposes_once_it_has_them(reviewing, begin):
    begin(reviewing, 1, config=PRECISION)
    with pytest.raises(MovedOn, match="only from proposing"):
        reviewing.rounds.choose_operating_point(1, CHOSEN)
    published = reviewing.rounds.publish_model(1, trained_model="n" * 64, model="n" * 64, promoted=True, report={})
    assert published.thresholds is None
    assert reviewing.rounds.current_model() == (0, f"{0:064d}")
    round_1 = reviewing.rounds.choose_operating_point(1, CHOSEN)
    assert (round_1.state, round_1.thresholds) == (RoundState.PROPOSING, CHOSEN["thresholds"])
    assert round_1.proposes_at == {"foreground_threshold": CHOSEN["thresholds"]}
    assert reviewing.rounds.current_model() == (1, "n" * 64)
    assert reviewing.audit.verify() is None


def test_thresholds_that_were_chosen_under_other_settings_are_none_of_the_round_s(ledger, begin):
    begin(ledger, 0, config=PRECISION)
    ledger.rounds.publish_model(0, trained_model="n" * 64, model="n" * 64, promoted=True, report={})
    ledger.rounds.choose_operating_point(0, CHOSEN)
    ledger.rounds.interrupt(0, error="disk is full")
    same = ledger.rounds.resume(0, config=PRECISION, config_sha256="c" * 64)
    assert same.thresholds == CHOSEN["thresholds"]
    ledger.rounds.interrupt(0, error="disk is full")
    other = ledger.rounds.resume(0, config=PRECISION, config_sha256="d" * 64)
    assert (other.thresholds, ledger.rounds.current_model()) == (None, None)


@pytest.mark.parametrize(("error", "state"), [("out of memory", RoundState.FAILED), (None, RoundState.STOPPED)])
def test_an_interrupted_round_goes_on_where_it_was(ledger, start, error, state):
    start(ledger, 0)
    ledger.rounds.interrupt(0, error=error)
    assert (ledger.rounds.get(0).state, ledger.rounds.get(0).error) == (state, error)
    again = ledger.rounds.resume(0, config={"seed": 2}, config_sha256="d" * 64)
    assert (again.state, again.error, again.config, again.attempts) == (RoundState.PROPOSING, None, {"seed": 2}, 1)
    assert ledger.audit.verify() is None


def test_a_round_without_a_model_is_resumed_in_training(ledger, begin):
    begin(ledger, 0)
    ledger.rounds.interrupt(0, error="x")
    assert ledger.rounds.resume(0, config={}, config_sha256="").state is RoundState.TRAINING


def test_a_round_under_review_cannot_be_interrupted(reviewing):
    reviewing.rounds.interrupt(0, error="too late")
    assert (reviewing.rounds.get(0).state, reviewing.rounds.get(0).error) == (RoundState.REVIEWING, None)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda rounds: rounds.reopen_review(0), "round 0 is reviewing; only from converged can it become reviewing"),
        (lambda rounds: rounds.open_review(0, order=[], report={}), "only from proposing can it become reviewing"),
        (
            lambda rounds: rounds.publish_model(0, trained_model="n", model="n", promoted=True, report={}),
            "only from training can it become proposing",
        ),
        (lambda rounds: rounds.resume(0, config={}, config_sha256=""), "only from training or proposing or failed or"),
    ],
)
def test_a_step_from_another_state_is_refused_and_leaves_no_trace(reviewing, step, message):
    before = (reviewing.rounds.get(0), reviewing.audit.head())
    with pytest.raises(MovedOn, match=message):
        step(reviewing.rounds)
    assert (reviewing.rounds.get(0), reviewing.audit.head()) == before


def test_a_review_is_closed_once(reviewing):
    reviewing.rounds.close_review(0, converged=False, report={})
    with pytest.raises(MovedOn, match="round 0 is closed; only from reviewing can it become converged"):
        reviewing.rounds.close_review(0, converged=True, report={})


def test_rounds_begin_one_after_the_other(ledger, begin, start):
    with pytest.raises(MovedOn, match="round 1 cannot begin: the newest round is None"):
        begin(ledger, 1)
    start(ledger, 0)
    with pytest.raises(MovedOn, match="round 0 cannot begin: the newest round is 0"):
        begin(ledger, 0)
    with pytest.raises(MovedOn, match="round 0 is proposing; only from reviewing or closed or converged"):
        begin(ledger, 1)
    assert [r.round for r in ledger.rounds.all()] == [0]


def test_of_two_processes_that_begin_the_same_round_one_is_refused(reviewing, begin, tmp_path):
    outcomes = []

    def run() -> None:
        other = Ledger(tmp_path / "ledger.sqlite")
        try:
            outcomes.append(begin(other, 1).round)
        except MovedOn:
            outcomes.append("moved on")
        other.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes, key=str) == [1, "moved on"]
    assert reviewing.audit.verify() is None


def test_a_training_set_that_holds_a_verdict_taken_back_is_built_again(reviewing, give, begin):
    verdict = give(reviewing, "a")
    known = reviewing.judgements.watermark()
    reviewing.judgements.withdraw(Actor("ann", "slicer"), verdict.verdict_id)
    give(reviewing, "b")
    with pytest.raises(OutdatedTrainingSet, match="build it again"):
        begin(reviewing, 1, known=known)
    assert reviewing.rounds.current().state is RoundState.REVIEWING
    assert begin(reviewing, 1).last_verdict == reviewing.judgements.watermark()[0]


def test_a_verdict_given_while_the_training_set_was_built_waits_for_the_next(reviewing, give, begin):
    known = reviewing.judgements.watermark()
    verdict = give(reviewing, "a")
    assert begin(reviewing, 1, known=known).last_verdict == 0
    assert reviewing.judgements.verdict(verdict.verdict_id).used_by is None


def test_proposals_of_a_round_are_held_until_its_review_opens(ledger, entry, draft, start, open_review):
    ledger.cases.register([entry("a")])
    start(ledger, 0)
    assert ledger.proposals.freeze(0, draft("a")).state is ProposalState.HELD
    ledger.rounds.interrupt(0, error=None)
    ledger.rounds.resume(0, config={}, config_sha256="")
    open_review(ledger, 0)
    assert ledger.proposals.current("a").state is ProposalState.OPEN
    assert ledger.proposals.count(0) == {state.value: int(state is ProposalState.OPEN) for state in ProposalState}

"""The operating point: chosen after a round's model is published, durable, and what the round proposes at."""

import sqlite3

import numpy as np
import pytest

from recursive_expand.errors import InputError
from recursive_expand.expand import calibration_set, operating_point, rounds
from recursive_expand.expand.frozen import frozen_label
from recursive_expand.expand.operating_point import GRID, choose_operating_point, safe_threshold
from recursive_expand.expand.point_sweep import SweptSlice
from recursive_expand.expand.progress import Progress
from recursive_expand.expand.rounds import run_round
from recursive_expand.ledger import RoundState, VerdictKind
from recursive_expand.segment.examples import Example
from recursive_expand.segment.predict import Predictor
from recursive_expand.segment.weights import save_weights
from recursive_expand.server.reports import iter_round_reports


def swept(patient, wrong, *, source="locked", slices=1):
    """100 pixels at every threshold, so many of them wrong at each."""
    marked = np.zeros((len(GRID), 1), np.int64) + 100
    return [SweptSlice(patient, source, marked, np.array(wrong, np.int64)[:, None])] * slices


RIGHT, HALF = [0] * len(GRID), [50] * 4 + [0] * (len(GRID) - 4)


@pytest.fixture
def safe(ich):
    def _safe(slices, configured=0.1, **settings):
        method = ich.changed(**settings).method
        return safe_threshold([one for some in slices for one in some], GRID, [configured], method)

    return _safe


def test_the_lowest_threshold_at_which_locked_patients_are_safe_is_promised(safe):
    patients = [swept(f"p{n}", HALF) for n in range(40)]
    assert safe(patients) == (GRID[4], 0.7)
    assert safe(patients, tau=0.5) == (GRID[0], 0.7)


def test_too_few_patients_get_the_strictest_threshold_and_no_promise(safe):
    assert safe([swept(f"p{n}", RIGHT) for n in range(9)]) == (GRID[-1], None)
    assert safe([swept(f"p{n}", RIGHT) for n in range(10)]) == (GRID[0], 0.7)
    assert safe([]) == (GRID[-1], None)


def test_many_slices_of_a_patient_are_no_more_than_one_patient(safe):
    assert safe([swept("p", RIGHT, slices=500)]) == (GRID[-1], None)
    bad = swept("bad", [100] * len(GRID), slices=500)
    assert safe([bad, *(swept(f"p{n}", RIGHT) for n in range(40))]) == (GRID[0], 0.7)


def test_where_nothing_is_safe_the_strictest_threshold_promises_nothing(safe):
    assert safe([swept(f"p{n}", [100] * len(GRID)) for n in range(100)]) == (GRID[-1], None)


def test_synthetic_heads_stand_in_promise_nothing_and_make_f_no_bolder(safe):
    synthetic = [swept(f"s{n}", RIGHT, source="synthetic") for n in range(100)]
    assert safe(synthetic, configured=0.3) == (0.3, None)
    assert safe(synthetic, configured=None) == (GRID[0], None)
    assert safe([swept(f"s{n}", HALF, source="synthetic") for n in range(100)]) == (GRID[4], None)


@pytest.fixture
def choosing(recursion, changed):
    """The tiny recursion before round 0, which will choose by class."""
    return changed(recursion, operating_point="precision")


def masks(recursion, round_index=0):
    found = {}
    for case_id in ("i0", "i1", "u0"):
        proposal = recursion.ledger.proposals.of_round(case_id, round_index)
        found[case_id] = frozen_label(recursion.workspace, proposal, recursion.settings.task.classes).slices
    return found


LOOSE = {"thresholds": {"intraparenchymal": 0.02}, "patients": {}}
"""A choice that shows: nearly everything is marked."""


def test_a_round_proposes_at_what_it_chose_and_the_ledger_says_so(choosing, monkeypatch):
    monkeypatch.setattr(rounds, "choose_operating_point", lambda *_: LOOSE)
    round_0 = run_round(choosing)
    assert round_0.report["operating_point"]["thresholds"] == round_0.thresholds == LOOSE["thresholds"]
    assert events(choosing).count("operating_point_chosen") == 1
    assert choosing.ledger.audit.verify() is None
    under = choosing.settings.changed(foreground_threshold=LOOSE["thresholds"])
    predictor = Predictor(under, choosing.network(round_0.model))
    case = choosing.ledger.cases.get("u0")
    assert np.array_equal(masks(choosing)["u0"], predictor.predict(choosing.volume(case.case_id)).mask)


def test_a_round_leaves_out_what_is_smaller_than_it_chose(choosing, monkeypatch):
    monkeypatch.setattr(rounds, "choose_operating_point", lambda *_: LOOSE | {"min_area": 1e6})
    round_0 = run_round(choosing)
    assert round_0.proposes_at == {"foreground_threshold": LOOSE["thresholds"], "min_area": 1e6}
    assert choosing.ledger.proposals.count(0)["empty"] == 3 and choosing.ledger.audit.verify() is None


def events(recursion):
    with sqlite3.connect(recursion.workspace.ledger) as connection:
        return [kind for (kind,) in connection.execute("SELECT kind FROM events")]


def test_an_interrupted_round_proposes_at_the_same_thresholds(choosing, monkeypatch):
    def killed(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "choose_operating_point", lambda *_: LOOSE)
        patch.setattr(rounds.Proposer, "propose", killed)
        with pytest.raises(KeyboardInterrupt):
            run_round(choosing)
    assert choosing.ledger.rounds.current().state is RoundState.PROPOSING
    monkeypatch.setattr(rounds, "choose_operating_point", lambda *_: pytest.fail("chooses again"))
    round_0 = run_round(choosing)
    assert round_0.thresholds == LOOSE["thresholds"]
    assert all(mask.any() for mask in masks(choosing).values())


def test_after_a_failure_other_settings_choose_anew(choosing, changed, monkeypatch):
    def fails(*_args, **_kwargs):
        raise InputError("disk", "is full")

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "choose_operating_point", lambda *_: LOOSE)
        patch.setattr(rounds.Proposer, "propose", fails)
        with pytest.raises(InputError):
            run_round(choosing)
    fixed = run_round(changed(choosing, operating_point="fixed"))
    assert fixed.thresholds is None and fixed.state is RoundState.REVIEWING
    assert next(iter_round_reports(choosing.ledger))["operating_point"] is None  # nothing was proposed at those


def test_the_choice_follows_from_ledger_model_and_settings_alone(choosing, decide_all, tmp_path):
    round_0 = run_round(choosing)
    again = choose_operating_point(choosing, round_0, Progress(tmp_path / "progress.json"))
    chosen = round_0.report["operating_point"]
    assert chosen == again | {"config_sha256": round_0.config_sha256}
    assert chosen["patients"] == {"locked": 1, "judged": 0, "synthetic": 0}
    assert chosen["min_area"] == choosing.settings.method.refinement.min_area  # of one patient, who moves nothing
    decide_all(choosing, VerdictKind.ACCEPT)
    round_1 = run_round(choosing)
    assert round_1.report["operating_point"]["patients"]["judged"] == 3
    assert choosing.ledger.audit.verify() is None


def test_a_steady_point_holds_each_model_against_the_first(recursion, changed, decide_all, monkeypatch, tmp_path):
    steady = changed(recursion, operating_point="steady", foreground_threshold={"intraparenchymal": 0.3}, gate=False)
    round_0 = run_round(steady)
    assert round_0.thresholds == {"intraparenchymal": 0.3} and round_0.report["operating_point"]["precision"] is None
    asked = []

    def followed(settings, network, reference, _device, *, on_slice):
        asked.extend(save_weights(one, tmp_path / "weights.safetensors") for one in (network, reference))
        on_slice(1)
        return {"intraparenchymal": 0.02}, 0.6

    monkeypatch.setattr(operating_point, "as_precise", followed)
    monkeypatch.setattr(operating_point, "unseen_count", lambda _settings: 1)
    decide_all(steady, VerdictKind.ACCEPT)
    round_1 = run_round(steady)
    assert asked == [round_1.model, round_0.model] and round_1.model != round_0.model
    assert round_1.thresholds == {"intraparenchymal": 0.02} and round_1.report["operating_point"]["precision"] == 0.6
    assert steady.ledger.audit.verify() is None


def test_without_a_threshold_a_steady_point_changes_nothing(recursion, changed, decide_all):
    steady = changed(recursion, operating_point="steady")
    run_round(steady)
    decide_all(steady, VerdictKind.ACCEPT)
    assert run_round(steady).thresholds == {}


def test_a_fixed_operating_point_chooses_nothing(recursion, changed):
    round_0 = run_round(changed(recursion, operating_point="fixed"))
    assert round_0.thresholds is None and "operating_point" not in round_0.report


def test_without_an_expert_mask_unseen_synthetic_slices_choose(reviewing, changed, monkeypatch, tmp_path):
    (case,) = [case for case in reviewing.ledger.cases.iterate() if case.validation]
    volume, truth = reviewing.volume(case.case_id), reviewing.expert_label(case).slices
    examples = [Example(f"synthetic:{n}", volume.hu[n], truth[n], True, (4.0, 4.0)) for n in range(3)]
    monkeypatch.setattr(calibration_set, "unseen_examples", lambda _settings: iter(examples))
    monkeypatch.setattr(calibration_set, "locked_cases", lambda *_: [])
    round_ = reviewing.ledger.rounds.current()
    for kind in ("precision", "conformal"):
        under = changed(reviewing, operating_point=kind)
        found = choose_operating_point(under, round_, Progress(tmp_path / "progress.json"))
        assert found["patients"]["synthetic"] == 3
    assert found["promised"] is None and set(found["thresholds"].values()) == {GRID[-1]}


def test_a_promise_is_held_against_what_was_observed(choosing, changed, say, monkeypatch):
    promise = LOOSE | {"promised": 0.7}
    monkeypatch.setattr(rounds, "choose_operating_point", lambda *_: promise)
    conformal = changed(choosing, operating_point="conformal", random_share=1.0)
    round_0 = run_round(conformal)
    assert round_0.report["random_share"] == 1.0
    for case_id, kind in {"i0": VerdictKind.ACCEPT, "i1": VerdictKind.REJECT, "u0": VerdictKind.ACCEPT}.items():
        say(conformal, case_id, kind)
    rounds.close_review_if_done(conformal)
    [report] = iter_round_reports(conformal.ledger)
    assert report["operating_point"]["promised"] == 0.7
    assert report["observed"]["judged"] == report["observed"]["random"]
    assert report["observed"]["judged"]["accepted_of_patients"] == pytest.approx(2 / 3)

"""start.py: what f begins with, and a recursion without a single expert mask."""

from __future__ import annotations

import shutil

import pytest

from recursive_expand.errors import InputError
from recursive_expand.expand import start
from recursive_expand.expand.due import NothingToDo, check_something_to_do
from recursive_expand.expand.examples import build_examples
from recursive_expand.expand.operating_point import choose_operating_point
from recursive_expand.expand.progress import Progress, read_progress
from recursive_expand.expand.rounds import run_round
from recursive_expand.expand.start import first_network
from recursive_expand.expand.training_set import TrainingSet
from recursive_expand.ledger import RoundState, VerdictKind
from recursive_expand.segment import unseen
from recursive_expand.segment.weights import weights_bytes


@pytest.fixture
def taught(after_round_0, reopen):
    """(weights' file, its SHA-256) of another study's model."""
    other = reopen(after_round_0)
    sha256 = other.ledger.rounds.current().model
    yield other.workspace.model(sha256), sha256
    other.ledger.close()


@pytest.fixture
def without_masks(recursion, reopen, taught):
    """Opens the scans alone, no expert mask and no role, under `--conf` values; the other study's weights are there."""
    studies = recursion.archive.studies
    shutil.rmtree(studies / "labels")
    (studies / "cases.csv").unlink()

    def make(**conf):
        opened = reopen(studies, **{"pretrain": taught[1], **conf})
        opened.workspace.models.mkdir(exist_ok=True)
        shutil.copy(taught[0], opened.workspace.models)
        return opened

    return make


def test_none_is_the_seeds_fresh_weights(recursion, tmp_path):
    network = first_network(recursion, Progress(tmp_path / "progress.json"))
    assert weights_bytes(network) == weights_bytes(recursion.network(None))


def test_synthetic_is_what_pretraining_gives_and_its_progress_is_shown(recursion, changed, tmp_path, monkeypatch):
    given = recursion.network(None)

    def pretrained(settings, device, *, on_step):
        on_step(100, 400, 1.5)
        return given

    monkeypatch.setattr(start, "pretrained", pretrained)
    progress = Progress(tmp_path / "progress.json")
    assert first_network(changed(recursion, pretrain="synthetic"), progress) is given
    shown = read_progress(tmp_path / "progress.json")
    assert (shown.stage, shown.total) == ("learning from synthetic heads", 400)


def test_weights_of_another_study_are_found_by_their_hash(recursion, changed, taught, tmp_path, monkeypatch):
    monkeypatch.setattr(start, "cache_folder", lambda: tmp_path / "cache")
    file, sha256 = taught
    asked = changed(recursion, pretrain=sha256)
    with pytest.raises(InputError, match=f"pretrain {sha256}: copy these weights to .*models.*or to .*cache"):
        first_network(asked, Progress(tmp_path / "progress.json"))
    (tmp_path / "cache").mkdir()
    shutil.copy(file, tmp_path / "cache")
    assert weights_bytes(first_network(asked, Progress(tmp_path / "progress.json"))) == file.read_bytes()


def test_scans_alone_are_proposed_judged_and_learnt_from(without_masks, taught, decide_all):
    recursion = without_masks(accepted_validation_share=0)  # one epoch teaches it little
    round_0 = run_round(recursion)
    assert (round_0.state, round_0.model, round_0.report["losses"]) == (RoundState.REVIEWING, taught[1], [])
    assert round_0.report["training_slices"]["pixel"] == 0 and "validation" not in round_0.report
    assert recursion.ledger.queue.count() > 0
    decide_all(recursion, VerdictKind.ACCEPT)
    round_1 = run_round(recursion)
    assert round_1.promoted and round_1.model != round_0.model
    assert round_1.report["training_slices"]["accepted"] > 0
    assert recursion.ledger.audit.verify() is None


def test_thresholds_follow_f_from_its_start(without_masks, decide_all, monkeypatch):
    monkeypatch.setattr(unseen, "UNSEEN", 6)
    recursion = without_masks(accepted_validation_share=0, working_spacing=4.0, foreground_threshold=0.3)
    assert run_round(recursion).thresholds == dict.fromkeys(recursion.settings.task.classes, 0.3)
    decide_all(recursion, VerdictKind.ACCEPT)
    round_1 = run_round(recursion)
    (threshold,) = set(round_1.thresholds.values())
    assert 0 < threshold < 1 and round_1.report["operating_point"]["precision"] is not None
    again = choose_operating_point(recursion, round_1, Progress(recursion.workspace.progress))
    assert again["thresholds"] == round_1.thresholds and recursion.ledger.audit.verify() is None


def test_masks_that_make_f_forget_its_start_do_not_replace_it(recursion, reopen, taught):
    opened = reopen(recursion.archive.studies, pretrain=taught[1], tune_learning_rate=3.0, tune_epochs=1)
    opened.workspace.models.mkdir(exist_ok=True)
    shutil.copy(taught[0], opened.workspace.models)
    round_0 = run_round(opened)
    assert round_0.report["validation"]["dice"] < round_0.report["previous_validation"]["dice"] - 0.05
    assert (round_0.model, round_0.promoted, round_0.base_model) == (taught[1], False, None)
    assert round_0.trained_model != taught[1] and opened.ledger.audit.verify() is None


def test_without_scans_or_with_fresh_weights_a_person_is_told_what_is_missing(recursion, changed):
    with pytest.raises(NothingToDo, match=r"no expert masks to begin with.*--conf pretrain synthetic"):
        check_something_to_do(recursion)
    with pytest.raises(NothingToDo, match="no scans to begin with"):
        check_something_to_do(changed(recursion, pretrain="synthetic"))


def test_synthetic_slices_are_replayed_among_the_others(without_masks, decide_all):
    recursion = without_masks(replay_share=0.5, working_spacing=4.0)
    run_round(recursion)
    decide_all(recursion, VerdictKind.ACCEPT)
    round_1 = run_round(recursion)
    trained_on = TrainingSet.from_json(recursion.ledger.rounds.training_set(1))
    progress = Progress(recursion.workspace.progress)
    examples = build_examples(recursion.under(round_1), trained_on, 1, None, epochs=3, progress=progress)
    synthetic = [one for one in examples if one.synthetic]
    assert len(synthetic) == 3 * (len(examples) - len(synthetic)) > 0  # for each epoch its own
    assert all(one.with_dice and one.key.startswith("synthetic:1:") for one in synthetic)
    shown = read_progress(recursion.workspace.progress)
    assert (shown.stage, shown.done, shown.total) == ("painting synthetic heads", len(synthetic), len(synthetic))

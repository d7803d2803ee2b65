"""pretrain.py: the same start for the same settings, kept for the next study."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from recursive_expand.errors import InputError
from recursive_expand.segment import pretrain
from recursive_expand.segment.losses import IGNORE
from recursive_expand.segment.pretrain import class_table, pretrained, pretraining_key, share_of_rate
from recursive_expand.segment.weights import weights_bytes

CPU = torch.device("cpu")


@pytest.fixture
def short(make_settings):
    """Two tiny batches of coarse slices, one thread."""
    return make_settings(
        pretrain="synthetic", pretrain_slices=4, pretrain_epochs=1, working_spacing=4.0, threads=1, channels=(4, 8)
    )


def test_the_same_settings_give_the_same_bits(short):
    seen = []
    first, again = (pretrain.pretrain(short, CPU, on_step=lambda *told: seen.append(told)) for _ in range(2))
    assert weights_bytes(first) == weights_bytes(again)
    assert [(done, total) for done, total, _ in seen] == [(2, 4), (4, 4)] * 2
    other = pretrain.pretrain(short.changed(pretrain_seed=1), CPU)
    assert weights_bytes(other) != weights_bytes(first)
    assert weights_bytes(pretrain.pretrain(short.changed(seed=1), CPU)) == weights_bytes(first)


def test_an_interrupted_pretraining_goes_on_to_the_same_bits(short, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    whole = pretrain.pretrain(short, CPU)
    told = []

    def stop(*now):
        told.append(now)
        if len(told) == 1:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        pretrain.pretrain(short, CPU, on_step=stop, checkpoint=checkpoint)
    assert weights_bytes(pretrain.pretrain(short, CPU, on_step=stop, checkpoint=checkpoint)) == weights_bytes(whole)
    assert [done for done, _, _ in told] == [2, 4]


def test_a_second_study_starts_at_once(short, tmp_path, monkeypatch):
    first = pretrained(short, CPU, cache=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(pretrain, "pretrain", lambda *_, **__: pytest.fail("trained again"))
        assert weights_bytes(pretrained(short, CPU, cache=tmp_path)) == weights_bytes(first)
    [kept] = tmp_path.glob("*.safetensors")
    kept.write_bytes(b"broken")
    assert weights_bytes(pretrained(short, CPU, cache=tmp_path)) == weights_bytes(first)


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        ({"pretrain_slices": 5}, True),
        ({"pretrain_epochs": 2}, True),
        ({"working_spacing": 3.0}, True),
        ({"channels": (4, 4)}, True),
        ({"threads": 32}, True),
        ({"learning_rate": 0.5}, True),
        ({"seed": 9}, False),
        ({"epochs": 3, "order": "risk", "region": "intracranial"}, False),
    ],
)
def test_the_key_holds_what_decides_the_weights(short, change, matters):
    assert (pretraining_key(short.changed(**change), CPU) != pretraining_key(short, CPU)) == matters


def test_the_key_holds_the_code_that_decides_the_weights(short, monkeypatch):
    before = pretraining_key(short, CPU)
    assert all(Path(pretrain.__file__).with_name(f"{name}.py").is_file() for name in pretrain._DECIDING)
    monkeypatch.setattr(pretrain, "_DECIDING", pretrain._DECIDING[:-1])
    assert pretraining_key(short, CPU) != before


def test_bleeds_that_the_task_does_not_name_are_ignored(short):
    assert class_table(short).tolist() == [0, 1, IGNORE, IGNORE, IGNORE, 2]


def test_classes_that_no_synthetic_head_shows_are_refused(short):
    with pytest.raises(InputError, match="synthetic heads show no spleen; choose --conf pretrain none"):
        pretrained(short.changed(classes=("spleen",)), CPU)


def test_the_rate_rises_and_falls():
    shares = [share_of_rate(done / 100) for done in range(101)]
    assert 0 < shares[0] < 0.1 and max(shares) == pytest.approx(1, abs=0.01) and 0 < shares[-1] < 0.01
